import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// Commits epochs of the lanes that this worker holds, in order: files and blobs, then the ledger's entry.
///
/// One commit is under way at a time; the next epoch may be encoded meanwhile. After a commit that did not end as committed nothing is
/// committed any more: what the lanes hold follows that epoch, so they are restored from the ledger first (law 2).
actor EpochCommitter {
  private nonisolated let environment: EngineEnvironment
  private let compiled: CompiledPlan
  nonisolated let ledger: Ledger
  private nonisolated let encoder: BatchEncoder
  private let planHash: String
  private let worker: String
  private let meter: LiveMeter
  /// nil: its epochs are in entries of their own.
  private let merge: MergeLane?
  private var lanes: [LaneID: CommittedLane] = [:]
  private(set) var entries: Int64 = 0
  /// Files of the entry that has most.
  private(set) var filesMax = 0
  /// Of what was committed.
  private(set) var rejected = RejectedReasons()
  /// What the merge lane of a shared entry has new for the state table since it was last asked.
  private var mergedRows: [StateBatch] = []
  private var isRefused = false
  private let checksFirstRecords: Bool
  /// A record that was not rejected is in the ledger.
  private var hasUsableRecord = false

  /// - Parameter checksFirstRecords: see ``FirstRecords``; false where records were looked at before, or a run is repeated.
  init(
    environment: EngineEnvironment, compiled: CompiledPlan, ledger: Ledger, planHash: String, run: RunInfo, worker: String,
    merge: sending MergePlacement = .ownEntry, meter: LiveMeter, checksFirstRecords: Bool
  ) {
    self.environment = environment
    self.compiled = compiled
    self.ledger = ledger
    self.planHash = planHash
    self.worker = worker
    self.meter = meter
    self.checksFirstRecords = checksFirstRecords
    self.merge = if compiled.hasMerge, case .sameEntry(let lane) = merge { lane } else { nil }
    encoder = BatchEncoder(compiled, run: run, environment)
  }

  // MARK: Lanes

  /// Takes a lane over as the ledger has it.
  func hold(_ lane: LaneID, _ fold: LaneFold?) { lanes[lane] = CommittedLane(fold) }

  func drop(_ dropped: some Collection<LaneID> & Sendable) { for lane in dropped { lanes[lane] = nil } }

  /// What the merge lane of a shared entry holds.
  var mergeBytes: StateBytes { merge?.stateBytes ?? StateBytes() }

  /// Rows of merged state that entries since the last call have changed.
  func takeMergedRows() -> [StateBatch] {
    defer { mergedRows = [] }
    return mergedRows
  }

  // MARK: Commits

  /// Encodes a batch that is committed next, or after the one that is committed now.
  /// - Parameter number: of the entry that it will be if no other comes between; shown in the files' names only.
  nonisolated func encode(_ batch: EpochBatch, number: Int64) async throws -> EncodedBatch {
    let began = environment.clock.monotonicNanoseconds
    var encoded = try await encoder.encode(batch, number: number, attempt: ledger.makeAttemptID())
    encoded.nanoseconds = environment.clock.monotonicNanoseconds - began
    return encoded
  }

  /// - Throws: `quarantine_halt`, `all_rejected`, `lookup_changed`, `plan_changed`, `misplaced`, and what the store throws.
  func commit(_ encoded: EncodedBatch) async throws -> CommitEnd {
    guard !isRefused else { return .abandoned }
    var batch = encoded.batch
    try invariant(
      Set(batch.epochs.map(\.lane)).count == batch.epochs.count, "a batch has two epochs of one lane: \(batch.epochs.map(\.lane.text))")
    try batch.checkQuarantine(compiled.plan)
    let fold = await ledger.fold
    if checksFirstRecords, !hasUsableRecord {
      // The newest fold: another worker may have committed an accepted record since this one's last entry.
      hasUsableRecord = try batch.checkFirstRecords(compiled.plan, try await ledger.refresh())
    }
    let began = environment.clock.monotonicNanoseconds
    var draft = EntryDraft(commitID: encoded.attempt, worker: worker, planHash: planHash)
    var pack = BlobPack(path: ledger.layout.blob(attempt: encoded.attempt, name: "state"))
    if environment.variant.contains(.followsOthersEpochs) { for lane in lanes.keys { hold(lane, fold[lane]) } }
    for i in batch.epochs.indices {
      draft.lanes.append(try lane(batch.epochs[i], batch, fold, &pack))
      batch.epochs[i].state = []
    }
    let files = try await addMerge(to: &draft, &pack, encoded, fold)
    if compiled.hasMerge {
      var partials = ByteWriter()
      for epoch in batch.epochs { epoch.partial?.save(into: &partials) }
      draft.partials = pack.add(partials.pieces)
    }
    draft.tables = BatchEncoder.commits(files)
    let variant = environment.variant
    if !variant.contains(.filesAfterEntry) { try await write(files, pack, took: encoded.nanoseconds) }
    let end = try await put(draft, batch.epochs, began: began)
    if variant.contains(.filesAfterEntry) { try await write(files, pack, took: encoded.nanoseconds) }
    return end
  }

  /// The epoch of a merge lane that has an entry of its own, with the files of what it finished.
  /// - Parameter rows: of the recorded entry that is repeated; nil: none is.
  /// - Throws: `capture_differs` if they are others.
  func commit(merged: MergedEpoch, through number: Int64, repeating rows: RecordedRows? = nil) async throws -> CommitEnd {
    guard !isRefused else { return .abandoned }
    guard let before = lanes[.merge] else { throw WeirError(.internal, "an epoch of the merge lane, which this worker does not hold") }
    try invariant(
      number >= before.position.ordinal, "the merge lane goes back from entry \(before.position.ordinal) to \(number)")
    let began = environment.clock.monotonicNanoseconds
    let attempt = ledger.makeAttemptID()
    let stem = BatchEncoder.stem(number: await ledger.fold.number + 1, attempt: attempt)
    let files = EpochCommitter.inOrder(try await encoder.encode(merged: merged.results, stem: stem))
    try rows?.check(RecordedRows.count(BatchEncoder.commits(files)))
    var pack = BlobPack(path: ledger.layout.blob(attempt: attempt, name: "merge"))
    let commit = LaneCommit(
      merged, through: number, itself: false, after: before,
      state: pack.add(state: merged.state.pieces, isBase: merged.state.isBase, before: before.state))
    let draft = EntryDraft(
      commitID: attempt, worker: worker, planHash: planHash, lanes: [commit], tables: BatchEncoder.commits(files))
    try await write(files, pack, took: environment.clock.monotonicNanoseconds - began)
    return try await put(draft, [], began: began)
  }

  /// An entry of a merge lane that shares the others' entries, where its last epoch left windows (``LaneCommit/isClosing``); nil: it did not.
  func commitRest() async throws -> CommitEnd? {
    guard let merge, merge.isClosing else { return nil }
    let fold = await ledger.fold
    return try await commit(merged: merge.epoch(watermark: fold.mergeLane.watermark), through: fold.number)
  }

  /// Empty epochs that only say something: where a lane begins, what was lost.
  func commit(empty lanes: [LaneCommit]) async throws -> CommitEnd {
    guard !isRefused else { return .abandoned }
    let draft = EntryDraft(commitID: ledger.makeAttemptID(), worker: worker, planHash: planHash, lanes: lanes)
    return try await put(draft, nil, began: environment.clock.monotonicNanoseconds)
  }

  /// What was taken out of lanes did not come into an entry: nothing that follows it may. A task that waits for its turn after the failure, as a
  /// hand-over does, would commit the records after those that are missing.
  func refuse() { if !environment.variant.contains(.cutsOnAfterError) { isRefused = true } }

  // MARK: Drafts

  private func lane(
    _ epoch: LaneEpoch, _ batch: EpochBatch, _ fold: LedgerFold, _ pack: inout BlobPack
  ) throws(WeirError) -> LaneCommit {
    guard let before = lanes[epoch.lane] else {
      throw WeirError(.internal, "an epoch of lane \(epoch.lane.text), which this worker does not hold")
    }
    try invariant(
      epoch.position >= before.position.ordinal,
      "lane \(epoch.lane.text) goes back from \(before.position.ordinal) to \(epoch.position)")
    if let last = before.position.sequence {
      try invariant(
        epoch.sequence.map { last <= $0 } == true,
        "lane \(epoch.lane.text) goes back from \(last.text) to \(epoch.point.position.text)")
    }
    return LaneCommit(
      epoch, after: before, dealing: fold.genesis.dealing, prefixHash: batch.prefixHash, decisions: batch.decisions[epoch.lane] ?? [],
      windows: epoch.windows(compiled.plan), state: pack.add(state: epoch.state, isBase: epoch.stateIsBase, before: before.state))
  }

  /// The part of a merge lane that shares the entry: the batch's contributions, and the windows that the watermark after the entry finishes.
  ///
  /// One worker owns all lanes then: an entry that came between names them, and the fence drops the whole draft. So the merged part is
  /// never derived again.
  /// - Returns: all files of the entry.
  private func addMerge(
    to draft: inout EntryDraft, _ pack: inout BlobPack, _ encoded: EncodedBatch, _ fold: LedgerFold
  ) async throws -> [EncodedFile] {
    guard let merge, let before = lanes[.merge] else { return EpochCommitter.inOrder(encoded.files) }
    let watermark = fold.mergedWatermark(with: draft.lanes)
    let merged = merge.epoch(encoded.batch.epochs.compactMap(\.partial), watermark: watermark)
    let files = try await encoded.files.merging(encoder.encode(merged: merged.results, stem: encoded.stem)) { $0 + $1 }
    draft.lanes.append(
      LaneCommit(
        merged, through: fold.number + 1, itself: true, after: before,
        state: pack.add(state: merged.state.pieces, isBase: merged.state.isBase, before: before.state)))
    return EpochCommitter.inOrder(files)
  }

  private static func inOrder(_ files: [Int: [EncodedFile]]) -> [EncodedFile] { files.sorted { $0.key < $1.key }.flatMap(\.value) }

  /// Writes an attempt's files and blobs.
  /// - Parameter took: nanoseconds that encoding the files took.
  private func write(_ files: [EncodedFile], _ pack: BlobPack, took: Int64) async throws {
    let began = environment.clock.monotonicNanoseconds
    // What two attempts write has never one name.
    try invariant(
      Set(files.map(\.data.path)).count == files.count, "two files of an attempt have one name: \(pack.path)")
    meter.enter(.writing)
    try await environment.lake.write(BatchEncoder.objects(files) + [pack.object])
    filesMax = max(filesMax, files.count)
    meter.encoded(files, nanoseconds: took + environment.clock.monotonicNanoseconds - began)
  }

  // MARK: The entry

  /// - Parameter epochs: of lanes of shards; nil: the entry only says something, which counts for nothing.
  private func put(_ draft: EntryDraft, _ epochs: [LaneEpoch]?, began: Int64) async throws -> CommitEnd {
    let (compiled, planHash) = (self.compiled, self.planHash)
    let isUnnoticed = environment.variant.contains(.growthUnnoticed)
    let lookups = try lookups(of: epochs ?? [])
    meter.enter(.ledger)
    let putBegan = environment.clock.monotonicNanoseconds
    let tries = Atomic(0)
    let outcome = try await ledger.commit(attempt: draft.commitID, startedNanoseconds: began) { fold in
      tries.add(1, ordering: .relaxed)
      try fold.checkPlan(planHash)
      if !isUnnoticed { try compiled.check(fold) }
      try EpochCommitter.checkRules(draft, fold)
      return try draft.naming(lookups, over: fold)
    }
    meter.commitTook(environment.clock.monotonicNanoseconds - putBegan, of: "ledger")
    meter.told(outcome, tries: tries.load(ordering: .relaxed))
    switch outcome {
    case .committed(let number, let fold):
      try EpochCommitter.check(draft, at: number, in: fold)
      entries += 1
      // As the entry has them: its decisions may have started a new generation.
      for commit in draft.lanes where lanes[commit.lane] != nil { lanes[commit.lane] = CommittedLane(fold[commit.lane]) }
      if let merge { mergedRows += merge.takeStateRows(ledgerNumber: number) }
      for epoch in epochs ?? [] { rejected.add(epoch.rejected) }
      try await LedgerKeeping.snapshot(ledger, number: fold.number)
      if let epochs { meter.committed(epochs, draft, plan: compiled.plan, fold: fold) }
      return .committed(fold)
    case .fenced(let lanes, _):
      isRefused = !environment.variant.contains(.cutsOnAfterFence)
      return .fenced(lanes)
    case .abandoned:
      isRefused = true
      return .expired
    case .unknown:
      isRefused = !environment.variant.contains(.cutsOnAfterUnknown)
      return .unknown(number: await ledger.fold.number + 1)
    }
  }

  /// The fold that a commit ended with has its epochs.
  private static func check(_ draft: EntryDraft, at number: Int64, in fold: LedgerFold) throws(WeirError) {
    try invariant(fold.number >= number, "entry \(number) is committed, and the ledger ends at \(fold.number)")
    for commit in draft.lanes {
      let epoch = fold[commit.lane]?.epoch ?? 0
      try invariant(epoch >= commit.epoch, "epoch \(commit.epoch) of \(commit.lane.text) is committed, and its last one is \(epoch)")
    }
  }

  /// What this worker's records say of the producers' rule must agree with what others committed meanwhile.
  private static func checkRules(_ draft: EntryDraft, _ fold: LedgerFold) throws(WeirError) {
    for case .partitioner(let stream, let rules) in draft.lanes.flatMap(\.decisions) {
      let known = fold.partitioners[stream] ?? Partitioner.allCases
      if !known.contains(where: rules.contains) { throw KeyRules.contradiction(stream, known, rules) }
    }
  }

  /// With which the records of an entry are joined; nil: it has none, and versions change while lanes are held.
  private func lookups(of epochs: [LaneEpoch]) throws(WeirError) -> LookupSet? {
    let sets = epochs.lazy.filter { $0.counts.input > 0 }.compactMap(\.lookups)
    let first = sets.first
    try invariant(sets.allSatisfy { $0 === first }, "an entry has records that are joined with different versions of a lookup")
    return first ?? (environment.refreshesLookups(of: compiled.plan) ? nil : LookupSet(compiled.lookups))
  }
}

extension EntryDraft {
  /// What this worker looks up is what the ledger says, or the entry says what it is: another worker may have brought a newer file.
  /// - Throws: `lookup_changed`, `fenced`.
  fileprivate func naming(_ lookups: LookupSet?, over fold: LedgerFold) throws(WeirError) -> EntryDraft {
    guard let lookups else { return self }
    let decisions = try lookups.decisions(over: fold)
    // Epochs without a record are joined with nothing.
    guard !decisions.isEmpty, let first = lanes.indices.filter({ lanes[$0].lane != .merge && lanes[$0].counts.input > 0 }).first else {
      return self
    }
    var draft = self
    draft.lanes[first].decisions += decisions
    return draft
  }
}
