/// Makes text that may hold data safe to show on a terminal.
///
/// A terminal obeys control characters: a record, a topic's name or a file's name could move the cursor, hide text, change the
/// window's title or answer for the user. These are written as `\u001b`, which inside a JSON string means the same character:
/// C0 (except line feed and tab), DEL, C1, line and paragraph separators, and the characters that change the direction of text. Invalid UTF-8 becomes U+FFFD.
package enum TerminalText {
  /// Text with line feeds and tabs of our own.
  static func escape(_ text: String) -> String {
    var text = text
    let isSafe = text.withUTF8 { bytes in TerminalText.isSafe(bytes) }
    return isSafe ? text : rewritten(text, keepsLines: true)
  }

  /// Bytes for programs (JSON lines, CSV) that are shown on a terminal.
  package static func escape(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let isSafe = bytes.withUnsafeBytes { TerminalText.isSafe($0) } && String(validating: bytes, as: UTF8.self) != nil
    return isSafe ? bytes : Array(rewritten(String(decoding: bytes, as: UTF8.self), keepsLines: true).utf8)[...]
  }

  /// One value inside of a line: a line feed or a tab of the data is escaped as well.
  package static func inline(_ text: String) -> String {
    var text = text
    let isSafe = text.withUTF8 { bytes in !bytes.contains { $0 == 0x0A || $0 == 0x09 } && TerminalText.isSafe(bytes) }
    return isSafe ? text : rewritten(text, keepsLines: false)
  }

  /// No byte of it can begin a character that is escaped. A false alarm costs time only.
  private static func isSafe(_ bytes: some Sequence<UInt8>) -> Bool {
    !bytes.contains { byte in
      switch byte {
      case 0x09, 0x0A: false
      case 0x00..<0x20, 0x7F: true
      // First bytes of C1 (C2 80…9F), U+061C (D8 9C), U+200E… and U+2066… (E2 80, E2 81).
      case 0xC2, 0xD8, 0xE2: true
      default: false
      }
    }
  }

  private static func rewritten(_ text: String, keepsLines: Bool) -> String {
    var out = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      guard isControl(scalar), !(keepsLines && (scalar == "\n" || scalar == "\t")) else {
        out.append(scalar)
        continue
      }
      let hex = String(scalar.value, radix: 16)
      out.append(contentsOf: ("\\u" + String(repeating: "0", count: 4 - hex.count) + hex).unicodeScalars)
    }
    return String(out)
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x00...0x1F, 0x7F...0x9F: true
    case 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}
