import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// One live shard being worked on: one task reads it and has its blocks prepared side by side, the other sequences and consumes them in
/// order.
///
/// Cuts come from outside, between any two blocks (``LaneActor`` sees to it); so nothing here knows of epochs.
final class LiveLane: Sendable {
  let id: LaneID
  let shard: LaneActor
  private let reader: any ShardReader
  private let queue: PreparedQueue
  private let placement: Placement?
  private struct Standing {
    var machine: LaneStanding
    /// The lane's clock in the ledger, see ``ClockGuard``.
    var clock: Int64?
    var holder: CheckedContinuation<Void, Never>?
  }
  private let standing: Mutex<Standing>
  private let isStopped = Flag()
  /// What the next cut is to carry beside what idling and waking want.
  private let pending = Mutex<[Decision]>([])
  private let first: Sequencer
  private let clock: any Clock
  private let reading: LaneReading
  private let hasClock: Bool
  private let variant: EngineVariant

  init(
    shard: LaneActor, reader: any ShardReader, compiled: CompiledPlan, fold: LaneFold?, placement: Placement?,
    clock: any Clock, reading: LaneReading, ahead: PrepareAhead, variant: EngineVariant = []
  ) {
    id = shard.id
    self.shard = shard
    self.reader = reader
    queue = PreparedQueue(ahead: ahead)
    self.placement = placement
    self.clock = clock
    self.reading = reading
    hasClock = ClockGuard.refreshNanoseconds(compiled.plan) != nil
    var machine = LaneStanding(
      isIdle: fold?.isIdle ?? false, refreshNanoseconds: ClockGuard.refreshNanoseconds(compiled.plan),
      clockReadAt: clock.monotonicNanoseconds)
    machine.variant = variant
    self.variant = variant
    standing = Mutex(Standing(machine: machine, clock: fold?.clock))
    first = Sequencer(
      compiled.plan, maximum: Sequencer.maximum(of: fold?.watermark ?? Watermark.minimum, compiled.plan.record.time),
      judge: .clock(fold?.clock))
  }

  /// Reads ahead of ``run(gate:weights:counted:)``, until the shard is released or that has ended.
  func readAhead(_ pool: PreparerPool) async {
    await pool.read(reader, into: queue, until: { [isStopped] in isStopped.isRaised }) { [reading, clock] in
      reading.resolves($0, now: clock.monotonicNanoseconds)
    }
  }

  /// Consumes what is read until the shard is released or ``stop()`` was called.
  /// - Throws: what ends the worker; `out_of_range` when the shard holds nothing at the lane's position.
  func run(gate: InputGate, weights: RowWeights, counted: LiveCounts) async throws {
    do { try await consume(gate, weights, counted) } catch {
      await queue.close()
      throw error
    }
    await queue.close()
  }

  private func consume(_ gate: InputGate, _ weights: RowWeights, _ counted: LiveCounts) async throws {
    var sequencer = first
    var isFirstBlock = true
    while !isStopped.isRaised {
      reading.enter(.reading, now: clock.monotonicNanoseconds)
      let event = try await queue.next()
      if isStopped.isRaised { return }
      switch event {
      case .block(var block, let next):
        let raw = block.decoded.raw
        reading.enter(.bounded, now: clock.monotonicNanoseconds)
        await gate.admit(Int64(raw.count))
        reading.enter(.waking, now: clock.monotonicNanoseconds)
        await awake()
        if isStopped.isRaised { return }
        reading.enter(.working, now: clock.monotonicNanoseconds)
        let marks = raw.lastFingerprint.map { (first: isFirstBlock ? raw.fingerprint(0) : nil, last: $0) }
        isFirstBlock = false
        sequencer.adopt(clock: standing.withLock { $0.clock })
        _ = try sequencer.sequence(&block)
        try placement?.check(block)
        await gate.add(weights.weight(of: block))
        counted.add(records: Int64(block.count), bytes: Int64(raw.count))
        await shard.consume([DealtBlocks(block, end: next, watermark: sequencer.watermark)], read: marks)
        show(block.count, raw.count, next, sequencer.watermark)
      case .shard(.caughtUp(let next)):
        await shard.advance(position: next, watermark: sequencer.watermark)
        show(0, 0, next, sequencer.watermark)
        standing.withLock { $0.machine.caughtUp(at: clock.monotonicNanoseconds) }
      case .shard(.outOfRange(let at)):
        throw WeirError(
          .outOfRange, "\(id.shard) holds nothing at position \(at) any more")
      case .shard(.closed), .end, .interrupted: return
      case .cut, .pause: continue
      }
    }
  }

  private func show(_ records: Int, _ bytes: Int, _ next: Int64, _ watermark: Int64) {
    reading.consumed(
      records: Int64(records), bytes: Int64(bytes), through: next, watermark: watermark, now: clock.monotonicNanoseconds)
  }

  /// Holds a record of a lane that is idle, or whose recorded clock is old, until the entry that wakes it or carries a fresh clock.
  private func awake() async {
    await withCheckedContinuation { continuation in
      let goesOn = standing.withLock { standing in
        if isStopped.isRaised || standing.machine.arrived(at: clock.monotonicNanoseconds) { return true }
        standing.holder = continuation
        return false
      }
      if goesOn { continuation.resume() }
    }
  }

  /// Nothing more is consumed; what is under way ends at the next step.
  func stop() {
    isStopped.raise()
    release()
  }

  private func release() {
    let holder = standing.withLock { standing in
      defer { standing.holder = nil }
      return standing.holder
    }
    holder?.resume()
  }

  // MARK: Cuts

  var isIdle: Bool { standing.withLock { $0.machine.state == .idle } }

  func isDecisionDue(at now: Int64, idleNanoseconds: Int64) -> Bool {
    standing.withLock { $0.machine.due(at: now, idleNanoseconds: idleNanoseconds) != nil }
  }

  /// What the cut that is made now carries for this lane.
  func decisions(at now: Int64, idleNanoseconds: Int64) -> [Decision] {
    let fresh: [Decision] = hasClock ? [.clock(clock.wallMicroseconds)] : []
    return switch standing.withLock({ $0.machine.cut(at: now, idleNanoseconds: idleNanoseconds) }) {
    case .idle: [.idle]
    case .wake: [.wake] + fresh
    case .clock: fresh
    case nil: []
    }
  }

  /// The lane's next entry is to carry this; it makes none.
  func note(_ decision: Decision) { pending.withLock { $0.append(decision) } }

  func takeNotes() -> [Decision] {
    pending.withLock { pending in
      defer { pending = [] }
      return pending
    }
  }

  /// The cut's entry is in the ledger, which says this about the lane now.
  func committed(_ fold: LaneFold?) async {
    if !variant.contains(.floorNotRaised) { await shard.raise(floor: fold?.floor ?? Watermark.minimum) }
    let goesOn = standing.withLock { standing in
      standing.clock = fold?.clock
      return standing.machine.committed()
    }
    if goesOn { release() }
  }
}
