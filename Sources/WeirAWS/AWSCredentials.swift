/// Keys that sign requests to AWS. Never printed: both descriptions leave the secrets out.
public struct AWSCredentials: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  public let accessKeyID: String
  let secretAccessKey: String
  /// Of temporary keys.
  let sessionToken: String?

  public init(accessKeyID: String, secretAccessKey: String, sessionToken: String? = nil) {
    self.accessKeyID = accessKeyID
    self.secretAccessKey = secretAccessKey
    self.sessionToken = sessionToken
  }

  public var description: String { "AWS access key \(accessKeyID)\(sessionToken == nil ? "" : ", temporary")" }
  public var debugDescription: String { description }
  /// `dump` reads this.
  public var customMirror: Mirror { Mirror(self, children: ["accessKeyID": accessKeyID]) }
}
