import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// Commits epochs of the lanes that this worker holds: files and blobs, then the ledger's entry. Followers and the merge
/// lane come behind it.
///
/// What an epoch follows (``Held``) is what this worker restored or committed itself, never what it read in the ledger
/// later: that is the fence. An epoch of a lane that another worker has moved on is refused.
actor LiveCommitter {
  /// What the ledger has of a lane, by this worker's own doing or as it restored the lane.
  struct Held: Sendable {
    var generation: Int64
    var epoch: Int64
    var position: Int64
    var state: StateRef?
  }

  private let environment: EngineEnvironment
  private let compiled: CompiledPlan
  private let ledger: Ledger
  private let encoder: BatchEncoder
  private let planHash: String
  private let worker: String
  private let meter: LiveMeter
  private var held: [LaneID: Held] = [:]
  private(set) var entries: Int64 = 0
  /// A record that was not rejected was committed by this session or before it.
  private var hasUsableRecord = false
  /// Repeats a run entry by entry, whatever it committed.
  private let repeatsRun: Bool

  init(
    environment: EngineEnvironment, compiled: CompiledPlan, ledger: Ledger, planHash: String, run: RunInfo, worker: String,
    meter: LiveMeter? = nil, repeatsRun: Bool = false
  ) {
    self.repeatsRun = repeatsRun
    self.environment = environment
    self.compiled = compiled
    self.ledger = ledger
    self.planHash = planHash
    self.worker = worker
    self.meter = meter ?? LiveMeter(clock: environment.clock)
    encoder = BatchEncoder(compiled, run: run, threads: environment.threads)
  }

  func hold(_ lane: LaneID, _ held: Held) { self.held[lane] = held }

  func drop(_ lanes: some Collection<LaneID> & Sendable) { for lane in lanes { held[lane] = nil } }

  /// - Returns: the ledger with the entry.
  /// - Throws: `fenced`, `unknown`, `quarantine_halt`, `lookup_changed`, and what the store throws.
  func commit(_ epochs: [LaneEpoch], decisions: [LaneID: [Decision]]) async throws -> LedgerFold {
    let batch = EpochBatch(epochs: epochs.sorted { $0.lane < $1.lane }, prefixHash: nil, decisions: [])
    try batch.checkQuarantine(compiled.plan)
    if !repeatsRun, !hasUsableRecord {
      // The newest fold: another worker may have committed an accepted record since this one's last entry.
      hasUsableRecord = try batch.checkFirstRecords(compiled.plan, try await ledger.refresh())
    }
    let began = environment.clock.monotonicNanoseconds
    let attempt = ledger.makeAttemptID()
    meter.enter(.encoding)
    let encoded = try await encoder.encode(batch, number: await ledger.fold.number + 1, attempt: attempt)
    let files = encoded.files.sorted { $0.key < $1.key }.flatMap(\.value)
    var pack = BlobPack(path: ledger.layout.blob(attempt: attempt, name: "state"))
    var draft = EntryDraft(commitID: attempt, worker: worker, planHash: planHash)
    draft.tables = BatchEncoder.commits(files)
    for epoch in batch.epochs { draft.lanes.append(try lane(epoch, decisions[epoch.lane] ?? [], &pack)) }
    if compiled.hasMerge {
      var partials = ByteWriter()
      for epoch in batch.epochs { epoch.partial?.save(into: &partials) }
      draft.partials = pack.add(partials.bytes)
    }
    try await write(files, pack, began: began)
    let fold = try await put(draft, began: began)
    meter.committed(batch.epochs, tables: draft.tables, gold: compiled.plan.gold, fold: fold)
    return fold
  }

  /// Writes an attempt's files and blobs.
  private func write(_ files: [EncodedFile], _ pack: BlobPack, began: Int64) async throws {
    meter.enter(.writing)
    try await environment.lake.write(
      files.map { NewObject(path: $0.table + "/" + $0.path, bytes: $0.bytes) } + [pack.object])
    meter.encoded(files, nanoseconds: environment.clock.monotonicNanoseconds - began)
  }

  /// The merge lane's epoch, with the files of what it finished.
  func commitMerge(
    _ merged: [Int: WindowResults], state: (bytes: [UInt8], isBase: Bool), through number: Int64, watermark: Int64
  ) async throws -> LedgerFold {
    guard let before = held[.merge] else { preconditionFailure("the merge lane is not held") }
    let began = environment.clock.monotonicNanoseconds
    let attempt = ledger.makeAttemptID()
    let stem = BatchEncoder.stem(number: await ledger.fold.number + 1, attempt: attempt)
    let files = try await encoder.encode(merged: merged, stem: stem).sorted { $0.key < $1.key }.flatMap(\.value)
    var pack = BlobPack(path: ledger.layout.blob(attempt: attempt, name: "merge"))
    let commit = LaneCommit(
      lane: .merge, generation: before.generation, epoch: before.epoch + 1, from: .offset(before.position),
      to: .offset(number), watermark: watermark, windows: MergeLane.counts(merged, compiled.plan),
      state: pack.add(state: state.bytes, isBase: state.isBase, before: before.state))
    let draft = EntryDraft(
      commitID: attempt, worker: worker, planHash: planHash, lanes: [commit], tables: BatchEncoder.commits(files))
    try await write(files, pack, began: began)
    let fold = try await put(draft, began: began)
    meter.committed([], tables: draft.tables, gold: compiled.plan.gold, fold: fold)
    return fold
  }

  /// Empty epochs that only say something: where a lane begins, what was lost.
  func commit(empty lanes: [LaneCommit]) async throws -> LedgerFold {
    let draft = EntryDraft(commitID: ledger.makeAttemptID(), worker: worker, planHash: planHash, lanes: lanes)
    return try await put(draft, began: environment.clock.monotonicNanoseconds)
  }

  private func lane(_ epoch: LaneEpoch, _ decisions: [Decision], _ pack: inout BlobPack) throws(WeirError) -> LaneCommit {
    guard let before = held[epoch.lane] else {
      throw WeirError("internal", "an epoch of lane \(epoch.lane.text), which this worker does not hold", isSafeToRepeat: false)
    }
    var windows: [String: WindowCounts] = [:]
    for (gold, counts) in zip(compiled.plan.gold, epoch.windowCounts) { windows["gold/\(gold.name)"] = counts }
    return LaneCommit(
      lane: epoch.lane, generation: before.generation, epoch: before.epoch + 1, from: .offset(before.position),
      to: .offset(epoch.position), watermark: epoch.watermark, identity: epoch.identity, counts: epoch.counts, windows: windows,
      decisions: decisions, state: pack.add(state: epoch.state, isBase: epoch.stateIsBase, before: before.state))
  }

  private func put(_ draft: EntryDraft, began: Int64) async throws -> LedgerFold {
    let (compiled, planHash) = (self.compiled, self.planHash)
    meter.enter(.ledger)
    let putBegan = environment.clock.monotonicNanoseconds
    let tries = Atomic(0)
    let outcome = try await ledger.commit(attempt: draft.commitID, startedNanoseconds: began) { fold in
      tries.add(1, ordering: .relaxed)
      try fold.checkPlan(planHash)
      try LiveCommitter.checkLookups(compiled, fold)
      try LiveCommitter.checkRules(draft, fold)
      return draft
    }
    meter.commitTook(environment.clock.monotonicNanoseconds - putBegan, of: "ledger")
    meter.told(outcome, tries: tries.load(ordering: .relaxed))
    switch outcome {
    case .committed(_, let fold):
      entries += 1
      for lane in draft.lanes where held[lane.lane] != nil {
        guard case .offset(let position) = lane.to else { continue }
        held[lane.lane] = Held(generation: lane.generation, epoch: lane.epoch, position: position, state: lane.state)
      }
      try await LedgerKeeping.snapshot(ledger, number: fold.number)
      return fold
    case .fenced(let lanes, _):
      throw WeirError(
        "fenced",
        "another worker committed for \(lanes.map { $0 == .merge ? "the merge lane" : "lane \($0.text)" }.joined(separator: ", ")) of this ledger",
        advice: "Nothing was lost. Is a second deployment running on this lake, with a group of its own? Run one.",
        isRetriable: true, fatalTo: .worker)
    case .unknown:
      throw WeirError(
        "unknown", "nobody knows whether an entry of the ledger was written",
        advice: "Look at space and permissions of the lake's directory; the worker goes on from what the ledger says.",
        isRetriable: true, fatalTo: .worker)
    }
  }

  /// What this worker's records say of the producers' rule must agree with what others committed meanwhile.
  private static func checkRules(_ draft: EntryDraft, _ fold: LedgerFold) throws(WeirError) {
    for case .partitioner(let stream, let rules) in draft.lanes.flatMap(\.decisions) {
      let known = fold.partitioners[stream] ?? Partitioner.allCases
      if !known.contains(where: rules.contains) { throw KeyRules.contradiction(stream, known, rules) }
    }
  }

  /// What this worker looks up must be what the ledger says: another worker may have brought a newer file.
  private static func checkLookups(_ compiled: CompiledPlan, _ fold: LedgerFold) throws(WeirError) {
    for lookup in compiled.lookups where fold.lookups[lookup.name]?.hash != lookup.contentHash.hex {
      throw WeirError(
        "lookup_changed", "another worker goes by another version of the lookup \(lookup.name)",
        advice: "Give all workers the same file and start this one again.", fatalTo: .worker)
    }
  }
}
