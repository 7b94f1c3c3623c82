import Glibc
import WeirCore

/// The rows of a lookup file in NDJSON: one object per line, whose members are the columns, in the order in which they first appear.
///
/// A text is its value; a number and a truth value are what is written. A member that is null or not there is null. Objects and arrays
/// in an object are refused.
struct LookupObjects: LookupText {
  private typealias Bytes = UnsafePointer<UInt8>

  /// A line that is not blank.
  private struct Line {
    var number: Int
    var start: Bytes
    var end: Bytes
  }

  private struct Member {
    var name: StringRef
    var cell: CSVReader.Cell
    var place: Bytes

    func isNamed(_ text: String) -> Bool { text.utf8.count == name.count && text.utf8.elementsEqual(name.bytes) }
  }

  private let text: TextBuffer
  private let count: Int
  private let file: String
  private let arena = Arena()

  var owners: [any AnyObject & Sendable] { [text, arena] }

  init(_ text: TextBuffer, count: Int, file: String) { (self.text, self.count, self.file) = (text, count, file) }

  private var start: Bytes { Bytes(text.base) }
  private var end: Bytes { start + count }

  // MARK: Lines

  /// - Parameter place: of the line before; nil: the first.
  private func line(after before: Line?) -> Line? {
    var (at, number) = (before.map { $0.end + 1 } ?? start, (before?.number ?? 0) + 1)
    while at < end {
      let stop = memchr(at, 0x0A, end - at).map { Bytes($0.assumingMemoryBound(to: UInt8.self)) } ?? end
      var scanner = JSONScanner(at: at, end: stop)
      if number == 1 { _ = scanner.byteOrderMark() }
      scanner.space()
      if scanner.at < stop { return Line(number: number, start: at, end: stop) }
      (at, number) = (stop + 1, number + 1)
    }
    return nil
  }

  /// Columns are counted in characters, from 1.
  private func wrong(_ why: String, _ line: Line, at place: Bytes) -> WeirError {
    let place = min(max(place, line.start), line.end)
    let column = UnsafeBufferPointer(start: line.start, count: place - line.start).reduce(1) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
    return WeirError(
      .config, "\(file):\(line.number):\(column): \(why)", advice: "A lookup file in NDJSON has one JSON object per line, in UTF-8.")
  }

  /// Reads the object on a line.
  private func read(_ line: Line, into members: inout [Member]) throws(WeirError) {
    members.removeAll(keepingCapacity: true)
    var scanner = JSONScanner(at: line.start, end: line.end)
    if line.number == 1 { _ = scanner.byteOrderMark() }
    do throws(DecodeError) {
      scanner.space()
      guard scanner.at.pointee == 0x7B else { throw scanner.fail("it is not a JSON object") }
      scanner.at += 1
      scanner.space()
      var isFirst = true
      while scanner.at < line.end, !(isFirst && scanner.at.pointee == 0x7D) {
        isFirst = false
        guard scanner.at.pointee == 0x22 else { throw scanner.fail("the name of a member is missing") }
        let place = scanner.at
        let name = try scanner.string()
        scanner.space()
        guard scanner.at < line.end, scanner.at.pointee == 0x3A else { throw scanner.fail("a colon must follow the name of a member") }
        scanner.at += 1
        scanner.space()
        guard members.count < CSVReader.cellsMax else {
          throw DecodeError(reason: "more than \(CSVReader.cellsMax) members (lookup_cells)", at: place)
        }
        members.append(Member(name: try ref(name), cell: try value(&scanner), place: place))
        scanner.space()
        guard scanner.at < line.end, scanner.at.pointee == 0x2C else { break }
        scanner.at += 1
        scanner.space()
      }
      guard scanner.at < line.end, scanner.at.pointee == 0x7D else { throw scanner.fail("the object does not end") }
      scanner.at += 1
      scanner.space()
      guard scanner.at == line.end else { throw scanner.fail("unexpected text after the object") }
    } catch { throw wrong(error.reason, line, at: error.at) }
  }

  private func value(_ scanner: inout JSONScanner) throws(DecodeError) -> CSVReader.Cell {
    guard scanner.at < scanner.end else { throw scanner.fail("a value is missing") }
    let start = scanner.at
    switch start.pointee {
    case 0x22:
      return CSVReader.Cell(text: try ref(scanner.string()), isQuoted: true)
    case 0x7B, 0x5B: throw scanner.fail("an object or an array cannot be a value of a lookup; write its parts as members, or as text")
    case 0x6E:
      try scanner.null()
      return CSVReader.Cell(text: .empty, isQuoted: false)
    case 0x74: try scanner.true()
    case 0x66: try scanner.false()
    default: _ = try scanner.number()
    }
    return CSVReader.Cell(text: StringRef(start: start, count: scanner.at - start), isQuoted: true)
  }

  private func ref(_ text: JSONScanner.Text) throws(DecodeError) -> StringRef {
    text.hasEscapes ? try JSONScanner.unescape(text, into: arena) : StringRef(start: text.start, count: text.count)
  }

  // MARK: Columns

  func header(_ key: String) throws(WeirError) -> (names: [String], key: Int) {
    guard line(after: nil) != nil else { throw WeirError(.config, "\(file):1:1: the file is empty") }
    let names = try names()
    guard let place = names.firstIndex(of: key) else {
      throw WeirError(
        .config,
        "\(file):1:1: no object has a member \(key); the names found there are not shown, since any file can be named here")
    }
    return (names, place)
  }

  func cells(_ names: [String]) throws(WeirError) -> [LookupRows.Cells] {
    var columns = [LookupRows.Cells](repeating: LookupRows.Cells(), count: names.count)
    let rowsMax = LookupTable.cellsMax / names.count
    var (rows, members): (Int, [Member]) = (0, [])
    var line = line(after: nil)
    while let this = line {
      try read(this, into: &members)
      rows += 1
      guard rows <= rowsMax else {
        throw wrong("more than \(LookupTable.cellsMax) fields (lookup_cells); leave out rows or columns", this, at: this.start)
      }
      let row = try cells(of: members, on: this, names)
      for i in columns.indices { columns[i].append(row[i]) }
      line = self.line(after: this)
    }
    return columns
  }

  private func cells(of members: [Member], on line: Line, _ names: [String]) throws(WeirError) -> [CSVReader.Cell] {
    var row = [CSVReader.Cell?](repeating: nil, count: names.count)
    for (number, member) in members.enumerated() {
      let isThere = number < names.count && member.isNamed(names[number])
      guard let i = isThere ? number : names.firstIndex(where: { member.isNamed($0) }) else { continue }
      guard row[i] == nil else { throw wrong("the object has a member twice", line, at: member.place) }
      row[i] = member.cell
    }
    return row.map { $0 ?? CSVReader.Cell(text: .empty, isQuoted: false) }
  }

  // MARK: Errors, by reading once more

  func fault(inRow row: Int, at place: Int, _ why: (String) -> String) -> WeirError {
    guard let line = find(row) else { return WeirError(.config, "\(file): \(why("its value"))") }
    var members: [Member] = []
    guard (try? read(line, into: &members)) != nil, let names = try? names() else { return wrong(why("its value"), line, at: line.start) }
    let member = members.first { place < names.count && $0.isNamed(names[place]) }
    // It is a table with the declared key, else this was not reached: what is in it may be shown.
    let shown = member.map { "'\(LookupRows.short($0.cell.text.description))'" } ?? "its value"
    return wrong(why(shown), line, at: member?.place ?? line.start)
  }

  func line(ofRow row: Int) -> Int { find(row)?.number ?? 1 }

  /// Of the columns.
  private func names() throws(WeirError) -> [String] {
    // By bytes: Strings that are canonically equivalent are equal, and yet two names.
    var (names, refs, seen): ([String], [StringRef], Set<[UInt8]>) = ([], [], [])
    var members: [Member] = []
    var line = line(after: nil)
    while let this = line {
      try read(this, into: &members)
      for (number, member) in members.enumerated() {
        // Members are mostly in the same order.
        if number < refs.count && refs[number] == member.name || !seen.insert(Array(member.name.bytes)).inserted { continue }
        guard names.count < CSVReader.cellsMax else {
          throw wrong("more than \(CSVReader.cellsMax) names of members (lookup_cells)", this, at: member.place)
        }
        names.append(member.name.description)
        refs.append(member.name)
      }
      line = self.line(after: this)
    }
    return names
  }

  private func find(_ row: Int) -> Line? {
    var line = line(after: nil)
    for _ in 0..<row { line = line.flatMap { self.line(after: $0) } }
    return line
  }
}
