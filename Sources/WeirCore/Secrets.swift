/// Where a text is found that must not be in the pipeline file. Secrets are named, never held.
public enum SecretSpec: Sendable, Hashable, Codable {
  case environment(String)
  case file(String)
}

/// How a client proves who it is, and whom it trusts, over TLS.
public struct TLSSpec: Sendable, Hashable, Codable {
  public var authorities: String?
  public var certificate: String?
  public var key: SecretSpec?
  public var keyPassword: SecretSpec?
  public var checksHostName = true
  public init() {}
}
