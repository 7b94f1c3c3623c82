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
    /// What could not be looked at, and why that is no problem.
    public var notes: [String] = []
  }

  /// - Throws: when there is no ledger, or the store fails. What does not agree is a problem in the result.
  public static func run(_ compiled: CompiledPlan, environment: EngineEnvironment) async throws -> Result {
    var result = Result()
    let ledger: Ledger
    do {
      ledger = try await LedgerOpening.required(compiled.plan, environment)
    } catch let error as WeirError where error.code.hasPrefix("ledger_") {
      result.problems.append(error.message)
      return result
    }
    let fold = await ledger.fold
    let entries = try await chain(ledger, fold, environment.lake, &result)
    let blobs = try await environment.lake.list(ledger.layout.blobs)
    let sizes = Dictionary(blobs.map { ($0.path, $0.bytes) }) { first, _ in first }
    for entry in entries {
      try await contents(entry, environment.lake, &result)
      let path = ledger.layout.blob(attempt: entry.commitID, name: "state")
      if let size = sizes[path], size != blobEnd(entry, path) {
        result.problems.append("\(path): \(size) bytes, entry \(entry.number) wrote \(blobEnd(entry, path))")
      }
    }
    for pin in try await environment.lake.list(ledger.layout.schemas) {
      guard let bytes = try await environment.lake.get(pin.path) else { continue }
      result.bytes += Int64(bytes.count)
      if !SchemaPin.isIntact(bytes) { result.problems.append("\(pin.path): it is not the schema that was written there") }
    }
    for layout in TableLayout.all(compiled.plan) {
      try await table(layout.table, fold, entries, environment.lake, &result)
    }
    return result
  }

  /// Entries in order: own hashes, chain. An entry that lies behind a gap was cut off from the ledger by a loss.
  private static func chain(
    _ ledger: Ledger, _ fold: LedgerFold, _ lake: any ObjectStore, _ result: inout Result
  ) async throws -> [LedgerEntry] {
    var entries: [LedgerEntry] = []
    let collected = try await ledger.collectedThrough()
    for number in 0...fold.number {
      // Collection takes entries oldest first: what is left has no gap, and must be right.
      guard let entry = try await ledger.read(number) else {
        if !entries.isEmpty || number > collected { result.problems.append("\(ledger.layout.entry(number)): missing") }
        continue
      }
      if let last = entries.last, last.number == number - 1, entry.previousHash != last.hash {
        result.problems.append("\(ledger.layout.entry(number)): does not follow the entry before it")
      }
      result.entries += 1
      result.bytes += Int64(entry.bytes.count)
      entries.append(entry)
    }
    let beyond = try await lake.list(ledger.layout.entries).filter { $0.path > ledger.layout.entry(fold.number) }
    if let first = beyond.first {
      result.problems.append("\(ledger.layout.entry(fold.number + 1)): missing, although later entries are there (\(first.path))")
    }
    return entries
  }

  private static func refs(_ entry: LedgerEntry) -> [BlobRef] {
    let states = entry.lanes.compactMap(\.state)
    return states.flatMap { [$0.base] + $0.deltas } + (entry.partials.map { [$0] } ?? [])
  }

  /// Where the last part of the entry's own blob ends: it has nothing behind that.
  private static func blobEnd(_ entry: LedgerEntry, _ path: String) -> Int64 {
    refs(entry).filter { $0.path == path }.map { $0.offset + $0.length }.max() ?? 0
  }

  /// Data files and blobs of one entry.
  private static func contents(_ entry: LedgerEntry, _ lake: any ObjectStore, _ result: inout Result) async throws {
    for file in entry.tables.flatMap(\.files) {
      result.files += 1
      guard let bytes = try await lake.get(file.path) else {
        result.problems.append("\(file.path): missing (entry \(entry.number) names it)")
        continue
      }
      result.bytes += Int64(bytes.count)
      if Int64(bytes.count) != file.bytes || ContentHash(of: bytes).hex != file.hash {
        result.problems.append("\(file.path): its bytes are not those that entry \(entry.number) names")
      }
    }
    for ref in refs(entry) {
      result.blobs += 1
      let path = ref.path
      guard let bytes = try await lake.get(path, offset: ref.offset, count: Int(ref.length)) else {
        result.problems.append("\(path): missing (entry \(entry.number) names it)")
        continue
      }
      result.bytes += ref.length
      if ContentHash(of: bytes).hex != ref.hash {
        result.problems.append("\(path): bytes \(ref.offset) to \(ref.offset + ref.length) are not those that entry \(entry.number) names")
      }
    }
    for lane in entry.lanes {
      for case .lookup(let name, let hash, let path) in lane.decisions {
        result.blobs += 1
        guard let bytes = try await lake.get(path) else {
          result.problems.append("\(path): missing (the lookup \(name) of entry \(entry.number))")
          continue
        }
        if ContentHash(of: bytes).hex != hash {
          result.problems.append("\(path): its bytes are not the lookup \(name) of entry \(entry.number)")
        }
      }
    }
  }

  /// The files of a table's log: commits are whole, none is missing, and the newest checkpoint says what they say.
  private static func log(
    _ table: DeltaTable, _ log: DeltaLog, ledgerID: String, _ lake: any ObjectStore, _ result: inout Result
  ) async throws {
    for version in log.commits {
      guard let bytes = try await lake.get(table.commitPath(version)) else { continue }
      result.commits += 1
      result.bytes += Int64(bytes.count)
      let path = table.commitPath(version)
      switch DeltaCommit.isIntact(bytes) {
      case true?: break
      case false?: result.problems.append("\(path): its bytes do not match its hash")
      case nil where isOurs(bytes, version, path, ledgerID):
        result.problems.append("\(path): damaged: the hash that was written with it is gone")
      // Another program's commit.
      case nil: break
      }
    }
    // Without commits and checkpoints there is no table: its snapshot says so.
    if log.latest >= 0, let gap = log.firstGap {
      result.problems.append("\(table.commitPath(gap)): missing, and no checkpoint stands for it")
    } else if log.isCleaned {
      result.notes.append(
        "\(table.path)/_delta_log: commits before version \(log.firstCommit) were cleaned; a checkpoint stands for them, and their hashes could not be compared"
      )
    }
    if let problem = try await table.checkpointProblem(log) { result.problems.append(problem) }
  }

  /// Whether a commit without a hash must be one of this ledger that lost it: the first of a table is, and any with its `txn`;
  /// one that cannot be read is nobody's.
  private static func isOurs(_ bytes: [UInt8], _ version: Int64, _ path: String, _ ledgerID: String) -> Bool {
    guard version > 0, let actions = try? DeltaCommit.decode(bytes, path: path), !actions.isEmpty else { return true }
    return actions.contains { if case .transaction(let appID, _) = $0 { appID.hasPrefix(ledgerID + "/") } else { false } }
  }

  /// A table: its log is whole, and its files are exactly the ledger's.
  private static func table(
    _ name: String, _ fold: LedgerFold, _ entries: [LedgerEntry], _ lake: any ObjectStore, _ result: inout Result
  ) async throws {
    let table = DeltaTable(store: lake, path: name)
    try await log(table, try await table.log(), ledgerID: fold.genesis.ledgerID, lake, &result)
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
    let txn = snapshot.transactions["\(fold.genesis.ledgerID)/\(name)"] ?? -1
    let named = entries.filter { $0.number <= txn }.flatMap(\.tables).filter { $0.table == name }.flatMap(\.files)
    for file in named {
      let path = uriEncode(String(file.path.dropFirst(name.count + 1)))
      guard let add = snapshot.files[path] else {
        if snapshot.removed[path] == nil {
          result.problems.append("\(name)/_delta_log: the file \(path) that the ledger names is not in the table")
        }
        continue
      }
      if add.bytes != file.bytes { result.problems.append("\(name)/_delta_log: the size of \(path) is not the ledger's") }
    }
    if txn < fold.number {
      result.problems.append(
        "\(table.commitPath(snapshot.version + 1)): missing: the table is at entry \(txn), the ledger at \(fold.number) (`weir replay` brings it up)"
      )
    }
  }
}
