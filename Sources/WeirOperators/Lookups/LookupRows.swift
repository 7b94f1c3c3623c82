import WeirCore

/// The rows of a lookup file in CSV.
struct LookupRows: LookupText {
  /// One column of the file.
  struct Cells {
    var refs: [StringRef] = []
    /// nil: none is null.
    var valid: [Bool]?

    mutating func append(_ cell: CSVReader.Cell) {
      if cell.isNull, valid == nil { valid = [Bool](repeating: true, count: refs.count) }
      valid?.append(!cell.isNull)
      refs.append(cell.text)
    }
  }

  private let text: TextBuffer
  private let count: Int
  private let file: String
  private let arena = Arena()

  var owners: [any AnyObject & Sendable] { [text, arena] }

  init(_ text: TextBuffer, count: Int, file: String) throws(WeirError) {
    self.text = text
    self.count = count
    self.file = file
    let start = UnsafePointer(text.base)
    if let bad = UTF8Check.firstError(start, start + count) {
      var line = 1
      for at in 0..<(bad - start) where start[at] == 0x0A { line += 1 }
      throw wrong("ill-formed UTF-8", line)
    }
  }

  private func wrong(_ why: String, _ line: Int) -> WeirError { WeirError(.config, "\(file):\(line): \(why)") }

  private var reader: CSVReader { CSVReader(StringRef(start: text.base, count: count), arena: arena, file: file) }

  /// The names of the columns, and the place of the key's.
  func header(_ key: String) throws(WeirError) -> (names: [String], key: Int) {
    var reader = reader
    var cells: [CSVReader.Cell] = []
    guard try reader.next(&cells) else { throw wrong("the file is empty", 1) }
    let names = cells.map(\.text.description)
    guard let place = names.firstIndex(of: key) else {
      throw wrong(
        "there is no column \(key) in the first line, which must be the header; the names found there are not shown, since any file can be named here",
        1)
    }
    guard Set(names).count == names.count else { throw wrong("duplicate column name", 1) }
    return (names, place)
  }

  /// All rows below the header, by column.
  func cells(_ names: [String]) throws(WeirError) -> [Cells] {
    var columns = [Cells](repeating: Cells(), count: names.count)
    // No more rows than lines.
    var lines = 0
    for at in 0..<count where text.base[at] == 0x0A { lines += 1 }
    let rowsMax = LookupTable.cellsMax / names.count
    for i in columns.indices { columns[i].refs.reserveCapacity(min(lines + 1, rowsMax)) }
    var reader = reader
    var cells: [CSVReader.Cell] = []
    _ = try reader.next(&cells)
    var rows = 0
    while try reader.next(&cells) {
      guard cells.count == names.count else { throw wrong("\(cells.count) fields, the header has \(names.count)", reader.rowLine) }
      rows += 1
      guard rows <= rowsMax else {
        throw wrong("more than \(LookupTable.cellsMax) fields (lookup_cells); leave out rows or columns", reader.rowLine)
      }
      for i in columns.indices { columns[i].append(cells[i]) }
    }
    return columns
  }

  // MARK: Errors, by reading once more

  /// - Parameters:
  ///   - row: below the header, from 0.
  ///   - place: of the cell in it that the error shows.
  func fault(inRow row: Int, at place: Int, _ why: (String) -> String) -> WeirError {
    let (line, cells) = find(row)
    let shown = showsContent && place < cells.count ? "'\(LookupRows.short(cells[place].text.description))'" : "its value"
    return wrong(why(shown), line)
  }

  func line(ofRow row: Int) -> Int { find(row).line }

  private func find(_ row: Int) -> (line: Int, cells: [CSVReader.Cell]) {
    var reader = reader
    var cells: [CSVReader.Cell] = []
    for _ in 0...(row + 1) { guard (try? reader.next(&cells)) == true else { break } }
    return (reader.rowLine, cells)
  }

  /// Characters of a value that an error shows.
  private static let shownMax = 64

  /// Any file can be named: what is in it is shown only if it is a table with the declared key. That is rows of equal length below at least
  /// two column names that look like names, one of them the key's.
  private var showsContent: Bool {
    var reader = reader
    var cells: [CSVReader.Cell] = []
    do {
      guard try reader.next(&cells), cells.count >= 2, cells.allSatisfy({ LookupRows.isName($0.text.description) }) else { return false }
      let width = cells.count
      var rows = 0
      while try reader.next(&cells) {
        rows += 1
        guard cells.count == width else { return false }
      }
      return rows > 0
    } catch { return false }
  }

  /// Letters, digits, `_`, `-`, `.` and single spaces, beginning with a letter or `_`; 64 bytes at most.
  private static func isName(_ text: String) -> Bool {
    guard let first = text.unicodeScalars.first, first == "_" || first.properties.isAlphabetic else { return false }
    return text.utf8.count <= shownMax
      && text.unicodeScalars.allSatisfy { $0.properties.isAlphabetic || ("0"..."9").contains($0) || "_-. ".unicodeScalars.contains($0) }
  }

  static func short(_ text: String) -> String { text.count <= shownMax ? text : text.prefix(shownMax) + "…" }
}
