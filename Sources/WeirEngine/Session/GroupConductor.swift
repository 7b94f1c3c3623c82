import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// One membership in a consumer group, from joining to leaving: the group assigns the lanes, and epochs are cut by age and size.
///
/// Tasks, all children of ``run(until:interruption:)``: the membership (takes lanes over and hands them over), the watch over it, the
/// conductor (cuts and encodes, collects, ends the session), the commits (and merges), the state flusher, and a loop per lane. Whatever cuts,
/// or changes which lanes are held, passes the turnstile, one at a time; all but the conductor's own cuts wait there until no epoch is being
/// committed (``alone(_:)``). A failure of one task ends all; nothing is lost by it, because the next session starts from the ledger.
final class GroupConductor: Conductor {
  /// Number of entries after which a worker that does not lead brings up the tables all the same.
  private static let behindMax: Int64 = 64

  let session: Session
  let group: any ShardGroup
  /// What the source had when it was last asked.
  let shards: Mutex<[SourceShard]>
  /// Names the ledger, next to the positions that are left at the source.
  let mark: GroupMates.Mark
  let observe: @Sendable (WorkerEvent) -> Void
  let settings: LiveSourceTraits
  let accepted: AcceptedStreams

  private let turnstile: Turnstile
  /// Epochs on their way to the ledger, one at a time.
  private let encoded = Handover<EncodedBatch>()
  private let slot = CommitSlot()
  let gate: InputGate
  /// Lanes whose loops are to be started.
  let starts = Handover<(lane: ShardLane, source: any RecordSource)>()
  /// Shards that the group gave and whose parents are not closed in the ledger.
  let waiting = Mutex<Set<String>>([])
  private let readers: ShardLane.Readers
  let watch: Mutex<GroupWatch>
  let watchAlarm = Alarm()
  /// Rung when this worker has seen more of the ledger, or has shards that wait for it.
  let ledgerAlarm = Alarm()
  /// Rung when this worker has seen more of the ledger.
  let lookupAlarm = Alarm()
  let isEnding = Flag()
  /// Nothing more comes to the ledger from here: the topics' turn to end.
  private let hasCommitted = Flag()
  private let failure = Mutex<(any Error)?>(nil)

  init(
    _ session: Session, group: any ShardGroup, shards: [SourceShard], counts: WorkerCounts, accepted: AcceptedStreams,
    observe: @escaping @Sendable (WorkerEvent) -> Void
  ) async {
    let (compiled, environment) = (session.compiled, session.environment)
    (self.session, self.group, self.accepted, self.observe) = (session, group, accepted, observe)
    self.shards = Mutex(shards)
    turnstile = Turnstile(isOpen: session.variant.contains(.commitsTogether))
    mark = GroupMates.Mark(ledgerID: await session.ledger.fold.genesis.ledgerID, pipeline: compiled.plan.pipeline)
    settings = compiled.plan.source.live ?? LiveSourceTraits()
    watch = Mutex(GroupWatch(silenceNanoseconds: settings.silence * 1000, handOverNanoseconds: settings.handOver * 1000))
    gate = InputGate(
      bytesMax: compiled.plan.lake.flushBytes, rule: CutRule(environment.memory), alarm: session.alarm, meter: session.meter)
    readers = ShardLane.Readers(
      pool: session.pool, gate: gate, weights: session.weights, counts: counts, ahead: PrepareAhead(environment.parallel),
      governor: environment.governor)
  }

  var entries: Int64 { get async { await session.committer.entries } }

  /// - Throws: what ended the session before it was asked to end.
  func run(until stop: Flag, interruption: Flag) async throws -> WorkerEnd {
    isEnding.whenRaised { [session, group, watchAlarm, ledgerAlarm, lookupAlarm] in
      // A take-over may wait for answers, and the last commit waits for it.
      group.refuseQuestions()
      session.alarm.ring()
      ledgerAlarm.ring()
      watchAlarm.ring()
      lookupAlarm.ring()
    }
    // At once, and not when the loop that cuts sees it: that may wait for its turn after a take-over, which waits for the source.
    let watcher = stop.whenRaised { [isEnding] in isEnding.raise() }
    defer { stop.forget(watcher) }
    watch.withLock { $0.joined(at: session.environment.clock.monotonicNanoseconds) }
    try await group.join()
    observe(.joined(ledger: await session.ledger.fold.number))
    await withDiscardingTaskGroup { tasks in
      tasks.addTask { [self] in await guarding { try await membership() } }
      tasks.addTask { [self] in await guarding { try await watchGroup() } }
      tasks.addTask { [self] in await guarding { try await session.flusher.run(until: isEnding) } }
      tasks.addTask { [self] in await guarding { try await session.sweepTombstones(until: isEnding) } }
      tasks.addTask { [self] in await survey() }
      if settings.reshards { tasks.addTask { [self] in await guarding { try await watchParents() } } }
      tasks.addTask { [self] in await guarding { try await watchShards() } }
      tasks.addTask { [self] in await guarding { try await refreshLookups() } }
      if let sinks = session.followers.sinks {
        tasks.addTask { [self] in
          await guarding { try await sinks.run(until: hasCommitted) { await self.session.merge.isHeld } }
        }
      }
      tasks.addTask { [self] in
        await withDiscardingTaskGroup { loops in
          while let (lane, source) = await starts.receive() {
            loops.addTask { [self] in await guarding { try await read(lane, source) } }
          }
        }
      }
      tasks.addTask { [self] in
        await guarding { try await commitInOrder() }
        await encoded.finish()
        await slot.free()
      }
      tasks.addTask { [self] in
        await guarding { try await conduct(until: stop) }
        isEnding.raise()
        if failure.withLock({ $0 == nil }) { await guarding { try await finish() } }
        hasCommitted.raise()
        await encoded.finish()
        for lane in session.lanes.inOrder { lane.stop() }
        await gate.open()
        await group.close()
        await starts.finish()
        // A take-over that was under way when another task failed may have added its lanes since: one that is idle and holds a record would
        // wait for an entry that no one makes.
        for lane in session.lanes.inOrder { lane.stop() }
      }
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
    return .interrupted
  }

  /// The first error ends the session; those after it are consequences.
  func guarding(_ body: () async throws -> Void) async {
    do { try await body() } catch { end(await explained(error)) }
  }

  /// Ends the session with an error, unless another one has.
  func end(_ error: any Error) {
    let isFirst = failure.withLock { failure in
      if failure == nil { failure = error }
      return !isEnding.isRaised
    }
    if isFirst { isEnding.raise() }
  }

  /// Asks the source something for lanes that are taken over.
  /// - Returns: nil: the session ends, and no answer came.
  func asking<Answer: Sendable>(_ question: () async throws -> Answer) async throws -> Answer? {
    do { return try await question() } catch {
      if hasEnded { return nil }
      throw error
    }
  }

  /// The session was asked to end, and has not committed its last records yet: a hand-over that comes first commits its own.
  var isDraining: Bool { hasEnded && !hasCommitted.isRaised && failure.withLock { $0 == nil } }

  var hasEnded: Bool { isEnding.isRaised }

  /// Reads a lane until it is released. Where the source has trimmed what comes next, what was read is committed before the session
  /// ends: the gap begins where the source's does, and not at the last commit.
  private func read(_ lane: ShardLane, _ source: any RecordSource) async throws {
    do { try await lane.read(source, readers) } catch let error as WeirError where error.code == .outOfRange {
      try await alone { [self] in
        if isEnding.isRaised { return }
        defer { session.meter.enter(.idle) }
        session.meter.cut("trimmed")
        await gate.cut()
        try await cut(session.lanes.inOrder, at: session.environment.clock.monotonicNanoseconds)
      }
      throw error
    }
  }

  // MARK: Cuts

  private func conduct(until stop: Flag) async throws {
    let (clock, lake) = (session.environment.clock, session.compiled.plan.lake)
    var trigger = EpochTrigger(
      everyNanoseconds: lake.flushEveryMicroseconds * 1000, bytesMax: lake.flushBytes, now: clock.monotonicNanoseconds)
    var keeping = KeepingSchedule(keepMicroseconds: lake.ledgerKeepMicroseconds, now: clock.monotonicNanoseconds)
    while !stop.isRaised, !isEnding.isRaised {
      let now = clock.monotonicNanoseconds
      if keeping.isDue(at: now), await session.merge.isHeld {
        // Any worker may collect; the one that leads does.
        let isWhole = try await alone { [self] in
          if isEnding.isRaised { return true }
          return try await session.collect()
        }
        if !isWhole { keeping.isDueSooner() }
      }
      let decisionIsDueAt = session.lanes.inOrder.compactMap(\.decisionIsDueAt).min() ?? .max
      guard let reason = try await reasonToCut(trigger, isWanted: decisionIsDueAt <= now, at: now) else {
        await session.alarm.wait(until: min(trigger.ageIsDueAt, keeping.dueAt, decisionIsDueAt), clock)
        continue
      }
      session.meter.cut(reason)
      trigger.cut(at: now)
      try await turnstile.pass { [self] in
        if isEnding.isRaised { return }
        await gate.cut()
        try await cut(at: now)
      }
    }
  }

  /// Cuts all lanes. The epoch is committed while the next is cut and encoded; one with a decision takes effect with its entry, so it is
  /// committed before anything else is cut (law 3).
  private func cut(at now: Int64) async throws {
    let next = try await take(session.lanes.inOrder, at: now)
    if let next, !next.batch.hasDecisions || variant.contains(.decisionsOverlap) {
      await slot.take()
      session.environment.governor.began()
      if await encoded.send(next) { return }
      // The commit before it failed, which ends the session.
      session.environment.governor.ended()
      return await slot.free()
    }
    await slot.idle()
    defer { session.meter.enter(.idle) }
    if let next { try await commit(next) }
    let merged = try await session.merge.round()
    if merged != nil { ledgerAlarm.ring() }
    // Nothing to commit: time for the tables to catch up with the last few entries.
    if next == nil, merged == nil, await session.merge.isHeld {
      try await session.followers.catchUp(to: await session.ledger.fold.number)
    }
  }

  private func commitInOrder() async throws {
    while try await commitNext() {
      if try await session.merge.round() != nil { ledgerAlarm.ring() }
      session.meter.enter(.idle)
      await slot.free()
      session.alarm.ring()
    }
  }

  /// - Returns: false: no epoch comes any more.
  private func commitNext() async throws -> Bool {
    guard let next = await encoded.receive() else { return false }
    defer {
      session.environment.governor.ended()
      session.meter.enter(.idle)
    }
    try await commit(next)
    return true
  }

  /// Does something while no lane is cut and no epoch is committed.
  func alone<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
    try await turnstile.pass { [self] in
      await slot.idle()
      return try await body()
    }
  }

  /// Why an epoch is to be cut now; nil: not yet. Holds the input for topics that are behind, and for memory.
  /// - Throws: `memory_exceeded`.
  private func reasonToCut(_ trigger: EpochTrigger, isWanted: Bool, at now: Int64) async throws -> String? {
    var isBehind = false
    if let sinks = session.followers.sinks {
      isBehind = await sinks.isBehind(await session.ledger.fold.number)
      session.meter.waits(forTopics: isBehind)
    }
    let bytes = await gate.bytes
    // What was read makes room only by a cut; where nothing was, nothing does.
    let governor = session.environment.governor
    let isBusy = governor.isBusy
    if isBusy, bytes == 0, !governor.isUnderWay { try governor.stopIfFull() }
    await gate.hold(isBehind || isBusy && bytes > 0)
    let isEpochHeavy = await gate.isHeavy
    let isHeavy = isEpochHeavy || isBusy && bytes > 0
    guard trigger.isDue(at: now, bytes: bytes, isHeavy: isHeavy, isWanted: isWanted) else { return nil }
    return isWanted ? "decision" : bytes >= session.compiled.plan.lake.flushBytes ? "size" : isHeavy ? "memory" : "age"
  }

  /// Cuts lanes and commits their epochs in one entry, ``alone(_:)``.
  func cut(_ lanes: [ShardLane], at now: Int64) async throws {
    if let next = try await take(lanes, at: now) { try await commit(next) }
  }

  /// Cuts lanes. Those without news are left out.
  /// - Returns: their epochs, encoded; nil: there is nothing to commit.
  private func take(_ lanes: [ShardLane], at now: Int64) async throws -> EncodedBatch? {
    do { return try await takeEpochs(of: lanes, at: now) } catch {
      // The epoch before is not concerned.
      await slot.idle()
      await session.committer.refuse()
      throw error
    }
  }

  private func takeEpochs(of lanes: [ShardLane], at now: Int64) async throws -> EncodedBatch? {
    var epochs: [LaneEpoch] = []
    var decisions: [LaneID: [Decision]] = [:]
    // A decision follows from what is committed.
    let isWanted = lanes.contains { ($0.decisionIsDueAt ?? .max) <= now }
    if isWanted, !variant.contains(.decisionsOverlap) { await slot.idle() }
    for lane in lanes where isWanted {
      let due = lane.decisions(at: now)
      if !due.isEmpty {
        decisions[lane.id] = due
        lane.touch()
      }
    }
    let touched = lanes.filter { $0.takeTouch() }
    if touched.isEmpty { return nil }
    var blobBytes: Int64 = 0
    for lane in touched { blobBytes += await lane.actor.blobBytes }
    try await session.environment.governor.reserve(blobBytes, session.environment.clock)
    for lane in touched {
      let standing = await lane.actor.standing
      // An idle lane's next record is judged by no less than what is merged now, so its windows can close by that.
      var floor = lane.isIdle ? standing.floor : nil
      var closes = false
      if lane.isIdle, standing.hasOpenWindows {
        await slot.idle()
        let merged = await session.ledger.fold.mergedWatermark
        closes = merged > standing.floor && !variant.contains(.idleWindowsStay)
        if closes {
          await lane.actor.raise(floor: merged)
          floor = merged
        }
        lane.touch()
      }
      if decisions[lane.id] != nil || closes || lane.isClosing || standing.point != standing.cutPoint {
        epochs += try await lane.cut(decisions[lane.id] ?? [], floor: variant.contains(.floorUnsaid) ? nil : floor)
      }
    }
    guard !epochs.isEmpty else { return nil }
    let known = await session.ledger.fold
    for (lane, decision) in try session.placements.decisions(epochs.map(\.lane), of: shards.withLock { $0 }, over: known) {
      decisions[lane, default: []].append(decision)
    }
    for lane in lanes where epochs.contains(where: { $0.lane == lane.id }) { decisions[lane.id, default: []] += lane.takeNotes() }
    session.meter.enter(.encoding)
    return try await session.committer.encode(EpochBatch(epochs: epochs, decisions: decisions), number: known.number + 1)
  }

  private func commit(_ encoded: EncodedBatch) async throws {
    let fold: LedgerFold
    do { fold = try await session.committer.commit(encoded).fold() } catch {
      if let refused = error as? CommitRefused, goesOnAfter(refused.end) { return }
      await session.committer.refuse()
      throw error
    }
    let epochs = encoded.batch.epochs
    // Before anything can fail: a lane that continues after its shard was closed would be cut again.
    let hasClosed = await dropClosed(fold)
    // What went into quarantine: once for all lanes of an entry.
    let rejected = encoded.batch.rejected
    if !rejected.isEmpty { observe(.quarantined(rejected)) }
    let isLeading = await session.merge.isHeld
    try await session.follow(fold, epochs, behindMax: isLeading ? Followers.behindMax : GroupConductor.behindMax)
    if hasClosed { try await lead(fold) }
    await group.follow(Dictionary(uniqueKeysWithValues: epochs.map { ($0.lane.shard, $0.point) }), as: mark.text)
    ledgerAlarm.ring()
    lookupAlarm.ring()
    await report(fold)
    try await session.checkMemory()
  }

  /// Only in broken variants.
  private func goesOnAfter(_ end: CommitEnd) -> Bool {
    switch end {
    case .unknown: variant.contains(.cutsOnAfterUnknown)
    case .fenced: variant.contains(.cutsOnAfterFence)
    case .committed, .expired, .abandoned: false
    }
  }

  var variant: EngineVariant { session.variant }

  private func report(_ fold: LedgerFold) async {
    var progress = readers.counts.progress
    progress.entries = await entries
    progress.ledgerNumber = fold.number
    progress.mergedWatermark = fold.mergedWatermark
    progress.shards = session.lanes.count
    progress.filesMax = await session.committer.filesMax
    (progress.memoryBudget, progress.memoryPeak) = (session.environment.memory.total, session.environment.governor.peak)
    observe(.committed(progress))
  }

  /// The orderly end: what was read is committed, merged and in the tables.
  private func finish() async throws {
    try await alone { [self] in
      defer { session.meter.enter(.idle) }
      session.meter.cut("drain")
      let lanes = session.lanes.inOrder
      for lane in lanes { lane.stop() }
      try await cut(lanes, at: session.environment.clock.monotonicNanoseconds)
      try await session.flusher.flush()
      _ = try await session.merge.round()
      if !variant.contains(.drainsWithoutTables) { try await session.followers.catchUp(to: await session.ledger.fold.number) }
      // Before another task has its turn: a hand-over that comes now has nothing to commit any more.
      hasCommitted.raise()
    }
  }
}
