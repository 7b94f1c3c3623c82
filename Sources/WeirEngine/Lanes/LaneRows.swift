import WeirCore
import WeirOperators
import WeirProtocol

/// State rows of a lane, and the mark to write behind them.
struct LaneRows: Sendable {
  var rows: [StateBatch]
  var mark: FlushMark
  /// Of the records that the rows come from, where that is watched.
  var arrivals: Arrivals

  init(_ rows: [StateBatch], of lane: LaneState, arrivals: Arrivals = Arrivals()) {
    self.rows = rows
    mark = FlushMark(lane: lane.id, generation: lane.generation, position: lane.position)
    self.arrivals = arrivals
  }
}
