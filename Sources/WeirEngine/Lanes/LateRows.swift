import WeirCore
import WeirOperators

/// Collects late records: key, value, headers, event time, provenance; and for each, which windows it missed.
struct LateRows {
  private var builders = [ColumnType.binary, .binary, .string, .timestamp].map { ColumnBuilder($0) }
  private var provenance: Provenance
  private var missed = LateChunk.Missed()

  init(_ run: RunInfo) { provenance = Provenance(run) }

  /// - Parameter row: the late row's number in the block.
  mutating func add(_ block: PreparedBlock, _ row: Int, _ late: LateRow) {
    appendKey(block, row, to: &builders[0])
    builders[1].append(bytes: block.value(row).bytes)
    appendHeaders(block, row, to: &builders[2])
    builders[3].append(.timestamp(late.time))
    provenance.add(block, row)
    missed.add(late)
  }

  func finish(_ kind: any WindowKind) -> LateChunk {
    LateChunk(record: builders.map { $0.finish() }, provenance: provenance.finish(), missed: missed, kind: kind)
  }
}

/// Late rows of one gold table: a row for each window that a record missed. There may be thousands of them for one record, which may
/// be large; so each record is here once, and rows are made of it some at a time, as they are encoded.
struct LateChunk: Sendable {
  /// Of each record, its pane and the number of rows through it.
  struct Missed: Sendable {
    private(set) var panes: [Int64] = []
    private(set) var ends: [Int] = []

    mutating func add(_ late: LateRow) {
      panes.append(late.pane)
      ends.append((ends.last ?? 0) + Int(late.missed))
    }
  }

  /// Columns of the records before those of the window, and after.
  let record: [Column]
  let provenance: [Column]
  let missed: Missed
  let kind: any WindowKind

  var count: Int { missed.ends.last ?? 0 }

  /// Rows that are made at once; fewer where records are large.
  private static let atOnce = 4096
  private static let bytesAtOnce = 8 << 20

  /// Calls `body` with all rows, some at a time, as columns of the table.
  func forEachColumns<Failure: Error>(_ body: ([Column], Int) throws(Failure) -> Void) throws(Failure) {
    var (row, number) = (0, 0)
    while row < count {
      var rows: [UInt32] = []
      var (starts, ends): ([Int64], [Int64]) = ([], [])
      var bytes = 0
      while row < count, rows.count < LateChunk.atOnce, bytes < LateChunk.bytesAtOnce {
        while missed.ends[number] <= row { number += 1 }
        let before = number == 0 ? 0 : missed.ends[number - 1]
        let window = kind.missedWindow(Int64(row - before), from: missed.panes[number])
        rows.append(UInt32(number))
        starts.append(window.start)
        ends.append(window.end)
        bytes += recordBytes(number)
        row += 1
      }
      let windows = [starts, ends].map { Column(type: .timestamp, values: .int64($0)) }
      try body(record.map { $0.gather(rows) } + windows + provenance.map { $0.gather(rows) }, rows.count)
    }
  }

  /// Of key, value and headers.
  private func recordBytes(_ number: Int) -> Int {
    record.reduce(0) { bytes, column in
      if case .string(let texts) = column.values { bytes + texts[number].count } else { bytes }
    }
  }
}
