import WeirCore
import WeirDelta
import WeirOperators
import WeirProtocol

/// Reads again everything that the ledger names and the tables' logs, and compares.
public enum LedgerVerify {
  public struct Result: Sendable {
    public var entries: Int64 = 0
    public var files: Int64 = 0
    public var blobs: Int64 = 0
    public var commits: Int64 = 0
    public var bytes: Int64 = 0
    /// Each names a file and says what is wrong with it.
    public var problems: [String] = []
  }

  /// - Throws: when there is no ledger, or the store fails. What does not agree is a problem in the result.
  public static func run(_ compiled: CompiledPlan, environment: EngineEnvironment) async throws -> Result {
    let ledger = LedgerOpening.ledger(environment, compiled.plan.pipeline)
    var result = Result()
    let (entries, ledgerID) = try await chain(ledger, &result)
    guard let ledgerID else {
      if result.problems.isEmpty {
        throw WeirError("config", "there is no ledger \(ledger.prefix) in this lake", advice: "Run `weir replay` first, or name the lake with --lake.")
      }
      return result
    }
    for entry in entries { try await contents(entry, ledger, environment.lake, &result) }
    for layout in TableLayout.all(compiled.plan) {
      try await table(layout.table, ledgerID, entries, environment.lake, &result)
    }
    return result
  }

  /// Entries in order: own hashes, chain, accounting.
  private static func chain(_ ledger: Ledger, _ result: inout Result) async throws -> ([LedgerEntry], String?) {
    var fold: LedgerFold
    var entries: [LedgerEntry] = []
    do {
      guard let opened = try await ledger.open() else { return ([], nil) }
      fold = opened
    } catch let error as WeirError where error.code == "corrupt" || error.code == "format" {
      result.problems.append(error.message)
      return ([], nil)
    }
    var previous: String?
    for number in 0..<fold.next {
      // Entries below the ledger's snapshot may have been collected; those that are left must be right.
      guard let entry = try await ledger.read(number) else { continue }
      if let previous, entry.previousHash != previous {
        result.problems.append("\(ledger.entryPath(number)): does not follow the entry before it")
      }
      previous = entry.hash
      result.entries += 1
      result.bytes += Int64(entry.bytes.count)
      entries.append(entry)
    }
    return (entries, fold.genesis?.ledgerID)
  }

  /// Data files and blobs of one entry.
  private static func contents(_ entry: LedgerEntry, _ ledger: Ledger, _ lake: any ObjectStore, _ result: inout Result) async throws {
    for file in entry.draft.tables.flatMap(\.files) {
      result.files += 1
      guard let bytes = try await lake.get(file.path) else {
        result.problems.append("\(file.path): missing (entry \(entry.number) names it)")
        continue
      }
      result.bytes += Int64(bytes.count)
      if Int64(bytes.count) != file.bytes || ContentHash(of: bytes) != file.hash {
        result.problems.append("\(file.path): its bytes are not those that entry \(entry.number) names")
      }
    }
    let refs = entry.draft.lanes.flatMap { $0.state?.blobs ?? [] } + (entry.draft.partials.map { [$0] } ?? [])
    for ref in refs {
      result.blobs += 1
      let path = ledger.prefix + ref.path
      guard let bytes = try await lake.get(path, offset: ref.offset, count: Int(ref.length)) else {
        result.problems.append("\(path): missing (entry \(entry.number) names it)")
        continue
      }
      result.bytes += ref.length
      if ContentHash(of: bytes) != ref.hash {
        result.problems.append("\(path): bytes \(ref.offset) to \(ref.offset + ref.length) are not those that entry \(entry.number) names")
      }
    }
    for lane in entry.draft.lanes {
      for case .lookup(let name, let hash, let path) in lane.decisions {
        result.blobs += 1
        guard let bytes = try await lake.get(ledger.prefix + path) else {
          result.problems.append("\(ledger.prefix)\(path): missing (the lookup \(name) of entry \(entry.number))")
          continue
        }
        if ContentHash(of: bytes) != hash { result.problems.append("\(ledger.prefix)\(path): its bytes are not the lookup \(name) of entry \(entry.number)") }
      }
    }
  }

  /// A table's log: its commits are whole, and its files are exactly the ledger's.
  private static func table(
    _ name: String, _ ledgerID: String, _ entries: [LedgerEntry], _ lake: any ObjectStore, _ result: inout Result
  ) async throws {
    let table = DeltaTable(store: lake, path: name)
    var version: Int64 = 0
    while let bytes = try await lake.get(table.commitPath(version)) {
      result.commits += 1
      result.bytes += Int64(bytes.count)
      if DeltaCommit.isIntact(bytes) == false { result.problems.append("\(table.commitPath(version)): its bytes do not match its hash") }
      version += 1
    }
    let snapshot: DeltaSnapshot
    do {
      guard let read = try await table.snapshot() else {
        result.problems.append("\(name)/_delta_log: the table is missing")
        return
      }
      snapshot = read
    } catch let error as WeirError {
      result.problems.append(error.message)
      return
    }
    let txn = snapshot.transactions["\(ledgerID)/\(name)"] ?? -1
    let named = entries.filter { $0.number <= txn }.flatMap(\.draft.tables).filter { $0.table == name }.flatMap(\.files)
    for file in named {
      let path = uriEncode(String(file.path.dropFirst(name.count + 1)))
      guard let add = snapshot.files[path] else {
        if snapshot.removed[path] == nil { result.problems.append("\(name)/_delta_log: the file \(path) that the ledger names is not in the table") }
        continue
      }
      if add.bytes != file.bytes { result.problems.append("\(name)/_delta_log: the size of \(path) is not the ledger's") }
    }
    let last = entries.last { entry in entry.draft.tables.contains { $0.table == name } }?.number ?? -1
    if txn < last { result.problems.append("\(name)/_delta_log: the table is at entry \(txn), the ledger has rows for it up to \(last) (run `weir replay`)") }
  }
}
