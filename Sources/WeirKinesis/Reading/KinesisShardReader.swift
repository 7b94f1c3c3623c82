import Synchronization
import WeirCore

/// One shard of a stream, read on demand by polling.
///
/// ``ShardReaderMachine`` decides; this sends the requests, and cuts answers into blocks.
final class KinesisShardReader: KinesisReader {
  private struct State {
    var machine: ShardReaderMachine
    var feed: ShardFeed
    var isClosed = false
  }

  private let shard: KinesisShard
  private let name: String
  private let around: KinesisSurroundings
  private let state: Mutex<State>
  private let wake = Signal()

  init(
    _ shard: KinesisShard, from point: ShardPoint, _ settings: ShardReaderMachine.Settings, blockBytes: Int, _ around: KinesisSurroundings
  ) throws(WeirError) {
    let place = try KinesisPlace(point, of: shard)
    (self.shard, self.around, name) = (shard, around, "\(around.stream)/\(shard.id)")
    let feed = ShardFeed(name, from: point, range: shard.range, blockBytes: blockBytes)
    state = Mutex(State(machine: ShardReaderMachine(place, settings), feed: feed))
  }

  var isClosed: Bool { state.withLock { $0.isClosed } }

  func stop() {
    state.withLock { $0.isClosed = true }
    wake.ring()
  }

  func close() async { stop() }

  func next() async throws -> SourceEvent {
    while true {
      if isClosed || Task.isCancelled { return .end }
      if let event = takeBlock() { return event }
      if state.withLock({ $0.machine.hasEnded }) {
        return try await around.ended(shard, at: state.withLock { $0.feed.point }, wake) { self.isClosed }
      }
      let retention = around.retentionMilliseconds()
      let action = state.withLock { state in
        state.machine.settings.retentionMilliseconds = retention
        return state.machine.step(at: around.clock.monotonicNanoseconds)
      }
      switch action {
      case .wait(let moment): await wake.wait(until: moment, around.clock)
      case .iterator(let start):
        try await attempt { () async throws(KinesisFailure) in
          let iterator = try await self.around.requests.iterator(self.shard.id, start)
          self.state.withLock { $0.machine.made(iterator) }
        }
      case .fetch(let iterator, let limit):
        if let event = try await fetch(iterator, limit) { return event }
      }
    }
  }

  private func attempt(_ body: () async throws(KinesisFailure) -> Void) async throws {
    do throws(KinesisFailure) { try await body() } catch {
      let goesOn = state.withLock { $0.machine.failed(error.kind, at: around.clock.monotonicNanoseconds) }
      if error.kind == .throttled { around.observe(name, KinesisObservation(isThrottled: true)) }
      if !goesOn, !isClosed { throw error.error }
    }
  }

  private func fetch(_ iterator: String, _ limit: Int) async throws -> SourceEvent? {
    var event: SourceEvent?
    try await attempt { () async throws(KinesisFailure) in
      let answer = try await self.around.requests.records(iterator, limit: limit)
      self.around.observe(self.name, KinesisObservation(millisecondsBehind: answer.millisecondsBehind))
      event = self.state.withLock { state in
        switch state.machine.answered(answer, at: self.around.clock.monotonicNanoseconds) {
        case .records, .ended:
          state.feed.add(answer)
          return nil
        case .trimmed(let first):
          self.around.trimmed(self.name, first)
          return .outOfRange(at: state.feed.point)
        case .nothing(let isAtEnd): return isAtEnd ? .caughtUp(next: state.feed.point) : nil
        }
      }
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
