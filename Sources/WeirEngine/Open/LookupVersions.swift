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
  /// - Parameter carrier: the lanes whose epochs carry it; nil: all.
  /// - Throws: `memory_exceeded`, ``CommitRefused``, and what the store throws.
  func decide(planHash: String, carrier: [LaneID]? = nil) async throws {
    try environment.memory.check(compiled.lookups)
    environment.governor.holds(lookups: compiled.lookups.reduce(0) { $0 + $1.memoryBytes })
    let fold = await ledger.fold
    let changed = compiled.lookups.filter { fold.lookups[$0.name]?.hash != $0.contentHash.hex }
    guard !changed.isEmpty else { return }
    let began = ledger.now
    let attempt = ledger.makeAttemptID()
    var decisions: [Decision] = []
    for table in changed {
      let path = ledger.layout.lookup(hash: table.contentHash.hex, attempt: attempt)
      try await environment.lake.write([NewObject(path: path, bytes: table.bytes)])
      decisions.append(.lookup(name: table.name, hash: table.contentHash.hex, path: path))
    }
    let lanes = carrier ?? fold.genesis.lanes.filter { $0 != .merge }
    let commits = lanes.enumerated().map { number, lane in fold.emptyEpoch(of: lane, decisions: number == 0 ? decisions : []) }
    _ = try await ledger.decide(planHash: planHash, began: began) { _ in commits }.fold()
  }
}
