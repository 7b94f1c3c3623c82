import WeirCore

/// The first records of a capture, in their order: what a pipeline is inferred from.
package struct RecordSample: Sendable {
  /// `infer_records`: records that are looked at.
  package static let recordsMax = 100_000
  /// `infer_bytes`: bytes of them.
  package static let bytesMax = 32 << 20

  private var text: [UInt8] = []
  private var ends: [Int] = []
  /// The capture has no more records.
  package var isWhole = false

  package init() {}

  package var count: Int { ends.count }
  package var bytes: Int { text.count }

  /// - Returns: false: the sample is full, and the record is not in it.
  package mutating func add(_ record: UnsafeBufferPointer<UInt8>) -> Bool {
    guard count < RecordSample.recordsMax, record.count <= RecordSample.bytesMax - text.count else { return false }
    text.append(contentsOf: record)
    ends.append(text.count)
    return true
  }

  /// A sample of records as they are: for tests.
  package init(_ records: [String]) {
    for record in records {
      text += record.utf8
      ends.append(text.count)
    }
    isWhole = true
  }

  package subscript(_ number: Int) -> ArraySlice<UInt8> { text[(number == 0 ? 0 : ends[number - 1])..<ends[number]] }
}

/// How the records of a capture are written, by its first bytes.
package enum CaptureForm: Sendable, Hashable {
  case lines
  /// JSON values that follow each other, or are in several lines.
  case concatenated
  /// The elements of arrays.
  case array
  case rows(delimiter: String)

  /// - Parameter first: the first bytes of the capture, which may end within a record.
  /// - Returns: nil: neither JSON nor rows.
  package init?(_ first: [UInt8]) {
    let text = first.starts(with: [0xEF, 0xBB, 0xBF]) ? first.dropFirst(3) : first[...]
    guard let start = text.firstIndex(where: { $0 > 0x20 }) else { return nil }
    switch text[start] {
    case UInt8(ascii: "["): self = .array
    case UInt8(ascii: "{"):
      let line = text[start...].prefix { $0 != 0x0A }
      // A line that does not end within the first bytes is a line, or the first of the values that follow each other.
      let isLine = (try? JSONValue(parsing: line)) != nil || line.endIndex == text.endIndex && !CaptureForm.hasSeveral(line)
      self = isLine ? .lines : .concatenated
    // Tombstones of Debezium.
    case UInt8(ascii: "n") where text[start...].starts(with: Array("null\n".utf8)): self = .lines
    default:
      guard let delimiter = CaptureForm.delimiter(text) else { return nil }
      self = .rows(delimiter: delimiter)
    }
  }

  /// Whether a line may be the names of columns.
  static func isHeader(_ line: ArraySlice<UInt8>) -> Bool {
    [",", ";", "\t", "|"].contains { RowReader.cells(line, delimiter: $0).map { $0.count > 1 && $0.allSatisfy(RowReader.isName) } == true }
  }

  /// Whether an object ends before the line does.
  private static func hasSeveral(_ line: ArraySlice<UInt8>) -> Bool {
    var (depth, isText, isEscaped) = (0, false, false)
    for (number, byte) in line.enumerated() {
      if isText {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else {
          isText = byte != UInt8(ascii: "\"")
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): isText = true
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        if depth == 0 { return number + 1 < line.count }
      default: break
      }
    }
    return false
  }

  /// The character that splits most of the first lines into as many fields as their first, which has names.
  private static func delimiter(_ text: ArraySlice<UInt8>) -> String? {
    let whole = text.lastIndex(of: 0x0A).map { text[..<$0] } ?? text
    let lines = whole.split(separator: 0x0A).prefix(100)
    guard let head = lines.first, lines.count > 1 else { return nil }
    let found = [",", ";", "\t", "|"].compactMap { delimiter -> (text: String, fields: Int)? in
      guard let names = RowReader.cells(head, delimiter: delimiter), names.count > 1, names.allSatisfy(RowReader.isName) else { return nil }
      let alike = lines.count { RowReader.cells($0, delimiter: delimiter)?.count == names.count }
      return alike * 10 >= lines.count * 9 ? (delimiter, names.count) : nil
    }
    // Of the same number of fields, by the first.
    return found.max { $0.fields < $1.fields }?.text
  }
}
