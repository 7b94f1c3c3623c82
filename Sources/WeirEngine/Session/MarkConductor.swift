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
  private let lanesCount: Int
  private let sequencer: Sequencer
  private let start: CaptureStart
  private let endIsRecorded: Bool
  /// The last entry left windows of the lanes to the next ones (``LaneCommit/isClosing``): this is the watermark that finishes them.
  private let closingWatermark: Int64?
  /// All windows of the lanes are closed, or are at the beginning of this run.
  private let isClosed: Bool
  private let firstEntry: Int64
  private let halvings: Int
  private let reading: LaneReading
  private let counts: WorkerCounts
  private let isPaced: Bool

  init(_ opened: OpenedLedger, _ fold: LedgerFold, counts: WorkerCounts, latency: LatencyMeter?) async throws {
    let (compiled, environment, genesis) = (opened.compiled, opened.environment, fold.genesis)
    let ids = genesis.lanes.filter { $0 != .merge }
    let run = RunInfo(compiled.plan.source, runID: fold.runID)
    let restorer = Restorer(compiled: compiled, store: environment.lake, fold: fold, run: run)
    let groups = try await restorer.groups(ids, parallel: environment.parallel)
    lanesCount = ids.count
    let merge = try await restorer.merge()
    let mergedRows = fold.mergeLane.epoch > 0 ? merge.allStateRows(ledgerNumber: fold.number) : []
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
      try await session.followers.repairMerged(fold, rows: mergedRows, owners: session.owners(of: []))
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
    let work = Handover<LaneWork>()
    let batches = Handover<EpochBatch>()
    let encoded = Handover<EncodedBatch>()
    let flusher = session.flusher
    let isDone = Flag()
    defer { session.meter.released([session.run.shard], isLost: false) }
    do {
      let end = try await withThrowingTaskGroup(of: WorkerEnd?.self) { group in
        group.addTask { [self] in
          do {
            let end = try await read(
              source, into: work, together: LaneStage.together(lanes: lanesCount, isPaced: isPaced), keepOpen: keepOpen,
              interruption: interruption)
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
          let stage = LaneStage(session) { [self] in
            count($0, $1, $2)
            // What a flush has shown meanwhile is measured by the next one.
            if isPaced { session.lanes.stateNews.ring() }
            observe(.consumed(counts.progress))
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
            while try await commitNext(encoded) {
              session.environment.governor.ended()
              await count(session.committer)
            }
          } catch {
            // The stages before may be waiting for room: they must see that no batch is taken any more.
            await encoded.finish()
            throw error
          }
          return nil
        }
        group.addTask {
          try await flusher.run(until: isDone)
          // The lanes have all; while the last epoch waits for the disk, the rows can be flushed (law 6).
          try await flusher.flush()
          return nil
        }
        var end: WorkerEnd?
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

  // MARK: The reader's loop

  private func read(
    _ source: any RecordSource, into work: Handover<LaneWork>, together: Int, keepOpen: Bool, interruption: Flag
  ) async throws -> WorkerEnd {
    var confirmed = ConfirmedEvents(sequencer, keepOpen: keepOpen) { [pool = session.pool] in pool.prepare($0) }
    var firsts = FirstRecords(session.compiled.plan, await session.ledger.fold)
    var rule = CutRule(session.environment.memory, halvings: halvings)
    var waiting: [(block: PreparedBlock, end: Int64, watermark: Int64)] = []
    var last: (position: Int64, hash: Hash128) = (start.position, start.prefix ?? RunningHash().digest)
    var end = WorkerEnd.finished
    var blankLines = 0
    func send(_ next: LaneWork?) async throws(LanesGone) {
      if let next, await !work.send(next) { throw LanesGone() }
    }
    func cut(_ position: Int64, _ hash: Hash128, _ watermark: Int64, for reason: String) async throws {
      try invariant(position >= last.position, "a cut at byte \(position), after one at byte \(last.position)")
      try await send(deal(&waiting))
      last = (position, hash)
      if firsts.holdsBack {
        // A cut changes no row: the next one takes these records along, if one that can be used comes first.
        guard position - start.position >= FirstRecords.bytesMax else { return }
        try firsts.end()
      }
      rule.cut()
      session.meter.cut(reason)
      try await send(.cut(position: position, prefixHash: hash, watermark: watermark, decisions: [], blankLines: blankLines))
      blankLines = 0
    }
    func take(_ event: SequencedEvent) async throws {
      switch event {
      case .block(let block, let position, let watermark):
        blankLines += block.decoded.blankLines
        guard block.count > 0 else { break }
        try firsts.take(block)
        rule.add(session.weights.weight(of: block))
        let hash = block.decoded.raw.prefixHash
        waiting.append((block, position, watermark))
        guard rule.isDue, let hash else {
          if waiting.count >= together { try await send(deal(&waiting)) }
          return
        }
        try await cut(position, hash, watermark, for: "memory")
        // The next mark of the source may be far.
        if interruption.isRaised { throw StoppedBehindCut() }
      // A mark after a block where the epoch was cut already says nothing new.
      case .cut(let position, let hash, let watermark):
        if !rule.isEmpty || position != last.position { try await cut(position, hash, watermark, for: "size") }
      case .pause: try await send(deal(&waiting))
      case .end where keepOpen:
        // What waits may be the first that can be used.
        if confirmed.waitsFrom == nil { try firsts.end() }
        try await send(deal(&waiting))
        end = .keptOpen
      case .end:
        try firsts.end()
        try await send(deal(&waiting))
        if isClosed { break }
        if session.variant.contains(.endsAtOnce) {
          let (at, hash) = last
          return try await send(
            .cut(position: at, prefixHash: hash, watermark: Watermark.maximum, decisions: [.endOfInput], blankLines: blankLines))
        }
        // The end of input is a decision: an empty epoch carries it, and only the entry after it closes windows.
        if !endIsRecorded || session.variant.contains(.endsTwice) {
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
    let clock = session.environment.clock
    do {
      reading.enter(.reading, now: clock.monotonicNanoseconds)
      if let closingWatermark {
        try await send(.cut(position: last.position, prefixHash: last.hash, watermark: closingWatermark, decisions: [], blankLines: 0))
      }
      try await session.pool.forEach(source, .capture(session.environment, interruption)) { event in
        reading.enter(.working, now: clock.monotonicNanoseconds)
        defer { reading.enter(.reading, now: clock.monotonicNanoseconds) }
        for ready in try confirmed.admit(event) { try await take(ready) }
        counts.update { ($0.uncounted, $0.waitsFrom) = (confirmed.sequencer.uncounted, confirmed.waitsFrom) }
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

/// The lanes take no more work: a cut failed, or the committer did.
private struct LanesGone: Error {}

/// Stopped from outside, after a cut that is not a mark of the source.
private struct StoppedBehindCut: Error {}
