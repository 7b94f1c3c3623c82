import WeirCore

/// The one owner of a lane's state while the worker runs: a thin actor around ``LaneState``.
///
/// Messages carry blocks, never records. Between two of them the state flusher may take changed rows.
actor ShardActor {
  let id: LaneID
  private let state: LaneState
  private let partial: ShardPartial
  /// Where ``cutHere()`` ended an epoch last, or the lane was restored.
  private var cutPosition: Int64
  /// Of the epoch at hand, and of what is not in the state table yet; live only.
  private var arrivals = Arrivals()
  private var unflushed = Arrivals()

  /// - Parameter partial: for one lane.
  init(_ state: sending LaneState, _ partial: sending ShardPartial) {
    id = state.id
    self.partial = partial
    cutPosition = state.position
    self.state = state
  }

  /// Consumes some blocks, in turn; the lane has all of their rows.
  func consume(_ deals: [DealtBlocks]) {
    for deal in deals where deal.count > 0 {
      let next = state.floor > Watermark.minimum ? DealtBlocks(deal, floor: state.floor) : deal
      state.consume(next, lane: 0)
      partial.fold(next)
      guard next.hasArrivals else { continue }
      for block in next.blocks {
        arrivals.add(block)
        unflushed.add(block)
      }
    }
  }

  /// Ends the epoch where the lane stands: cuts of a live worker come between any two blocks.
  func cutHere() throws -> LaneEpoch {
    cutPosition = state.position
    var epochs = [try state.cut()]
    partial.finish(into: &epochs)
    epochs[0].arrivals = arrivals
    arrivals = Arrivals()
    return epochs[0]
  }

  /// Where the lane stands and was cut last, and whether windows of its own are open above its floor.
  var standing: (position: Int64, cutPosition: Int64, floor: Int64, hasOpenWindows: Bool) {
    (state.position, cutPosition, state.floor, state.hasOpenWindows)
  }

  /// Goes past positions that hold no records.
  func advance(position: Int64, watermark: Int64) { state.advance(position: position, watermark: watermark) }

  func raise(floor: Int64) { state.raise(floor: floor) }
}

extension ShardActor: StateRowSource {
  nonisolated var ids: [LaneID] { [id] }

  func takeStateRows() -> [LaneRows] {
    defer { unflushed = Arrivals() }
    return [LaneRows(state.takeStateRows(), of: state, arrivals: unflushed)]
  }

  func allStateRows(of id: LaneID) -> LaneRows? { LaneRows(state.allStateRows(), of: state) }

  func markAllUnflushed(_ id: LaneID) { state.markAllUnflushed() }
}
