import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// One run between restoring the lanes and the end of the input.
final class ReplaySession: Sendable {
  private let compiled: CompiledPlan
  private let environment: EngineEnvironment
  private let run: RunInfo
  private let groups: [LaneActor]
  private let lanesCount: Int
  private let dealer: LaneDealer?
  private let sequencer: Sequencer
  private let weights: RowWeights
  private let start: CaptureStart
  private let endIsRecorded: Bool
  private let firstEntry: Int64
  private let halvings: Int
  let committer: EpochCommitter
  private let followers: Followers
  private let meter: LiveMeter
  private let reading: LaneReading
  private let counted = Mutex(ReplayProgress())

  init(
    compiled: CompiledPlan, environment: EngineEnvironment, ledger: Ledger, fold: LedgerFold, followers: Followers,
    planHash: String, meter: LiveMeter
  ) async throws {
    self.compiled = compiled
    self.environment = environment
    let genesis = fold.genesis
    let ids = genesis.lanes.filter { $0 != .merge }
    run = RunInfo(compiled.plan.source, runID: fold.runID)
    let restorer = Restorer(compiled: compiled, store: environment.lake, fold: fold, run: run)
    groups = try await restorer.groups(ids, parallel: environment.parallel)
    lanesCount = ids.count
    if let state = environment.state, compiled.hasLaneState { try await FlushMark.recover(groups, state, fold) }
    let merge = try await restorer.merge()
    var state = merge.stateBytes
    for group in groups { state += await group.stateBytes }
    try environment.memory.check(state)
    if fold.mergeLane.epoch > 0 {
      try await followers.repairMerged(fold, rows: merge.allStateRows(ledgerNumber: fold.number))
    }
    let first = ids.first.flatMap { fold[$0] }
    let position = try first?.position?.offset(in: run.shard) ?? 0
    start = CaptureStart(position: position, prefix: first?.prefixHash, fileEnds: genesis.capturedFileEnds)
    endIsRecorded = fold.hasEnded
    firstEntry = fold.number + 1
    halvings = await MemoryRelief.halvings(environment.lake, ledger.layout, at: fold.number)
    dealer = ids.count > 1 ? LaneDealer(genesis.dealing ?? compiled.plan.source.deal, lanes: ids.count) : nil
    sequencer = Sequencer(
      compiled.plan, maximum: Sequencer.maximum(of: first?.watermark ?? Watermark.minimum, compiled.plan.record.time), judge: .stream)
    weights = RowWeights(compiled)
    self.followers = followers
    self.meter = meter
    reading = meter.take(run.shard, position: ShardPoint(position), watermark: first?.watermark ?? Watermark.minimum)
    committer = EpochCommitter(
      environment: environment, compiled: compiled, ledger: ledger, planHash: planHash, run: run,
      worker: String(environment.random.next(), radix: 16), merge: .sameEntry(merge), meter: meter, checksFirstRecords: false)
    for id in ids + [.merge] { await committer.hold(id, id == .merge ? fold.mergeLane : fold[id]) }
  }

  func progress() async -> ReplayProgress {
    var progress = counted.withLock { $0 }
    progress.entries = await committer.entries
    progress.ledgerNumber = await committer.ledger.fold.number
    progress.rejected = await committer.rejected
    return progress
  }

  func run(
    _ makeSource: (CaptureStart) throws -> any RecordSource, keepOpen: Bool,
    latency: LatencyMeter?, observe: @escaping @Sendable (ReplayProgress) -> Void,
    isInterrupted: @escaping @Sendable () -> Bool
  ) async throws -> ReplayEnd {
    let source = try makeSource(start)
    let work = Handover<LaneWork>()
    let batches = Handover<EpochBatch>()
    let encoded = Handover<EncodedBatch>()
    let flusher = StateFlusher(
      lanes: groups, state: compiled.hasLaneState ? environment.state : nil, clock: environment.clock, spec: compiled.plan.store,
      rowsMax: environment.memory.stateRowsMax, reached: { [self] in counted.withLock { $0.position } }, meter: latency, live: meter)
    let isDone = Flag()
    defer { meter.released([run.shard], isLost: false) }
    do {
      let end = try await withThrowingTaskGroup(of: ReplayEnd?.self) { group in
        group.addTask { [self] in
          do {
            let end = try await read(
              source, into: work, together: LaneStage.together(lanes: lanesCount, isPaced: latency != nil), keepOpen: keepOpen,
              isInterrupted: isInterrupted)
            await work.finish()
            return end
          } catch is LanesGone {
            // Their own error, or the committer's, ends the run and says why.
            return nil
          } catch {
            await work.finish()
            throw error
          }
        }
        group.addTask { [self] in
          defer { isDone.raise() }
          let stage = LaneStage(compiled, run, groups: groups, environment: environment) { [self] in
            count($0, $1, $2)
            observe(counted.withLock { $0 })
          }
          try await stage.run(work, into: batches)
          return nil
        }
        group.addTask { [self] in
          try await encode(batches, into: encoded)
          return nil
        }
        group.addTask { [self] in
          do {
            while let batch = await encoded.receive() {
              try await commit(batch)
              environment.governor.ended()
              let files = await committer.filesMax
              counted.withLock { $0.filesMax = files }
            }
          } catch {
            // The stages before may be waiting for room: they must see that nobody takes batches any more.
            await encoded.finish()
            throw error
          }
          return nil
        }
        group.addTask {
          try await flusher.run(until: isDone)
          // The lanes have all; while the last epoch waits for the disk, the rows can go on their way (law 6).
          try await flusher.flush()
          return nil
        }
        var end: ReplayEnd?
        do {
          for try await result in group { end = result ?? end }
        } catch {
          isDone.raise()
          // The reader may wait for a pipe that gives nothing more.
          await source.close()
          await work.finish()
          await batches.finish()
          await encoded.finish()
          throw error
        }
        return end ?? .interrupted
      }
      try await flusher.flush()
      await source.close()
      return end
    } catch {
      await source.close()
      throw error
    }
  }

  /// The stage between the lanes and the committer. Ends both hand-overs: the one before, for whoever waits for room in it when
  /// the committer has failed; the one behind, when all is encoded.
  private func encode(_ batches: Handover<EpochBatch>, into encoded: Handover<EncodedBatch>) async throws {
    do {
      var number = firstEntry
      while let batch = await batches.receive() {
        let next = try await committer.encode(batch, number: number)
        guard await encoded.send(next) else { break }
        number += 1
      }
      await batches.finish()
      await encoded.finish()
    } catch {
      await batches.finish()
      await encoded.finish()
      throw error
    }
  }

  private func commit(_ encoded: EncodedBatch) async throws {
    defer { meter.enter(.idle) }
    let fold = try await committer.commit(encoded).fold()
    meter.enter(.tables)
    try await followers.applied(fold: fold, merged: await committer.takeMergedRows())
    await followers.sinks?.admit(fold.number)
    let state = encoded.batch.epochs.reduce(await committer.mergeBytes) { $0 + $1.sizes.state }
    counted.withLock { $0.state = state }
    environment.governor.holds(state)
    meter.holding(state, of: environment.memory, peak: environment.governor.peak)
    try environment.memory.check(state)
  }

  // MARK: The reader's loop

  private func read(
    _ source: any RecordSource, into work: Handover<LaneWork>, together: Int, keepOpen: Bool,
    isInterrupted: @escaping @Sendable () -> Bool
  ) async throws -> ReplayEnd {
    var confirmed = ConfirmedEvents(sequencer, keepOpen: keepOpen)
    var firsts = FirstRecords(compiled.plan, await committer.ledger.fold)
    var rule = CutRule(environment.memory, halvings: halvings)
    var waiting: [(block: PreparedBlock, end: Int64, watermark: Int64)] = []
    var last: (position: Int64, hash: Hash128) = (start.position, start.prefix ?? RunningHash().digest)
    var end = ReplayEnd.finished
    var blankLines = 0
    func send(_ next: LaneWork?) async throws(LanesGone) {
      if let next, await !work.send(next) { throw LanesGone() }
    }
    func cut(_ position: Int64, _ hash: Hash128, _ watermark: Int64, for reason: String) async throws {
      try await send(deal(&waiting))
      last = (position, hash)
      if firsts.holdsBack {
        // A cut changes no row: the next one takes these records along, if one that can be used comes first.
        guard position - start.position >= FirstRecords.bytesMax else { return }
        try firsts.end()
      }
      rule.cut()
      meter.cut(reason)
      try await send(.cut(position: position, prefixHash: hash, watermark: watermark, decisions: [], blankLines: blankLines))
      blankLines = 0
    }
    func take(_ event: SequencedEvent) async throws {
      switch event {
      case .block(let block, let position, let watermark):
        blankLines += block.decoded.blankLines
        guard block.count > 0 else { break }
        try firsts.take(block)
        rule.add(weights.weight(of: block))
        let hash = block.decoded.raw.prefixHash
        waiting.append((block, position, watermark))
        guard rule.isDue, let hash else {
          if waiting.count >= together { try await send(deal(&waiting)) }
          return
        }
        try await cut(position, hash, watermark, for: "memory")
        // The next mark of the source may be far.
        if isInterrupted() { throw StoppedBehindCut() }
      // A mark behind a block where the epoch was cut already says nothing new.
      case .cut(let position, let hash, let watermark):
        if !rule.isEmpty || position != last.position { try await cut(position, hash, watermark, for: "size") }
      case .pause: try await send(deal(&waiting))
      case .end where keepOpen:
        try firsts.end()
        try await send(deal(&waiting))
        end = .keptOpen
      case .end:
        try firsts.end()
        try await send(deal(&waiting))
        // The end of input is a decision: an empty epoch carries it, and only the entry behind it closes windows.
        if !endIsRecorded {
          let watermark = confirmed.sequencer.watermark
          try await send(
            .cut(
              position: last.position, prefixHash: last.hash, watermark: watermark, decisions: [.endOfInput],
              blankLines: blankLines))
          blankLines = 0
        }
        try await send(
          .cut(position: last.position, prefixHash: last.hash, watermark: Watermark.maximum, decisions: [], blankLines: blankLines))
      case .interrupted: end = .interrupted
      }
    }
    let pool = PreparerPool(compiled, environment, dealer: dealer)
    do {
      reading.enter(.reading, now: environment.clock.monotonicNanoseconds)
      try await pool.forEach(source, .capture(environment, isInterrupted)) { event in
        reading.enter(.working, now: environment.clock.monotonicNanoseconds)
        defer { reading.enter(.reading, now: environment.clock.monotonicNanoseconds) }
        for ready in try confirmed.admit(event) { try await take(ready) }
        counted.withLock { $0.uncounted = confirmed.sequencer.uncounted }
        return true
      }
    } catch is StoppedBehindCut { return .interrupted }
    return end
  }

  /// What waits as work for the lanes; nil: nothing does.
  private func deal(_ waiting: inout [(block: PreparedBlock, end: Int64, watermark: Int64)]) -> LaneWork? {
    guard let last = waiting.last else { return nil }
    defer { waiting.removeAll(keepingCapacity: true) }
    let deals =
      lanesCount >= LaneDeal.arrangedFrom
      ? [DealtBlocks(waiting.map(\.block), lanes: lanesCount, end: last.end, watermark: last.watermark)]
      : waiting.map { DealtBlocks([$0.block], lanes: lanesCount, end: $0.end, watermark: $0.watermark) }
    return .deals(deals, records: waiting.reduce(0) { $0 + $1.block.count }, end: last.end, watermark: last.watermark)
  }

  private func count(_ records: Int, _ position: Int64, _ watermark: Int64) {
    let before = counted.withLock { counted in
      defer {
        counted.records += Int64(records)
        counted.position = position
        counted.watermark = watermark
      }
      return counted.position
    }
    reading.consumed(
      records: Int64(records), bytes: position - max(before, start.position), through: position, watermark: watermark,
      now: environment.clock.monotonicNanoseconds)
  }
}

/// The lanes take no more work: a cut failed, or the committer did.
private struct LanesGone: Error {}

/// Stopped from outside, behind a cut that is no mark of the source.
private struct StoppedBehindCut: Error {}
