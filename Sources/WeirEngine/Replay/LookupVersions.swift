import WeirCore
import WeirOperators
import WeirProtocol

/// The versions of lookup files as decisions: a file with other bytes than the ledger's counts only from the entry on
/// that says so, and its bytes are kept by their hash.
struct LookupVersions: Sendable {
  let compiled: CompiledPlan
  let ledger: Ledger
  let environment: EngineEnvironment

  /// Commits an entry of empty epochs that carries what changed; returns the fold after it.
  func decide(_ fold: LedgerFold, planHash: ContentHash) async throws -> LedgerFold {
    let changed = compiled.lookups.filter { fold.lookups[$0.name]?.hash != $0.contentHash }
    guard !changed.isEmpty, let genesis = fold.genesis else { return fold }
    var decisions: [Decision] = []
    for table in changed {
      let path = "lookups/\(table.contentHash.hex)"
      let outcome = await environment.lake.putIfAbsent(NewObject(path: ledger.prefix + path, bytes: table.bytes))
      if case .unknown(let why) = outcome {
        throw WeirError("storage", "the lookup \(table.name) could not be kept: \(why)", isRetriable: true, fatalTo: .worker)
      }
      decisions.append(.lookup(name: table.name, hash: table.contentHash, path: path))
    }
    let lanes = genesis.lanes.enumerated().map { number, lane in
      let before = fold.lanes[lane]
      let position = before?.position ?? .offset(0)
      return LaneCommit(
        lane: lane, generation: before?.generation ?? 1, epoch: fold.nextEpoch(lane), from: position, to: position,
        watermark: before?.watermark ?? Watermark.minimum, prefixHash: before?.prefixHash,
        decisions: number == 0 ? decisions : [], state: before?.state)
    }
    let id = Hash128(low: environment.random.next(), high: environment.random.next()).hex
    let draft = EntryDraft(
      commitID: id, worker: id, planHash: planHash, lanes: lanes, mergedWatermark: fold.mergedWatermark)
    guard case .committed(_, let after) = try await ledger.commit(draft, on: fold, rederive: { _ in draft }) else {
      throw WeirError(
        "fenced", "another worker commits on this ledger: this one stops", advice: "Run one worker a ledger.",
        fatalTo: .worker)
    }
    return after
  }
}
