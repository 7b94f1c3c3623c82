import WeirCore
import WeirOperators
import WeirProtocol

/// The versions of lookup files as decisions: a file with other bytes than the ledger's counts only from the entry on
/// that says so, and its bytes are kept by their hash.
struct LookupVersions: Sendable {
  let compiled: CompiledPlan
  let ledger: Ledger
  let environment: EngineEnvironment

  private var specs: [LookupSpec] { compiled.plan.lookups }

  /// Commits an entry of empty epochs that carries what changed.
  /// - Parameter carrier: the lanes whose epochs carry it; nil: all.
  /// - Throws: `memory_exceeded`, ``CommitRefused``, and what the store throws.
  func decide(planHash: String, carrier: [LaneID]? = nil) async throws {
    try environment.memory.check(compiled.lookups)
    environment.governor.holds(lookups: compiled.lookups.reduce(0) { $0 + $1.memoryBytes })
    let fold = await ledger.fold
    let began = ledger.now
    let decisions = try await decisions(compiled.lookups, over: fold)
    guard !decisions.isEmpty else { return }
    let lanes = carrier ?? fold.genesis.lanes.filter { $0 != .merge }
    let commits = lanes.enumerated().map { number, lane in fold.emptyEpoch(of: lane, decisions: number == 0 ? decisions : []) }
    _ = try await ledger.decide(planHash: planHash, began: began) { _ in commits }.fold()
  }

  /// Keeps the bytes of those tables that are not the ledger's.
  /// - Returns: the decisions that bring them; the caller commits them, over this fold.
  func decisions(_ tables: [LookupTable], over fold: LedgerFold) async throws -> [Decision] {
    let changed = tables.filter { fold.lookups[$0.name]?.hash != $0.contentHash.hex }
    let attempt = ledger.makeAttemptID()
    var decisions: [Decision] = []
    for table in changed {
      let (name, hash) = (table.name, table.contentHash.hex)
      let path = ledger.layout.lookup(hash: hash, attempt: attempt)
      try await environment.lake.write([NewObject(path: path, bytes: table.bytes)])
      let replaces = fold.lookups[name] != nil && specs.contains { $0.name == name && $0.refreshMicroseconds != nil }
      decisions.append(replaces ? .lookupRefreshed(name: name, hash: hash, path: path) : .lookup(name: name, hash: hash, path: path))
    }
    return decisions
  }

  /// The tables that the ledger names, in the plan's order; one that it does not name stays what it is.
  /// - Parameters:
  ///   - known: tables that need not be read again.
  ///   - used: by name, the hash of the version to take where that is one that a refresh has replaced.
  func tables(_ fold: LedgerFold, known: [LookupTable], used: [String: String] = [:]) async throws -> [LookupTable] {
    var tables: [LookupTable] = []
    for (spec, own) in zip(specs, known) {
      guard let version = fold.lookups[spec.name] else {
        tables.append(own)
        continue
      }
      var wanted = LookupVersion.Kept(hash: version.hash, path: version.path)
      if let hash = used[spec.name], hash != version.hash {
        guard let previous = version.previous, previous.hash == hash else {
          throw WeirError(
            .corrupt, "the ledger has no version \(hash) of the lookup \(spec.name), with which records were joined",
            advice: "Restore the ledger from a copy of the lake.")
        }
        wanted = previous
      }
      tables.append(own.contentHash.hex == wanted.hash ? own : try await table(spec, wanted))
    }
    return tables
  }

  private func table(_ spec: LookupSpec, _ kept: LookupVersion.Kept) async throws -> LookupTable {
    guard let bytes = try await environment.lake.get(kept.path), ContentHash(of: bytes).hex == kept.hash else {
      throw WeirError(
        .corrupt, "the lookup \(spec.name) (\(kept.path)) is missing or changed", advice: "Restore it from a copy of the lake.")
    }
    return try await table(spec, bytes, file: kept.path)
  }

  /// - Parameter file: for errors.
  /// - Throws: `config` with file and line.
  func table(_ spec: LookupSpec, _ bytes: [UInt8], file: String) async throws -> LookupTable {
    let field = compiled.plan.record.fields[spec.key]
    return try await environment.threads.run {
      try LookupTable(
        name: spec.name, bytes: bytes, file: file, format: spec.fileFormat, key: field.name, keyType: field.type,
        types: Dictionary(uniqueKeysWithValues: spec.columns.map { ($0.name, $0.type) }))
    }
  }
}
