/// Keys that sign requests to AWS. Never printed: both descriptions leave the secrets out.
package struct AWSCredentials: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package let accessKeyID: String
  let secretAccessKey: String
  /// Of temporary keys.
  let sessionToken: String?

  package init(accessKeyID: String, secretAccessKey: String, sessionToken: String? = nil) {
    self.accessKeyID = accessKeyID
    self.secretAccessKey = secretAccessKey
    self.sessionToken = sessionToken
  }

  package var description: String { "AWS access key \(accessKeyID)\(sessionToken == nil ? "" : ", temporary")" }
  package var debugDescription: String { description }
  /// `dump` reads this.
  package var customMirror: Mirror { Mirror(self, children: ["accessKeyID": accessKeyID]) }
}
