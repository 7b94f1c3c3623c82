/// Keys for requests, always the newest.
package protocol AWSCredentialsProvider: Sendable {
  /// Keys that are valid now. May wait for a service, within bounds of its own.
  /// - Throws: `fatal` when none are configured, `retriable` when their service cannot be reached.
  func credentials() async throws(AWSFailure) -> AWSCredentials
  /// A service no longer accepts these keys: the next ones are fetched before they are used again.
  func refused(_ credentials: AWSCredentials) async
}

/// Keys that a source has given.
package struct FetchedCredentials: Sendable, Hashable {
  package var credentials: AWSCredentials
  /// Seconds since 1970; nil: they do not expire.
  package var expiresAt: Int64?
  /// Where they are from, for people: `the profile dev in /home/me/.aws/credentials`.
  package var place: String

  package init(_ credentials: AWSCredentials, expiresAt: Int64?, place: String) {
    self.credentials = credentials
    self.expiresAt = expiresAt
    self.place = place
  }
}

/// One way to keys.
package protocol AWSCredentialsSource: Sendable {
  /// nil: this way is not configured, and the next one is tried.
  /// - Throws: it is configured and does not work. The chain ends there, as in the SDKs: other keys than the configured ones would be used.
  func fetch() async throws(AWSFailure) -> FetchedCredentials?
}

extension AWSFailure {
  /// A failure on the way to keys.
  static func credentials(_ kind: Kind, _ message: String) -> AWSFailure { AWSFailure(kind, code: "Credentials", message: message) }
}
