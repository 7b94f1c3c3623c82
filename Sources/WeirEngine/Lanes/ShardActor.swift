import WeirCore

/// The one owner of a lane's state while the worker runs: a thin actor around ``LaneState``.
///
/// Messages carry blocks, never records. Between two of them the state flusher may take changed rows.
actor ShardActor {
  let id: LaneID
  private let state: LaneState

  init(_ state: sending LaneState) {
    id = state.id
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

  /// Changed rows, and the mark to write behind them.
  func takeStateRows() -> (rows: [StateBatch], mark: FlushMark) {
    (state.takeStateRows(), FlushMark(lane: state.id, generation: state.generation, position: state.position))
  }

  func allStateRows() -> (rows: [StateBatch], mark: FlushMark) {
    (state.allStateRows(), FlushMark(lane: state.id, generation: state.generation, position: state.position))
  }

  func markAllUnflushed() { state.markAllUnflushed() }
}
