import WeirCore

/// `redis://[USER[:PASSWORD]@]HOST[:PORT][/N][?NAME=VALUE&…]`, or `rediss://` for TLS: split, not yet judged.
///
/// The form is that of Redis's own clients (IANA's registration of the scheme `redis`), with parameters of ours.
package struct RedisAddress: Sendable {
  package var isTLS: Bool
  package var user: String?
  /// Never shown.
  package var password: String?
  /// Empty: there is none.
  package var host: String
  package var port: UInt16?
  package var database: Int?
  package var parameters: [(name: String, value: String)] = []

  /// Whether a text is meant to be an address of a Redis server.
  package static func isMeant(_ text: some StringProtocol) -> Bool { scheme(text) != nil || isSentinel(text) }

  /// Whether a text names a set of Sentinels, in one of the forms that other clients have.
  private static func isSentinel(_ text: some StringProtocol) -> Bool {
    guard let colon = text.firstIndex(of: ":") else { return false }
    return ["sentinel", "redis-sentinel", "rediss-sentinel", "redis+sentinel", "rediss+sentinel"].contains(text[..<colon].lowercased())
  }

  private static func scheme<Text: StringProtocol>(_ text: Text) -> (isTLS: Bool, rest: Text.SubSequence)? {
    guard let colon = text.firstIndex(of: ":") else { return nil }
    let name = text[..<colon].lowercased()
    guard name == "redis" || name == "rediss" else { return nil }
    return (name == "rediss", text[text.index(after: colon)...])
  }

  /// - Throws: what is wrong, without a word of the text.
  package init(_ text: String) throws(RedisSettingProblem) {
    if RedisAddress.isSentinel(text) { throw RedisAddress.sentinel }
    guard let (isTLS, afterScheme) = RedisAddress.scheme(text), afterScheme.hasPrefix("//") else { throw RedisAddress.malformed }
    self.isTLS = isTLS
    var rest = afterScheme.dropFirst(2)
    if rest.contains("#") { throw RedisAddress.malformed }
    if let mark = rest.firstIndex(of: "?") {
      parameters = try RedisAddress.parameters(rest[rest.index(after: mark)...])
      rest = rest[..<mark]
    }
    // A password may have an @ that its writer did not encode: what follows the last one is the host.
    if let at = rest.lastIndex(of: "@") {
      let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      user = try parts[0].isEmpty ? nil : RedisAddress.decoded(parts[0])
      password = try parts.count == 2 ? RedisAddress.decoded(parts[1]) : nil
      rest = rest[rest.index(after: at)...]
    }
    host = ""
    if rest.isEmpty, user == nil, password == nil { return }
    let parts = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let (host, port) = HostAddress.parts(parts[0]), port != 0 else {
      throw RedisAddress.withoutServer
    }
    (self.host, self.port) = (String(host), port)
    guard parts.count == 2, !parts[1].isEmpty else { return }
    guard parts[1].utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = Int(parts[1]), number <= RedisSettings.databaseMax else {
      throw RedisSettingProblem(
        reason: "what follows the slash is not the number of a database", advice: "Write redis://HOST:PORT/N, such as N = 0.")
    }
    database = number
  }

  package static let withoutServer = RedisSettingProblem(
    reason: "the address names no server: a host name, an IPv4 or an [IPv6] address, and a port", advice: "Write redis://HOST:PORT/N.")
  private static let sentinel = RedisSettingProblem(
    reason: "Weir does not ask Redis Sentinel for the primary",
    advice: "Write redis://HOST:PORT/N with a name or a proxy that leads to the current primary, such as HAProxy before the servers.")
  private static let malformed = RedisSettingProblem(
    reason: "it does not have the form redis://HOST:PORT/N", advice: "Write redis://HOST:PORT/N, or rediss://HOST:PORT/N for TLS.")

  private static func parameters(_ text: Substring) throws(RedisSettingProblem) -> [(name: String, value: String)] {
    var found: [(name: String, value: String)] = []
    for pair in text.split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = try decoded(parts[0])
      if found.contains(where: { $0.name == name }) {
        throw RedisSettingProblem(reason: "a parameter of the address is there twice", advice: "Leave one of them out.")
      }
      found.append((name, try parts.count == 2 ? decoded(parts[1]) : ""))
    }
    return found
  }

  /// Percent-decoded (RFC 3986, section 2.1).
  private static func decoded(_ text: Substring) throws(RedisSettingProblem) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else { bytes.append(byte); continue }
      guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else { throw malformed }
      bytes.append(high << 4 | low)
    }
    guard let text = String(validating: bytes, as: UTF8.self), !text.contains("\0") else { throw malformed }
    return text
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
  }

  /// Percent-encoded, so that it can be a part of an address.
  package static func encoded(_ text: String) -> String {
    var out: [UInt8] = []
    for byte in text.utf8 {
      let isPlain =
        byte >= 0x30 && byte <= 0x39 || byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A || [0x2D, 0x2E, 0x5F, 0x7E, 0x2F].contains(byte)
      if isPlain { out.append(byte) } else { percentEncode(byte, into: &out) }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
