import Glibc

/// Hosts and ports, as settings and requests name them: `HOST`, `HOST:PORT`, `[IPV6]:PORT`.
///
/// The one place that splits such a text. Others must not look for colons and brackets: `[::1].evil.example` begins like an address.
public enum HostAddress {
  /// Of a whole name (RFC 1035, section 2.3.4).
  private static let nameBytesMax = 253

  /// Whether a text is the name of a host, an IPv4 address, or an IPv6 one without brackets.
  public static func isHost(_ text: some StringProtocol) -> Bool {
    if text.contains(":") { return isIPv6(text) }
    guard !text.isEmpty, text.utf8.count <= nameBytesMax, text.utf8.allSatisfy(isOfName) else { return false }
    // A dot at the end says that the name is whole.
    let labels = (text.hasSuffix(".") ? text.dropLast() : text[...]).split(separator: ".", omittingEmptySubsequences: false)
    guard let last = labels.last, !labels.contains(where: \.isEmpty) else { return false }
    // As resolvers take it: what ends in a number is an address.
    return !last.utf8.allSatisfy(isDigit) || labels.count == 4 && labels.allSatisfy { $0.utf8.count <= 3 && UInt8($0) != nil }
  }

  /// Whether a text can be one part of a host's name, such as a region: 1 to 63 letters, digits and hyphens, not beginning with a hyphen
  /// (RFC 1123).
  public static func isLabel(_ text: some StringProtocol) -> Bool {
    (1...63).contains(text.utf8.count) && !text.hasPrefix("-")
      && text.utf8.allSatisfy { isDigit($0) || (0x61...0x7A).contains($0 | 0x20) || $0 == 0x2D }
  }

  /// Host and port of `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`: nothing else, so no user and no scheme.
  /// - Returns: the host without brackets, and the port, nil where none is given (RFC 3986 allows `HOST:`). nil: the text has another
  ///   form.
  public static func parts<Text: StringProtocol>(_ text: Text) -> (host: Text.SubSequence, port: UInt16?)? {
    let host: Text.SubSequence
    let rest: Text.SubSequence
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else { return nil }
      host = text[text.index(after: text.startIndex)..<end]
      rest = text[text.index(after: end)...]
      guard host.contains(":") else { return nil }
    } else {
      let end = text.firstIndex(of: ":") ?? text.endIndex
      (host, rest) = (text[..<end], text[end...])
    }
    guard isHost(host) else { return nil }
    guard let colon = rest.first else { return (host, nil) }
    let digits = rest.dropFirst()
    guard colon == ":", digits.utf8.allSatisfy(isDigit) else { return nil }
    if digits.isEmpty { return (host, nil) }
    return UInt16(digits).map { (host, $0) }
  }

  /// Whether a text is a host, an IPv6 address in brackets, followed by a colon and a port from 1.
  public static func isHostAndPort(_ text: some StringProtocol) -> Bool { parts(text).map { ($0.port ?? 0) > 0 } ?? false }

  /// Whether a text is the address of a web service: `http://` or `https://`, a host, perhaps a port from 1 to 65535, perhaps a path; no
  /// user, no parameters and no fragment.
  public static func isWebAddress(_ text: some StringProtocol) -> Bool {
    guard let scheme = ["http://", "https://"].first(where: { text.hasPrefix($0) }),
      text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !text.contains(where: { "?#&@".contains($0) })
    else { return false }
    return parts(text.dropFirst(scheme.count).prefix { $0 != "/" }).map { $0.port != 0 } ?? false
  }

  /// Whether a text is an IPv4 address, or an IPv6 one without brackets and zone.
  public static func isAddress(_ host: some StringProtocol) -> Bool { isAddress(host, of: AF_INET) || isAddress(host, of: AF_INET6) }

  private static func isAddress(_ text: some StringProtocol, of family: Int32) -> Bool {
    // Not a byte 0: C's text would end there, and what follows it be taken with the address.
    guard text.utf8.allSatisfy({ isOfName($0) || $0 == 0x3A }) else { return false }
    var address = in6_addr()
    return inet_pton(family, String(text), &address) == 1
  }

  /// With or without a zone, such as the `%eth0` of a link-local address.
  private static func isIPv6(_ text: some StringProtocol) -> Bool {
    let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = parts.first, isAddress(first, of: AF_INET6) else { return false }
    return parts.count == 1 || !parts[1].isEmpty && parts[1].utf8.allSatisfy(isOfName)
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

  /// Letters, digits, `-`, `.`, and the `_` of container networks.
  private static func isOfName(_ byte: UInt8) -> Bool {
    isDigit(byte) || byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A || [0x2D, 0x2E, 0x5F].contains(byte)
  }
}
