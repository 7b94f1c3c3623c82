import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// One run between restoring the lanes and the end of the input.
final class ReplaySession: Sendable {
  private let compiled: CompiledPlan
  private let environment: EngineEnvironment
  private let lanes: [ShardActor]
  private let sequencer: Sequencer
  private let start: (position: Int64, prefix: Hash128?)
  private let endIsRecorded: Bool
  private let firstEntry: Int64
  let committer: EpochCommitter
  private let counted = Mutex(ReplayProgress())

  init(
    compiled: CompiledPlan, environment: EngineEnvironment, ledger: Ledger, fold: LedgerFold, followers: Followers,
    planHash: String
  ) async throws {
    self.compiled = compiled
    self.environment = environment
    let genesis = fold.genesis
    let ids = genesis.lanes.filter { $0 != .merge }
    let run = RunInfo(shard: compiled.plan.source.stream, runID: genesis.runID)
    let restorer = Restorer(compiled: compiled, store: environment.lake, fold: fold, run: run)
    lanes = try await restorer.lanes(ids, parallel: environment.parallel, sharing: Restorer.sharing(ids.count))
    if let state = environment.state, compiled.hasLaneState { try await FlushMark.recover(lanes, state, fold) }
    let merge = try await restorer.merge()
    if fold.mergeLane.epoch > 0 {
      try await followers.repairMerged(fold, rows: merge.allStateRows(ledgerNumber: fold.number))
    }
    let first = ids.first.flatMap { fold[$0] }
    var position: Int64 = 0
    if case .offset(let offset)? = first?.position { position = offset }
    start = (position, first?.prefixHash)
    endIsRecorded = fold.hasEnded
    firstEntry = fold.number + 1
    sequencer = Sequencer(
      compiled.plan, dealing: genesis.dealing ?? compiled.plan.source.deal, lanes: ids.count,
      maximum: Sequencer.maximum(of: first?.watermark ?? Watermark.minimum, compiled.plan.record.time))
    committer = EpochCommitter(
      environment: environment, compiled: compiled, ledger: ledger, fold: fold, merge: merge, followers: followers,
      planHash: planHash, run: run)
  }

  func progress() async -> ReplayProgress {
    var progress = counted.withLock { $0 }
    progress.entries = await committer.entries
    progress.ledgerNumber = await committer.fold.number
    return progress
  }

  /// Blocks that the lanes get at once: handing over costs the same for one and for several. Each of hundreds of lanes has but a
  /// few rows of a block, and its state is in no cache when its turn comes; that is paid once for all of them. Where a record's latency
  /// counts, no block waits for another.
  private func together(isPaced: Bool) -> Int {
    isPaced ? 1 : min(ReplaySession.togetherMax, max(ReplaySession.togetherMin, lanes.count / ReplaySession.lanesABlock))
  }
  private static let togetherMin = 2
  private static let togetherMax = 8
  private static let lanesABlock = 32

  func run(
    _ makeSource: (Int64, Hash128?) throws -> any RecordSource, keepOpen: Bool,
    meter: LatencyMeter?, observe: @escaping @Sendable (ReplayProgress) -> Void,
    isInterrupted: @escaping @Sendable () -> Bool
  ) async throws -> ReplayEnd {
    let source = try makeSource(start.position, start.prefix)
    let batches = Handover<EpochBatch>()
    let encoded = Handover<EncodedBatch>()
    let flusher = StateFlusher(lanes: lanes, state: compiled.hasLaneState ? environment.state : nil, clock: environment.clock, spec: compiled.plan.store,
      reached: { [self] in counted.withLock { $0.position } }, meter: meter)
    let isDone = Flag()
    do {
      let end = try await withThrowingTaskGroup(of: ReplayEnd?.self) { group in
        group.addTask { [self] in
          defer { isDone.raise() }
          do {
            let end = try await read(source, into: batches, together: together(isPaced: meter != nil), keepOpen: keepOpen, observe: observe, isInterrupted: isInterrupted)
            await batches.finish()
            return end
          } catch is CommitterGone {
            // Its own error ends the run and says why.
            return nil
          } catch {
            await batches.finish()
            throw error
          }
        }
        group.addTask { [self] in
          try await encode(batches, into: encoded)
          return nil
        }
        group.addTask { [committer] in
          do {
            while let batch = await encoded.receive() { try await committer.commit(batch) }
          } catch {
            // The stages before may be waiting for room: they must see that nobody takes batches any more.
            await encoded.finish()
            throw error
          }
          return nil
        }
        group.addTask {
          try await flusher.run { isDone.isRaised }
          // The lanes have all; while the last epoch waits for the disk, the rows can go on their way (law 6).
          try await flusher.flush()
          return nil
        }
        var end: ReplayEnd?
        do {
          for try await result in group { end = result ?? end }
        } catch {
          isDone.raise()
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
        let next = try await committer.encoder.encode(batch, number: number, attempt: committer.ledger.makeAttemptID())
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

  // MARK: The reader's loop

  private func read(
    _ source: any RecordSource, into batches: Handover<EpochBatch>, together: Int, keepOpen: Bool,
    observe: @Sendable (ReplayProgress) -> Void, isInterrupted: @Sendable () -> Bool
  ) async throws -> ReplayEnd {
    var sequencer = self.sequencer
    var waiting: [SequencedBlock] = []
    var last: (position: Int64, hash: Hash128) = (start.position, start.prefix ?? RunningHash().digest)
    var end = ReplayEnd.finished
    try await PreparerPool(compiled, environment).forEach(source, parallel: environment.parallel, until: isInterrupted) { event in
      switch event {
      case .block(var block, let position):
        try sequencer.sequence(&block)
        waiting.append(SequencedBlock(block: block, end: position, watermark: sequencer.watermark))
        guard waiting.count >= together else { return }
        await deal(&waiting)
        observe(counted.withLock { $0 })
      case .cut(let position, let hash):
        await deal(&waiting)
        last = (position, hash)
        try await cut(position, hash, sequencer.watermark, [], into: batches)
      case .end where keepOpen:
        await deal(&waiting)
        end = .keptOpen
      case .end:
        await deal(&waiting)
        // The end of input is a decision: an empty epoch carries it, and only the entry behind it closes windows.
        if !endIsRecorded { try await cut(last.position, last.hash, sequencer.watermark, [.endOfInput], into: batches) }
        try await cut(last.position, last.hash, Watermark.maximum, [], into: batches)
      case .interrupted: end = .interrupted
      }
    }
    return end
  }

  /// Hands each lane its rows. As many tasks as run at once, each for every so many-th of the groups of lanes: a task a lane costs
  /// more than the few rows of a block that one of hundreds of lanes gets.
  private func deal(_ waiting: inout [SequencedBlock]) async {
    let blocks = waiting
    waiting.removeAll()
    let size = Restorer.sharing(lanes.count)
    let groups = (lanes.count + size - 1) / size
    let tasks = min(environment.parallel, groups)
    let share: @Sendable (Int) async -> Void = { [lanes] first in
      for group in stride(from: first, to: groups, by: tasks) {
        for number in group * size..<min((group + 1) * size, lanes.count) { await lanes[number].consume(blocks, lane: number) }
      }
    }
    // One share is the reader's own.
    await withDiscardingTaskGroup { others in
      for first in 1..<max(1, tasks) { others.addTask { await share(first) } }
      await share(0)
    }
    for next in blocks { count(next.block, next.end, next.watermark) }
  }

  private func count(_ block: PreparedBlock, _ position: Int64, _ watermark: Int64) {
    counted.withLock {
      $0.records += Int64(block.count)
      $0.position = position
      $0.watermark = watermark
    }
  }

  private func cut(
    _ position: Int64, _ hash: Hash128, _ watermark: Int64, _ decisions: [Decision], into batches: Handover<EpochBatch>
  ) async throws {
    var epochs: [LaneEpoch] = []
    for lane in lanes { epochs.append(try await lane.cut(position: position, watermark: watermark)) }
    guard await batches.send(EpochBatch(epochs: epochs, prefixHash: hash, decisions: decisions)) else {
      throw CommitterGone()
    }
  }
}

/// The committer takes no more batches: it has failed.
private struct CommitterGone: Error {}

/// A flag that one task raises and others look at.
final class Flag: Sendable {
  private let value = Atomic(false)
  func raise() { value.store(true, ordering: .releasing) }
  var isRaised: Bool { value.load(ordering: .acquiring) }
}

/// Makes lanes from what the ledger names.
struct Restorer: Sendable {
  let compiled: CompiledPlan
  let store: any ObjectStore
  let fold: LedgerFold
  let run: RunInfo

  /// Reads a blob and verifies its hash.
  func blob(_ ref: BlobRef) async throws -> [UInt8] {
    let path = ref.path
    guard let bytes = try await store.get(path, offset: ref.offset, count: Int(ref.length)) else {
      throw WeirError("corrupt", "the state blob \(path) is missing", advice: "Restore it from a copy of the lake.")
    }
    guard ContentHash(of: bytes).hex == ref.hash else {
      throw WeirError(
        "corrupt", "the state blob \(path) is not what the ledger names (bytes \(ref.offset) to \(ref.offset + ref.length))",
        advice: "Restore it from a copy of the lake.")
    }
    return bytes
  }

  func blobs(_ lane: LaneID) async throws -> [[UInt8]] {
    var all: [[UInt8]] = []
    let state = fold[lane]?.state
    for ref in (state.map { [$0.base] + $0.deltas }) ?? [] { all.append(try await blob(ref)) }
    return all
  }

  func state(_ id: LaneID, partial: SharedPartial? = nil) async throws -> sending LaneState {
    let before = fold[id]
    let lane = LaneState(
      id, generation: before?.generation ?? 0, compiled: compiled, run: RunInfo(shard: id.shard, runID: run.runID), partial: partial)
    if let before, case .offset(let position)? = before.position {
      try lane.restore(blobs: try await blobs(id), position: position, watermark: before.watermark)
    }
    // The floor of a lane that woke or joined is known only behind the entry that says so.
    lane.raise(floor: before?.floor ?? Watermark.minimum)
    return lane
  }

  /// How many neighbours of `lanes` lanes of a capture share a partial. It depends on nothing else: a partial's bytes are the same
  /// on every machine.
  static func sharing(_ lanes: Int) -> Int { max(1, lanes / partialsMax) }
  private static let partialsMax = 16

  /// As many side by side as run at once; every `sharing` neighbours share a partial.
  func lanes(_ ids: [LaneID], parallel: Int, sharing: Int = 1) async throws -> [ShardActor] {
    try await withThrowingTaskGroup(of: (Int, ShardActor).self) { group in
      var all = [ShardActor?](repeating: nil, count: ids.count)
      var shared: SharedPartial?
      for (number, id) in ids.enumerated() {
        // Each holds its blobs while it is restored.
        if number >= parallel, let (done, lane) = try await group.next() { all[done] = lane }
        if number % sharing == 0 { shared = SharedPartial(compiled) }
        group.addTask { [shared] in (number, ShardActor(try await state(id, partial: shared))) }
      }
      for try await (done, lane) in group { all[done] = lane }
      return all.compactMap(\.self)
    }
  }

  func merge() async throws -> sending MergeLane {
    let lane = MergeLane(compiled)
    try lane.restore(blobs: try await blobs(.merge))
    return lane
  }
}
