import WeirCore
import WeirOperators

/// Rows of one table that one lane adds in one epoch, in position order.
///
/// Bronze and silver rows stay where they are, in what their blocks have of them, until the file writer gathers them; rows
/// of little traffic (window results, late and quarantined rows) were collected into columns.
struct RowChunk: Sendable {
  enum Source: Sendable {
    case bronze(ReceivedRows)
    /// Columns of the table in the order of its schema without partition columns that are not stored.
    case columns([Column])
    case late(LateChunk)
    case windows(GoldBacklog)
  }
  /// Where the block begins; of collected rows 0.
  var position: Int64
  var source: Source
  /// Rows of the source, ascending; nil: all.
  var rows: [UInt32]?
  /// Of a backlog of windows it is not known: 1.
  var count: Int

  init(position: Int64, source: Source, rows: [UInt32]) {
    (self.position, self.source, self.rows, count) = (position, source, rows, rows.count)
  }

  /// All rows of columns.
  init(_ columns: [Column]) {
    (position, source, rows, count) = (0, .columns(columns), nil, columns.first?.count ?? 0)
  }

  init(_ late: LateChunk) { (position, source, rows, count) = (0, .late(late), nil, late.count) }

  init(_ windows: GoldBacklog) { (position, source, rows, count) = (0, .windows(windows), nil, 1) }

  /// The chunks of the lanes of one shard by position: those of one block become one, so that a file's rows are in the order of
  /// the shard whatever the number of lanes, and the writer goes over each block once, while it is in the caches.
  static func inPositionOrder(_ lanes: [[RowChunk]]) -> [RowChunk] {
    guard lanes.count > 1 else { return lanes.first ?? [] }
    var next = [Int](repeating: 0, count: lanes.count)
    var merged: [RowChunk] = []
    while true {
      let positions = lanes.indices.lazy.filter { next[$0] < lanes[$0].count }.map { lanes[$0][next[$0]].position }
      guard let position = positions.min() else { return merged }
      var parts: [RowChunk] = []
      for lane in lanes.indices where next[lane] < lanes[lane].count && lanes[lane][next[lane]].position == position {
        parts.append(lanes[lane][next[lane]])
        next[lane] += 1
      }
      merged.append(RowChunk(position: position, source: parts[0].source, rows: union(parts.map { $0.rows ?? [] })))
    }
  }

  /// Ascending lists without common members as one.
  private static func union(_ lists: [[UInt32]]) -> [UInt32] {
    if lists.count == 1 { return lists[0] }
    let size = Int(lists.compactMap(\.last).max() ?? 0) + 1
    let isIn = [Bool](unsafeUninitializedCapacity: size) { isIn, count in
      isIn.update(repeating: false)
      for list in lists { for row in list { isIn[Int(row)] = true } }
      count = size
    }
    return [UInt32](unsafeUninitializedCapacity: size) { out, count in
      for row in 0..<size {
        out[count] = UInt32(truncatingIfNeeded: row)
        count += isIn[row] ? 1 : 0
      }
    }
  }
}

/// What bronze needs of a block: an epoch's worth of blocks is held until it is encoded, so nothing else stays.
struct ReceivedRows: Sendable {
  private let raw: RawBlock
  private let offset: [UInt32]
  private let length: [UInt32]
  let key: Column
  let arrival: [Int64]
  let arrivalSource: [UInt8]

  init(_ block: PreparedBlock) {
    raw = block.decoded.raw
    offset = block.decoded.offset
    length = block.decoded.length
    key = block.key
    arrival = block.arrival
    arrivalSource = block.arrivalSource
  }

  var count: Int { offset.count }
  /// Owns the records' bytes.
  var text: any AnyObject & Sendable { raw.text }
  var details: RecordDetails? { raw.details }
  /// Keys as a live source gave them; nil: the source knows none but the record's own.
  func receivedKeys(_ rows: [UInt32]) -> Column? { raw.details?.keys(rows, in: raw.text) }
  func position(_ row: Int) -> Int64 { raw.details?.positions[row] ?? raw.position + Int64(offset[row]) }

  /// Which rows have a value: a tombstone has none, which is not an empty one. nil: all.
  func hasValue(_ rows: [UInt32]) -> [Bool]? {
    guard let details = raw.details, details.hasTombstones else { return nil }
    return rows.map { !details.isTombstone(Int($0)) }
  }

  /// The record's bytes as received, without the line end.
  func value(_ row: Int) -> StringRef {
    StringRef(start: UnsafePointer(raw.text.base) + Int(offset[row]), count: Int(length[row]))
  }
}

/// What every row that is kept as received carries.
struct RunInfo: Sendable {
  var shard: String
  var runID: String

  static let arrivalSources = ["event_time", "watermark", "epoch", "created", "appended"]
}

/// Collects quarantine rows: value, key, headers, stage, reason, provenance.
struct QuarantineRows {
  private var builders = [ColumnType.binary, .binary, .string, .string, .string].map { ColumnBuilder($0) }
  private var provenance: Provenance

  init(_ run: RunInfo) { provenance = Provenance(run) }

  mutating func add(_ block: PreparedBlock, _ row: Int, stage: String, reason: String) {
    appendValue(block, row, to: &builders[0])
    appendKey(block, row, to: &builders[1])
    appendHeaders(block, row, to: &builders[2])
    builders[3].append(.string(stage))
    builders[4].append(.string(reason))
    provenance.add(block, row)
  }

  func finish() -> [Column] { builders.map { $0.finish() } + provenance.finish() }
}

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

  func finish(_ math: WindowMath) -> LateChunk {
    LateChunk(record: builders.map { $0.finish() }, provenance: provenance.finish(), missed: missed, math: math)
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

  /// Columns of the records before those of the window, and behind.
  let record: [Column]
  let provenance: [Column]
  let missed: Missed
  let math: WindowMath

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
        let window = math.window(Int64(row - before), pane: missed.panes[number])
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

/// A record without a value (a tombstone) has none here either: whoever sends it on must be able to.
private func appendValue(_ block: PreparedBlock, _ row: Int, to builder: inout ColumnBuilder) {
  if block.decoded.raw.details?.isTombstone(row) == true { return builder.append(.null) }
  builder.append(bytes: block.value(row).bytes)
}

private func appendHeaders(_ block: PreparedBlock, _ row: Int, to builder: inout ColumnBuilder) {
  builder.append(block.decoded.raw.details?.headers(row).map { .string($0) } ?? .null)
}

private func appendKey(_ block: PreparedBlock, _ row: Int, to builder: inout ColumnBuilder) {
  if let details = block.decoded.raw.details {
    guard let key = details.key(row, in: block.decoded.raw.text) else { return builder.append(.null) }
    return builder.append(bytes: key.bytes)
  }
  guard block.key.isValid(row), case .string(let keys) = block.key.values else { return builder.append(.null) }
  builder.append(bytes: keys[row].bytes)
}

/// `_shard, _position, _arrival, _ingest_ts, _source, _run_id`.
private struct Provenance {
  private let run: RunInfo
  private var builders = [ColumnType.string, .int64, .timestamp, .timestamp, .string, .string].map { ColumnBuilder($0) }

  init(_ run: RunInfo) { self.run = run }

  mutating func add(_ block: PreparedBlock, _ row: Int) {
    builders[0].append(.string(block.decoded.raw.details?.shard ?? run.shard))
    builders[1].append(.int64(block.position(row)))
    builders[2].append(.timestamp(block.arrival[row]))
    builders[3].append(.timestamp(block.arrival[row]))
    builders[4].append(.string(RunInfo.arrivalSources[Int(block.arrivalSource[row])]))
    builders[5].append(.string(run.runID))
  }

  func finish() -> [Column] { builders.map { $0.finish() } }
}

/// Window results as columns: the `by` values, window_start, window_end, the measures, revision.
enum GoldRows {
  static func columns(_ results: WindowResults, byTypes: [ColumnType], measureTypes: [ColumnType]) throws(WeirError) -> [Column] {
    var by = byTypes.map { ColumnBuilder($0) }
    var start = ColumnBuilder(.timestamp)
    var end = ColumnBuilder(.timestamp)
    var measures = measureTypes.map { ColumnBuilder($0) }
    var revision = ColumnBuilder(.int64)
    for i in 0..<results.count {
      try StateKey.decode(results.key(i), types: byTypes) { by[$0].append($1) }
      start.append(.timestamp(results.starts[i]))
      end.append(.timestamp(results.ends[i]))
      for (number, value) in results.measures(i).enumerated() { measures[number].append(value) }
      revision.append(.int64(0))
    }
    return by.map { $0.finish() } + [start.finish(), end.finish()] + measures.map { $0.finish() } + [revision.finish()]
  }
}

/// Rows of a gold table that are made as they are encoded.
struct GoldBacklog: Sendable {
  let rows: WindowBacklog
  let byTypes: [ColumnType]
  let measureTypes: [ColumnType]

  /// Calls `body` with all rows, some at a time, as columns of the table. Once only.
  func forEachColumns(_ body: ([Column], Int) throws(WeirError) -> Void) throws(WeirError) {
    while let some = rows.next() {
      try body(try GoldRows.columns(some, byTypes: byTypes, measureTypes: measureTypes), some.count)
    }
  }
}
