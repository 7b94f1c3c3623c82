import WeirCore

/// A block after all work that depends on nothing but its own records: decoded, checked, looked up, evaluated, hashed.
///
/// Made by any thread; immutable but for what the sequencer adds (watermarks, arrival, lanes) before the lanes see it.
public struct PreparedBlock: Sendable {
  public enum Verdict {
    /// Goes on to dedup.
    static let proceeds: UInt8 = 0
    static let filtered: UInt8 = 1
    static let rejected: UInt8 = 2
  }

  /// What one aggregate needs of the block.
  struct AggregateInput: Sendable {
    /// Rows that match `where`; nil: all.
    var mask: [Bool]?
    var by: [Column]
    /// Identity of each row's group.
    var hashes: [Hash128]
    var arguments: [Column?]
  }

  public var decoded: DecodedBlock
  /// Canonical text of the record's key; null where it is null or the record is not valid.
  var key: Column
  /// Event time; 0 where there is none.
  var time: [Int64]
  var verdict: [UInt8]
  /// Reasons of rejected rows, by row.
  var rejections: [Int: Rejection]
  /// First row that fails a check with `else: fail`, with the check's name, and whether the row is valid so far.
  var failures: [(row: Int, check: String)]
  /// Hash of key and id; only where `hasID`. Empty without dedup.
  var ids: [Hash128]
  var hasID: [Bool]
  /// Errors of expressions behind dedup, by row.
  var errors: [Int: String]
  var silver: [Column]
  var aggregates: [AggregateInput]

  // By the sequencer:
  /// Shard watermark at the record, the record itself counted. Empty where the plan has no time.
  var watermark: [Int64] = []
  var arrival: [Int64] = []
  /// Where `arrival` comes from: 0 event time, 1 watermark, 2 epoch.
  var arrivalSource: [UInt8] = []
  /// Which rows are whose. What a lane reads of every record (`verdict`, `ids`, `hasID`, `watermark`, `time`, and of the
  /// aggregates all but `by`) is at its place; everything else at its row.
  var deal = LaneDeal()

  public var count: Int { decoded.count }

  func position(_ row: Int) -> Int64 { decoded.raw.details?.positions[row] ?? decoded.raw.position + Int64(decoded.offset[row]) }

  /// The record's bytes as received, without the line end.
  func value(_ row: Int) -> StringRef {
    StringRef(start: UnsafePointer(decoded.raw.text.base) + Int(decoded.offset[row]), count: Int(decoded.length[row]))
  }
}
