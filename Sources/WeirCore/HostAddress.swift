import Glibc

/// `HOST:PORT` of a server, as settings name it.
public enum HostAddress {
  /// Of a whole name (RFC 1035, section 2.3.4).
  private static let nameBytesMax = 253

  /// Whether a text is the name of a host, an IPv4 address, or an IPv6 one without brackets.
  public static func isHost(_ text: some StringProtocol) -> Bool {
    if text.contains(":") {
      // The zone is a network interface, by name or number (RFC 4007).
      let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
      return isIPv6(parts[0]) && parts.dropFirst().allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy(isOfName) }
    }
    guard text.utf8.count <= nameBytesMax, text.utf8.allSatisfy(isOfName) else { return false }
    // A dot at the end says that the name is whole.
    let labels = (text.hasSuffix(".") ? text.dropLast() : text[...]).split(separator: ".", omittingEmptySubsequences: false)
    guard let last = labels.last, !labels.contains(where: \.isEmpty) else { return false }
    // As resolvers take it: what ends in a number is an address.
    return !last.utf8.allSatisfy(isDigit) || labels.count == 4 && labels.allSatisfy { $0.utf8.count <= 3 && UInt8($0) != nil }
  }

  /// Whether a text is a host, an IPv6 address in brackets, and behind a colon a port from 1 on; nothing else, so no user and no scheme.
  public static func isHostAndPort(_ text: some StringProtocol) -> Bool {
    guard let colon = text.lastIndex(of: ":") else { return false }
    let port = text[text.index(after: colon)...]
    guard !port.isEmpty, port.utf8.allSatisfy(isDigit), let number = UInt16(port), number > 0 else { return false }
    let host = text[..<colon]
    guard host.hasPrefix("["), host.hasSuffix("]") else { return !host.contains(":") && isHost(host) }
    let inner = host.dropFirst().dropLast()
    return inner.contains(":") && isHost(inner)
  }

  /// Whether a text is an IPv4 address, or an IPv6 one without brackets and zone.
  public static func isAddress(_ text: some StringProtocol) -> Bool { isAddress(text, of: AF_INET) || isIPv6(text) }

  private static func isIPv6(_ text: some StringProtocol) -> Bool { isAddress(text, of: AF_INET6) }

  private static func isAddress(_ text: some StringProtocol, of family: Int32) -> Bool {
    // Not a byte 0: C's text would end there, and what follows it be taken with the address.
    guard text.utf8.allSatisfy({ isOfName($0) || $0 == 0x3A }) else { return false }
    var address = in6_addr()
    return inet_pton(family, String(text), &address) == 1
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

  /// Letters, digits, `-`, `.`, and the `_` of container networks.
  private static func isOfName(_ byte: UInt8) -> Bool {
    isDigit(byte) || byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A || [0x2D, 0x2E, 0x5F].contains(byte)
  }
}
