import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// One live shard being worked on: its blocks are read, prepared side by side, sequenced and consumed in order.
///
/// Cuts come from outside, between any two blocks (``LaneActor`` sees to it); so nothing here knows of epochs.
final class LiveLane: Sendable {
  let id: LaneID
  let shard: LaneActor
  private let source: any RecordSource
  private let ahead: PrepareAhead
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
  /// Rung when there is something that a cut has to carry.
  private let alarm: Alarm
  private let idleNanoseconds: Int64
  private let governor: MemoryGovernor
  /// Something may have changed since the last cut looked at the lane.
  private let isTouched = Atomic(true)

  init(
    shard: LaneActor, source: any RecordSource, compiled: CompiledPlan, fold: LaneFold?, placement: Placement?,
    environment: EngineEnvironment, reading: LaneReading, ahead: PrepareAhead, alarm: Alarm, idleNanoseconds: Int64
  ) {
    (self.alarm, self.idleNanoseconds, governor) = (alarm, idleNanoseconds, environment.governor)
    (clock, variant) = (environment.clock, environment.variant)
    id = shard.id
    self.shard = shard
    self.source = source
    self.ahead = ahead
    self.placement = placement
    self.reading = reading
    hasClock = ClockGuard.refreshNanoseconds(compiled.plan) != nil
    var machine = LaneStanding(
      isIdle: fold?.isIdle ?? false, refreshNanoseconds: ClockGuard.refreshNanoseconds(compiled.plan),
      clockReadAt: clock.monotonicNanoseconds)
    machine.variant = variant
    standing = Mutex(Standing(machine: machine, clock: fold?.clock))
    first = Sequencer(
      compiled.plan, maximum: Sequencer.maximum(of: fold?.watermark ?? Watermark.minimum, compiled.plan.record.time),
      judge: .clock(fold?.clock))
  }

  /// Reads the shard and consumes its records until it is released or ``stop()`` was called.
  /// - Throws: what ends the worker; `out_of_range` when the shard holds nothing at the lane's position.
  func run(_ pool: PreparerPool, gate: InputGate, weights: RowWeights, counted: LiveCounts) async throws {
    let how = Reading(
      ahead: ahead, isInterrupted: { [isStopped] in isStopped.isRaised }, retries: true,
      resolves: { [reading, clock] in reading.resolves($0, now: clock.monotonicNanoseconds) })
    var sequencer = first
    var isFirstBlock = true
    reading.enter(.reading, now: clock.monotonicNanoseconds)
    try await pool.forEach(source, how) { event in
      if isStopped.isRaised { return false }
      switch event {
      case .block(var block, let next):
        let raw = block.decoded.raw
        reading.enter(.bounded, now: clock.monotonicNanoseconds)
        // What was read makes room only by a cut.
        if governor.isBusy { alarm.ring() }
        await gate.admit(Int64(raw.count))
        reading.enter(.waking, now: clock.monotonicNanoseconds)
        await awake()
        if isStopped.isRaised { return false }
        reading.enter(.working, now: clock.monotonicNanoseconds)
        let marks = raw.lastFingerprint.map { (first: isFirstBlock ? raw.fingerprint(0) : nil, last: $0) }
        isFirstBlock = false
        sequencer.adopt(clock: standing.withLock { $0.clock })
        _ = try sequencer.sequence(&block)
        try placement?.check(block)
        await gate.add(weights.weight(of: block))
        counted.add(records: Int64(block.count), bytes: Int64(raw.count))
        await shard.consume([DealtBlocks(block, end: next.ordinal, watermark: sequencer.watermark)], read: marks, to: next)
        touch()
        show(block.count, raw.count, next.ordinal, sequencer.watermark)
      case .caughtUp(let next):
        await shard.advance(to: next, watermark: sequencer.watermark)
        touch()
        show(0, 0, next.ordinal, sequencer.watermark)
        let due = standing.withLock { standing in
          standing.machine.caughtUp(at: clock.monotonicNanoseconds)
          return standing.machine.dueAt(idleNanoseconds: idleNanoseconds)
        }
        if let due { alarm.ring(by: due) }
      case .outOfRange(let at):
        throw WeirError(
          .outOfRange, "\(id.shard) holds nothing at position \(at) any more")
      case .end, .interrupted: return false
      case .cut, .pause: break
      }
      if isStopped.isRaised { return false }
      reading.enter(.reading, now: clock.monotonicNanoseconds)
      return true
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
      if goesOn { continuation.resume() } else { alarm.ring() }
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

  /// Whether a cut has to look at the lane. Hundreds of quiet lanes are not asked each time.
  ///
  /// A lane that is touched between this call and the look at it is looked at again by the next cut: ``touch()`` comes after the change.
  func takeTouch() -> Bool { isTouched.exchange(false, ordering: .acquiringAndReleasing) }

  func touch() { isTouched.store(true, ordering: .releasing) }

  var isIdle: Bool { standing.withLock { $0.machine.state == .idle } }

  /// See ``LaneStanding/dueAt(idleNanoseconds:)``.
  var decisionIsDueAt: Int64? { standing.withLock { $0.machine.dueAt(idleNanoseconds: idleNanoseconds) } }

  /// What the cut that is made now carries for this lane.
  func decisions(at now: Int64) -> [Decision] {
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
    // It may be idle now, with windows that only a later cut can close.
    touch()
    if goesOn { release() }
  }
}
