/// `t_day=2026-01-31/kind=a%2Fb`: a directory for partition values, safe for every text.
///
/// Hive's rule: bytes that mean something in a path are written as `%XX`; null and the empty text are
/// `__HIVE_DEFAULT_PARTITION__` (readers take both for null). A value that is only dots is escaped, so no directory leads up.
///
/// A value that is too long for a file name, with its column's name and as it is written, is replaced by its hash: the log has the value.
/// - Parameter bytesMax: of the whole; where it is longer, hashes replace more values, and shorter hashes those.
public func partitionPath(_ values: [(name: String, value: String?)], bytesMax: Int = .max) -> String {
  var steps = values.map { PartitionStep($0.name, $0.value) }
  for form in [PartitionStep.Form.hash, .shortHash] {
    // The longest first, so that few change.
    var rest = steps.indices.sorted { steps[$0].bytes > steps[$1].bytes }[...]
    while steps.reduce(steps.count - 1, { $0 + $1.bytes }) > bytesMax, let at = rest.popFirst() { steps[at].shorten(to: form) }
  }
  return steps.map(\.text).joined(separator: "/")
}

/// The directory of one partition value.
public struct PartitionStep: Sendable {
  /// Of a file name: the bound of all common file systems.
  public static let bytesMax = 255
  /// Of a column's name, as it is written: with it every value has a directory, in one form or another.
  public static let nameBytesMax = bytesMax - 1 - null.utf8.count

  enum Form { case whole, hash, shortHash }

  private static let null = "__HIVE_DEFAULT_PARTITION__"
  private static let shortDigits = 16

  private let name: String
  private let value: String?
  private(set) var text = ""

  init(_ name: String, _ value: String?) {
    (self.name, self.value) = (hiveEscape(name), value.flatMap { $0.isEmpty ? nil : $0 })
    text = made(.whole)
    if isTooLong { text = made(.hash) }
    if isTooLong { text = made(.shortHash) }
  }

  /// The fewest bytes that a column of this name takes for any value.
  public static func leastBytes(_ name: String) -> Int { hiveEscape(name).utf8.count + 1 + null.utf8.count }
  /// The bytes of a column's name as it is written.
  public static func nameBytes(_ name: String) -> Int { hiveEscape(name).utf8.count }

  var bytes: Int { text.utf8.count }
  private var isTooLong: Bool { bytes > PartitionStep.bytesMax }

  mutating func shorten(to form: Form) {
    let shorter = made(form)
    if shorter.utf8.count < bytes { text = shorter }
  }

  private func made(_ form: Form) -> String {
    guard let value else { return "\(name)=\(PartitionStep.null)" }
    if form == .whole {
      let escaped = value.utf8.count > 150 ? "" : hiveEscape(value)
      if !escaped.isEmpty, escaped.utf8.count <= 200, value != PartitionStep.null { return "\(name)=\(escaped)" }
    }
    let hash = ContentHash(of: Array(value.utf8)).hex
    return "\(name)=sha256-\(form == .shortHash ? String(hash.prefix(PartitionStep.shortDigits)) : hash)"
  }
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
