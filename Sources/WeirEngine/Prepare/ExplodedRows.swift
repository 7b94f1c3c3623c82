import WeirCore
import WeirOperators

/// Rows of one silver table before they have columns: of which record each is, and its element.
///
/// Each row has all that its record has, so the columns of a block's rows may take a thousand times the bytes of the block. Where that is
/// so, they are made some rows at a time: once to find errors, and once more as they are written.
struct ExplodedRows: Sendable {
  let table: CompiledPlan.RowTable
  /// Of the records, by `Plan.inputs`; nil: no expression of the table reads it.
  let inputs: [Column?]
  /// The record of each row, ascending.
  private(set) var records: [UInt32]
  /// The number of its element, and the element; nil: a record has one row.
  private(set) var numbers: [Int64]?
  private(set) var elements: Column?

  init(_ table: CompiledPlan.RowTable, _ inputs: [Column?], records: [UInt32], numbers: [Int64]? = nil, elements: Column? = nil) {
    self.table = table
    self.inputs = inputs.indices.map { table.inputsRead[$0] ? inputs[$0] : nil }
    (self.records, self.numbers, self.elements) = (records, numbers, elements)
  }

  var count: Int { records.count }

  func taking(_ rows: [UInt32]) -> ExplodedRows {
    var taken = self
    (taken.records, taken.numbers, taken.elements) = (records.gathered(rows), numbers?.gathered(rows), elements?.gather(rows))
    return taken
  }

  /// Of each of `count` records where its rows begin, and at the end where those of the last one end.
  func starts(records count: Int) -> [UInt32] {
    var starts: [UInt32] = []
    starts.reserveCapacity(count + 1)
    var next = 0
    for record in 0...count {
      while next < records.count, records[next] < record { next += 1 }
      starts.append(UInt32(next))
    }
    return starts
  }

  /// What the table's expressions read, row by row.
  var gathered: [Column?] {
    table.inputsRead.enumerated().map { input, isRead in
      guard isRead else { return nil }
      if input < inputs.count { return inputs[input]?.gather(records) }
      return input == inputs.count ? elements : numbers.map { Column(type: .int64, values: .int64($0)) }
    }
  }

  // MARK: Pieces

  private func element(_ row: Int) -> Int {
    guard case .string(let values)? = elements?.values else { return 0 }
    return values[row].count
  }

  /// Bytes of the rows' columns, about.
  var madeBytes: Int {
    let lengths = table.bytes.lengths(inputs)
    var (bytes, last, ofRecord) = (0, UInt32.max, 0)
    for row in records.indices {
      if records[row] != last { (last, ofRecord) = (records[row], lengths.made(record: Int(records[row]))) }
      bytes += ofRecord + lengths.made(element: element(row))
    }
    return bytes
  }

  /// Ranges of some of the rows, each of about ``RowBytes/pieceMax`` bytes or of one row.
  func pieces(of rows: [UInt32]) -> [Range<Int>] {
    let lengths = table.bytes.lengths(inputs)
    var pieces: [Range<Int>] = []
    var (first, bytes) = (0, 0)
    for (at, row) in rows.enumerated() {
      let own = lengths.made(record: Int(records[Int(row)])) + lengths.made(element: element(Int(row)))
      if at > first, bytes + own > RowBytes.pieceMax {
        pieces.append(first..<at)
        (first, bytes) = (at, 0)
      }
      bytes += own
    }
    if first < rows.count { pieces.append(first..<rows.count) }
    return pieces
  }

  /// Calls `body` with the columns of rows, some at a time. None of these rows has an error.
  /// - Parameters:
  ///   - rows: ascending; nil: all.
  ///   - isNeeded: by column; the others are empty.
  func forEachColumns<Failure: Error>(
    _ rows: [UInt32]?, _ isNeeded: (Int) -> Bool = { _ in true }, _ body: ([Column], Int) throws(Failure) -> Void
  ) throws(Failure) {
    let rows = rows ?? (0..<UInt32(count)).map { $0 }
    for piece in pieces(of: rows) {
      let taken = taking(Array(rows[piece]))
      let gathered = taken.gathered
      let columns = table.outputs.enumerated().map { number, output in
        isNeeded(number)
          ? output.evaluator.evaluate(gathered, count: taken.count).column
          : Column(type: output.evaluator.expr.type, values: .none(of: output.evaluator.expr.type))
      }
      try body(columns, taken.count)
    }
  }
}
