import WeirCore

/// A block after all work that depends on nothing but its own records: decoded, checked, looked up, evaluated, hashed.
///
/// Made by any thread; immutable but for what the sequencer adds (watermarks, arrival) before the lanes see it.
package struct PreparedBlock: Sendable {
  package enum Verdict {
    /// Continues to dedup.
    static let proceeds: UInt8 = 0
    static let filtered: UInt8 = 1
    static let rejected: UInt8 = 2
  }

  package var decoded: DecodedBlock
  /// With which it was prepared.
  let lookups: LookupSet
  /// Canonical text of the record's key; null where it is null or the record is not valid.
  var key: Column
  /// What the lanes read of every record.
  var columns: LaneColumns
  /// Reasons of rejected rows, by row.
  var rejections: [Int: Rejection]
  /// First row that fails a check with `else: fail`, with the check's name, and whether the row is valid so far.
  var failures: [(row: Int, check: String)]
  var silver: [Column]
  /// Rows of the silver tables that have names of their own.
  var tables: [TableRows] = []
  /// The `by` columns of each aggregate: read for the first row of a group only.
  var groups: [[Column]]
  /// The lane of each row; empty if there is but one.
  var laneOf: [UInt16] = []

  /// Partitions of silver that rows of it go to, each once (``PartitionCensus``).
  var partitions: [Hash128] = []
  /// Bytes of the long texts among their values.
  var partitionTextBytes: Int64 = 0

  // By the sequencer, with the columns' watermark:
  var arrival: [Int64] = []
  /// Where `arrival` comes from: 0 event time, 1 watermark, 2 epoch.
  var arrivalSource: [UInt8] = []

  package var count: Int { decoded.count }

  /// The record's ordinal, see ``ShardPoint``.
  func position(_ row: Int) -> Int64 { decoded.details?.positions[row] ?? decoded.raw.position + Int64(decoded.offset[row]) }

  /// Where the record is in its shard, as the source calls it: for messages.
  func point(_ row: Int) -> ShardPoint { decoded.details?.point(row) ?? ShardPoint(position(row)) }

  /// The record's bytes as received, without the line end.
  func value(_ row: Int) -> StringRef {
    StringRef(start: UnsafePointer(decoded.raw.text.base) + Int(decoded.offset[row]), count: Int(decoded.length[row]))
  }
}
