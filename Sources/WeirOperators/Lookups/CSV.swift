import WeirCore

/// RFC 4180: quoted fields with doubled quotes and line ends, CRLF or LF, a byte-order mark at the beginning.
///
/// Reads row by row. Cells are views into the text; only those with doubled quotes are copied, into the arena.
struct CSVReader {
  struct Cell: BitwiseCopyable {
    var text: StringRef
    var isQuoted: Bool

    /// An empty field that is not quoted.
    var isNull: Bool { text.count == 0 && !isQuoted }
  }

  /// `lookup_cells`: fields of a row.
  static let cellsMax = 10_000

  private var at: UnsafePointer<UInt8>
  private let end: UnsafePointer<UInt8>
  private let arena: Arena
  private let file: String
  private var line = 1
  /// Line on which the row that was read last begins, 1-based.
  private(set) var rowLine = 1

  /// - Parameter text: well-formed UTF-8, which with the arena must live as long as the cells.
  init(_ text: StringRef, arena: Arena, file: String) {
    let bytes = text.bytes
    let hasMark = bytes.count >= 3 && bytes[0] == 0xEF && bytes[1] == 0xBB && bytes[2] == 0xBF
    at = text.start + (hasMark ? 3 : 0)
    end = text.start + text.count
    self.arena = arena
    self.file = file
  }

  private func broken(_ why: String, _ line: Int) -> WeirError {
    WeirError(.config, "\(file):\(line): \(why)", advice: "Lookup files are CSV after RFC 4180, UTF-8, with a header row.")
  }

  /// Reads the next row that is not a blank line into `cells`. False at the end.
  mutating func next(_ cells: inout [Cell]) throws(WeirError) -> Bool {
    while at < end {
      try row(&cells)
      if !(cells.count == 1 && cells[0].isNull) { return true }
    }
    return false
  }

  private mutating func row(_ cells: inout [Cell]) throws(WeirError) {
    cells.removeAll(keepingCapacity: true)
    rowLine = line
    while true {
      guard cells.count < CSVReader.cellsMax else { throw broken("more than \(CSVReader.cellsMax) fields (lookup_cells)", line) }
      cells.append(try cell())
      guard at < end, at.pointee == 0x2C else { break }
      at += 1
    }
    guard at < end else { return }
    at += at.pointee == 0x0D ? 2 : 1
    line += 1
  }

  /// Stops at a comma, a line end or the end.
  private mutating func cell() throws(WeirError) -> Cell {
    if at < end, at.pointee == 0x22 { return try quoted() }
    let start = at
    while at < end, at.pointee != 0x2C, at.pointee != 0x0A { at += 1 }
    if at < end, at.pointee == 0x0A, at > start, at[-1] == 0x0D { at -= 1 }
    return Cell(text: StringRef(start: start, count: at - start), isQuoted: false)
  }

  private mutating func quoted() throws(WeirError) -> Cell {
    at += 1
    let (start, first) = (at, line)
    var doubled = 0
    while true {
      guard at < end else { throw broken("a quoted field does not end", first) }
      if at.pointee == 0x22 {
        guard at + 1 < end, at[1] == 0x22 else { break }
        doubled += 1
        at += 1
      } else if at.pointee == 0x0A {
        line += 1
      }
      at += 1
    }
    let text = StringRef(start: start, count: at - start)
    at += 1
    guard at == end || at.pointee == 0x2C || at.pointee == 0x0A || at.pointee == 0x0D && at + 1 < end && at[1] == 0x0A else {
      throw broken("unexpected text after a quoted field", line)
    }
    return Cell(text: doubled == 0 ? text : undoubled(text, doubled), isQuoted: true)
  }

  private func undoubled(_ text: StringRef, _ doubled: Int) -> StringRef {
    let target = arena.allocate(text.count - doubled)
    var (from, to) = (0, 0)
    while from < text.count {
      target[to] = text.start[from]
      from += text.start[from] == 0x22 ? 2 : 1
      to += 1
    }
    return StringRef(start: UnsafePointer(target), count: to)
  }
}
