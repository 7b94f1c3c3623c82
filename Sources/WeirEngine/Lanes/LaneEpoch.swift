import WeirCore
import WeirOperators

/// What a cut takes out of a lane.
package struct LaneEpoch: Sendable {
  var lane: LaneID
  /// Everything before this ordinal is consumed.
  var position: Int64
  /// The source's position there, where it is not the ordinal.
  var sequence: SequenceNumber?
  var watermark: Int64
  var counts: BucketCounts
  /// The same of each kind of record; only those that there are.
  var kinds: [String: BucketCounts] = [:]
  /// By gold table number.
  var windowCounts: [WindowCounts]
  /// Measures of state tables that became null because no double can hold them, by table; only those that there are.
  var stateOutOfRange: [String: Int64] = [:]
  /// Records that were too late for a state table whose rows expire, by table; only those that there are.
  var stateLate: [String: Int64] = [:]
  var tables: LaneTables
  /// Of all lanes of the shard; the first has it.
  var partial: Partial?
  /// In pieces.
  package var state: [[UInt8]]
  package var stateIsBase: Bool
  /// See ``LaneCommit/isClosing``.
  var isClosing: Bool
  /// See ``LaneCommit/floor`` and ``LaneCommit/dueAt``.
  var floor: Int64?
  var dueAt: Int64?
  /// Of a live shard, at ``position``.
  var identity: ShardIdentity?
  /// With which its records were prepared, where that may change while the lane is held.
  var lookups: LookupSet?
  /// For observers; none of these are committed.
  var sizes = LaneSizes()
  var rejected = RejectedReasons()
  var arrivals = Arrivals()

  /// Everything before it is consumed.
  var point: ShardPoint { ShardPoint(ordinal: position, sequence: sequence) }

  /// What an entry says of windows and state tables, by the table's path.
  func windows(_ plan: Plan) -> [String: WindowCounts] {
    var windows: [String: WindowCounts] = [:]
    for (number, counts) in windowCounts.enumerated() { windows[plan.path(of: .gold(number))] = counts }
    for (table, count) in stateOutOfRange { windows[table, default: WindowCounts()].outOfRange += count }
    for (table, count) in stateLate { windows[table, default: WindowCounts()].late += count }
    return windows
  }
}
