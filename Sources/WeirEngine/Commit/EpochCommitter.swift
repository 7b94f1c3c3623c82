import WeirCore
import WeirOperators
import WeirProtocol

/// Commits batches in order: files and blobs, then the ledger's entry, then the followers.
///
/// One commit is under way at a time; the lanes go on with the next epoch meanwhile. If a commit does not end as
/// committed, the worker stops: what the lanes hold behind it is dropped, and the next run restores from the ledger.
actor EpochCommitter {
  private let environment: EngineEnvironment
  private let compiled: CompiledPlan
  private let ledger: Ledger
  private let encoder: BatchEncoder
  private let merge: MergeLane
  private let followers: Followers
  private let planHash: ContentHash
  private let worker: String
  private(set) var fold: LedgerFold
  private(set) var entries: Int64 = 0

  init(
    environment: EngineEnvironment, compiled: CompiledPlan, ledger: Ledger, fold: LedgerFold, merge: sending MergeLane,
    followers: Followers, planHash: ContentHash, run: RunInfo
  ) {
    self.environment = environment
    self.compiled = compiled
    self.ledger = ledger
    self.fold = fold
    self.merge = merge
    self.followers = followers
    self.planHash = planHash
    worker = String(environment.random.next(), radix: 16)
    encoder = BatchEncoder(
      layouts: TableLayout.all(compiled.plan), plan: compiled.plan, run: run, threads: environment.threads)
  }

  /// - Throws: `fenced`, `unknown`, `quarantine_halt` and what the store throws; each ends the worker.
  func commit(_ batch: EpochBatch) async throws {
    try checkQuarantine(batch)
    let attempt = Hash128(low: environment.random.next(), high: environment.random.next()).hex
    let number = fold.next
    var draft = EntryDraft(
      commitID: attempt, worker: worker, planHash: planHash, lanes: batch.epochs.map { lane($0, batch) })
    // The merge lane's part: this epoch's contributions, and the windows that the watermark after this entry finishes.
    draft.mergedWatermark = fold.mergedWatermark(after: draft)
    let merged = compiled.hasMerge ? merge.merge(batch.epochs.map(\.partial), watermark: draft.mergedWatermark) : [:]
    let files = try await encoder.encode(batch, merged: merged, stem: "\(padded(number))-\(attempt.prefix(12))")
    draft.tables = BatchEncoder.commits(files)
    let blobs = addBlobs(&draft, batch, path: "blobs/\(padded(number))-\(attempt).state")
    try await environment.lake.write(
      files.map { NewObject(path: $0.table + "/" + $0.path, bytes: $0.bytes) }
        + [NewObject(path: ledger.prefix + blobs.path, bytes: blobs.bytes)])
    try await put(draft)
    entries += 1
    try await followers.applied(
      fold: fold, merged: compiled.hasMerge ? merge.takeStateRows(ledgerNumber: fold.next - 1) : [])
  }

  private func padded(_ n: Int64) -> String {
    let text = String(n)
    return String(repeating: "0", count: max(0, 8 - text.utf8.count)) + text
  }

  private func lane(_ epoch: LaneEpoch, _ batch: EpochBatch) -> LaneCommit {
    let before = fold.lanes[epoch.lane]
    var windows: [String: WindowCounts] = [:]
    for (gold, counts) in zip(compiled.plan.gold, epoch.windowCounts) { windows[gold.name] = counts }
    return LaneCommit(
      lane: epoch.lane, generation: before?.generation ?? 1, epoch: fold.nextEpoch(epoch.lane),
      from: before?.position ?? .offset(0), to: .offset(epoch.position), watermark: epoch.watermark,
      prefixHash: batch.prefixHash, counts: epoch.counts, windows: windows,
      decisions: epoch.lane == batch.epochs[0].lane ? batch.decisions : [])
  }

  /// All blobs of the entry in one object, and the references to them in the draft.
  private func addBlobs(_ draft: inout EntryDraft, _ batch: EpochBatch, path: String) -> (path: String, bytes: [UInt8]) {
    var bytes: [UInt8] = []
    func add(_ blob: [UInt8]) -> BlobRef {
      let ref = BlobRef(
        path: path, offset: Int64(bytes.count), length: Int64(blob.count), hash: ContentHash(of: blob))
      bytes += blob
      return ref
    }
    func state(_ lane: LaneID, _ blob: [UInt8], isBase: Bool) -> StateRef {
      let ref = add(blob)
      guard !isBase, let before = fold.lanes[lane]?.state else { return StateRef(base: ref) }
      return StateRef(base: before.base, deltas: before.deltas + [ref])
    }
    for (i, epoch) in batch.epochs.enumerated() {
      draft.lanes[i].state = state(epoch.lane, epoch.state, isBase: epoch.stateIsBase)
    }
    guard compiled.hasMerge else { return (path, bytes) }
    let (blob, isBase) = merge.save()
    draft.lanes.append(
      LaneCommit(
        lane: .merge, generation: 1, epoch: fold.nextEpoch(.merge), from: fold.lanes[.merge]?.position ?? .offset(0),
        to: .offset(fold.next), watermark: draft.mergedWatermark, prefixHash: nil,
        state: state(.merge, blob, isBase: isBase)))
    var partials = ByteWriter()
    for epoch in batch.epochs { epoch.partial.save(into: &partials) }
    draft.partials = add(partials.bytes)
    return (path, bytes)
  }

  private func put(_ draft: EntryDraft) async throws {
    // One worker owns all lanes of a capture: an entry that came between names them, so nothing is ever derived again.
    let outcome = try await ledger.commit(draft, on: fold) { _ in draft }
    switch outcome {
    case .committed(_, let fold): self.fold = fold
    case .fenced(let lanes, _):
      throw WeirError(
        "fenced", "another worker committed for lane \(lanes.first?.text ?? "") of this ledger: this one stops",
        advice: "Run one worker a ledger. Nothing was lost: the other one goes on, and a new run goes on from the ledger.",
        fatalTo: .worker)
    case .unknown(let why):
      throw WeirError(
        "unknown", "nobody knows whether ledger entry \(fold.next) was written: \(why)",
        advice: "Run again: it starts from what the ledger says.", isRetriable: true, fatalTo: .worker)
    }
  }

  private func checkQuarantine(_ batch: EpochBatch) throws {
    guard let share = compiled.plan.quarantine.haltAbove else { return }
    var counts = BucketCounts()
    for epoch in batch.epochs { counts += epoch.counts }
    guard counts.input > 0, Double(counts.quarantined) > share * Double(counts.input) else { return }
    throw WeirError(
      "quarantine_halt",
      "\(counts.quarantined) of the \(counts.input) records up to position \(batch.epochs[0].position) would be quarantined, more than halt_above: \(share * 100)% allows",
      advice:
        "Nothing of this epoch was committed. Leave `halt_above` out to let the records into quarantine, look at their reasons, mend them.")
  }
}
