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
