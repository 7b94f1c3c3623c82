import WeirCore

/// Reads rows of CSV as objects of texts: only to see what is in them. Records are decoded elsewhere.
struct RowReader {
  let delimiter: String
  let names: [String]

  /// - Parameter head: the row with the names.
  /// - Returns: nil: it has none.
  init?(delimiter: String, head: ArraySlice<UInt8>) {
    guard let names = RowReader.cells(head, delimiter: delimiter)?.map({ $0 ?? "" }) else { return nil }
    (self.delimiter, self.names) = (delimiter, names)
  }

  /// nil: the row has another number of fields, or is not text.
  func object(_ row: ArraySlice<UInt8>) -> JSONValue? {
    guard let cells = RowReader.cells(row, delimiter: delimiter), cells.count == names.count else { return nil }
    return .object(zip(names, cells).map { name, cell in JSONValue.Member(name, cell.map { .string($0) } ?? .null) })
  }

  /// The fields of a row; nil for those that are empty and without quotes.
  static func cells(_ row: ArraySlice<UInt8>, delimiter: String) -> [String?]? {
    var row = row.starts(with: [0xEF, 0xBB, 0xBF]) ? row.dropFirst(3) : row
    if row.last == 0x0D { row = row.dropLast() }
    guard let split = delimiter.utf8.first, let text = String(validating: row, as: UTF8.self) else { return nil }
    var (cells, cell, isQuoted, wasQuoted): ([String?], [UInt8], Bool, Bool) = ([], [], false, false)
    func end() {
      cells.append(cell.isEmpty && !wasQuoted ? nil : String(decoding: cell, as: UTF8.self))
      (cell, wasQuoted) = ([], false)
    }
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\"") where isQuoted: isQuoted = false
      case UInt8(ascii: "\"") where cell.isEmpty || wasQuoted:
        // A quote within quotes is doubled.
        if wasQuoted { cell.append(byte) }
        (isQuoted, wasQuoted) = (true, true)
      case split where !isQuoted: end()
      default: cell.append(byte)
      }
    }
    end()
    return cells
  }

  /// What a header has: a word, and no number or time.
  static func isName(_ cell: String?) -> Bool {
    guard let first = cell?.unicodeScalars.first(where: { $0 != " " }) else { return false }
    return first.properties.isAlphabetic || first == "_"
  }
}
