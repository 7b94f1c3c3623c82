import WeirCore
import WeirOperators

/// Rows of one table that one lane adds in one epoch, in position order.
///
/// Bronze and silver rows stay where they are, in their blocks, until the file writer gathers them; rows of little
/// traffic (window results, late and quarantined rows) were collected into columns.
struct RowChunk: Sendable {
  enum Source: Sendable {
    case bronze(PreparedBlock)
    case silver(PreparedBlock)
    /// Columns of the table in the order of its schema without partition columns that are not stored.
    case columns([Column])
  }
  var source: Source
  /// Rows of the source; nil: all.
  var rows: [UInt32]?
  var count: Int
}

/// What every row that is kept as received carries.
struct RunInfo: Sendable {
  var shard: String
  var runID: String

  static let arrivalSources = ["event_time", "watermark", "epoch", "created", "appended"]
}

/// Collects quarantine rows: value, key, stage, reason, provenance.
struct QuarantineRows {
  private var builders = [ColumnType.binary, .binary, .string, .string].map { ColumnBuilder($0) }
  private var provenance: Provenance

  init(_ run: RunInfo) { provenance = Provenance(run) }

  var count: Int { builders[0].count }

  mutating func add(_ block: PreparedBlock, _ row: Int, stage: String, reason: String) {
    builders[0].append(bytes: block.value(row).bytes)
    appendKey(block, row, to: &builders[1])
    builders[2].append(.string(stage))
    builders[3].append(.string(reason))
    provenance.add(block, row)
  }

  func finish() -> [Column] { builders.map { $0.finish() } + provenance.finish() }
}

/// Collects late rows: key, value, event time, the window missed, provenance.
struct LateRows {
  private var builders = [ColumnType.binary, .binary, .timestamp, .timestamp, .timestamp].map { ColumnBuilder($0) }
  private var provenance: Provenance

  init(_ run: RunInfo) { provenance = Provenance(run) }

  var count: Int { builders[0].count }

  mutating func add(_ block: PreparedBlock, _ late: LateRow) {
    let row = Int(late.row)
    appendKey(block, row, to: &builders[0])
    builders[1].append(bytes: block.value(row).bytes)
    builders[2].append(.timestamp(block.time[row]))
    builders[3].append(.timestamp(late.windowStart))
    builders[4].append(.timestamp(late.windowEnd))
    provenance.add(block, row)
  }

  func finish() -> [Column] { builders.map { $0.finish() } + provenance.finish() }
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
  static func columns(_ results: [WindowResult], byTypes: [ColumnType], measureTypes: [ColumnType]) throws(WeirError) -> [Column] {
    var by = byTypes.map { ColumnBuilder($0) }
    var start = ColumnBuilder(.timestamp)
    var end = ColumnBuilder(.timestamp)
    var measures = measureTypes.map { ColumnBuilder($0) }
    var revision = ColumnBuilder(.int64)
    for result in results {
      for (i, value) in try StateKey.decode(result.key, types: byTypes).enumerated() { by[i].append(value) }
      start.append(.timestamp(result.start))
      end.append(.timestamp(result.end))
      for (i, value) in result.measures.enumerated() { measures[i].append(value) }
      revision.append(.int64(0))
    }
    return by.map { $0.finish() } + [start.finish(), end.finish()] + measures.map { $0.finish() } + [revision.finish()]
  }
}
