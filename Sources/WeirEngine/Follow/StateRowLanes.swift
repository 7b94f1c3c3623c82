import WeirCore
import WeirProtocol

/// Lanes that have rows in the state table, and whether the table is where the ledger is.
enum StateRowLanes {
  static func of(_ compiled: CompiledPlan, _ fold: LedgerFold) -> [LaneID] {
    (compiled.hasMergedState && fold.lanes[.merge] != nil ? [.merge] : []) + (compiled.hasLaneState ? fold.lanesWithKeys : [])
  }

  /// Whether the table says that it is at the ledger's position of the lane.
  /// - Parameter meta: of one moment of the state table.
  static func isEven(_ lane: LaneID, _ meta: [String: [UInt8]], _ fold: LedgerFold) -> Bool {
    lane == .merge ? Followers.hasMerged(fold, meta) : FlushMark.standing(of: lane, meta, fold).isEven
  }
}
