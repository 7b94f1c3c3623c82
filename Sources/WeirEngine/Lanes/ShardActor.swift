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
  /// Behind the records that were consumed; live only.
  private(set) var identity = ShardIdentity()

  /// - Parameter partial: for one lane.
  init(_ state: sending LaneState, _ partial: sending ShardPartial) {
    id = state.id
    self.partial = partial
    cutPosition = state.position
    self.state = state
  }

  /// Consumes some blocks, in turn; the lane has all of their rows.
  /// - Parameter read: the first (if known) and the last record of a live block.
  func consume(_ deals: [DealtBlocks], read: (first: Fingerprint?, last: Fingerprint)? = nil) {
    if let read { identity.read(first: read.first, last: read.last) }
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
    epochs[0].identity = identity.isEmpty ? nil : identity
    arrivals = Arrivals()
    return epochs[0]
  }

  /// What the lane holds that no cut frees.
  var stateBytes: StateBytes { state.stateBytes }

  /// Where the lane stands and was cut last, and whether windows of its own are open above its floor.
  var standing: (position: Int64, cutPosition: Int64, floor: Int64, hasOpenWindows: Bool) {
    (state.position, cutPosition, state.floor, state.hasOpenWindows)
  }

  /// Goes past positions that hold no records.
  func advance(position: Int64, watermark: Int64) { state.advance(position: position, watermark: watermark) }

  func raise(floor: Int64) { state.raise(floor: floor) }

  /// What the ledger has, when the lane is taken over.
  func begin(_ identity: ShardIdentity) { self.identity = identity }

  /// The source was looked at.
  func adopt(_ outcome: ShardCheck.Outcome) { identity.adopt(outcome) }
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
