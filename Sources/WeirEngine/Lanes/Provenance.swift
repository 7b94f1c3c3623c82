import WeirCore
import WeirOperators

/// A record without a value (a tombstone) has none here either: a sink that sends it on must be able to.
func appendValue(_ block: PreparedBlock, _ row: Int, to builder: inout ColumnBuilder) {
  if block.decoded.details?.isTombstone(row) == true { return builder.append(.null) }
  builder.append(bytes: block.value(row).bytes)
}

func appendHeaders(_ block: PreparedBlock, _ row: Int, to builder: inout ColumnBuilder) {
  builder.append(block.decoded.details?.headers(row).map { .string($0) } ?? .null)
}

func appendKey(_ block: PreparedBlock, _ row: Int, to builder: inout ColumnBuilder) {
  if let details = block.decoded.details {
    guard let key = details.key(row, in: block.decoded.raw.text) else { return builder.append(.null) }
    return builder.append(bytes: key.bytes)
  }
  guard block.key.isValid(row), case .string(let keys) = block.key.values else { return builder.append(.null) }
  builder.append(bytes: keys[row].bytes)
}

/// `_shard, _position, _arrival, _ingest_ts, _source, _run_id`; of a source that counts records `_sequence`, of elements of outer records `_index`.
struct Provenance {
  private let run: RunInfo
  private var builders: [ColumnBuilder]

  init(_ run: RunInfo) {
    self.run = run
    let types: [ColumnType] =
      [.string, .int64, .timestamp, .timestamp, .string, .string]
      + (run.hasSequences ? [.string] : []) + (run.hasElements ? [.int64] : [])
    builders = types.map { ColumnBuilder($0) }
  }

  mutating func add(_ block: PreparedBlock, _ row: Int) {
    builders[0].append(.string(block.decoded.details?.shard ?? run.shard))
    builders[1].append(.int64(block.position(row)))
    builders[2].append(.timestamp(block.arrival[row]))
    builders[3].append(.timestamp(block.arrival[row]))
    builders[4].append(.string(RunInfo.arrivalSources[Int(block.arrivalSource[row])]))
    builders[5].append(.string(run.runID))
    if run.hasSequences { builders[6].append(block.decoded.details?.point(row).sequence.map { .string($0.text) } ?? .null) }
    if run.hasElements { builders[builders.count - 1].append(block.decoded.number(row).map { .int64($0) } ?? .null) }
  }

  func finish() -> [Column] { builders.map { $0.finish() } }
}
