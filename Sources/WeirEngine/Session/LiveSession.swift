import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// One membership in the group, from joining to leaving.
///
/// Tasks, all children of ``run(isInterrupted:)``: the membership (takes lanes over and hands them over), the watch over it,
/// the conductor (cuts, commits, merges, collects, ends the session), the state flusher, and a loop a lane. Whatever commits, or changes which lanes
/// there are, goes through the turnstile, one after the other. A failure of one ends all; nothing is lost by it, because the
/// next session starts from the ledger.
final class LiveSession: Sendable {
  /// Entries that tables may be behind before a worker that does not lead brings them up all the same.
  private static let behindMax: Int64 = 64

  let compiled: CompiledPlan
  let environment: EngineEnvironment
  let ledger: Ledger
  let followers: Followers
  let group: any ShardGroup
  let committer: EpochCommitter
  let merge: LedgerMerge
  let run: RunInfo
  /// What the source had when it was last asked.
  let shards: Mutex<[SourceShard]>
  let placements: Placements
  /// Names this membership in the state table.
  let owner: [UInt8]
  /// Names the ledger beside the positions that are left at the source.
  let mark: GroupMates.Mark
  let counts: LiveCounts
  let observe: @Sendable (LiveEvent) -> Void
  let settings: LiveSourceTraits
  let meter: LiveMeter
  /// Streams (topics) of which another incarnation is accepted.
  let accepted: Set<String>

  let lanes = Mutex<[LaneID: LiveLane]>([:])
  let turnstile: Turnstile
  /// Rung when the conductor has something to do before the time that it knows of.
  let alarm: Alarm
  let gate: InputGate
  private let weights: RowWeights
  let starts = LaneStarts()
  let pool: PreparerPool
  let ahead: PrepareAhead
  let watch: Mutex<GroupWatch>
  let watchAlarm = Alarm()
  let isEnding = Flag()
  /// Nothing more comes to the ledger from here: the topics' turn to end.
  private let hasCommitted = Flag()
  private let failure = Mutex<(any Error)?>(nil)

  init(
    compiled: CompiledPlan, environment: EngineEnvironment, ledger: Ledger, followers: Followers, group: any ShardGroup,
    shards: [SourceShard], planHash: String, worker: String, counts: LiveCounts, run: RunInfo, ledgerID: String,
    meter: LiveMeter, accepted: Set<String> = [], observe: @escaping @Sendable (LiveEvent) -> Void
  ) {
    self.accepted = accepted
    turnstile = Turnstile(isOpen: environment.variant.contains(.commitsTogether))
    self.compiled = compiled
    self.environment = environment
    self.ledger = ledger
    self.followers = followers
    self.group = group
    self.shards = Mutex(shards)
    placements = Placements(compiled)
    owner = Array(String(environment.random.next(), radix: 16).utf8)
    mark = GroupMates.Mark(ledgerID: ledgerID, pipeline: compiled.plan.pipeline)
    self.counts = counts
    self.run = run
    self.observe = observe
    self.meter = meter
    settings = compiled.plan.source.live ?? LiveSourceTraits()
    committer = EpochCommitter(
      environment: environment, compiled: compiled, ledger: ledger, planHash: planHash, run: run, worker: worker, meter: meter,
      checksFirstRecords: true)
    merge = LedgerMerge(
      compiled: compiled, ledger: ledger, environment: environment, committer: committer, followers: followers, owner: owner,
      meter: meter)
    watch = Mutex(
      GroupWatch(silenceNanoseconds: settings.silence * 1000, handOverNanoseconds: settings.handOver * 1000))
    // Topics that come nearer make room as a cut does.
    alarm = followers.sinks?.advanced ?? Alarm()
    gate = InputGate(bytesMax: compiled.plan.lake.flushBytes, rule: CutRule(environment.memory), alarm: alarm, meter: meter)
    weights = RowWeights(compiled)
    pool = PreparerPool(compiled, environment)
    ahead = PrepareAhead(environment.parallel)
  }

  /// - Returns: entries that were committed.
  /// - Throws: what ended the session before it was asked to end.
  func run(until stop: Flag) async throws -> Int64 {
    let watcher = stop.whenRaised { [alarm] in alarm.ring() }
    defer { stop.forget(watcher) }
    isEnding.whenRaised { [alarm, watchAlarm] in
      alarm.ring()
      watchAlarm.ring()
    }
    watch.withLock { $0.joined(at: environment.clock.monotonicNanoseconds) }
    try await group.join()
    observe(.joined(ledger: await ledger.fold.number))
    let flusher = StateFlusher(
      lanes: { [self] in held.map(\.shard) }, state: compiled.hasLaneState ? environment.state : nil, clock: environment.clock,
      spec: compiled.plan.store,
      rowsMax: environment.memory.stateRowsMax, owner: owner, live: meter, variant: variant)
    await withDiscardingTaskGroup { tasks in
      tasks.addTask { [self] in await guarding { try await membership(flusher) } }
      tasks.addTask { [self] in await guarding { try await watchGroup() } }
      tasks.addTask { [self] in await guarding { try await flusher.run(until: isEnding) } }
      tasks.addTask { [self] in await survey() }
      tasks.addTask { [self] in await guarding { try await watchShards() } }
      if let sinks = followers.sinks {
        tasks.addTask { [self] in
          await guarding { try await sinks.run(until: hasCommitted) { await self.merge.isHeld } }
        }
      }
      tasks.addTask { [self] in
        await withDiscardingTaskGroup { loops in
          while let lane = await starts.next() {
            loops.addTask { [self] in await guarding { try await read(lane) } }
          }
        }
      }
      tasks.addTask { [self] in
        await guarding { try await conduct(until: stop) }
        isEnding.raise()
        if failure.withLock({ $0 == nil }) { await guarding { try await finish(flusher) } }
        hasCommitted.raise()
        for lane in held { lane.stop() }
        await gate.open()
        await group.close()
        await starts.finish()
      }
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
    return await committer.entries
  }

  /// The first error ends the session; those after it are consequences.
  func guarding(_ body: () async throws -> Void) async {
    do { try await body() } catch {
      let isFirst = failure.withLock { failure in
        if failure == nil { failure = error }
        return !isEnding.isRaised
      }
      if isFirst { isEnding.raise() }
    }
  }

  /// The session was asked to end, and has not committed its last records yet: a hand-over that comes first commits its own.
  var isDraining: Bool { hasEnded && !hasCommitted.isRaised && failure.withLock { $0 == nil } }

  /// The lanes of the moment, in order.
  var held: [LiveLane] { lanes.withLock { $0.values.sorted { $0.id < $1.id } } }

  var hasEnded: Bool { isEnding.isRaised }

  /// The lanes have rows in a state table.
  var hasStateRows: Bool { environment.state != nil && compiled.hasLaneState }

  /// Reads a lane until it is released. Where the source has trimmed what comes next, what was read is committed before the session
  /// ends: the gap begins where the source's does, and not at the last commit.
  private func read(_ lane: LiveLane) async throws {
    do { try await lane.run(pool, gate: gate, weights: weights, counted: counts) } catch let error as WeirError
      where error.code == .outOfRange
    {
      try await turnstile.pass { [self] in
        if isEnding.isRaised { return }
        defer { meter.enter(.idle) }
        meter.cut("trimmed")
        await gate.cut()
        try await cut(held, at: environment.clock.monotonicNanoseconds)
      }
      throw error
    }
  }

  // MARK: The conductor

  private func conduct(until stop: Flag) async throws {
    let clock = environment.clock
    var trigger = EpochTrigger(
      everyNanoseconds: compiled.plan.lake.flushEveryMicroseconds * 1000, bytesMax: compiled.plan.lake.flushBytes,
      now: clock.monotonicNanoseconds)
    var keeping = KeepingSchedule(keepMicroseconds: compiled.plan.lake.ledgerKeepMicroseconds, now: clock.monotonicNanoseconds)
    while !stop.isRaised, !isEnding.isRaised {
      let now = clock.monotonicNanoseconds
      if keeping.isDue(at: now), await merge.isHeld { try await turnstile.pass { [self] in try await collect() } }
      let decisionIsDueAt = held.compactMap(\.decisionIsDueAt).min() ?? .max
      guard let reason = try await reasonToCut(trigger, isWanted: decisionIsDueAt <= now, at: now) else {
        await alarm.wait(until: min(trigger.ageIsDueAt, keeping.dueAt, decisionIsDueAt), clock)
        continue
      }
      meter.cut(reason)
      trigger.cut(at: now)
      try await turnstile.pass { [self] in
        if isEnding.isRaised { return }
        defer { meter.enter(.idle) }
        await gate.cut()
        let hasNews = try await cut(held, at: now)
        let merged = try await merge.round()
        // Nothing to commit: time for the tables to catch up with the last few entries.
        if !hasNews, merged == nil, await merge.isHeld { try await followers.catchUp(to: await ledger.fold.number) }
      }
    }
  }

  /// Why an epoch is to be cut now; nil: not yet. Holds the input for topics that are behind, and for memory.
  /// - Throws: `memory_exceeded`.
  private func reasonToCut(_ trigger: EpochTrigger, isWanted: Bool, at now: Int64) async throws -> String? {
    var isBehind = false
    if let sinks = followers.sinks {
      isBehind = await sinks.isBehind(await ledger.fold.number)
      meter.waits(forTopics: isBehind)
    }
    let bytes = await gate.bytes
    // What was read makes room only by a cut; where nothing was, nothing does.
    let isBusy = environment.governor.isBusy
    if isBusy, bytes == 0 { try environment.governor.stopIfFull() }
    await gate.hold(isBehind || isBusy && bytes > 0)
    let isEpochHeavy = await gate.isHeavy
    let isHeavy = isEpochHeavy || isBusy && bytes > 0
    guard trigger.isDue(at: now, bytes: bytes, isHeavy: isHeavy, isWanted: isWanted) else { return nil }
    return isWanted ? "decision" : bytes >= compiled.plan.lake.flushBytes ? "size" : isHeavy ? "memory" : "age"
  }

  /// - Throws: `memory_exceeded`.
  func checkMemory() async throws {
    var state = await merge.stateBytes
    for lane in held { state += await lane.shard.stateBytes }
    environment.governor.holds(state)
    meter.holding(state, of: environment.memory, peak: environment.governor.peak)
    try environment.memory.check(state)
  }

  /// Cuts lanes and commits their epochs in one entry. Lanes without news are left out.
  /// - Returns: whether there was anything to commit.
  @discardableResult
  func cut(_ lanes: [LiveLane], at now: Int64) async throws -> Bool {
    let committed: (epochs: [LaneEpoch], fold: LedgerFold)?
    do { committed = try await commitEpochs(of: lanes, at: now) } catch {
      await committer.refuse()
      throw error
    }
    guard let (epochs, fold) = committed else { return false }
    tell(epochs)
    for lane in lanes where epochs.contains(where: { $0.lane == lane.id }) { await lane.committed(fold[lane.id]) }
    placements.adopt(fold)
    meter.enter(.tables)
    let isLeading = await merge.isHeld
    try await followers.applied(
      fold: fold, merged: [], lanes: Set(epochs.map(\.lane)),
      owners: hasStateRows && !variant.contains(.takesOverUnmarked) ? FlushMark.owners(of: epochs.map(\.lane), owner) : [],
      behindMax: isLeading ? Followers.behindMax : LiveSession.behindMax)
    await group.follow(Dictionary(uniqueKeysWithValues: epochs.map { ($0.lane.shard, $0.point) }), as: mark.text)
    await tell(fold)
    try await checkMemory()
    return true
  }

  /// - Returns: nil: there was nothing to commit.
  private func commitEpochs(of lanes: [LiveLane], at now: Int64) async throws -> (epochs: [LaneEpoch], fold: LedgerFold)? {
    var epochs: [LaneEpoch] = []
    var decisions: [LaneID: [Decision]] = [:]
    for lane in lanes {
      let due = lane.decisions(at: now)
      if !due.isEmpty {
        decisions[lane.id] = due
        lane.touch()
      }
    }
    let touched = lanes.filter { $0.takeTouch() }
    var blobBytes: Int64 = 0
    for lane in touched { blobBytes += await lane.shard.blobBytes }
    try await environment.governor.reserve(blobBytes, environment.clock)
    let merged = await ledger.fold.mergedWatermark
    for lane in touched {
      let standing = await lane.shard.standing
      // An idle lane's next record is judged by no less than what is merged now, so its windows can close by that.
      let waits = lane.isIdle && standing.hasOpenWindows
      let closes = waits && merged > standing.floor && !variant.contains(.idleWindowsStay)
      if closes { await lane.shard.raise(floor: merged) }
      if waits { lane.touch() }
      if decisions[lane.id] != nil || closes || standing.point != standing.cutPoint { epochs += try await lane.shard.cut() }
    }
    guard !epochs.isEmpty else { return nil }
    let known = await ledger.fold
    for (lane, decision) in try placements.decisions(epochs.map(\.lane), of: shards.withLock { $0 }, over: known) {
      decisions[lane, default: []].append(decision)
    }
    for lane in lanes where epochs.contains(where: { $0.lane == lane.id }) { decisions[lane.id, default: []] += lane.takeNotes() }
    meter.enter(.encoding)
    let encoded = try await committer.encode(EpochBatch(epochs: epochs, decisions: decisions), number: known.number + 1)
    do { return (epochs, try await committer.commit(encoded).fold()) } catch let refused as CommitRefused where goesOnAfter(refused.end) {
      return nil
    }
  }

  /// Only in broken variants.
  private func goesOnAfter(_ end: CommitEnd) -> Bool {
    switch end {
    case .unknown: variant.contains(.cutsOnAfterUnknown)
    case .fenced: variant.contains(.cutsOnAfterFence)
    case .committed, .expired, .abandoned: false
    }
  }

  var variant: EngineVariant { environment.variant }

  /// What went into quarantine: once for all lanes of an entry.
  private func tell(_ epochs: [LaneEpoch]) {
    let rejected = epochs.reduce(into: RejectedReasons()) { $0.add($1.rejected) }
    if !rejected.isEmpty { observe(.quarantined(rejected)) }
  }

  private func tell(_ fold: LedgerFold) async {
    var progress = LiveProgress()
    progress.records = counts.records
    progress.entries = await committer.entries
    progress.ledgerNumber = fold.number
    progress.mergedWatermark = fold.mergedWatermark
    progress.shards = lanes.withLock { $0.count }
    progress.filesMax = await committer.filesMax
    (progress.memoryBudget, progress.memoryPeak) = (environment.memory.total, environment.governor.peak)
    observe(.committed(progress))
  }

  /// Deletes what the ledger needs no more, behind all followers. Any worker may; the one that leads does.
  private func collect() async throws {
    if isEnding.isRaised { return }
    let fold = try await ledger.refresh()
    if variant.contains(.collectsUnapplied) {
      return try await LedgerKeeping.collect(ledger, keep: compiled.plan.lake.ledgerKeepMicroseconds, appliedThrough: fold.number)
    }
    try await followers.catchUp(to: fold.number)
    try await LedgerKeeping.collect(
      ledger, keep: compiled.plan.lake.ledgerKeepMicroseconds,
      appliedThrough: min(await followers.collectableThrough, await merge.appliedThrough))
  }

  /// The orderly end: what was read is committed, merged and in the tables.
  private func finish(_ flusher: StateFlusher) async throws {
    try await turnstile.pass { [self] in
      defer { meter.enter(.idle) }
      meter.cut("drain")
      let lanes = held
      for lane in lanes { lane.stop() }
      try await cut(lanes, at: environment.clock.monotonicNanoseconds)
      try await flusher.flush()
      _ = try await merge.round()
      if !variant.contains(.drainsWithoutTables) { try await followers.catchUp(to: await ledger.fold.number) }
      // Within the turnstile: a hand-over that comes now has nothing to commit any more.
      hasCommitted.raise()
    }
  }
}
