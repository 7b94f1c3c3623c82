import WeirCore
import WeirOperators
import WeirProtocol

/// What a worker holds from restoring its lanes until it gives them up: the lanes, and what commits, merges and flushes them.
///
/// A conductor decides the rest: where blocks come from, who assigns lanes, and when an epoch is cut (``GroupConductor``,
/// ``StepConductor``, ``MarkConductor``). Nothing here depends on it, so lanes are restored, committed and followed in the same way whatever
/// their records come from.
final class Session: Sendable {
  let opened: OpenedLedger
  let compiled: CompiledPlan
  let environment: EngineEnvironment
  let ledger: Ledger
  let followers: Followers
  let meter: LiveMeter
  let run: RunInfo
  let committer: EpochCommitter
  /// Not held where the merge lane shares the entry of the lanes that it merges.
  let merge: LedgerMerge
  let placements: Placements
  let pool: PreparerPool
  let weights: RowWeights
  let lanes: HeldLanes
  let flusher: StateFlusher
  /// Names this session in the state table, live or replay: one that slept while another continued writes no row any more.
  let owner: [UInt8]
  /// An entry carries each take-over, and orders the claims of the state table's rows.
  private let recordsTakeOvers: Bool
  /// Rung when a conductor has something to do before the time that it knows of. A sink that makes room rings it, as a cut does.
  let alarm: Alarm
  private let sharesEntry: Bool

  struct Settings {
    /// An entry carries each take-over. Where none does, as in a replay, the ledger is looked at again after the claim.
    var recordsTakeOvers = false
    /// See ``EpochCommitter``.
    var checksFirstRecords = true
    /// The lanes of a shard that is partitioned over several, and how blocks are partitioned.
    var dealt: [LaneActor] = []
    var dealer: LaneDealer?
    /// For ``StateFlusher``.
    var reached: @Sendable () -> Int64 = { 0 }
    var latency: LatencyMeter?
  }

  init(_ opened: OpenedLedger, merge: sending MergePlacement = .ownEntry, _ settings: Settings) async {
    self.opened = opened
    (compiled, environment, ledger) = (opened.compiled, opened.environment, opened.ledger)
    (followers, meter, recordsTakeOvers) = (opened.followers, opened.meter, settings.recordsTakeOvers)
    owner = Array(String(opened.environment.random.next(), radix: 16).utf8)
    run = RunInfo(compiled.plan, runID: await ledger.fold.runID)
    sharesEntry = if case .sameEntry = merge { true } else { false }
    committer = EpochCommitter(
      environment: environment, compiled: compiled, ledger: ledger, planHash: opened.planHash, run: run, worker: opened.worker,
      merge: merge, meter: meter, checksFirstRecords: settings.checksFirstRecords)
    self.merge = LedgerMerge(
      compiled: compiled, ledger: ledger, environment: environment, committer: committer, followers: followers, owner: owner, meter: meter)
    placements = Placements(compiled)
    pool = PreparerPool(compiled, environment, dealer: settings.dealer)
    weights = RowWeights(compiled)
    let lanes = HeldLanes(dealt: settings.dealt)
    self.lanes = lanes
    alarm = followers.sinks?.advanced ?? Alarm()
    flusher = StateFlusher(
      lanes: { lanes.actors }, news: lanes.stateNews, state: compiled.hasLaneState ? environment.state : nil, clock: environment.clock,
      spec: compiled.plan.store, rowsMax: environment.memory.stateRowsMax, owner: owner, reached: settings.reached,
      meter: settings.latency, live: meter, variant: environment.variant)
  }

  var variant: EngineVariant { environment.variant }

  /// The lanes have rows in a state table.
  var hasStateRows: Bool { environment.state != nil && compiled.hasLaneState }

  // MARK: Lanes

  /// Restores lanes that have a shard each, as the ledger has them. They are not held yet.
  /// - Parameters:
  ///   - identities: of their shards, where the source can say.
  ///   - isOver: the session ends.
  /// - Returns: nil: it is over.
  func restore(
    _ ids: [LaneID], _ fold: LedgerFold, of shards: [SourceShard], identities: [LaneID: ShardIdentity] = [:],
    until isOver: @Sendable () -> Bool
  ) async throws -> [ShardLane]? {
    for id in ids {
      guard fold[id]?.position != nil else { throw WeirError(.corrupt, "the ledger has no position for \(id.shard)") }
      await committer.hold(id, fold[id])
    }
    let restorer = Restorer(compiled: compiled, store: environment.lake, fold: fold, run: run, ledger: ledger, variant: variant)
    guard let actors = try await restorer.shards(ids, parallel: environment.parallel, until: isOver) else { return nil }
    for actor in actors { await actor.begin(identities[actor.id] ?? ShardIdentity()) }
    try await recoverRows(of: actors, fold)
    return actors.compactMap { actor in
      let shard = actor.id.shard
      guard let before = fold[actor.id], let position = before.position else { return nil }
      return ShardLane(
        actor, self, fold: before, placement: placements.placement(of: shard, in: shards, fold),
        range: shards.first { $0.name == shard }?.hashRange,
        reading: meter.take(shard, position: position, watermark: before.watermark))
    }
  }

  /// Brings the state table's rows of lanes that were restored just now to the ledger's position (``FlushMark``).
  func recoverRows(of actors: [LaneActor], _ fold: LedgerFold) async throws {
    guard let state = environment.state else { return }
    let ids = actors.flatMap(\.ids)
    // Rows of these lanes may be on their way since this worker had them before.
    try await flusher.pausing { [self] in
      try await claim(ids, state, fold)
      if hasStateRows { try await FlushMark.recover(actors, state, fold, owner: owner, variant) }
      // The entry may have moved a lane past a gap, and an idle lane has no other for long.
      // Parents' worker may have stopped between their last entry, and there is no other that writes theirs.
      let parents = ids.flatMap { fold[$0]?.origin?.parents.map(\.lane) ?? [] }
      if recordsTakeOvers {
        try await state.write(StateWrite([], meta: Followers.marks(fold, of: Set(ids + parents)), owners: owners(of: ids)))
      }
      await flusher.forget(ids)
    }
  }

  /// Two replays of one ledger may begin at the same entry: the later claim has the rows, and the other ends at its next write. One that
  /// claims late must not take back what the other has flushed and committed since, so the ledger is looked at after the claim: where the
  /// other has committed nothing, what it has flushed is flushed again by this one.
  private func claim(_ ids: [LaneID], _ state: any StateTable, _ fold: LedgerFold) async throws {
    guard !variant.contains(.takesOverUnmarked) else { return }
    try await FlushMark.own(ids + (sharesEntry ? [.merge] : []), owner, state, fold)
    if recordsTakeOvers || variant.contains(.claimsWithoutLook) { return }
    let head = try await ledger.refresh()
    guard head.number == fold.number else { throw Session.replaced(by: head.number) }
  }

  /// Another run of a ledger that has one run has committed an entry.
  static func replaced(by number: Int64) -> WeirError {
    WeirError(
      .fenced, "another run has committed entry \(number) since this one began: this one stops",
      advice: "Nothing was lost. Let the other one finish, or start again when it has stopped.")
  }

  /// Of rows and marks of these lanes, and of merged rows where they share the lanes' entries.
  func owners(of lanes: [LaneID]) -> [(String, [UInt8])] {
    guard environment.state != nil, !variant.contains(.takesOverUnmarked) else { return [] }
    return FlushMark.owners(of: lanes + (sharesEntry ? [.merge] : []), owner)
  }

  // MARK: After a commit

  /// Lanes, followers and the state table take over what an entry with these epochs says.
  func follow(_ fold: LedgerFold, _ epochs: [LaneEpoch], behindMax: Int64 = Followers.behindMax) async throws {
    for epoch in epochs { await lanes[epoch.lane]?.committed(fold[epoch.lane]) }
    placements.adopt(fold)
    meter.enter(.tables)
    let named = epochs.map(\.lane)
    try await followers.applied(
      fold: fold, merged: await committer.takeMergedRows(), lanes: sharesEntry ? nil : Set(named), owners: owners(of: named),
      behindMax: behindMax)
  }

  /// Deletes what nothing needs any more; brings up the followers for it.
  /// - Returns: false: more is left to collect.
  func collect() async throws -> Bool {
    let fold = try await ledger.refresh()
    if variant.contains(.collectsUnapplied) {
      return try await LedgerKeeping.collect(ledger, keep: compiled.plan.lake.ledgerKeepMicroseconds, appliedThrough: fold.number)
    }
    try await followers.catchUp(to: fold.number)
    return try await opened.collect()
  }

  /// - Parameter state: what the lanes held at the last cut; nil: what they hold now.
  /// - Returns: what the lanes and the merge lane hold.
  /// - Throws: `memory_exceeded`.
  @discardableResult
  func checkMemory(_ state: StateBytes? = nil) async throws -> StateBytes {
    var held = await committer.mergeBytes + merge.stateBytes
    if let state { held += state } else { for actor in lanes.actors { held += await actor.stateBytes } }
    environment.governor.holds(held)
    meter.holding(held, of: environment.memory, peak: environment.governor.peak)
    try environment.memory.check(held)
    return held
  }
}
