import WeirCore
import WeirOperators
import WeirProtocol

/// Ends a session whose lanes finish tables by key, because the stream has more shards than they were spread over. The next one records it, or
/// finds it recorded.
struct PartitionsFound: Error {
  let stream: String

  var ofSession: WeirError {
    WeirError(
      .shardsChanged, "\(stream) has more partitions: tables by key are merged from here on",
      advice: "The worker continues from the ledger by itself.")
  }
}

/// Records that a stream has more shards (``AddedPartitions``): one entry that names all its lanes and the merge lane.
///
/// It holds the state of them all for a moment, as the merge lane will from then on. Any worker may do it. The first that commits it decides what
/// each lane has consumed by then; the others' epochs are fenced, and their next sessions find it done.
struct PartitionsToAdd: Sendable {
  /// Attempts, each of which meets another worker's entry.
  private static let attemptsMax = 50

  /// The ledger has moved since the attempt began.
  private struct Moved: Error {}

  /// As the lanes were committed.
  let compiled: CompiledPlan
  let ledger: Ledger
  let environment: EngineEnvironment
  let planHash: String
  let stream: String
  /// All that the source has.
  let shards: [SourceShard]

  /// - Returns: the ledger with the decision.
  /// - Throws: `shards_changed` where the shards of before are not those that the keys were spread over; `memory_exceeded`.
  func decide() async throws -> LedgerFold {
    for _ in 0..<PartitionsToAdd.attemptsMax {
      let fold = try await ledger.refresh()
      if fold.growths[stream] != nil { return fold }
      do { return try await attempt(on: fold) } catch is Moved {}
    }
    throw WeirError(
      .abandoned,
      "the new partitions of \(stream) could not be recorded: other workers committed in between, \(PartitionsToAdd.attemptsMax) times",
      advice: "The worker tries again.")
  }

  private func attempt(on fold: LedgerFold) async throws -> LedgerFold {
    let began = environment.clock.monotonicNanoseconds
    let attempt = ledger.makeAttemptID()
    let merged = compiled.mergingKeys
    let run = RunInfo(compiled.plan, runID: fold.runID)
    let restorer = Restorer(compiled: compiled, store: environment.lake, fold: fold, run: run, ledger: ledger)
    var decision = try decision(on: fold)
    var lanes: [LaneState] = []
    for id in decision.before where fold[id]?.position != nil { lanes.append(try await restorer.state(id, Scratch())) }
    let merge = MergeLane(keeping: try await before(restorer, fold), merged)
    for lane in lanes { merge.adopt(lane) }
    try check(lanes, merge, count: decision.before.count + decision.added.count)
    var pack = BlobPack(path: ledger.layout.blob(attempt: attempt, name: "partitions"))
    var commits: [LaneCommit] = []
    for lane in lanes {
      var commit = fold.emptyEpoch(of: lane.id)
      commit.state = pack.add(state: lane.withoutKeys(merged), isBase: true, before: nil)
      if !merged.hasLaneWindows { commit.dueAt = nil }
      commits.append(commit)
    }
    if let spec = compiled.plan.dedup {
      let floor = decision.before.compactMap { fold[$0] }.map { max($0.watermark, $0.floor) }.max() ?? Watermark.minimum
      decision.ids = pack.add(LaneState.ids(of: lanes, spec, floor: floor))
    }
    commits.append(commit(merge, decision, fold, &pack))
    let draft = EntryDraft(commitID: attempt, worker: attempt, planHash: planHash, lanes: commits)
    try await environment.lake.write([pack.object])
    return try await put(draft, on: fold, began: began)
  }

  /// Which shards there were: those of the ledger, numbered without gaps.
  private func decision(on fold: LedgerFold) throws(WeirError) -> AddedPartitions {
    let all = shards.filter { $0.stream == stream }.sorted { $0.number < $1.number }
    let known = all.prefix { fold[LaneID(shard: $0.name)] != nil }
    guard all.dropFirst(known.count).allSatisfy({ fold[LaneID(shard: $0.name)] == nil }), known.enumerated().allSatisfy({ $0 == $1.number })
    else {
      throw WeirError(
        .shardsChanged,
        "the ledger has \(known.count) of the partitions of \(stream) without a gap, and others after it: it is not known where keys were",
        advice: "Start \(.newLake).")
    }
    let rules = compiled.plan.source.live?.partitioner.map { [$0] } ?? fold.partitioners[stream] ?? Partitioner.allCases
    return AddedPartitions(
      stream: stream, rule: known.count > 1 ? rules.first : nil, before: known.map { LaneID(shard: $0.name) },
      added: all.dropFirst(known.count).map { LaneID(shard: $0.name) }, ids: nil)
  }

  /// The merge lane with all entries through the fold's last one.
  private func before(_ restorer: Restorer, _ fold: LedgerFold) async throws -> MergeLane {
    let lane = try await restorer.merge()
    for entry in try await ledger.entries(after: fold.mergeLane.position?.ordinal ?? 0, through: fold.number) {
      guard let ref = entry.partials else { continue }
      _ = lane.merge(try await restorer.partials(ref), watermark: Watermark.minimum)
    }
    return lane
  }

  /// Each lane gets the ids of all: what one worker would hold that has them all must fit.
  private func check(_ lanes: [LaneState], _ merge: MergeLane, count: Int) throws(WeirError) {
    var held = merge.stateBytes
    held.dedup = lanes.reduce(Int64(0)) { $0 + Int64($1.dedup?.bytes ?? 0) } * Int64(count)
    try environment.memory.check(held)
  }

  private func commit(_ merge: MergeLane, _ decision: AddedPartitions, _ fold: LedgerFold, _ pack: inout BlobPack) -> LaneCommit {
    let merged = merge.unfinishedEpoch(watermark: fold.mergeLane.watermark)
    var commit = LaneCommit(
      merged, through: fold.number + 1, itself: true, after: CommittedLane(fold.mergeLane),
      state: pack.add(state: merged.state.pieces, isBase: true, before: nil))
    commit.decisions = [.partitionsAdded(decision)]
    return commit
  }

  private func put(_ draft: EntryDraft, on fold: LedgerFold, began: Int64) async throws -> LedgerFold {
    let (number, planHash) = (fold.number, planHash)
    let outcome = try await ledger.commit(attempt: draft.commitID, startedNanoseconds: began) { now in
      // What it has was taken from the entries through this one.
      guard now.number == number else { throw Moved() }
      try now.checkPlan(planHash)
      return draft
    }
    switch outcome {
    case .committed(_, let fold): return fold
    case .fenced: throw Moved()
    case .abandoned: throw CommitRefused(end: .expired)
    case .unknown: throw CommitRefused(end: .unknown(number: number + 1))
    }
  }
}

extension CompiledPlan {
  /// The plan where keys may be in any shard.
  var mergingKeys: CompiledPlan {
    var next = CompiledPlan(plan, lookups: lookups, mergesKeys: true, windowParts: windowParts)
    next.keepsBlankLines = keepsBlankLines
    return next
  }

  /// The plan as lanes go by it after a ledger's last entry.
  func following(_ fold: LedgerFold) -> CompiledPlan { fold.growths.isEmpty || mergesKeys ? self : mergingKeys }

  /// Of a worker whose lanes go by this.
  /// - Throws: ``PartitionsFound`` when the ledger says otherwise.
  func check(_ fold: LedgerFold) throws {
    if !mergesKeys, let stream = fold.growths.keys.min() { throw PartitionsFound(stream: stream) }
  }
}
