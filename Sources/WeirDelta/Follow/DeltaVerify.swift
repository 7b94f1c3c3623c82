import WeirCore
import WeirProtocol

/// Compares one table with the ledger: its log is whole, its `txn` names an entry of the ledger, and its files are the ledger's, but
/// for those that another program removed.
struct DeltaVerify {
  private let name: String
  private let ledger: Ledger
  private let fold: LedgerFold
  private let entries: [LedgerEntry]
  private let lake: any ObjectStore
  private let table: DeltaTable
  private let names: TableTransactions

  init(_ followed: FollowedTable, _ given: VerifiedLedger) {
    name = followed.path
    (ledger, fold, entries, lake) = (given.ledger, given.fold, given.entries, given.lake)
    names = TableTransactions(ledgerID: fold.genesis.ledgerID, table: name)
    table = DeltaTable(store: lake, path: name, application: names.application)
  }

  /// - Parameter removed: gets the paths of the ledger's files that another program removed from the table.
  func run(_ result: inout VerifyResult, removed: inout Set<String>) async throws {
    let log = try await table.log()
    let before = result.problems.count
    try await commits(log, &result)
    guard let snapshot = try await snapshot(isDamaged: result.problems.count > before, &result) else { return }
    let seen = names.snapshot(snapshot.tip)
    guard seen.ledgerID == fold.genesis.ledgerID else {
      return result.add(FollowerMachine.Refusal.foreign(owner: seen.ledgerID).error(of: table, head: fold.number))
    }
    let txn = seen.txn ?? 0
    if let refusal = try await refusal(txn, seen.proof) {
      result.add(refusal.error(of: table, head: await ledger.fold.number))
    } else if txn < fold.number {
      result.notices.append(
        "\(name): at entry \(txn), and the ledger is at \(fold.number): the next run updates it (\(table.commitPath(snapshot.version + 1)))"
      )
    }
    try await files(snapshot, log, txn, &result, &removed)
  }

  private func refusal(_ txn: Int64, _ proof: Int64?) async throws -> FollowerMachine.Refusal? {
    do {
      guard let truth = try await ledger.proof(of: txn) else { return .ahead(txn) }
      return truth.agrees(with: proof, number: txn) ? nil : .beside(txn)
    } catch let error as WeirError where error.code == .ledgerCollected && txn < fold.number {
      throw WeirError(.tableAhead, "\(name): at entry \(txn), and the entries after it were collected or are lost")
    }
  }

  /// nil when there is no table to compare with, which is in the result.
  private func snapshot(isDamaged: Bool, _ result: inout VerifyResult) async throws -> DeltaSnapshot? {
    do {
      if let snapshot = try await table.snapshot() { return snapshot }
      if fold.tables[name] != nil {
        result.add(FollowerMachine.Refusal.missing.error(of: table, head: fold.number))
      } else {
        result.notices.append("\(name): the table does not exist yet, and the ledger lists no files of it: the next run creates it")
      }
    } catch let error as WeirError where error.code == .corrupt && isDamaged {
      // The log's own problems name the file.
    }
    return nil
  }

  // MARK: The log

  /// The files of the log: commits are whole, none is missing, and the newest checkpoint says what they say.
  private func commits(_ log: DeltaLog, _ result: inout VerifyResult) async throws {
    var before = (transactions: [String: Int64](), owner: String?.none)
    for version in log.commits {
      let path = table.commitPath(version)
      guard case .bytes(let bytes) = try await result.look(lake, path) else {
        before = ([:], nil)
        continue
      }
      result.commits += 1
      do throws(WeirError) { try follow(bytes, path, &before) } catch { result.add(error) }
      switch DeltaCommit.isIntact(bytes) {
      case true?: break
      case false?: result.problems.append("\(path): its bytes do not match its hash")
      case nil where isOurs(bytes, version):
        result.problems.append("\(path): damaged: the hash that was written with it is gone")
      // Another program's commit.
      case nil: break
      }
    }
    // Without commits and checkpoints there is no table: its snapshot says so.
    if log.latest >= 0, let gap = log.firstGap {
      result.problems.append("\(table.commitPath(gap)): missing, and no checkpoint covers it")
    } else if log.isCleaned {
      result.notices.append(
        "\(name)/_delta_log: commits before version \(log.firstCommit) were cleaned; a checkpoint covers them, and their hashes could not be compared"
      )
    }
    if let problem = try await table.checkpointProblem(log) { result.problems.append(Wording(problem)) }
  }

  /// - Parameter before: what the log says before the commit, and then with it.
  /// - Throws: `corrupt` for a commit of another table, and one that does not follow the one before it.
  private func follow(
    _ bytes: [UInt8], _ path: String, _ before: inout (transactions: [String: Int64], owner: String?)
  ) throws(WeirError) {
    guard let actions = try? DeltaCommit.decode(bytes, path: path) else { return }
    try table.checkTable(actions, path)
    defer {
      for action in actions {
        switch action {
        case .transaction(let application, let version): before.transactions[application] = version
        case .metadata(let metadata): before.owner = metadata.configuration[DeltaTable.ledgerProperty]
        default: break
        }
      }
    }
    try CommitLink(actions)?.check(before.transactions, owner: before.owner, path)
  }

  /// Whether a commit without a hash must be one of this ledger that lost it: the first of a table is, and any with its `txn`;
  /// one that cannot be read belongs to no ledger.
  private func isOurs(_ bytes: [UInt8], _ version: Int64) -> Bool {
    guard version > 0, let actions = try? DeltaCommit.decode(bytes, path: table.commitPath(version)), !actions.isEmpty else { return true }
    return actions.contains { if case .transaction(let appID, _) = $0 { appID.hasPrefix(names.application) } else { false } }
  }

  // MARK: Files

  private func files(
    _ snapshot: DeltaSnapshot, _ log: DeltaLog, _ txn: Int64, _ result: inout VerifyResult, _ removed: inout Set<String>
  ) async throws {
    var gone: [(path: String, file: DataFile)] = []
    for file in entries.filter({ $0.number <= txn }).flatMap({ $0.files(of: name) }) {
      let path = uriEncode(String(file.path.dropFirst(name.count + 1)))
      if let add = snapshot.files[path] {
        if add.bytes != file.bytes { result.problems.append("\(name)/_delta_log: the size of \(path) differs from the ledger's") }
      } else {
        gone.append((path, file))
      }
    }
    if !gone.isEmpty {
      let explained = try await removals(snapshot, log, gone.map(\.path))
      var count = 0
      for (path, file) in gone {
        if explained?.contains(path) ?? true {
          removed.insert(file.path)
          count += 1
        } else {
          result.problems.append("\(name)/_delta_log: the file \(path) that the ledger names is not in the table")
        }
      }
      if count > 0 {
        result.notices.append(
          "\(name): another program removed \(count) of the ledger's files from the table (OPTIMIZE, DELETE); VACUUM may have deleted them")
      }
    } else if snapshot.removed.isEmpty, txn == fold.number, Int64(snapshot.files.count) != fold.tables[name]?.files ?? 0,
      try await table.isOnlyOurs(through: snapshot.version)
    {
      result.problems.append(
        "\(name)/_delta_log: \(snapshot.files.count) files at entry \(txn), the ledger lists \(fold.tables[name]?.files ?? 0)")
    }
  }

  /// Those of the files that a `remove` of the log names; nil if the log was cleaned, so that it is unknown.
  private func removals(_ snapshot: DeltaSnapshot, _ log: DeltaLog, _ files: [String]) async throws -> Set<String>? {
    var found = Set(files.filter { snapshot.removed[$0] != nil })
    guard found.count < files.count else { return found }
    // Tombstones are forgotten after a week, by checkpoints of other programs; the commits still have them.
    guard log.firstCommit == 0 else { return nil }
    for version in log.commits {
      for case .remove(let remove) in try await table.actions(of: version) ?? [] { found.insert(remove.path) }
    }
    return found
  }
}
