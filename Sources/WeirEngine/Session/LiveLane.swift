import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// One live shard being worked on: the loop that reads, prepares, sequences and consumes.
///
/// Cuts come from outside, between any two blocks (``LaneActor`` sees to it); so nothing here knows of epochs.
final class LiveLane: Sendable {
  private static let restNanoseconds: Int64 = 100_000_000

  let id: LaneID
  let shard: LaneActor
  private let reader: any ShardReader
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
    clock: any Clock, reading: LaneReading, variant: EngineVariant = []
  ) {
    id = shard.id
    self.shard = shard
    self.reader = reader
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

  /// Reads until the shard is released or ``stop()`` was called.
  /// - Throws: what ends the worker; `out_of_range` when the shard holds nothing at the lane's position.
  func run(_ pool: PreparerPool, gate: InputGate, weights: RowWeights, counted: LiveCounts) async throws {
    var sequencer = first
    var isFirstBlock = true
    while !isStopped.isRaised {
      let read: ShardRead
      reading.enter(.reading, now: clock.monotonicNanoseconds)
      do { read = try await reader.next() } catch let error as WeirError where error.isRetriable {
        // The client itself tries again; this only keeps its errors from making a busy loop.
        await clock.sleep(nanoseconds: LiveLane.restNanoseconds)
        continue
      }
      if isStopped.isRaised { return }
      switch read {
      case .block(let raw, let next):
        reading.enter(.bounded, now: clock.monotonicNanoseconds)
        await gate.admit(Int64(raw.count))
        reading.enter(.waking, now: clock.monotonicNanoseconds)
        await awake()
        if isStopped.isRaised { return }
        if pool.asksForSchemas { reading.enter(.resolving, now: clock.monotonicNanoseconds) }
        let marks = raw.lastFingerprint.map { (first: isFirstBlock ? raw.fingerprint(0) : nil, last: $0) }
        isFirstBlock = false
        guard let raw = try await pool.resolve(raw, until: { isStopped.isRaised }) else { return }
        if isStopped.isRaised { return }
        reading.enter(.working, now: clock.monotonicNanoseconds)
        var block = pool.prepare(raw)
        sequencer.adopt(clock: standing.withLock { $0.clock })
        _ = try sequencer.sequence(&block)
        try placement?.check(block)
        await gate.add(weights.weight(of: block))
        counted.add(records: Int64(block.count), bytes: Int64(raw.count))
        await shard.consume([DealtBlocks(block, end: next, watermark: sequencer.watermark)], read: marks)
        show(block.count, raw.count, next, sequencer.watermark)
      case .caughtUp(let next):
        await shard.advance(position: next, watermark: sequencer.watermark)
        show(0, 0, next, sequencer.watermark)
        standing.withLock { $0.machine.caughtUp(at: clock.monotonicNanoseconds) }
      case .outOfRange(let at):
        throw WeirError(
          "out_of_range", "\(id.shard) holds nothing at position \(at) any more", isRetriable: true, fatalTo: .worker)
      case .closed: return
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
