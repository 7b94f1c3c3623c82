import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// Carries out steps of a replay of a recorded stream, with the lanes, the committer and the merge lane of a live worker.
///
/// One step after the other, so nothing depends on time; the next blocks are read and prepared meanwhile.
final class RecordedSession: Sendable {
  private let compiled: CompiledPlan
  private let environment: EngineEnvironment
  private let ledger: Ledger
  private let followers: Followers
  private let stream: any RecordedStream
  private let planHash: String
  private let meter: LiveMeter
  private let run: RunInfo
  private let committer: EpochCommitter
  private let merge: LedgerMerge
  private let flusher: StateFlusher
  private let pool: PreparerPool
  private let lanes: Lanes
  private let placements: Placements
  private let weights: RowWeights
  private let counted: Mutex<ReplayProgress>

  /// One shard being replayed: its lane and what is done in shard order before it.
  private struct Lane: Sendable {
    var shard: LaneActor
    var sequencer: Sequencer
    var placement: Placement?
    var reading: LaneReading
  }

  /// The lanes that have a position.
  private final class Lanes: Sendable {
    let all = Mutex<[LaneID: Lane]>([:])
    var actors: [LaneActor] { all.withLock { $0.values.map(\.shard).sorted { $0.id < $1.id } } }
  }

  init(
    compiled: CompiledPlan, environment: EngineEnvironment, ledger: Ledger, followers: Followers, stream: any RecordedStream,
    planHash: String, progress: ReplayProgress, meter: LiveMeter, repeatsRun: Bool = false
  ) async throws {
    self.compiled = compiled
    self.environment = environment
    self.ledger = ledger
    self.followers = followers
    self.stream = stream
    self.planHash = planHash
    self.meter = meter
    counted = Mutex(progress)
    run = RunInfo(compiled.plan.source, runID: await ledger.fold.runID)
    committer = EpochCommitter(
      environment: environment, compiled: compiled, ledger: ledger, planHash: planHash, run: run,
      worker: String(environment.random.next(), radix: 16), meter: meter, checksFirstRecords: !repeatsRun)
    merge = LedgerMerge(
      compiled: compiled, ledger: ledger, environment: environment, committer: committer, followers: followers, meter: meter)
    pool = PreparerPool(compiled, environment)
    placements = Placements(compiled)
    weights = RowWeights(compiled)
    let lanes = Lanes()
    self.lanes = lanes
    flusher = StateFlusher(
      lanes: { lanes.actors }, state: compiled.hasLaneState ? environment.state : nil, clock: environment.clock, spec: compiled.plan.store,
      rowsMax: environment.memory.stateRowsMax)
    let fold = await ledger.fold
    try await take(fold.lanes.keys.filter { $0 != .merge && fold[$0]?.position != nil }.sorted(), fold)
    try await merge.begin(fold, run: run)
    try await checkMemory()
  }

  /// - Throws: `memory_exceeded`.
  private func checkMemory() async throws {
    var state = await merge.stateBytes
    for shard in lanes.actors { state += await shard.stateBytes }
    let held = state
    counted.withLock { $0.state = held }
    environment.governor.holds(state)
    meter.holding(state, of: environment.memory, peak: environment.governor.peak)
    try environment.memory.check(state)
  }

  var progress: ReplayProgress { counted.withLock { $0 } }

  /// Restores lanes as the ledger has them.
  private func take(_ ids: [LaneID], _ fold: LedgerFold) async throws {
    let restorer = Restorer(compiled: compiled, store: environment.lake, fold: fold, run: run)
    var restored: [LaneActor] = []
    for id in ids {
      guard let before = fold[id], let position = before.position else {
        throw WeirError(.corrupt, "the ledger has no position for \(id.shard)")
      }
      let shard = try await restorer.shard(id)
      restored.append(shard)
      await committer.hold(id, before)
      let lane = Lane(
        shard: shard,
        sequencer: Sequencer(
          compiled.plan, maximum: Sequencer.maximum(of: before.watermark, compiled.plan.record.time), judge: .clock(before.clock)),
        placement: placements.placement(of: id.shard, in: stream.shards, fold),
        reading: meter.take(id.shard, position: position, watermark: before.watermark))
      lanes.all.withLock { $0[id] = lane }
    }
    if let state = environment.state, compiled.hasLaneState { try await FlushMark.recover(restored, state, fold) }
  }

  /// - Returns: false if it was stopped from outside behind one of the steps.
  func carryOut(
    _ steps: [RecordedStep], observe: @escaping @Sendable (ReplayProgress) -> Void, isInterrupted: @escaping @Sendable () -> Bool
  ) async throws -> Bool {
    let source = stream.source(steps.map(\.read))
    let isDone = Flag()
    do {
      let isWhole = try await withThrowingTaskGroup(of: Bool?.self) { group in
        group.addTask { [self] in
          defer { isDone.raise() }
          return try await read(source, steps, observe, isInterrupted)
        }
        group.addTask { [flusher] in
          try await flusher.run(until: isDone)
          return nil
        }
        var isWhole = true
        do {
          for try await result in group { isWhole = result ?? isWhole }
        } catch {
          isDone.raise()
          throw error
        }
        return isWhole
      }
      try await flusher.flush()
      await source.close()
      return isWhole
    } catch {
      await source.close()
      throw error
    }
  }

  private func read(
    _ source: any RecordSource, _ steps: [RecordedStep], _ observe: @Sendable (ReplayProgress) -> Void,
    _ isInterrupted: @escaping @Sendable () -> Bool
  ) async throws -> Bool {
    var isWhole = true
    var rule = CutRule(environment.memory)
    // The step at hand, less what a cut for memory has committed of it.
    var (current, step) = (0, steps.first)
    try await pool.forEach(source, .capture(environment, isInterrupted)) { event in
      switch event {
      case .block(var block, let end):
        try await consume(&block, end: end)
        rule.add(weights.weight(of: block))
        observe(progress)
        // What a live run cut is cut there again, and nowhere else.
        guard rule.isDue, let whole = step, whole.number == nil else { return true }
        rule.cut()
        let (done, rest) = whole.split(at: await positions())
        step = rest
        try await commit(done)
      case .cut(let number, _):
        precondition(current == Int(number), "steps end in their order")
        rule.cut()
        if let step, step.isWhole || step.hasMore { try await commit(step) }
        current += 1
        step = current < steps.count ? steps[current] : nil
      case .end, .pause, .caughtUp, .outOfRange: break
      case .interrupted: isWhole = false
      }
      return true
    }
    return isWhole
  }

  private func positions() async -> [String: Int64] {
    var positions: [String: Int64] = [:]
    for shard in lanes.actors { positions[shard.id.shard] = await shard.standing.point.ordinal }
    return positions
  }

  private func consume(_ block: inout PreparedBlock, end: ShardPoint) async throws {
    guard let details = block.decoded.raw.details else { return }
    let id = LaneID(shard: details.shard)
    guard var lane = lanes.all.withLock({ $0[id] }) else {
      throw WeirError(.internal, "records of \(id.text), which no entry has begun")
    }
    _ = try lane.sequencer.sequence(&block)
    try lane.placement?.check(block)
    let advanced = lane
    lanes.all.withLock { $0[id] = advanced }
    await lane.shard.consume([DealtBlocks(block, end: end.ordinal, watermark: lane.sequencer.watermark)], to: end)
    lane.reading.consumed(
      records: Int64(block.count), bytes: Int64(block.decoded.raw.count), through: end.ordinal, watermark: lane.sequencer.watermark,
      now: environment.clock.monotonicNanoseconds)
    counted.withLock {
      $0.records += Int64(block.count)
      $0.position += Int64(block.decoded.raw.count)
      $0.watermark = max($0.watermark, advanced.sequencer.watermark)
    }
  }

  // MARK: Commits

  private func commit(_ step: RecordedStep) async throws {
    switch step.work {
    case .epochs(let isClosing): try await commitEpochs(step, isClosing)
    case .empty: try await commitEmpty(step)
    case .merge(let through, let watermark): try await merge.repeats(through: through, watermark: watermark)
    case .carrier: try await RecordedSession.carry(step.decisions[.merge] ?? [], ledger, planHash)
    }
    let number = await ledger.fold.number
    if let expected = step.number, number != expected {
      throw WeirError(
        .fenced, "entry \(expected) came out as entry \(number): another worker commits on this ledger",
        advice: "Run one worker per ledger.")
    }
    counted.withLock {
      $0.entries += 1
      $0.ledgerNumber = number
    }
    // Without recorded entries the merge lane follows each commit of the others.
    if step.number == nil, step.work != .carrier, step.work != .empty { try await mergeBehind() }
  }

  /// Lets the merge lane follow. A run that was killed between the others' entry and its own left it behind, and it goes first
  /// then: so the entries are those of a run that was not killed.
  func mergeBehind() async throws {
    guard let fold = try await merge.round() else { return }
    counted.withLock {
      $0.entries += 1
      $0.ledgerNumber = fold.number
    }
  }

  private func commitEpochs(_ step: RecordedStep, _ isClosing: Bool) async throws {
    let before = await ledger.fold
    var epochs: [LaneEpoch] = []
    for range in step.ranges {
      let id = LaneID(shard: range.shard)
      guard let lane = lanes.all.withLock({ $0[id] }) else {
        throw WeirError(.internal, "an epoch of \(id.text), which no entry has begun")
      }
      await lane.shard.advance(position: range.to, watermark: isClosing ? Watermark.maximum : lane.sequencer.watermark)
      let standing = await lane.shard.standing
      // As the live worker does with an idle lane's open windows.
      if before[id]?.isIdle == true, !step.moves(id), standing.hasOpenWindows, before.mergedWatermark > standing.floor {
        await lane.shard.raise(floor: before.mergedWatermark)
      }
      let epoch = try await lane.shard.cut()[0]
      if let counts = step.counts[id] { try RecordedSession.check(epoch, counts, range) }
      epochs.append(epoch)
    }
    var decisions = step.decisions
    if step.number == nil {
      for (id, decision) in try placements.decisions(epochs.map(\.lane), of: stream.shards, over: before) {
        decisions[id, default: []].append(decision)
      }
    }
    let batch = EpochBatch(epochs: epochs, decisions: decisions)
    let fold = try await committer.commit(committer.encode(batch, number: before.number + 1)).fold()
    counted.withLock { for epoch in epochs { $0.rejected.add(epoch.rejected) } }
    placements.adopt(fold)
    for epoch in epochs {
      let shard = lanes.all.withLock { lanes in
        lanes[epoch.lane]?.sequencer.adopt(clock: fold[epoch.lane]?.clock)
        return lanes[epoch.lane]?.shard
      }
      await shard?.raise(floor: fold[epoch.lane]?.floor ?? Watermark.minimum)
      if let generation = fold[epoch.lane]?.generation { await shard?.begin(generation: generation) }
    }
    meter.enter(.tables)
    defer { meter.enter(.idle) }
    try await followers.applied(fold: fold, merged: [], lanes: Set(epochs.map(\.lane)))
    await followers.sinks?.admit(fold.number)
    try await checkMemory()
  }

  private static func check(_ epoch: LaneEpoch, _ counts: BucketCounts, _ range: RecordedRange) throws(WeirError) {
    guard epoch.counts != counts else { return }
    throw WeirError(
      .captureDiffers,
      "the live run counted \(counts.input) records in positions \(range.from) to \(range.to) of \(range.shard) (\(counts.accepted) accepted), the capture gives \(epoch.counts.input) (\(epoch.counts.accepted) accepted)",
      advice:
        "The capture must hold everything that the live run read: start it before the worker. A replay without --decisions uses the records that it has."
    )
  }

  private func commitEmpty(_ step: RecordedStep) async throws {
    let fold = await ledger.fold
    let commits = step.ranges.map { range in
      let id = LaneID(shard: range.shard)
      var commit = fold.emptyEpoch(of: id, decisions: step.decisions[id] ?? [])
      (commit.from, commit.to) = (.offset(range.from), .offset(range.to))
      return commit
    }
    let after = try await committer.commit(empty: commits).fold()
    try await take(commits.map(\.lane), after)
  }

  /// Commits decisions that no lane of the stream carries.
  static func carry(_ decisions: [Decision], _ ledger: Ledger, _ planHash: String) async throws {
    let carrier = await ledger.fold.emptyEpoch(of: .merge, decisions: decisions)
    _ = try await ledger.decide(planHash: planHash) { _ in [carrier] }.fold()
  }
}
