import WeirCore
import WeirOperators
import WeirProtocol

/// Commits batches in order: files and blobs, then the ledger's entry, then the followers.
///
/// One commit is under way at a time; the next epoch is encoded meanwhile, and the lanes go on with the one after. If a commit does not end as
/// committed, the worker stops: what the lanes hold behind it is dropped, and the next run restores from the ledger.
actor EpochCommitter {
  private let environment: EngineEnvironment
  private let compiled: CompiledPlan
  nonisolated let ledger: Ledger
  nonisolated let encoder: BatchEncoder
  private let merge: MergeLane
  private let followers: Followers
  private let planHash: String
  private let worker: String
  private(set) var fold: LedgerFold
  private(set) var entries: Int64 = 0
  /// Of what was committed.
  private(set) var rejected = RejectedReasons()
  /// What lanes and merge lane held behind the last commit.
  private(set) var state = StateBytes()

  init(
    environment: EngineEnvironment, compiled: CompiledPlan, ledger: Ledger, fold: LedgerFold, merge: sending MergeLane,
    followers: Followers, planHash: String, run: RunInfo
  ) {
    self.environment = environment
    self.compiled = compiled
    self.ledger = ledger
    self.fold = fold
    self.merge = merge
    self.followers = followers
    self.planHash = planHash
    worker = String(environment.random.next(), radix: 16)
    encoder = BatchEncoder(compiled, run: run, threads: environment.threads)
  }

  /// - Throws: `fenced`, `unknown`, `quarantine_halt` and what the store throws; each ends the worker.
  func commit(_ encoded: EncodedBatch) async throws {
    var batch = encoded.batch
    let attempt = encoded.attempt
    try batch.checkQuarantine(compiled.plan)
    let began = environment.clock.monotonicNanoseconds
    var draft = EntryDraft(
      commitID: attempt, worker: worker, planHash: planHash, lanes: batch.epochs.map { lane($0, batch) })
    // The merge lane's part: this epoch's contributions, and the windows that the watermark after this entry finishes.
    let watermark = fold.mergedWatermark(with: draft.lanes)
    let merged = compiled.hasMerge ? merge.merge(batch.epochs.compactMap(\.partial), watermark: watermark) : [:]
    let byTable = try await encoded.files.merging(encoder.encode(merged: merged, stem: encoded.stem)) { $0 + $1 }
    let files = byTable.sorted { $0.key < $1.key }.flatMap(\.value)
    draft.tables = BatchEncoder.commits(files)
    let blobs = addBlobs(&draft, &batch, path: ledger.layout.blob(attempt: attempt, name: "state"), watermark: watermark)
    if compiled.hasMerge { draft.lanes[draft.lanes.count - 1].windows = MergeLane.counts(merged, compiled.plan) }
    try await environment.lake.write(
      files.map { NewObject(path: $0.table + "/" + $0.path, bytes: $0.bytes) }
        + [blobs])
    try await put(draft, began: began)
    entries += 1
    rejected.add(batch.rejected)
    try await LedgerKeeping.snapshot(ledger, number: fold.number)
    try await followers.applied(
      fold: fold, merged: compiled.hasMerge ? merge.takeStateRows(ledgerNumber: fold.number) : [])
    await followers.sinks?.admit(fold.number)
    state = batch.epochs.reduce(merge.stateBytes) { $0 + $1.sizes.state }
    try environment.memory.check(state)
  }

  private func lane(_ epoch: LaneEpoch, _ batch: EpochBatch) -> LaneCommit {
    let before = fold[epoch.lane]
    var windows: [String: WindowCounts] = [:]
    for (gold, counts) in zip(compiled.plan.gold, epoch.windowCounts) { windows["gold/\(gold.name)"] = counts }
    return LaneCommit(
      lane: epoch.lane, dealing: fold.genesis.dealing, generation: before?.generation ?? 0,
      epoch: fold.nextEpoch(of: epoch.lane), from: before?.position ?? .offset(0), to: .offset(epoch.position),
      watermark: epoch.watermark, prefixHash: batch.prefixHash, counts: epoch.counts, windows: windows,
      decisions: batch.decisions)
  }

  /// All blobs of the entry in one object, and the references to them in the draft. Takes them out of the batch.
  private func addBlobs(
    _ draft: inout EntryDraft, _ batch: inout EpochBatch, path: String, watermark: Int64
  ) -> NewObject {
    var pack = BlobPack(path: path, bytes: batch.epochs.reduce(0) { $0 + $1.state.count } + 1 << 12)
    for (i, epoch) in batch.epochs.enumerated() {
      draft.lanes[i].state = pack.add(state: epoch.state, isBase: epoch.stateIsBase, before: fold[epoch.lane]?.state)
      batch.epochs[i].state = []
    }
    guard compiled.hasMerge else { return pack.object }
    let (blob, isBase) = merge.save()
    draft.lanes.append(
      LaneCommit(
        lane: .merge, generation: fold.mergeLane.generation, epoch: fold.nextEpoch(of: .merge),
        from: fold.mergeLane.position ?? .offset(0), to: .offset(fold.number + 1), endsAtItself: true,
        watermark: watermark, state: pack.add(state: blob, isBase: isBase, before: fold[.merge]?.state)))
    var partials = ByteWriter()
    for epoch in batch.epochs { epoch.partial?.save(into: &partials) }
    draft.partials = pack.add(partials.bytes)
    return pack.object
  }

  private func put(_ draft: EntryDraft, began: Int64) async throws {
    // One worker owns all lanes of a capture: an entry that came between names them, so the merged part is never derived
    // again; the fence drops the whole draft.
    switch try await ledger.commit(draft, startedNanoseconds: began) {
    case .committed(_, let fold): self.fold = fold
    case .fenced(let lanes, _):
      throw WeirError(
        "fenced", "another worker committed for lane \(lanes.first?.text ?? "") of this ledger: this one stops",
        advice: "Run one worker a ledger. Nothing was lost: the other one goes on, and a new run goes on from the ledger.",
        fatalTo: .worker)
    case .unknown:
      throw WeirError(
        "unknown", "nobody knows whether ledger entry \(fold.number + 1) was written",
        advice: "Look at space and permissions of the lake's directory, then run again: it starts from what the ledger says.",
        isRetriable: true, fatalTo: .worker)
    }
  }
}
