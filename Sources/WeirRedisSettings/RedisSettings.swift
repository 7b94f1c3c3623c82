import WeirCore

/// `store: {redis: …}`, as a plan holds it. Apart from the table itself, so that plans link no client.
///
/// Secrets are named, never held: a plan is kept in ledgers and shown.
package struct RedisSettings: StateTableSettings {
  package static let adapter = "redis"
  package static let defaultPort: UInt16 = 6379
  package static let defaultPrefix = "weir"
  package static let defaultReplyMilliseconds: Int64 = 15_000

  /// A name, an IPv4 address, or an IPv6 address without brackets. Empty: of the address in ``addressVariable``.
  package var host: String
  package var port = RedisSettings.defaultPort
  /// Number of the database; a cluster has 0 alone.
  package var database = 0
  /// nil: without TLS.
  package var tls: TLSSpec?
  /// Name of an ACL user as the address has it; nil: of `userSecret`, else the server's default user.
  package var user: String?
  package var userSecret: SecretSpec?
  package var password: SecretSpec?
  /// Environment variable that holds the whole address, instead of host, port, database and user. It may hold a password, too.
  package var addressVariable: String?
  /// What all keys begin with, in braces.
  package var prefix = RedisSettings.defaultPrefix
  /// How long the server may take for a reply, milliseconds.
  package var replyMilliseconds = RedisSettings.defaultReplyMilliseconds

  package init(host: String) { self.host = host }

  /// Of a server whose address is in an environment variable.
  package static func named(by variable: String) -> RedisSettings {
    var settings = RedisSettings(host: "")
    settings.addressVariable = variable
    return settings
  }

  /// Host and port for messages.
  package var hostAndPort: String { (host.contains(":") ? "[\(host)]" : host) + ":\(port)" }
}

/// What is wrong with a setting. Never repeats the setting's value: addresses may hold a password.
package struct RedisSettingProblem: Error, Sendable, Equatable {
  /// Continues the setting's name.
  package var reason: String
  package var advice: String

  package init(reason: String, advice: String) { (self.reason, self.advice) = (reason, advice) }
}

extension RedisSettings {
  /// Of ``prefix``.
  package static let prefixBytesMax = 64
  /// Of ``replyMilliseconds``.
  package static let replyBounds: ClosedRange<Int64> = 100...300_000
  /// Redis has 16 databases unless configured otherwise.
  package static let databaseMax = 65_535

  /// What cannot be a prefix; nil: it can.
  package static func problem(ofPrefix text: String) -> RedisSettingProblem? {
    let isPlain = text.utf8.allSatisfy { byte in
      byte >= 0x30 && byte <= 0x39 || byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A || [0x2D, 0x2E, 0x5F, 0x2F].contains(byte)
    }
    guard !text.isEmpty, text.utf8.count <= prefixBytesMax, isPlain else {
      return RedisSettingProblem(
        reason: "a prefix has 1 to \(prefixBytesMax) letters, digits, and any of - . _ /", advice: "Name the pipeline, for example.")
    }
    return nil
  }

  /// Settings that do not fit each other.
  package var problems: [RedisSettingProblem] {
    var found: [RedisSettingProblem] = []
    if user != nil, userSecret != nil {
      found.append(RedisSettingProblem(reason: "the user is named twice", advice: "Leave the user out of the address."))
    }
    // The address in a variable may have one.
    let isKnown = addressVariable == nil || !host.isEmpty
    if user != nil || userSecret != nil, password == nil, isKnown {
      found.append(
        RedisSettingProblem(
          reason: "a user needs a password", advice: "Name the environment variable or the file that holds the password."))
    }
    if !RedisSettings.replyBounds.contains(replyMilliseconds) {
      let bounds = RedisSettings.replyBounds
      found.append(
        RedisSettingProblem(
          reason: "the timeout is not from \(bounds.lowerBound) ms to \(bounds.upperBound / 1000) s", advice: "Choose another timeout."))
    }
    return found
  }
}
