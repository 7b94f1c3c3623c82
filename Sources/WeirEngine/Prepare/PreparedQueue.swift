import WeirCore

/// Events of a source on their way to the sequencer: blocks are prepared side by side, and everything is handed out in the order in
/// which it was read, as soon as it is ready.
///
/// Bounds (law 7): one block from its reading until it was consumed, more of them as far as ``PrepareAhead`` allows, and ``slotsMax``
/// events.
actor PreparedQueue {
  private enum Slot {
    case block(number: Int, end: ShardPoint)
    case mark(PreparedEvent)
    case failure(any Error)
  }

  /// A source that gives marks and no blocks must not fill the memory with them.
  private static let slotsMax = 64

  private let ahead: PrepareAhead
  /// Blocks in flight that were taken from ``ahead``.
  private var taken = 0
  /// The taker is at work on a block.
  private var isConsuming = false
  private var slots: [Slot] = []
  private var prepared: [Int: PreparedBlock] = [:]
  private var blocksRead = 0
  /// Blocks that were read and not yet consumed.
  private var inFlight = 0
  private var isInterrupted = false
  private var isClosed = false
  private var reader: CheckedContinuation<Void, Never>?
  private var taker: CheckedContinuation<Void, Never>?
  /// Those that wait until the taker waits for the source.
  private var watchers: [CheckedContinuation<Void, Never>] = []
  /// Called when a block was consumed.
  private let consumedOne: @Sendable () -> Void
  /// Raised with every event that is read.
  private var eventsRead = 0

  init(ahead: PrepareAhead, consumed: @escaping @Sendable () -> Void = {}) { (self.ahead, consumedOne) = (ahead, consumed) }

  // MARK: The reader's side

  /// Blocks are under way to the taker.
  var hasBlocks: Bool { inFlight > 0 }

  /// Waits until one more event may be read. False: no consumer is left.
  /// - Parameter forBlock: a block could be prepared at once, unless another stream is faster.
  func hasRoom(forBlock: Bool = false) async -> Bool {
    while slots.count >= PreparedQueue.slotsMax || forBlock && inFlight > 0 && !ahead.hasSome, !isClosed {
      await withCheckedContinuation { reader = $0 }
    }
    return !isClosed
  }

  /// Waits until the block that was read may be prepared. False: no consumer is left.
  func hasRoomForBlock() async -> Bool {
    // Closed is looked at first: a slot that is taken after close() gave all back would be lost for the session.
    while !isClosed {
      if mayPrepare() { return true }
      await withCheckedContinuation { reader = $0 }
    }
    return false
  }

  private func mayPrepare() -> Bool {
    if inFlight == 0 { return true }
    guard ahead.take() else { return false }
    taken += 1
    return true
  }

  /// Waits until all that was read is consumed. False: no consumer is left.
  func isDrained() async -> Bool {
    while !(slots.isEmpty && taker != nil), !isClosed { await withCheckedContinuation { reader = $0 } }
    return !isClosed
  }

  /// A block was read, and will be handed out when it is prepared.
  /// - Returns: its number.
  func expect(end: ShardPoint) -> Int {
    defer { blocksRead += 1 }
    inFlight += 1
    append(.block(number: blocksRead, end: end))
    return blocksRead
  }

  func prepared(_ number: Int, _ block: PreparedBlock) {
    prepared[number] = block
    wake(&taker)
  }

  func append(_ mark: PreparedEvent) { append(.mark(mark)) }

  /// Reading failed: thrown after what was read before.
  func fail(_ error: any Error) { append(.failure(error)) }

  private func append(_ slot: Slot) {
    eventsRead += 1
    slots.append(slot)
    wake(&taker)
  }

  // MARK: The taker's side

  /// The next event, in order; waits for it. Called by one task at a time.
  func next() async throws -> PreparedEvent {
    if isConsuming { consumed() }
    while true {
      if isInterrupted { return .interrupted }
      switch slots.first {
      case .block(let number, let end):
        if let block = prepared.removeValue(forKey: number) {
          isConsuming = true
          drop()
          return .block(block, end: end)
        }
      case .mark(let event):
        drop()
        return event
      case .failure(let error): throw error
      case nil: break
      }
      await withCheckedContinuation { continuation in
        taker = continuation
        // The reader may wait for this.
        wake(&reader)
        if slots.isEmpty { wakeWatchers() }
      }
    }
  }

  private func consumed() {
    (isConsuming, inFlight) = (false, inFlight - 1)
    if taken > 0 {
      taken -= 1
      ahead.give()
    }
    consumedOne()
    wake(&reader)
  }

  private func drop() {
    slots.removeFirst()
    wake(&reader)
  }

  /// Nothing is taken any more.
  func close() {
    isClosed = true
    ahead.give(taken)
    taken = 0
    wake(&reader)
    wakeWatchers()
  }

  // MARK: Pauses and interruption

  /// A notice for the reader that waits for the source; obsolete once there is something else.
  func pause() { if slots.isEmpty { slots.append(.mark(.pause)); wake(&taker) } }

  /// The stream ends here, whatever was read after the last cut.
  func interrupt() {
    isInterrupted = true
    wake(&taker)
  }

  /// How many events were read, while the taker waits for the source to give more; nil: it does not.
  var starvedAfter: Int? { taker != nil && slots.isEmpty && !isClosed ? eventsRead : nil }

  /// Waits until the taker waits for the source to give more.
  /// - Parameter known: a number of events after which this does not count.
  /// - Returns: ``starvedAfter``; nil: nothing is taken any more.
  func starved(butNot known: Int? = nil) async -> Int? {
    while !isClosed {
      if let starvedAfter, starvedAfter != known { return starvedAfter }
      await withCheckedContinuation { watchers.append($0) }
    }
    return nil
  }

  private func wakeWatchers() {
    let all = watchers
    watchers = []
    for watcher in all { watcher.resume() }
  }

  private func wake(_ waiter: inout CheckedContinuation<Void, Never>?) {
    waiter?.resume()
    waiter = nil
  }
}
