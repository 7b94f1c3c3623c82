import WeirCore
import WeirOperators
import WeirProtocol

/// Provides the lanes whose rows are flushed to the state table.
protocol StateRowSource: Actor {
  nonisolated var ids: [LaneID] { get }
  /// Marked when rows or positions have changed since they were taken last.
  nonisolated var news: StateNews { get }
  /// Of each lane, rows that changed since they were taken last.
  /// - Parameter max: of one lane and table at most.
  func takeStateRows(max: Int) -> [LaneRows]
  /// Everything of one of the lanes; nil: it is another's.
  func allStateRows(of id: LaneID) -> LaneRows?
  /// Every row of the lane goes to the table again.
  func markAllUnflushed(_ id: LaneID)
}
