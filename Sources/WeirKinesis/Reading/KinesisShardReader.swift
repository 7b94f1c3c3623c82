import Synchronization
import WeirCore

/// One shard of a stream, read on demand by polling.
///
/// ``ShardReaderMachine`` decides; this sends the requests, and cuts answers into blocks.
final class KinesisShardReader: RecordSource {
  /// What a reader asks of the group that it belongs to.
  struct Surroundings: Sendable {
    var requests: KinesisRequests
    var clock: any Clock
    var stream: String
    /// Shards that have the keys of one that ended.
    var children: @Sendable (String) async throws -> [SourceShard]
    /// The first record that a shard still has, which the reader came upon too late.
    var trimmed: @Sendable (String, SequenceNumber) -> Void
    /// What was seen: records, bytes of them, milliseconds behind the shard's end.
    var observe: @Sendable (String, Observation) -> Void
    var retentionMilliseconds: @Sendable () -> Int64
  }

  struct Observation: Sendable, Equatable {
    var millisecondsBehind: Int64?
    var isThrottled = false
    var misplacedAggregates = 0
  }

  private struct State {
    var machine: ShardReaderMachine
    var point: ShardPoint
    /// Of the last answer, not handed out yet.
    var pending: ArraySlice<OuterRecord> = []
    var saysEnd = false
    var isClosed = false
  }

  private let shard: KinesisShard
  private let name: String
  private let around: Surroundings
  private let blockBytes: Int
  private let state: Mutex<State>
  private let wake = Signal()

  init(_ shard: KinesisShard, from point: ShardPoint, _ settings: ShardReaderMachine.Settings, blockBytes: Int, _ around: Surroundings)
    throws(WeirError)
  {
    guard let place = KinesisPlace(point) else {
      throw WeirError(
        .corrupt, "\(point.text) is not a position of \(shard.id), whose positions are sequence numbers",
        advice: "The ledger belongs to another source: use the pipeline that wrote it.")
    }
    (self.shard, self.around, self.blockBytes) = (shard, around, blockBytes)
    name = "\(around.stream)/\(shard.id)"
    state = Mutex(State(machine: ShardReaderMachine(place, settings), point: point))
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
      if state.withLock({ $0.machine.hasEnded }) { return try await ended() }
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
      if error.kind == .throttled { around.observe(name, Observation(isThrottled: true)) }
      if !goesOn, !isClosed { throw error.error }
    }
  }

  private func fetch(_ iterator: String, _ limit: Int) async throws -> SourceEvent? {
    var event: SourceEvent?
    try await attempt { () async throws(KinesisFailure) in
      let answer = try await self.around.requests.records(iterator, limit: limit)
      self.around.observe(self.name, Observation(millisecondsBehind: answer.millisecondsBehind))
      event = self.state.withLock { state in
        switch state.machine.answered(answer, at: self.around.clock.monotonicNanoseconds) {
        case .records, .ended:
          state.pending = answer.records[...]
          state.saysEnd = (answer.millisecondsBehind ?? 1) == 0
          return nil
        case .trimmed(let first):
          self.around.trimmed(self.name, first)
          return .outOfRange(at: state.point)
        case .nothing(let isAtEnd): return isAtEnd ? .caughtUp(next: state.point) : nil
        }
      }
    }
    return event
  }

  /// The next block of what was answered; after the last one of an answer that reached the shard's end, that it did.
  private func takeBlock() -> SourceEvent? {
    let (event, misplaced): (SourceEvent?, Int) = state.withLock { state in
      while !state.pending.isEmpty {
        var builder = KinesisBlockBuilder(name, from: state.point, range: shard.range, bytesMax: blockBytes)
        while let outer = state.pending.first, builder.add(outer) { state.pending.removeFirst() }
        state.point = builder.next
        if let place = KinesisPlace(builder.next) { state.machine.moved(to: place) }
        // All of it was consumed before.
        if builder.isEmpty { continue }
        return (.block(builder.finish(), next: builder.next), builder.misplacedAggregates)
      }
      guard state.saysEnd, !state.machine.hasEnded else { return (nil, 0) }
      state.saysEnd = false
      return (.caughtUp(next: state.point), 0)
    }
    if misplaced > 0 { around.observe(name, Observation(misplacedAggregates: misplaced)) }
    return event
  }

  private func ended() async throws -> SourceEvent {
    let children = try await around.children(shard.id)
    if children.isEmpty {
      // The list of shards may be older than the shard's end.
      await wake.wait(until: around.clock.monotonicNanoseconds + 1_000_000_000, around.clock)
      if isClosed { return .end }
      throw WeirError(
        .unavailable, "\(name) has ended, and the stream does not list the shards that have its keys now",
        advice: "It is asked again. If it stays so, was the stream deleted?")
    }
    return .closed(at: state.withLock { $0.point }, children: children)
  }
}
