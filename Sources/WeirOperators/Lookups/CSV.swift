import WeirCore

/// RFC 4180: quoted fields with doubled quotes and line ends, CRLF or LF, a byte-order mark at the beginning.
enum CSV {
  struct Cell: Sendable {
    var text: String
    var isQuoted: Bool
  }

  struct Row: Sendable {
    var cells: [Cell]
    /// Line on which the row begins, 1-based.
    var line: Int
  }

  static func rows(_ bytes: [UInt8], file: String) throws(WeirError) -> [Row] {
    func broken(_ why: String, _ line: Int) -> WeirError {
      WeirError("config", "\(file):\(line): \(why)", advice: "Lookup files are CSV after RFC 4180, UTF-8, with a header row.")
    }
    var rows: [Row] = []
    var cells: [Cell] = []
    var cell: [UInt8] = []
    var at = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    var line = 1
    var rowLine = 1
    var isQuoted = false
    func text() throws(WeirError) -> String {
      guard let text = String(validating: cell, as: UTF8.self) else { throw broken("ill-formed UTF-8", line) }
      return text
    }
    func endCell() throws(WeirError) {
      cells.append(Cell(text: try text(), isQuoted: isQuoted))
      cell.removeAll(keepingCapacity: true)
      isQuoted = false
    }
    while at < bytes.count {
      let c = bytes[at]
      if c == 0x22, cell.isEmpty, !isQuoted {
        isQuoted = true
        at += 1
        while true {
          guard at < bytes.count else { throw broken("a quoted field does not end", line) }
          if bytes[at] == 0x22 {
            at += 1
            guard at < bytes.count, bytes[at] == 0x22 else { break }
          } else if bytes[at] == 0x0A {
            line += 1
          }
          cell.append(bytes[at])
          at += 1
        }
        guard at == bytes.count || [0x2C, 0x0A, 0x0D].contains(bytes[at]) else { throw broken("text behind a quoted field", line) }
        continue
      }
      switch c {
      case 0x2C: try endCell()
      case 0x0D where at + 1 < bytes.count && bytes[at + 1] == 0x0A: break
      case 0x0A:
        try endCell()
        rows.append(Row(cells: cells, line: rowLine))
        let count = cells.count
        cells = []
        cells.reserveCapacity(count)
        line += 1
        rowLine = line
      default:
        guard !isQuoted else { throw broken("text behind a quoted field", line) }
        cell.append(c)
      }
      at += 1
    }
    if !cell.isEmpty || !cells.isEmpty || isQuoted {
      try endCell()
      rows.append(Row(cells: cells, line: rowLine))
    }
    // A blank line is no row.
    return rows.filter { !($0.cells.count == 1 && $0.cells[0].text.isEmpty && !$0.cells[0].isQuoted) }
  }

  /// The header's names.
  static func header(_ bytes: [UInt8], file: String) throws(WeirError) -> [String] {
    guard let first = try rows(bytes, file: file).first else { throw WeirError("config", "\(file):1: the file is empty") }
    return first.cells.map(\.text)
  }
}
