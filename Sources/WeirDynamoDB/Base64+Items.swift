import WeirCore

/// How JSON holds bytes (RFC 4648, section 4).
extension Base64 {
  private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  /// By letter; 255: not one.
  private static let values: [UInt8] = {
    var values = [UInt8](repeating: 255, count: 256)
    for (value, letter) in letters.enumerated() { values[Int(letter)] = UInt8(value) }
    return values
  }()

  static func write(_ bytes: [UInt8], into out: inout [UInt8]) {
    var at = 0
    while at < bytes.count {
      let left = bytes.count - at
      let word = UInt32(bytes[at]) << 16 | (left > 1 ? UInt32(bytes[at + 1]) << 8 : 0) | (left > 2 ? UInt32(bytes[at + 2]) : 0)
      out.append(letters[Int(word >> 18)])
      out.append(letters[Int(word >> 12 & 63)])
      out.append(left > 1 ? letters[Int(word >> 6 & 63)] : UInt8(ascii: "="))
      out.append(left > 2 ? letters[Int(word & 63)] : UInt8(ascii: "="))
      at += 3
    }
  }

  /// - Returns: nil if the text is not base64 with its padding.
  static func read(_ text: String) -> [UInt8]? {
    let text = Array(text.utf8)
    guard text.count % 4 == 0 else { return nil }
    let padding = text.suffix(2).filter { $0 == UInt8(ascii: "=") }.count
    var out: [UInt8] = []
    out.reserveCapacity(text.count / 4 * 3)
    for start in stride(from: 0, to: text.count, by: 4) {
      let isLast = start + 4 == text.count
      var word: UInt32 = 0
      for at in start..<start + 4 {
        let isPadding = isLast && at >= text.count - padding
        let value = isPadding && text[at] == UInt8(ascii: "=") ? 0 : values[Int(text[at])]
        guard value < 64 else { return nil }
        word = word << 6 | UInt32(value)
      }
      out.append(UInt8(truncatingIfNeeded: word >> 16))
      if !isLast || padding < 2 { out.append(UInt8(truncatingIfNeeded: word >> 8)) }
      if !isLast || padding < 1 { out.append(UInt8(truncatingIfNeeded: word)) }
    }
    return out
  }
}
