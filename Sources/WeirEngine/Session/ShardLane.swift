import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// A lane that has a shard to itself, with what is done in the order of the shard before the lane: watermark, clock guard, placement.
///
/// Cuts come from outside, between any two blocks (``LaneActor`` sees to it); so nothing here knows of epochs.
final class ShardLane: Sendable {
  let id: LaneID
  let actor: LaneActor
  let reading: LaneReading
  private let placement: Placement?
  /// Hashes of the shard's keys, for its children.
  private let range: HashRange?
  private let sequencer: Mutex<Sequencer>
  struct Standing {
    var machine: LaneStanding
    /// The lane's clock in the ledger, see ``ClockGuard``.
    var clock: Int64?
    var holder: CheckedContinuation<Void, Never>?
    /// The shard ended: what the next cut is to say.
    var closing: Decision?
  }
  let standing: Mutex<Standing>
  let isStopped = Flag()
  /// What the next cut is to carry, apart from what idling and waking need.
  private let pending = Mutex<[Decision]>([])
  let clock: any Clock
  private let hasClock: Bool
  private let variant: EngineVariant
  /// Rung when there is something that a cut has to carry.
  let alarm: Alarm
  let idleNanoseconds: Int64
  /// Something may have changed since the last cut looked at the lane.
  private let isTouched = Atomic(true)
  /// The last cut left windows to the next one, which is due at once (``LaneCommit/isClosing``).
  private let hasRest = Atomic(false)

  init(_ actor: LaneActor, _ session: Session, fold: LaneFold?, placement: Placement?, range: HashRange? = nil, reading: LaneReading) {
    self.range = range
    let plan = session.compiled.plan
    (id, self.actor, self.placement, self.reading) = (actor.id, actor, placement, reading)
    (alarm, clock, variant) = (session.alarm, session.environment.clock, session.variant)
    idleNanoseconds = (plan.source.live ?? LiveSourceTraits()).idleMicroseconds * 1000
    let refreshNanoseconds = ClockGuard.refreshNanoseconds(plan)
    hasClock = refreshNanoseconds != nil
    hasRest.store(fold?.isClosing ?? false, ordering: .releasing)
    var machine = LaneStanding(
      isIdle: fold?.isIdle ?? false, refreshNanoseconds: refreshNanoseconds, clockReadAt: clock.monotonicNanoseconds)
    machine.variant = variant
    standing = Mutex(Standing(machine: machine, clock: fold?.clock))
    sequencer = Mutex(
      Sequencer(
        plan, maximum: Sequencer.maximum(of: fold?.watermark ?? Watermark.minimum, plan.record.time), judge: .clock(fold?.clock)))
  }

  // MARK: Records

  /// The shard watermark after all records so far.
  var watermark: Int64 { sequencer.withLock { $0.watermark } }

  /// What must be done in shard order before the lane consumes the block.
  func sequence(_ block: inout PreparedBlock) throws {
    let recorded = standing.withLock { $0.clock }
    try sequencer.withLock { sequencer in
      sequencer.adopt(clock: recorded)
      _ = try sequencer.sequence(&block)
    }
    try placement?.check(block)
  }

  /// - Parameter marks: the first (if known) and the last record of the block, where the source can say.
  /// - Returns: nil, or nothing was consumed: with which lookups it is to be prepared.
  func consume(
    _ block: PreparedBlock, end: ShardPoint, read marks: (first: Fingerprint?, last: Fingerprint)? = nil
  ) async throws -> LookupSet? {
    let watermark = self.watermark
    let other = try await actor.consume(DealtBlocks(block, end: end.ordinal, watermark: watermark), read: marks, to: end)
    if other == nil { show(block.count, block.decoded.raw.count, end, watermark) }
    return other
  }

  /// The shard holds no more records before `end`.
  func advance(to end: ShardPoint) async throws {
    let watermark = self.watermark
    try await actor.advance(to: end, watermark: watermark)
    show(0, 0, end, watermark)
  }

  /// The shard ended for good: the next cut says so, and which shards have its keys now.
  func close(at end: ShardPoint, children: [SourceShard]) async throws {
    try await advance(to: end)
    standing.withLock { $0.closing = .shardClosed(range: range, children: children.map(ChildShard.init)) }
    touch()
    alarm.ring()
  }

  private func show(_ records: Int, _ bytes: Int, _ end: ShardPoint, _ watermark: Int64) {
    touch()
    reading.consumed(
      records: Int64(records), bytes: Int64(bytes), through: end.ordinal, watermark: watermark, now: clock.monotonicNanoseconds)
  }

  // MARK: Cuts

  /// Whether a cut has to look at the lane. Hundreds of quiet lanes are not asked each time.
  ///
  /// A lane that is touched between this call and the look at it is looked at again by the next cut: ``touch()`` comes after the change.
  func takeTouch() -> Bool { isTouched.exchange(false, ordering: .acquiringAndReleasing) }

  func touch() { isTouched.store(true, ordering: .releasing) }

  var isClosing: Bool { hasRest.load(ordering: .acquiring) }

  /// Cuts the lane.
  /// - Parameters:
  ///   - decisions: that the entry carries for it.
  ///   - floor: by which an idle lane finishes windows. The entry says it: another worker's entry may move the merged watermark before that.
  func cut(_ decisions: [Decision], floor: Int64?) async throws -> [LaneEpoch] {
    // The children of a closed shard begin with windows that are not written out.
    let isLast = decisions.contains { if case .shardClosed = $0 { true } else { false } }
    var epochs = try await actor.cut(isWhole: isLast)
    for i in epochs.indices { epochs[i].floor = floor }
    let isClosing = epochs.contains(where: \.isClosing)
    hasRest.store(isClosing, ordering: .releasing)
    if isClosing { touch() }
    return epochs
  }

  var isIdle: Bool { standing.withLock { $0.machine.state == .idle } }

  /// See ``LaneStanding/dueAt(idleNanoseconds:)``.
  var decisionIsDueAt: Int64? {
    isClosing ? .min : standing.withLock { $0.closing != nil ? .min : $0.machine.dueAt(idleNanoseconds: idleNanoseconds) }
  }

  /// What the cut that is made now carries for this lane.
  func decisions(at now: Int64) -> [Decision] {
    let fresh: [Decision] = hasClock ? [.clock(clock.wallMicroseconds)] : []
    if let closing = standing.withLock({ $0.closing }) { return [closing] }
    return switch standing.withLock({ $0.machine.cut(at: now, idleNanoseconds: idleNanoseconds) }) {
    case .idle: [.idle]
    case .wake: wake(fresh)
    case .clock: fresh
    case nil: []
    }
  }

  private func wake(_ fresh: [Decision]) -> [Decision] {
    if variant.contains(.wakesBeforeEntry) { release() }
    return [.wake] + fresh
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
    let floor = variant.contains(.floorNotRaised) ? Watermark.minimum : fold?.floor ?? Watermark.minimum
    await actor.committed(floor: floor, generation: fold?.generation ?? 0)
    let goesOn = standing.withLock { standing in
      standing.clock = fold?.clock
      return standing.machine.committed()
    }
    // It may be idle now, with windows that only a later cut can close.
    touch()
    if goesOn { release() }
  }
}
