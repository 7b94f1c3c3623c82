import WeirCore
import WeirProtocol

/// Takes a table that is ahead of the ledger, or diverged from it, back to the ledger's entries, and writes the log of a table again
/// whose directory `_delta_log` is gone.
///
/// A table is taken back by a new version, as other programs' RESTORE does it: nothing of the log is deleted, and the files that are
/// no longer the table's stay until a VACUUM.
struct DeltaRestore {
  /// Attempts while other workers commit to the table.
  private static let triesMax = 8

  private let environment: FollowerEnvironment
  private let ledger: Ledger
  private let followed: FollowedTable
  private let names: TableTransactions
  private let table: DeltaTable

  init(_ followed: FollowedTable, _ ledger: Ledger, _ environment: FollowerEnvironment) {
    self.followed = followed
    self.ledger = ledger
    self.environment = environment
    names = TableTransactions(ledgerID: environment.ledgerID, table: followed.path)
    table = DeltaTable(store: environment.lake, path: followed.path, application: names.application)
  }

  func run(given: TableFold?, isDry: Bool) async throws -> TableRestoration? {
    for _ in 0..<DeltaRestore.triesMax {
      let log = try await table.log()
      guard log.latest >= 0, let snapshot = try await table.snapshot() else {
        return given == nil ? nil : try await remake(isDry: isDry)
      }
      let now = names.snapshot(snapshot.tip)
      guard now.ledgerID == environment.ledgerID else {
        throw FollowerMachine.Refusal.foreign(owner: now.ledgerID).error(of: table, head: await ledger.fold.number)
      }
      if try await belongs(now.txn ?? 0, now.proof) {
        try await checkFiles(after: now.txn ?? 0)
        return nil
      }
      let (report, bytes) = try await back(from: snapshot, log)
      if isDry { return report }
      if await table.tryCommit(version: snapshot.version + 1, bytes: bytes) == .created { return report }
    }
    throw WeirError(
      .storage, "the Delta log of \(followed.path) could not be written", advice: "Stop other programs that write to it, then run again.")
  }

  /// Looks for the entries that the table has not applied, and their files.
  private func checkFiles(after number: Int64) async throws {
    let files = DataFiles(lake: environment.lake)
    for entry in try await ledger.entries(after: number, through: await ledger.fold.number) {
      try await files.check(entry.files(of: followed.path), of: followed.path)
    }
  }

  private func belongs(_ number: Int64, _ proof: Int64?) async throws -> Bool {
    guard let truth = try await ledger.proof(of: number) else { return false }
    return truth.agrees(with: proof, number: number)
  }

  // MARK: Taking back

  /// The commit that takes the table back.
  private func back(from snapshot: DeltaSnapshot, _ log: DeltaLog) async throws -> (TableRestoration, [UInt8]) {
    let good = try await lastGood(snapshot.version, log)
    guard let proof = try await ledger.proof(of: good.entry) else {
      // It was there when the good version was looked for.
      throw WeirError(
        .storage, "\(followed.path): entry \(good.entry) of the ledger was collected while the table was restored", advice: "Run again.")
    }
    // What follows must be there, or the table would be stuck after it.
    _ = try await ledger.entries(after: good.entry, through: await ledger.fold.number)
    var undo = DeltaUndo(try await table.snapshot(at: good.version, in: log))
    var version = good.version + 1
    while version <= snapshot.version {
      let actions = try await commit(version)
      guard undo.take(actions, isUndone: isOurs(actions)) else {
        throw refused("version \(version) of its log, by another program, changed rows that were added after entry \(good.entry)")
      }
      version += 1
    }
    let changes = undo.actions(from: snapshot, milliseconds: environment.clock.wallMicroseconds / 1000)
    var report = TableRestoration(table: followed.path, from: names.snapshot(snapshot.tip).txn ?? 0, to: good.entry)
    for change in changes {
      if case .remove(let remove) = change { report.removed.append(remove.path) }
      if case .add(let add) = change {
        guard try await isThere(add) else { throw refused("its file \(add.path), which OPTIMIZE replaced, was deleted by VACUUM") }
        report.added.append(add.path)
      }
    }
    try await checkFiles(after: good.entry)
    return (report, encode(names.actions(entry: good.entry, proof: proof) + changes, report))
  }

  /// The newest version whose entry is the ledger's; version -1 and entry 0 when the table has none.
  private func lastGood(_ latest: Int64, _ log: DeltaLog) async throws -> (version: Int64, entry: Int64) {
    for version in stride(from: latest, through: log.firstCommit, by: -1) {
      let actions = try await commit(version)
      guard let entry = transaction(names.entry, actions) else { continue }
      if try await belongs(entry, transaction(names.proof, actions)) { return (version, entry) }
    }
    guard log.firstCommit == 0 else {
      throw refused("the commits of its log before version \(log.firstCommit) were cleaned, and those that are left are not this ledger's")
    }
    return (-1, 0)
  }

  private func commit(_ version: Int64) async throws -> [DeltaAction] {
    if let actions = try await table.actions(of: version) { return actions }
    throw refused("\(table.commitPath(version)) is missing")
  }

  private func transaction(_ name: String, _ actions: [DeltaAction]) -> Int64? {
    for case .transaction(name, let version) in actions { return version }
    return nil
  }

  private func isOurs(_ actions: [DeltaAction]) -> Bool { transaction(names.entry, actions) != nil }

  private func isThere(_ add: DeltaAdd) async throws -> Bool {
    let path = "\(followed.path)/\(uriDecode(add.path))"
    return try await environment.lake.list(path).contains { $0.path == path && $0.bytes == add.bytes }
  }

  private func encode(_ actions: [DeltaAction], _ report: TableRestoration) -> [UInt8] {
    DeltaCommit.encode(
      info: [
        .init("timestamp", .int(environment.clock.wallMicroseconds / 1000)), .init("operation", .string("RESTORE")),
        .init("operationParameters", .object([])), .init("engineInfo", .string("weir")), .init("isBlindAppend", .bool(false)),
        .init("weir", .members(["ledger": .string(environment.ledgerID), "restoredFrom": .int(report.from ?? 0), "to": .int(report.to)])),
      ], actions: actions)
  }

  private func refused(_ why: String) -> WeirError {
    WeirError(
      .tableAhead, "the table \(followed.path) cannot be restored to the ledger's entries: \(why)",
      advice:
        "Nothing was written to it. Restore the table's directory from a copy that is not newer than the ledger, or replay into \(.newLake)."
    )
  }

  // MARK: A log that is gone

  /// Writes the log again from the ledger, if all files are there.
  private func remake(isDry: Bool) async throws -> TableRestoration {
    let head = await ledger.fold.number
    var report = TableRestoration(table: followed.path, from: nil, to: head)
    for entry in try await ledger.entries(after: 0, through: head) {
      for file in entry.files(of: followed.path) {
        guard try await environment.lake.list(file.path).contains(where: { $0.path == file.path && $0.bytes == file.bytes }) else {
          throw WeirError(
            .tableMissing, "the Delta log of \(followed.path) is gone, and so is its file \(file.path) (entry \(entry.number) names it)",
            advice: "Restore the table's directory from a copy of the lake, or replay into \(.newLake).")
        }
        report.added.append(uriEncode(String(file.path.dropFirst(followed.path.count + 1))))
      }
    }
    if !isDry {
      var follower = DeltaFollower(followed, environment)
      try await follower.follow(ledger, to: head, given: nil, checksOnly: false)
    }
    return report
  }
}
