import WeirCore

/// The one owner of a lane's state while the worker runs: a thin actor around ``LaneState``.
///
/// Messages carry blocks, never records. Between two of them the state flusher may take changed rows.
actor ShardActor {
  let id: LaneID
  private let state: LaneState
  /// Where ``cutHere()`` ended an epoch last, or the lane was restored.
  private var cutPosition: Int64
  /// Of the epoch at hand, and of what is not in the state table yet; live only.
  private var arrivals = Arrivals()
  private var unflushed = Arrivals()

  init(_ state: sending LaneState) {
    id = state.id
    cutPosition = state.position
    self.state = state
  }

  /// Consumes the rows of lane `number` of some deals, in turn.
  func consume(_ deals: [DealtBlocks], lane number: Int = 0) {
    for next in deals where !next.deal.range(number).isEmpty {
      state.consume(next, lane: number)
      state.advance(position: next.end, watermark: next.watermark)
      guard next.hasArrivals else { continue }
      for block in next.blocks {
        arrivals.add(block)
        unflushed.add(block)
      }
    }
  }

  /// Ends the epoch at a mark of the shard, which every lane of it reached.
  func cut(position: Int64, watermark: Int64) throws -> LaneEpoch {
    state.advance(position: position, watermark: watermark)
    return try state.cut()
  }

  /// Ends the epoch where the lane stands: cuts of a live worker come between any two blocks.
  func cutHere() throws -> LaneEpoch {
    cutPosition = state.position
    var epoch = try state.cut()
    epoch.arrivals = arrivals
    arrivals = Arrivals()
    return epoch
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

  /// Arrivals of the records whose rows ``takeStateRows()`` took.
  func takeArrivals() -> Arrivals {
    defer { unflushed = Arrivals() }
    return unflushed
  }

  func allStateRows() -> (rows: [StateBatch], mark: FlushMark) {
    (state.allStateRows(), FlushMark(lane: state.id, generation: state.generation, position: state.position))
  }

  func markAllUnflushed() { state.markAllUnflushed() }
}
