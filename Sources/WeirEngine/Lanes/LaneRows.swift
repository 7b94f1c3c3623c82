import WeirCore
import WeirOperators
import WeirProtocol

/// State rows of a lane, and the mark to write after them.
struct LaneRows: Sendable {
  var rows: [StateBatch]
  var mark: FlushMark
  /// Rows of a table that changed before the mark and are still to be taken.
  var left: Int
  /// Tables whose rows expire.
  var expiring: Set<String> = []
  /// See ``LaneState/ancestry``.
  var ancestry: KeyAncestry?
  /// Of the records that the rows come from, where that is watched.
  var arrivals: Arrivals

  init(_ rows: [StateBatch], mark: FlushMark, left: Int, arrivals: Arrivals = Arrivals()) {
    (self.rows, self.mark, self.left, self.arrivals) = (rows, mark, left, arrivals)
  }

  init(_ rows: [StateBatch], of lane: LaneState, arrivals: Arrivals = Arrivals()) {
    self.rows = rows
    mark = FlushMark(lane: lane.id, generation: lane.generation, position: lane.position)
    left = lane.stateRowsLeft
    expiring = lane.expiringTables
    ancestry = lane.ancestry
    self.arrivals = arrivals
  }
}
