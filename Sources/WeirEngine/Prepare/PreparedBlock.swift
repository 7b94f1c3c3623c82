import WeirCore

/// What lanes read of every record: of one block by row, or of several in lane order (``LaneDeal``).
struct LaneColumns: Sendable {
  /// What one aggregate needs.
  struct Aggregate: Sendable {
    /// If not, its columns are read in the order of the shard (``ShardPartial``) and by no lane.
    var isFinishedInLane: Bool
    /// Rows that match `where`; nil: all.
    var mask: [Bool]?
    /// Identity of each row's group.
    var hashes: [Hash128]
    var arguments: [Column?]
  }

  /// See ``PreparedBlock/Verdict``.
  var verdict: [UInt8]
  /// Event time; 0 where there is none.
  var time: [Int64]
  /// Hash of key and id; only where `hasID`. Empty without dedup.
  var ids: [Hash128] = []
  /// nil: every record has one.
  var hasID: [Bool]?
  /// Shard watermark at the record, the record itself counted.
  var watermark: [Int64] = []
  var aggregates: [Aggregate] = []
}

/// A block after all work that depends on nothing but its own records: decoded, checked, looked up, evaluated, hashed.
///
/// Made by any thread; immutable but for what the sequencer adds (watermarks, arrival) before the lanes see it.
public struct PreparedBlock: Sendable {
  public enum Verdict {
    /// Goes on to dedup.
    static let proceeds: UInt8 = 0
    static let filtered: UInt8 = 1
    static let rejected: UInt8 = 2
  }

  public var decoded: DecodedBlock
  /// Canonical text of the record's key; null where it is null or the record is not valid.
  var key: Column
  /// What the lanes read of every record.
  var columns: LaneColumns
  /// Reasons of rejected rows, by row.
  var rejections: [Int: Rejection]
  /// First row that fails a check with `else: fail`, with the check's name, and whether the row is valid so far.
  var failures: [(row: Int, check: String)]
  var silver: [Column]
  /// The `by` columns of each aggregate: read for the first row of a group only.
  var groups: [[Column]]
  /// The lane of each row; empty if there is but one.
  var laneOf: [UInt16] = []

  /// Partitions of silver that rows of it go to, each once (``PartitionCensus``).
  var partitions: [Hash128] = []

  // By the sequencer, with the columns' watermark:
  var arrival: [Int64] = []
  /// Where `arrival` comes from: 0 event time, 1 watermark, 2 epoch.
  var arrivalSource: [UInt8] = []

  public var count: Int { decoded.count }

  func position(_ row: Int) -> Int64 { decoded.raw.details?.positions[row] ?? decoded.raw.position + Int64(decoded.offset[row]) }

  /// The record's bytes as received, without the line end.
  func value(_ row: Int) -> StringRef {
    StringRef(start: UnsafePointer(decoded.raw.text.base) + Int(decoded.offset[row]), count: Int(decoded.length[row]))
  }
}
