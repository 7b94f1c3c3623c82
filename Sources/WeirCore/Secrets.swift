/// Where a text is found that must not be in the pipeline file. Secrets are named, never held.
public enum SecretSpec: Sendable, Hashable, Codable {
  case environment(String)
  case file(String)
  /// In a service that keeps secrets. It is fetched when it is needed, and again while it is used.
  case stored(StoredSecret)
}

/// A secret of AWS Secrets Manager, or a parameter of SSM Parameter Store: where it is, never what it is.
public struct StoredSecret: Sendable, Hashable, Codable {
  public enum Store: String, Sendable, Hashable, Codable, CaseIterable {
    case secretsManager = "secretsmanager"
    case parameterStore = "ssm"
  }

  public var store: Store
  /// A name, or an ARN, whose region wins over the configured one.
  public var name: String
  /// Member of the JSON object that the secret is; nil: the secret is the value. Secrets Manager only.
  public var member: String?
  /// Age at which the value is fetched again; nil: ``refreshByDefault``.
  public var refreshMicroseconds: Int64?

  public static let refreshByDefault: Int64 = 300_000_000
  /// Of ``refreshMicroseconds``: from a second to a day.
  public static let refreshBounds: ClosedRange<Int64> = 1_000_000...86_400_000_000

  public init(_ store: Store, _ name: String, member: String? = nil, refreshMicroseconds: Int64? = nil) {
    (self.store, self.name, self.member, self.refreshMicroseconds) = (store, name, member, refreshMicroseconds)
  }

  /// Of an ARN; nil: the configured one.
  public var region: String? {
    let parts = name.split(separator: ":", omittingEmptySubsequences: false)
    return parts.count >= 6 && parts[0] == "arn" ? String(parts[3]) : nil
  }
}

extension StoredSecret: CustomStringConvertible {
  /// For messages: names the place and never the value.
  public var description: String {
    switch store {
    case .secretsManager: "the secret \(name) of AWS Secrets Manager"
    case .parameterStore: "the parameter \(name) of SSM Parameter Store"
    }
  }
}

extension StoredSecret {
  /// What cannot be a name, and what to write; nil: it can be one.
  ///
  /// Sources: API references of Secrets Manager (CreateSecret, GetSecretValue) and of SSM (PutParameter, GetParameter).
  public var problem: String? {
    guard !name.isEmpty, name.utf8.count <= StoredSecret.nameBytesMax else {
      return "a name has 1 to \(StoredSecret.nameBytesMax) characters"
    }
    let isARN = name.hasPrefix("arn:")
    let others = store == .secretsManager ? "/_+=.@-" : "/_.-:"
    guard name.utf8.allSatisfy({ StoredSecret.isAlphanumeric($0) || others.utf8.contains($0) || isARN && $0 == UInt8(ascii: ":") }) else {
      return "a name has letters, digits and any of \(others)"
    }
    if let member, member.isEmpty || member.utf8.count > StoredSecret.nameBytesMax { return "key names a member of the secret's JSON" }
    if member != nil, store == .parameterStore { return "a parameter has no members: only secretsmanager has key" }
    guard isARN else { return nil }
    let parts = name.split(separator: ":", omittingEmptySubsequences: false)
    switch store {
    case .secretsManager:
      if parts.count > 7 { return "an ARN has seven parts: write the member as key" }
      let isSecret = parts.count == 7 && parts[2] == "secretsmanager" && !parts[3].isEmpty && parts[5] == "secret" && !parts[6].isEmpty
      return isSecret ? nil : "the ARN is not one of a secret: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"
    case .parameterStore:
      let isParameter = parts.count >= 6 && parts[2] == "ssm" && !parts[3].isEmpty && parts[5].hasPrefix("parameter/")
      return isParameter ? nil : "the ARN is not one of a parameter: arn:aws:ssm:REGION:ACCOUNT:parameter/NAME"
    }
  }

  private static let nameBytesMax = 1024

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    byte >= 0x30 && byte <= 0x39 || byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A
  }
}

extension StoredSecret {
  /// One word for addresses: `STORE[;SECONDS]:NAME[#MEMBER]`. No name has a `#`.
  public var text: String {
    let age = refreshMicroseconds.map { ";\($0 / 1_000_000)" } ?? ""
    return "\(store.rawValue)\(age):\(name)\(member.map { "#\($0)" } ?? "")"
  }

  /// Reads what ``text`` wrote; nil: it is not one.
  public init?(text: String) {
    guard let colon = text.firstIndex(of: ":") else { return nil }
    let head = text[..<colon].split(separator: ";", maxSplits: 1, omittingEmptySubsequences: false)
    guard let store = head.first.flatMap({ Store(rawValue: String($0)) }) else { return nil }
    var age: Int64?
    if head.count == 2 {
      guard let seconds = Int64(head[1]), seconds > 0, seconds <= StoredSecret.refreshBounds.upperBound / 1_000_000 else { return nil }
      age = seconds * 1_000_000
    }
    let rest = text[text.index(after: colon)...].split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
    self.init(store, rest.first.map(String.init) ?? "", member: rest.count == 2 ? String(rest[1]) : nil, refreshMicroseconds: age)
    guard problem == nil else { return nil }
  }
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
