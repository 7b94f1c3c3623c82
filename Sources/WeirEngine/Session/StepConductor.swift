import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// Replays a recorded stream by a script: this worker has all shards of the capture, and each step says what is consumed and what is
/// committed after it.
///
/// One step after the other, so nothing depends on time; the next blocks are read and prepared meanwhile.
final class StepConductor: Sendable {
  private let session: Session
  private let stream: any RecordedStream
  private let counts: WorkerCounts
  /// The newest record that was read of each lane.
  private let lasts = Mutex<[LaneID: Fingerprint]>([:])
  private let observe: @Sendable (WorkerEvent) -> Void

  /// - Parameters:
  ///   - number: the ledger's last entry when the steps were made.
  ///   - repeatsRun: its records were looked at when the live run committed them.
  /// - Throws: `fenced` if the ledger has a later entry.
  init(
    _ opened: OpenedLedger, after number: Int64, stream: any RecordedStream, counts: WorkerCounts, repeatsRun: Bool = false,
    observe: @escaping @Sendable (WorkerEvent) -> Void
  ) async throws {
    (self.stream, self.counts, self.observe) = (stream, counts, observe)
    session = await Session(opened, .init(checksFirstRecords: !repeatsRun))
    let fold = await session.ledger.fold
    // Two runs of one ledger: the lanes would begin after records that the steps still hold.
    guard fold.number == number else { throw Session.replaced(by: fold.number) }
    let held = fold.lanes.filter { $0.key != .merge && $0.value.position != nil && !$0.value.isShardClosed }.keys
    try await take(held.sorted(), fold)
    try await session.merge.begin(fold, run: session.run)
    try await checkMemory()
  }

  private func checkMemory() async throws {
    let state = try await session.checkMemory()
    counts.update { $0.state = state }
  }

  /// Restores lanes as the ledger has them.
  private func take(_ ids: [LaneID], _ fold: LedgerFold) async throws {
    for lane in try await session.restore(ids, fold, of: stream.shards, until: { false }) ?? [] { session.lanes.add(lane) }
  }

  /// - Returns: false if it was stopped from outside after one of the steps.
  func carryOut(_ steps: [RecordedStep], _ interruption: Flag) async throws -> Bool {
    let source = stream.source(steps.map(\.read))
    let isDone = Flag()
    do {
      let isWhole = try await withThrowingTaskGroup(of: Bool?.self) { group in
        group.addTask { [self] in
          defer { isDone.raise() }
          return try await read(source, steps, interruption)
        }
        group.addTask { [session] in
          try await session.flusher.run(until: isDone)
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
      try await session.flusher.flush()
      await source.close()
      return isWhole
    } catch {
      await source.close()
      throw error
    }
  }

  private func read(
    _ source: any RecordSource, _ steps: [RecordedStep], _ interruption: Flag
  ) async throws -> Bool {
    var isWhole = true
    var rule = CutRule(session.environment.memory)
    // The current step, less what a cut for memory has committed of it.
    var (current, step) = (0, steps.first)
    try await session.pool.forEach(source, .capture(session.environment, interruption)) { event in
      switch event {
      case .block(var block, let end):
        try await consume(&block, end: end)
        rule.add(session.weights.weight(of: block))
        observe(.consumed(counts.progress))
        // What a live run cut is cut there again, and nowhere else.
        guard rule.isDue, let whole = step, whole.number == nil else { return true }
        rule.cut()
        let (done, rest) = whole.split(at: await positions())
        step = rest
        try await commit(done)
      case .cut(let number, _):
        try invariant(current == Int(number), "step \(number) ended, and step \(current) is the current one")
        rule.cut()
        if let step, step.isWhole || step.hasMore { try await commit(step) }
        current += 1
        step = current < steps.count ? steps[current] : nil
      case .end, .pause, .caughtUp, .outOfRange, .closed: break
      case .interrupted: isWhole = false
      }
      return true
    }
    return isWhole
  }

  private func positions() async -> [String: Int64] {
    var positions: [String: Int64] = [:]
    for actor in session.lanes.actors { positions[actor.id.shard] = await actor.standing.point.ordinal }
    return positions
  }

  private func consume(_ block: inout PreparedBlock, end: ShardPoint) async throws {
    guard let details = block.decoded.details else { throw WeirError(.internal, "a block of a recorded stream names no shard") }
    let lane = try lane(LaneID(shard: details.shard), "records")
    if let last = block.decoded.raw.lastFingerprint { lasts.withLock { $0[lane.id] = last } }
    try lane.sequence(&block)
    let other = try await lane.consume(block, end: end)
    try invariant(other == nil, "\(lane.id.shard): a replay has one version of each lookup at a time")
    let (records, bytes, watermark) = (Int64(block.count), Int64(block.decoded.raw.count), lane.watermark)
    counts.update {
      $0.records += records
      $0.position += bytes
      $0.watermark = max($0.watermark, watermark)
    }
  }

  private func lane(_ id: LaneID, _ what: String) throws(WeirError) -> ShardLane {
    guard let lane = session.lanes[id] else { throw WeirError(.internal, "\(what) of \(id.text), which no entry has begun") }
    return lane
  }

  // MARK: Commits

  private func commit(_ step: RecordedStep) async throws {
    switch step.work {
    case .epochs(let isClosing): try await commitEpochs(step, isClosing)
    case .empty: try await commitEmpty(step)
    case .merge(let through, let watermark): try await session.merge.repeats(through: through, watermark: watermark, rows: step.rows)
    case .carrier: try await StepConductor.carry(step.decisions[.merge] ?? [], session.ledger, session.opened.planHash)
    }
    let number = await session.ledger.fold.number
    if let expected = step.number, number != expected {
      throw WeirError(
        .fenced, "entry \(expected) became entry \(number): another worker commits to this ledger",
        advice: "Run one worker per ledger.")
    }
    countEntry(number)
    // Without recorded entries the merge lane follows each commit of the others.
    if step.number == nil, step.work != .carrier, step.work != .empty { try await mergeNews() }
    if step.number == nil, case .epochs = step.work { try await closeRest() }
    await dropClosed()
  }

  /// Lanes whose shards have ended have no more epochs; their children have their state.
  private func dropClosed() async {
    let fold = await session.ledger.fold
    let closed = session.lanes.inOrder.map(\.id).filter { fold[$0]?.isShardClosed == true }
    guard !closed.isEmpty else { return }
    session.lanes.remove(closed)
    await session.committer.drop(closed)
  }

  /// Lets the merge lane follow. A run that was killed between the others' entry and its own did not merge, so the merge comes first
  /// then: so the entries are those of a run that was not killed.
  func mergeNews() async throws {
    let before = await session.ledger.fold.number
    guard let fold = try await session.merge.round() else { return }
    for number in before + 1...fold.number { countEntry(number) }
  }

  /// Commits the windows that the lanes' last epochs left, in epochs without records. A run that was killed between them does it first.
  func closeRest() async throws {
    while true {
      let fold = await session.ledger.fold
      let isClosing = fold.hasEnded
      var step = RecordedStep(work: .epochs(isClosing: isClosing))
      for lane in session.lanes.inOrder where await lane.actor.isClosing {
        let at = await lane.actor.standing.point.ordinal
        step.ranges.append(RecordedRange(shard: lane.id.shard, from: at, to: at))
      }
      if step.ranges.isEmpty { return }
      try await commitEpochs(step, isClosing)
      countEntry(await session.ledger.fold.number)
      try await mergeNews()
    }
  }

  private func countEntry(_ number: Int64) {
    counts.update {
      $0.entries += 1
      $0.ledgerNumber = number
    }
  }

  private func commitEpochs(_ step: RecordedStep, _ isClosing: Bool) async throws {
    let before = await session.ledger.fold
    var epochs: [LaneEpoch] = []
    for range in step.ranges {
      let lane = try lane(LaneID(shard: range.shard), "an epoch")
      let actor = lane.actor
      let cutPoint = await actor.standing.cutPoint.ordinal
      try invariant(cutPoint == range.from, "\(range.shard) was cut at \(cutPoint), and its next epoch begins at \(range.from)")
      try await actor.pass(to: range.to, watermark: isClosing ? Watermark.maximum : lane.watermark)
      let standing = await actor.standing
      let isPlanted = session.variant.contains(.repeatsWithoutFloors)
      let isOpen = before[lane.id]?.isIdle == true && !step.moves(lane.id) && standing.hasOpenWindows
      if let floor = step.floors[lane.id], !isPlanted {
        await actor.raise(floor: floor)
      } else if !isPlanted, isOpen, before.mergedWatermark > standing.floor {
        // The entry of an earlier version does not say by which floor it finished windows: this one is nearly always it.
        await actor.raise(floor: before.mergedWatermark)
      }
      // The children of a closed shard begin with windows that are not written out.
      var epoch = try await actor.cut(isWhole: step.closes(lane.id))[0]
      epoch.floor = step.floors[lane.id]
      if let counts = step.counts[lane.id] { try StepConductor.check(epoch, counts, range) }
      try checkLast(of: lane.id, step)
      epochs.append(epoch)
    }
    var decisions = step.decisions
    if step.number == nil {
      for (id, decision) in try session.placements.decisions(epochs.map(\.lane), of: stream.shards, over: before) {
        decisions[id, default: []].append(decision)
      }
    }
    let batch = EpochBatch(epochs: epochs, decisions: decisions)
    let encoded = try await session.committer.encode(batch, number: before.number + 1)
    try step.rows?.check(encoded.rows, without: step.hasFloors ? [] : laneWindows)
    compareFiles(encoded, step)
    let fold = try await session.committer.commit(encoded).fold()
    counts.update { for epoch in epochs { $0.rejected.add(epoch.rejected) } }
    defer { session.meter.enter(.idle) }
    try await session.follow(fold, epochs)
    await session.followers.sinks?.admit(fold.number)
    try await checkMemory()
  }

  /// Tables whose windows the lanes finish.
  private var laneWindows: Set<String> {
    let plan = session.compiled.plan
    return Set(plan.gold.indices.filter { session.compiled.aggregates[$0].isFinishedInLane }.map { plan.path(of: .gold($0)) })
  }

  private static func check(_ epoch: LaneEpoch, _ counts: BucketCounts, _ range: RecordedRange) throws(WeirError) {
    guard epoch.counts != counts else { return }
    throw WeirError(
      .captureDiffers,
      "the live run counted \(counts.input) records in positions \(range.from) to \(range.to) of \(range.shard) (\(counts.accepted) accepted), the capture gives \(epoch.counts.input) (\(epoch.counts.accepted) accepted)",
      advice:
        "The capture must hold everything that the live run read: start it before the worker. A replay \(.withoutDecisions) uses the records that it has."
    )
  }

  /// The live run's last record must be the capture's, too.
  private func checkLast(of lane: LaneID, _ step: RecordedStep) throws(WeirError) {
    guard let expected = step.lasts[lane], let found = lasts.withLock({ $0[lane] }), found != expected else { return }
    throw WeirError(
      .captureDiffers,
      "the live run read \(expected.description) at position \(expected.position) of \(lane.shard), the capture has \(found.description) at position \(found.position)",
      advice:
        "The capture must be of the topic that the live run read. A replay \(.withoutDecisions) uses the records that it has.")
  }

  /// Other records with the same counts, or another version of Weir, make other files: the summary says so.
  private func compareFiles(_ encoded: EncodedBatch, _ step: RecordedStep) {
    guard let recorded = step.rows, step.hasFloors else { return }
    let files = Dictionary(grouping: encoded.files.sorted { $0.key < $1.key }.flatMap(\.value), by: \.table).mapValues { $0.map(\.data) }
    let others = files.keys.filter { !recorded.agrees(with: files[$0] ?? [], in: $0) }
    guard !others.isEmpty else { return }
    counts.update {
      $0.otherEntries += 1
      $0.firstOther = $0.firstOther ?? "entry \(recorded.number), \(others.sorted().joined(separator: ", "))"
    }
  }

  private func commitEmpty(_ step: RecordedStep) async throws {
    let fold = await session.ledger.fold
    let commits = step.ranges.map { range in
      let id = LaneID(shard: range.shard)
      var commit = fold.emptyEpoch(of: id, decisions: step.decisions[id] ?? [])
      (commit.from, commit.to) = (.offset(range.from), .offset(range.to))
      commit.start = step.starts[id]
      return commit
    }
    let after = try await session.committer.commit(empty: commits).fold()
    try await take(commits.map(\.lane), after)
  }

  /// Commits decisions that no lane of the stream carries.
  static func carry(_ decisions: [Decision], _ ledger: Ledger, _ planHash: String) async throws {
    let carrier = await ledger.fold.emptyEpoch(of: .merge, decisions: decisions)
    _ = try await ledger.decide(planHash: planHash) { _ in [carrier] }.fold()
  }
}
