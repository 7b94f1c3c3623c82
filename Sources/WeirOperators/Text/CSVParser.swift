import CWeirScan
import WeirCore

/// Takes rows of CSV apart: fields with a delimiter between them, perhaps in quotes (RFC 4180 and its dialects, see ``CSVDialect``).
///
/// A row without a quote is split by one scan. A row with one is read byte by byte.
struct CSVParser: CellParser {
  typealias Bytes = UnsafePointer<UInt8>

  private let delimiter: UInt8
  /// 0: none.
  private let quote: UInt8
  private let escape: UInt8
  private let comment: UInt8
  private let trims: Bool
  private let nulls: [[UInt8]]
  /// Null is the empty field, and nothing else.
  private let isPlainNull: Bool
  private let quotedNulls: Bool
  /// The cells of a header; empty: lines are never one.
  private let header: [[UInt8]]
  let width: Int
  /// Where delimiters are, of one row.
  private var ends: [UInt32]
  private var arena = Arena()
  private var isLines = true
  /// Cells of the row that is read which are quoted; of a row without any it is not looked at.
  private var isQuoted: [Bool]

  init(_ dialect: CSVDialect, columns: [String]) {
    delimiter = dialect.delimiter.utf8.first ?? 0x2C
    quote = dialect.quote.utf8.first ?? 0
    escape = dialect.escape.utf8.first ?? quote
    comment = dialect.comment?.utf8.first ?? 0
    trims = dialect.trim
    nulls = dialect.nulls.map { Array($0.utf8) }
    isPlainNull = nulls == [[]]
    quotedNulls = dialect.quotedNulls
    header = dialect.header ? columns.map { Array($0.utf8) } : []
    width = columns.count
    ends = [UInt32](repeating: 0, count: columns.count)
    isQuoted = [Bool](repeating: false, count: columns.count)
  }

  mutating func begin(_ arena: Arena, isLines: Bool) { (self.arena, self.isLines) = (arena, isLines) }

  /// White space that cannot be a row: with delimiters it has null fields, and alone it may be the value of the only column.
  func isBlank(_ start: Bytes, _ end: Bytes) -> Bool {
    guard start < end else { return true }
    guard start.pointee <= 0x20, width > 1 || trims, TextValue.trimmed(StringRef(start: start, count: end - start)).count == 0 else {
      return false
    }
    return width == 1 || !UnsafeBufferPointer(start: start, count: end - start).contains(delimiter)
  }

  mutating func parse(_ start: Bytes, _ end: Bytes, _ cells: UnsafeMutablePointer<TextCell>) throws(DecodeError) -> StaticString? {
    if comment != 0, start < end, start.pointee == comment { return "a comment" }
    var flags: UInt32 = 0
    let found = Int(weir_split(start, end, delimiter, quote, &ends, UInt32(width), &flags)) + 1
    if flags & 2 != 0, let bad = UTF8Check.firstError(start, end) { throw DecodeError(reason: "ill-formed UTF-8", at: bad) }
    let hasQuotes = flags & 1 != 0
    if hasQuotes {
      try quoted(start, end, cells)
    } else {
      if !isLines { try oneRow(start, end) }
      guard found == width else { throw wrongWidth(found, end) }
      var at = start
      for i in 0..<width - 1 {
        let stop = start + Int(ends[i])
        cells[i] = TextCell(start: at, count: stop - at)
        at = stop + 1
      }
      cells[width - 1] = TextCell(start: at, count: end - at)
      if trims { for i in 0..<width { cells[i] = trimmed(cells[i]) } }
    }
    if !header.isEmpty, isHeader(cells) { return "the header" }
    if isPlainNull, !hasQuotes {
      for i in 0..<width where cells[i].count == 0 { cells[i].count = -1 }
    } else {
      for i in 0..<width where isNull(cells[i], isQuoted: hasQuotes && isQuoted[i]) { cells[i].count = -1 }
    }
    return nil
  }

  /// A field without quotes has no line end.
  private func oneRow(_ start: Bytes, _ end: Bytes) throws(DecodeError) {
    guard let found = weir_find_newline(start, end), found < end else { return }
    throw DecodeError(reason: "a line end outside of quotes: a record is one row", at: found)
  }

  private func wrongWidth(_ found: Int, _ at: Bytes) -> DecodeError {
    DecodeError(reason: "wrong number of columns: \(found), and \(width) expected", at: at)
  }

  private func trimmed(_ cell: TextCell) -> TextCell {
    let text = TextValue.trimmed(StringRef(start: cell.start, count: cell.count))
    return TextCell(start: text.start, count: text.count)
  }

  private func isHeader(_ cells: UnsafeMutablePointer<TextCell>) -> Bool {
    for (i, name) in header.enumerated() where !equals(cells[i], name) { return false }
    return true
  }

  private func equals(_ cell: TextCell, _ text: [UInt8]) -> Bool {
    guard cell.count == text.count else { return false }
    return text.withUnsafeBufferPointer { $0.isEmpty || memoryEqual($0.baseAddress!, cell.start, cell.count) }
  }

  private func isNull(_ cell: TextCell, isQuoted: Bool) -> Bool {
    guard !isQuoted || quotedNulls else { return false }
    return nulls.contains { equals(cell, $0) }
  }

  // MARK: Quotes

  private mutating func quoted(_ start: Bytes, _ end: Bytes, _ cells: UnsafeMutablePointer<TextCell>) throws(DecodeError) {
    var at = start
    var place = 0
    while true {
      var first = at
      if trims { while first < end, first.pointee != delimiter, first.pointee == 0x20 || first.pointee == 0x09 { first += 1 } }
      let isQuoted = first < end && first.pointee == quote
      var cell: TextCell
      if isQuoted {
        (cell, at) = try inQuotes(first + 1, end)
        if trims { while at < end, at.pointee != delimiter, at.pointee == 0x20 || at.pointee == 0x09 { at += 1 } }
        guard at == end || at.pointee == delimiter else { throw DecodeError(reason: "unexpected text after a quoted field", at: at) }
      } else {
        let from = at
        while at < end, at.pointee != delimiter { at += 1 }
        if !isLines { try oneRow(from, at) }
        cell = TextCell(start: from, count: at - from)
        if trims { cell = trimmed(cell) }
      }
      if place < width { (cells[place], self.isQuoted[place]) = (cell, isQuoted) }
      place += 1
      guard at < end else { break }
      at += 1
    }
    guard place == width else { throw wrongWidth(place, end) }
  }

  /// - Returns: the field, and what comes after its closing quote.
  private func inQuotes(_ start: Bytes, _ end: Bytes) throws(DecodeError) -> (TextCell, Bytes) {
    var (at, escapes) = (start, 0)
    while true {
      guard at < end else {
        throw DecodeError(
          reason: "a quoted field does not end in this record: a record is one line, and fields have no line ends", at: start - 1)
      }
      let c = at.pointee
      if c == escape, at + 1 < end, at[1] == quote || at[1] == escape {
        escapes += 1
        at += 2
      } else if c == quote {
        break
      } else if c == escape {
        throw DecodeError(reason: "an escape comes before a quote or an escape, and nothing else", at: at)
      } else {
        at += 1
      }
    }
    guard escapes > 0 else { return (TextCell(start: start, count: at - start), at + 1) }
    let copy = arena.allocate(at - start - escapes)
    var (from, to) = (start, copy)
    while from < at {
      if from.pointee == escape { from += 1 }
      to.pointee = from.pointee
      (from, to) = (from + 1, to + 1)
    }
    return (TextCell(start: UnsafePointer(copy), count: to - copy), at + 1)
  }
}
