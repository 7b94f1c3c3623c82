import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// Replays a plain capture: one shard, partitioned over the lanes of the ledger, all of which this worker has.
/// Marks in the stream cut them together.
///
/// Four stages run at the same time: the reader deals blocks, the lanes consume them, an epoch is encoded, and the one before it is
/// committed. The state flusher runs at the same time.
final class MarkConductor: Sendable {
  let session: Session
  let lanesCount: Int
  let sequencer: Sequencer
  let start: CaptureStart
  let endIsRecorded: Bool
  /// The last entry left windows of the lanes to the next ones (``LaneCommit/isClosing``): this is the watermark that finishes them.
  let closingWatermark: Int64?
  /// All windows of the lanes are closed, or are at the beginning of this run.
  let isClosed: Bool
  private let firstEntry: Int64
  let halvings: Int
  let reading: LaneReading
  let counts: WorkerCounts
  let isPaced: Bool

  init(_ opened: OpenedLedger, _ fold: LedgerFold, counts: WorkerCounts, latency: LatencyMeter?) async throws {
    let (compiled, environment, genesis) = (opened.compiled, opened.environment, fold.genesis)
    let ids = genesis.lanes.filter { $0 != .merge }
    let run = RunInfo(compiled.plan, runID: fold.runID)
    let restorer = Restorer(compiled: compiled, store: environment.lake, fold: fold, run: run)
    let groups = try await restorer.groups(ids, parallel: environment.parallel)
    lanesCount = ids.count
    let merge = try await restorer.merge()
    let expiring = merge.expiringTables
    let mergedRows = fold.mergeLane.epoch > 0 ? merge.everyStateRow(ledgerNumber: fold.number) : []
    let first = ids.first.flatMap { fold[$0] }
    for id in ids where fold[id]?.position != first?.position || fold[id]?.prefixHash != first?.prefixHash {
      throw WeirError(
        .corrupt, "the ledger has lanes of one capture at different places: \(id.text) is not where \(ids[0].text) is",
        advice: "Restore the ledger from a copy of the lake.")
    }
    let watermark = first?.watermark ?? Watermark.minimum
    let position = try first?.position?.offset(in: run.shard) ?? 0
    start = CaptureStart(position: position, prefix: first?.prefixHash, fileEnds: genesis.capturedFileEnds)
    endIsRecorded = fold.hasEnded
    closingWatermark = ids.contains { fold[$0]?.isClosing == true } ? watermark : nil
    isClosed = fold.isFinished || closingWatermark == Watermark.maximum
    firstEntry = fold.number + 1
    halvings = await MemoryRelief.halvings(environment.lake, opened.ledger.layout, at: fold.number)
    sequencer = Sequencer(compiled.plan, maximum: Sequencer.maximum(of: watermark, compiled.plan.record.time), judge: .stream)
    reading = opened.meter.take(run.shard, position: ShardPoint(position), watermark: watermark)
    isPaced = latency != nil
    self.counts = counts
    session = await Session(
      opened, merge: .sameEntry(merge),
      .init(
        checksFirstRecords: false, dealt: groups,
        dealer: ids.count > 1 ? LaneDealer(genesis.dealing ?? compiled.plan.source.deal, lanes: ids.count) : nil,
        reached: { counts.progress.position }, latency: latency))
    try await session.recoverRows(of: groups, fold)
    try await session.checkMemory()
    if !session.variant.contains(.sharedRowsNotRepeated) {
      try await session.followers.repairMerged(fold, rows: mergedRows, expiring: expiring, owners: session.owners(of: []))
    }
    for id in ids { await session.committer.hold(id, fold[id]) }
    await session.committer.hold(.merge, fold.mergeLane)
    if !session.variant.contains(.sharedRestStays) { try await commitRest() }
  }

  func run(
    _ makeSource: (CaptureStart) throws -> any RecordSource, keepOpen: Bool,
    observe: @escaping @Sendable (WorkerEvent) -> Void, interruption: Flag
  ) async throws -> WorkerEnd {
    let source = try makeSource(start)
    defer { session.meter.released([session.run.shard], isLost: false) }
    do {
      let end = try await runStages(source, keepOpen: keepOpen, observe: observe, interruption: interruption)
      try await session.flusher.flush()
      await source.close()
      return end
    } catch {
      await source.close()
      throw error
    }
  }

  // MARK: Stages

  /// What the stages hand on.
  private struct Stages {
    let work = Handover<LaneWork>()
    let batches = Handover<EpochBatch>()
    let encoded = Handover<EncodedBatch>()
    /// The lanes have consumed all.
    let isDone = Flag()

    /// One of them has failed: none may wait for another.
    func finish() async {
      await work.finish()
      await batches.finish()
      await encoded.finish()
    }
  }

  private func runStages(
    _ source: any RecordSource, keepOpen: Bool, observe: @escaping @Sendable (WorkerEvent) -> Void, interruption: Flag
  ) async throws -> WorkerEnd {
    let stages = Stages()
    return try await withThrowingTaskGroup(of: WorkerEnd?.self) { group in
      group.addTask { [self] in try await read(source, into: stages.work, keepOpen: keepOpen, interruption: interruption) }
      group.addTask { [self] in
        defer { stages.isDone.raise() }
        try await visitLanes(stages.work, into: stages.batches, observe: observe)
        return nil
      }
      group.addTask { [self] in
        try await encode(stages.batches, into: stages.encoded)
        return nil
      }
      group.addTask { [self] in
        try await commitAll(stages.encoded)
        return nil
      }
      group.addTask { [flusher = session.flusher] in
        try await flusher.run(until: stages.isDone)
        // The lanes have all; while the last epoch waits for the disk, the rows can be flushed (law 6).
        try await flusher.flush()
        return nil
      }
      var end: WorkerEnd?
      do {
        for try await result in group { end = result ?? end }
      } catch {
        stages.isDone.raise()
        // The reader may wait for a pipe that gives nothing more.
        await source.close()
        await stages.finish()
        throw error
      }
      return end ?? .interrupted
    }
  }

  /// The stage that reads: finishes the hand-over when all is read, and when it has failed.
  /// - Returns: nil: the lanes take no more.
  private func read(
    _ source: any RecordSource, into work: Handover<LaneWork>, keepOpen: Bool, interruption: Flag
  ) async throws -> WorkerEnd? {
    do {
      var reader = await MarkReader(self, work, keepOpen: keepOpen, interruption: interruption)
      let end = try await reader.read(source)
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

  private func visitLanes(
    _ work: Handover<LaneWork>, into batches: Handover<EpochBatch>, observe: @escaping @Sendable (WorkerEvent) -> Void
  ) async throws {
    let stage = LaneStage(session) { [self] in
      count($0, $1, $2)
      // What a flush has shown meanwhile is measured by the next one.
      if isPaced { session.lanes.stateNews.ring() }
      observe(.consumed(counts.progress))
    }
    try await stage.run(work, into: batches)
  }

  /// The stage between the lanes and the committer. Finishes both hand-overs: the one it takes from, when the committer has failed, so that the
  /// sender does not wait for room; the one it sends to, when all is encoded.
  private func encode(_ batches: Handover<EpochBatch>, into encoded: Handover<EncodedBatch>) async throws {
    do {
      var number = firstEntry
      while let batch = await batches.receive() {
        let next = try await session.committer.encode(batch, number: number)
        // Its rows are in files now.
        session.environment.governor.freed()
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

  private func commitAll(_ encoded: Handover<EncodedBatch>) async throws {
    do {
      while try await commitNext(encoded) {
        session.environment.governor.ended()
        await count(session.committer)
      }
    } catch {
      // The stages before may be waiting for room: they must see that no batch is taken any more.
      await encoded.finish()
      throw error
    }
  }

  /// - Returns: false: no epoch comes any more. The batch is free then.
  private func commitNext(_ encoded: Handover<EncodedBatch>) async throws -> Bool {
    guard let batch = await encoded.receive() else { return false }
    try await commit(batch)
    return true
  }

  private func commit(_ encoded: EncodedBatch) async throws {
    defer { session.meter.enter(.idle) }
    let fold = try await session.committer.commit(encoded).fold()
    try await session.follow(fold, encoded.batch.epochs)
    await session.followers.sinks?.admit(fold.number)
    try await commitRest()
    // The lanes may have consumed more since the cut.
    let state = try await session.checkMemory(encoded.batch.epochs.reduce(StateBytes()) { $0 + $1.sizes.state })
    counts.update { $0.state = state }
  }

  /// What the merge lane's last epoch left. A run that begins does it first: so the entries are those of a run that was not killed.
  private func commitRest() async throws {
    while let end = try await session.committer.commitRest() {
      let fold = try end.fold()
      try await session.follow(fold, [])
      await session.followers.sinks?.admit(fold.number)
    }
  }

  private func count(_ committer: isolated EpochCommitter) {
    counts.update { ($0.filesMax, $0.entries, $0.rejected) = (committer.filesMax, committer.entries, committer.rejected) }
  }

  private func count(_ records: Int, _ position: Int64, _ watermark: Int64) {
    let before = max(counts.progress.position, start.position)
    counts.update {
      $0.records += Int64(records)
      ($0.position, $0.watermark) = (position, watermark)
    }
    reading.consumed(
      records: Int64(records), bytes: position - before, through: position, watermark: watermark,
      now: session.environment.clock.monotonicNanoseconds)
  }
}
