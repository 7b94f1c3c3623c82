import WeirCore
import WeirProtocol

/// What one attempt wants to commit, before the merged part.
struct Attempt: Sendable {
  var id: String
  var started: Int64
  var draft: EntryDraft
  var next: [LaneWork]
  var objects: [NewObject]
  var partials: [Int: Tally]
  var withMerge: Bool

  /// The epochs that it would give its lanes.
  func epochs(merge: MergeWork) -> [LaneID: Int64] {
    var epochs = Dictionary(uniqueKeysWithValues: draft.lanes.map { ($0.lane, $0.epoch) })
    if withMerge { epochs[.merge] = merge.epoch + 1 }
    return epochs
  }
}

extension SimulatedWorker {
  /// Cuts once and commits; false when nothing is left to do.
  func cycle(_ ledger: Ledger) async throws -> Bool {
    // A look at the ledger between cuts moves the fold, not the lanes: only the fence knows.
    if random.chance(0.3) { try await ledger.refresh() }
    let started = clock.monotonicNanoseconds
    guard var attempt = try await cut(id: ledger.makeAttemptID(), started: started) else {
      guard ownsMerge, await !ledger.fold.hasEndedAndMerged else { return false }
      return try await mergeOnly(ledger)
    }
    if run.bug != .checkpointBeforeFlush { try await write(attempt.objects) }
    let isOver = try await commit(&attempt, ledger)
    if run.bug == .checkpointBeforeFlush { try await write(attempt.objects) }
    return isOver && !owned.isEmpty
  }

  /// The merge lane has an epoch of its own while the lanes are done, or other workers' are not.
  private func mergeOnly(_ ledger: Ledger) async throws -> Bool {
    let fold = try await ledger.refresh()
    guard !fold.hasEndedAndMerged else { return false }
    // Nothing new: an idle ledger stays as it is.
    guard fold.hasEnded || (fold.number > merge.position && random.chance(0.3)) else { return true }
    let id = ledger.makeAttemptID()
    var attempt = Attempt(
      id: id, started: clock.monotonicNanoseconds, draft: EntryDraft(commitID: id, worker: name, planHash: "plan"),
      next: [], objects: [], partials: [:], withMerge: true)
    return try await commit(&attempt, ledger) && !owned.isEmpty
  }

  private func write(_ objects: [NewObject]) async throws {
    guard !objects.isEmpty else { return }
    try await repeating { try await self.store.write(objects) }
  }

  // MARK: Commit

  private func commit(_ attempt: inout Attempt, _ ledger: Ledger) async throws -> Bool {
    let mergeResult = MergeResult()
    while true {
      let fixed = attempt
      let outcome = try await ledger.commit(attempt: attempt.id, startedNanoseconds: attempt.started) { fold in
        try await self.derive(fixed, on: fold, ledger, mergeResult)
      }
      switch outcome {
      case .committed(let number, let fold):
        run.oracle.confirmed(attempt.id, as: number)
        adopt(attempt, fold, mergeResult)
        return true
      case .fenced(let lost, _):
        run.mark(.fencedByEpoch)
        run.oracle.fenced(attempt.id, of: lost, attempt.epochs(merge: merge))
        try await lose(lost, ledger)
        return true
      case .abandoned:
        run.mark(.abandoned)
        try await restore(from: ledger)
        return true
      case .unknown:
        run.mark(.outcomeUnknown)
        if run.bug == .cutsOnAfterUnknown {
          for work in attempt.next { lanes[work.lane]?.takeOn(work) }
          return true
        }
        if random.chance(0.3) {
          run.mark(.restoredAfterUnknown)
          try await restore(from: ledger)
          return true
        }
        run.mark(.repeatedAfterUnknown)
      }
    }
  }

  private func adopt(_ attempt: Attempt, _ fold: LedgerFold, _ mergeResult: MergeResult) {
    for var work in attempt.next {
      work.floor = fold[work.lane]?.floor ?? work.floor
      lanes[work.lane] = work
    }
    if attempt.withMerge, let next = mergeResult.next { merge = next }
    if attempt.next.count > 1 { run.mark(.groupCommit) }
  }

  private func derive(
    _ attempt: Attempt, on fold: LedgerFold, _ ledger: Ledger, _ result: MergeResult
  ) async throws -> EntryDraft {
    guard attempt.withMerge else { return attempt.draft }
    if result.next != nil { run.mark(.mergeDerivedAgain) }
    var draft = attempt.draft
    var next = merge
    // A merge lane that moved on is not ours: the fence will say so.
    if fold.nextEpoch(of: .merge) == merge.epoch + 1 {
      for entry in try await ledger.entries(after: merge.position, through: fold.number) {
        if let partials = entry.partials {
          run.mark(.mergeReadOthers)
          next.add(TallyText.parse(try await slice(partials)))
        }
      }
    }
    next.add(attempt.partials)
    let watermark = fold.mergedWatermark(with: draft.lanes)
    let name = "\(attempt.id)-\(fold.number + 1)"
    let emitted = next.emit(through: watermark, number: fold.number + 1)
    let state = NewObject(path: run.layout.blobs + name + "-merge", bytes: TallyText.bytes(next.open))
    var objects = [state]
    if !emitted.isEmpty {
      let gold = NewObject(path: "data/gold/" + name, bytes: TallyText.bytes(emitted))
      objects.append(gold)
      draft.tables.append(TableCommit(table: "gold", files: [run.file(gold, rows: emitted.count)]))
    }
    try await write(objects)
    draft.lanes.append(
      LaneCommit(
        lane: .merge, epoch: merge.epoch + 1, from: .offset(merge.position), to: .offset(0), endsAtItself: true,
        watermark: watermark, state: StateRef(base: run.blob(state))))
    result.next = next
    return draft
  }

  // MARK: Cut

  private func cut(id: String, started: Int64) async throws -> Attempt? {
    var attempt = Attempt(
      id: id, started: started, draft: EntryDraft(commitID: id, worker: name, planHash: "plan"), next: [],
      objects: [], partials: [:], withMerge: ownsMerge && random.chance(0.6))
    var rows = ""
    var blob = BlobWriter(path: run.layout.blob(attempt: id, name: "state"))
    let open = owned.filter { $0 != .merge && lanes[$0]?.hasEnded == false }.sorted()
    guard !open.isEmpty else { return nil }
    for lane in open where open.count == 1 || random.chance(0.8) {
      guard let work = lanes[lane] else { continue }
      try await cut(work, &attempt, &rows, &blob)
    }
    guard !attempt.next.isEmpty else { return try await cut(id: id, started: started) }
    if !attempt.partials.isEmpty { attempt.draft.partials = blob.append(TallyText.bytes(attempt.partials)) }
    if !rows.isEmpty {
      let silver = NewObject(path: "data/silver/" + id, bytes: Array(rows.utf8))
      attempt.objects.append(silver)
      attempt.draft.tables.append(TableCommit(table: "silver", files: [run.file(silver, rows: rows.split(separator: "\n").count)]))
    }
    attempt.objects.append(blob.object)
    return attempt
  }

  private func cut(
    _ before: LaneWork, _ attempt: inout Attempt, _ rows: inout String, _ blob: inout BlobWriter
  ) async throws {
    var work = before
    let records = run.workload.records(of: work.lane)
    var decisions: [Decision] = []
    var output = LaneWork.Output()
    if work.isIdle {
      decisions.append(.wake)
      run.mark(.wake)
      work.isIdle = false
    }
    // A waking lane's records wait for the waking entry.
    if decisions.isEmpty || run.bug == .wakesBeforeEntry {
      let to = min(records.count, work.position + random.below(7))
      if work.position == to { run.mark(.emptyEpoch) }
      if to == records.count { decisions.append(.endOfInput) }
      let newVersion = work.position < to && to < records.count && random.chance(0.2)
      if newVersion { decisions.append(try await newLookup(work, attempt.id)) }
      if run.bug == .decisionBeforeEntry, newVersion { work.version += 1 }
      output = work.process(records[work.position..<to])
      if run.bug != .decisionBeforeEntry, newVersion { work.version += 1 }
      if decisions.isEmpty, random.chance(0.08) {
        decisions.append(.idle)
        run.mark(.idle)
        work.isIdle = true
      }
    }
    try await writeRows(of: work, keys: output.keys)
    work.epoch += 1
    if decisions.contains(.endOfInput) { work.hasEnded = true }
    work.stateRef = appendState(work, since: before, &blob)
    if run.bug == .dedupNotInState { work.stateRef = appendWithoutIDs(work, &blob) }
    attempt.draft.lanes.append(
      LaneCommit(
        lane: work.lane, epoch: work.epoch, from: .offset(Int64(before.position)), to: .offset(Int64(work.position)),
        watermark: work.watermark, counts: output.counts, windows: ["gold": output.windows], decisions: decisions,
        state: work.stateRef))
    attempt.next.append(work)
    for (window, tally) in output.partials { attempt.partials[window, default: Tally()] += tally }
    rows += output.rows
  }

  private func newLookup(_ work: LaneWork, _ attempt: String) async throws -> Decision {
    run.mark(.lookupChanged)
    let bytes = Array(String(work.version + 1).utf8)
    let hash = ContentHash(of: bytes).hex
    let path = run.layout.lookup(hash: hash, attempt: attempt + work.lane.text)
    try await write([NewObject(path: path, bytes: bytes)])
    return .lookup(name: "of-" + work.lane.text, hash: hash, path: path)
  }

  /// A delta of the epoch; after some of them a new base.
  private func appendState(_ work: LaneWork, since before: LaneWork, _ blob: inout BlobWriter) -> StateRef {
    guard let ref = work.stateRef, ref.deltas.count < 3 else {
      return StateRef(base: blob.append(work.state.bytes()))
    }
    var delta = work.state.bytes(since: before.state)
    if run.bug == .partialStateBlob { delta = Array(delta.prefix(delta.count / 2)) }
    return StateRef(base: ref.base, deltas: ref.deltas + [blob.append(delta)])
  }

  private func appendWithoutIDs(_ work: LaneWork, _ blob: inout BlobWriter) -> StateRef {
    var state = work.state
    state.seen = []
    return StateRef(base: blob.append(state.bytes()))
  }
}

extension LaneWork {
  /// The planted bug of going on from memory: the state of an attempt whose outcome is unknown, under the old epoch.
  mutating func takeOn(_ work: LaneWork) {
    let epoch = epoch
    self = work
    self.epoch = epoch
  }
}

extension LedgerFold {
  /// Every lane has ended, and a merge epoch has seen that.
  var hasEndedAndMerged: Bool { hasEnded && mergeLane.watermark == Watermark.maximum }
}

/// The merge lane's state in memory.
struct MergeWork: Sendable {
  var epoch: Int64 = 0
  var position: Int64 = 0
  var open: [Int: Tally] = [:]

  init() {}

  init(_ fold: LaneFold, read: (BlobRef) async throws -> [UInt8]) async throws {
    epoch = fold.epoch
    if case .offset(let number)? = fold.position { position = number }
    if let base = fold.state?.base { open = TallyText.parse(try await read(base)) }
  }

  mutating func add(_ partials: [Int: Tally]) {
    for (window, tally) in partials { open[window, default: Tally()] += tally }
  }

  /// The windows that the watermark has passed; what is left is the state after entry `number`.
  mutating func emit(through watermark: Int64, number: Int64) -> [Int: Tally] {
    let closed = open.filter { Workload.end(of: $0.key) <= watermark }
    open = open.filter { Workload.end(of: $0.key) > watermark }
    epoch += 1
    position = number
    return closed
  }
}

/// The merge lane as the last derivation left it.
///
/// `@unchecked Sendable`: see ``World``.
final class MergeResult: @unchecked Sendable {
  var next: MergeWork?
}

/// Slices of one file.
struct BlobWriter {
  let path: String
  private var bytes: [UInt8] = []

  init(path: String) { self.path = path }

  mutating func append(_ slice: [UInt8]) -> BlobRef {
    let offset = Int64(bytes.count)
    bytes += slice
    return BlobRef(path: path, offset: offset, length: Int64(slice.count), hash: ContentHash(of: slice).hex)
  }

  var object: NewObject { NewObject(path: path, bytes: bytes) }
}
