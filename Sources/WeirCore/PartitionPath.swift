/// `t_day=2026-01-31/kind=a%2Fb`: a directory for partition values, safe for every text.
///
/// Hive's rule: bytes that mean something in a path are written as `%XX`; null and the empty text are
/// `__HIVE_DEFAULT_PARTITION__` (readers take both for null). A value that is only dots is escaped, so no directory leads up.
public func partitionPath(_ values: [(name: String, value: String?)]) -> String {
  values.map { name, value in
    guard let value, !value.isEmpty else { return "\(hiveEscape(name))=__HIVE_DEFAULT_PARTITION__" }
    let text = value.utf8.count > 150 ? "" : hiveEscape(value)
    // A long value would not be a valid file name: its hash replaces it (the log holds the value).
    guard !text.isEmpty, text.utf8.count <= 200, value != "__HIVE_DEFAULT_PARTITION__" else {
      return "\(hiveEscape(name))=sha256-\(ContentHash(of: Array(value.utf8)).hex)"
    }
    return "\(hiveEscape(name))=\(text)"
  }.joined(separator: "/")
}

private let hexadecimal = Array("0123456789ABCDEF".utf8)

/// `%2F`
package func percentEncode(_ byte: UInt8, into out: inout [UInt8]) {
  out += [UInt8(ascii: "%"), hexadecimal[Int(byte >> 4)], hexadecimal[Int(byte & 15)]]
}

private func hiveEscape(_ text: String) -> String {
  var out: [UInt8] = []
  for byte in text.utf8 {
    let isPlain =
      byte >= 0x80 || (byte >= 0x30 && byte <= 0x39) || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A) || byte == UInt8(ascii: "-")
      || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: " ") || byte == UInt8(ascii: "+")
    if isPlain { out.append(byte) } else { percentEncode(byte, into: &out) }
  }
  return String(decoding: out, as: UTF8.self)
}
