import WeirCore

/// The one owner of a lane's state while the worker runs: a thin actor around ``LaneState``.
///
/// Messages carry blocks, never records. Between two of them the state flusher may take changed rows.
actor ShardActor {
  let id: LaneID
  private let state: LaneState
  /// Where ``cutHere()`` ended an epoch last, or the lane was restored.
  private var cutPosition: Int64

  init(_ state: sending LaneState) {
    id = state.id
    cutPosition = state.position
    self.state = state
  }

  func consume(_ block: PreparedBlock, rows: [UInt32], end: Int64, watermark: Int64) {
    state.consume(block, rows: rows)
    state.advance(position: end, watermark: watermark)
  }

  /// Ends the epoch at a mark of the shard, which every lane of it reached.
  func cut(position: Int64, watermark: Int64) throws -> LaneEpoch {
    state.advance(position: position, watermark: watermark)
    return try state.cut()
  }

  /// Ends the epoch where the lane stands: cuts of a live worker come between any two blocks.
  func cutHere() throws -> LaneEpoch {
    cutPosition = state.position
    return try state.cut()
  }

  /// Where the lane stands and was cut last, and whether windows of its own are open above its floor.
  var standing: (position: Int64, cutPosition: Int64, floor: Int64, hasOpenWindows: Bool) {
    (state.position, cutPosition, state.floor, state.hasOpenWindows)
  }

  /// Goes past positions that hold no records.
  func advance(position: Int64, watermark: Int64) { state.advance(position: position, watermark: watermark) }

  func raise(floor: Int64) { state.raise(floor: floor) }

  /// Changed rows, and the mark to write behind them.
  func takeStateRows() -> (rows: [StateBatch], mark: FlushMark) {
    (state.takeStateRows(), FlushMark(lane: state.id, generation: state.generation, position: state.position))
  }

  func allStateRows() -> (rows: [StateBatch], mark: FlushMark) {
    (state.allStateRows(), FlushMark(lane: state.id, generation: state.generation, position: state.position))
  }

  func markAllUnflushed() { state.markAllUnflushed() }
}
