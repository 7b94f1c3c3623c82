import Synchronization
import WeirCore

/// One shard of a stream, read by enhanced fan-out.
///
/// ``FanOutMachine`` decides; this subscribes, and cuts events into blocks. Back-pressure: events that are not taken fill the stream's bound,
/// the transport stops reading, and the service stops sending. One subscription at a time; a silent one is replaced only while the reader
/// waits for it.
final class FanOutShardReader: KinesisReader {
  private struct State {
    var machine: FanOutMachine
    var feed: ShardFeed
    var subscription: KinesisSubscription?
    var isClosed = false
  }

  private let shard: KinesisShard
  private let name: String
  private let around: KinesisSurroundings
  private let consumer: FanOutConsumer
  private let state: Mutex<State>
  private let wake = Signal()

  init(
    _ shard: KinesisShard, from point: ShardPoint, _ settings: FanOutMachine.Settings, blockBytes: Int, _ consumer: FanOutConsumer,
    _ around: KinesisSurroundings
  ) throws(WeirError) {
    let place = try KinesisPlace(point, of: shard)
    (self.shard, self.around, self.consumer, name) = (shard, around, consumer, "\(around.stream)/\(shard.id)")
    let feed = ShardFeed(name, from: point, range: shard.range, blockBytes: blockBytes)
    state = Mutex(State(machine: FanOutMachine(place, settings), feed: feed))
  }

  var isClosed: Bool { state.withLock { $0.isClosed } }

  func stop() {
    state.withLock { $0.isClosed = true }
    drop()
    wake.ring()
  }

  func close() async { stop() }

  private func drop() {
    let subscription = state.withLock { state in
      defer { state.subscription = nil }
      return state.subscription
    }
    subscription?.close()
  }

  private var now: Int64 { around.clock.monotonicNanoseconds }

  func next() async throws -> SourceEvent {
    // What came while the engine did something else was not missed.
    state.withLock { $0.machine.resumed(at: now) }
    while true {
      if isClosed || Task.isCancelled { return .end }
      if let event = takeBlock() { return event }
      if state.withLock({ $0.machine.hasEnded }) {
        drop()
        return try await around.ended(shard, at: state.withLock { $0.feed.point }, wake) { self.isClosed }
      }
      let retention = around.retentionMilliseconds()
      let action = state.withLock { state in
        state.machine.settings.retentionMilliseconds = retention
        return state.machine.step(at: now)
      }
      switch action {
      case .wait(let moment): await wake.wait(until: moment, around.clock)
      case .close(let reason):
        drop()
        if reason == .silence { around.observe(name, KinesisObservation(wasSilent: true)) }
        try giveUp("nothing is sent")
      case .subscribe(let start): try await subscribe(start)
      case .listen(let moment): if let event = try await listen(until: moment) { return event }
      }
    }
  }

  /// Throws when subscription after subscription had no event.
  private func giveUp(_ reason: String) throws {
    guard state.withLock({ $0.machine.isHopeless && !$0.isClosed }) else { return }
    throw KinesisFailure(.passing, "\(around.requests.place): subscriptions to \(shard.id) have no events: \(reason)").error
  }

  private func subscribe(_ start: IteratorStart) async throws {
    let arn: String
    do { arn = try await consumer.arn() } catch {
      if isClosed { return }
      throw error
    }
    if isClosed { return }
    state.withLock { $0.machine.asked(at: now) }
    do throws(KinesisFailure) {
      let subscription = try await around.requests.subscribe(arn, shard.id, start) { [wake] in wake.ring() }
      let isClosed = state.withLock { state in
        state.machine.opened(at: now)
        state.subscription = subscription
        return state.isClosed
      }
      if isClosed { drop() }
    } catch {
      try await failed(error)
    }
  }

  private func failed(_ failure: KinesisFailure) async throws {
    drop()
    let continues = state.withLock { $0.machine.failed(failure.kind, at: now) }
    if failure.kind == .throttled || failure.kind == .inUse {
      around.observe(name, KinesisObservation(isThrottled: failure.kind == .throttled, isInUse: failure.kind == .inUse))
    }
    if continues || isClosed { return }
    // The consumer may have been deleted: if it can be had again, the shard is there.
    if failure.kind == .missing, await consumer.hasChanged() { return }
    throw failure.error
  }

  private func listen(until moment: Int64) async throws -> SourceEvent? {
    guard let subscription = state.withLock({ $0.subscription }) else { return nil }
    switch subscription.take() {
    case .nothing: await wake.wait(until: moment, around.clock)
    case .end(let reason):
      drop()
      state.withLock { $0.machine.ended(at: now) }
      try giveUp(reason)
    case .failed(let failure): try await failed(failure)
    case .answer(let answer):
      around.observe(name, KinesisObservation(millisecondsBehind: answer.millisecondsBehind))
      return heard(answer)
    }
    return nil
  }

  private func heard(_ answer: RecordsAnswer) -> SourceEvent? {
    let (event, first): (SourceEvent?, SequenceNumber?) = state.withLock { state in
      switch state.machine.heard(answer, at: now) {
      case .records, .ended:
        state.feed.add(answer)
        return (nil, nil)
      case .trimmed(let first): return (.outOfRange(at: state.feed.point), first)
      case .nothing(let isAtEnd): return (isAtEnd ? .caughtUp(next: state.feed.point) : nil, nil)
      }
    }
    if let first {
      drop()
      around.trimmed(name, first)
    }
    return event
  }

  private func takeBlock() -> SourceEvent? {
    let (event, misplaced) = state.withLock { state in
      defer { if let place = KinesisPlace(state.feed.point) { state.machine.moved(to: place) } }
      return state.feed.take(hasEnded: state.machine.hasEnded)
    }
    if misplaced > 0 { around.observe(name, KinesisObservation(misplacedAggregates: misplaced)) }
    return event
  }
}
