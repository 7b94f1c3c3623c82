import WeirCore
import WeirOperators
import WeirProtocol

/// The versions of lookup files as decisions: a file with other bytes than the ledger's counts only from the entry on
/// that says so, and its bytes are kept by their hash.
struct LookupVersions: Sendable {
  let compiled: CompiledPlan
  let ledger: Ledger
  let environment: EngineEnvironment

  /// Commits an entry of empty epochs that carries what changed.
  ///
  /// - Parameter carrier: the lanes whose epochs carry it; nil: all.
  func decide(planHash: String, carrier: [LaneID]? = nil) async throws {
    let fold = await ledger.fold
    let changed = compiled.lookups.filter { fold.lookups[$0.name]?.hash != $0.contentHash.hex }
    guard !changed.isEmpty else { return }
    let began = environment.clock.monotonicNanoseconds
    let attempt = ledger.makeAttemptID()
    var decisions: [Decision] = []
    for table in changed {
      let path = ledger.layout.lookup(hash: table.contentHash.hex, attempt: attempt)
      try await environment.lake.write([NewObject(path: path, bytes: table.bytes)])
      decisions.append(.lookup(name: table.name, hash: table.contentHash.hex, path: path))
    }
    let lanes = (carrier ?? fold.genesis.lanes.filter { $0 != .merge }).enumerated().map { number, lane in
      let before = fold[lane]
      let position = before?.position ?? .offset(0)
      return LaneCommit(
        lane: lane, dealing: fold.genesis.dealing, generation: before?.generation ?? 0, epoch: fold.nextEpoch(of: lane),
        from: position, to: position, watermark: before?.watermark ?? Watermark.minimum, prefixHash: before?.prefixHash,
        decisions: number == 0 ? decisions : [], state: before?.state)
    }
    let draft = EntryDraft(commitID: attempt, worker: attempt, planHash: planHash, lanes: lanes)
    guard case .committed = try await ledger.commit(draft, startedNanoseconds: began) else {
      throw WeirError(
        "fenced", "another worker commits on this ledger: this one stops", advice: "Run one worker a ledger.",
        fatalTo: .worker)
    }
  }
}
