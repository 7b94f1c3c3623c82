import WeirCore
import WeirDelta
import WeirOperators
import WeirProtocol

/// Takes Delta tables that are ahead of the ledger, or beside it, back to the ledger's entries, and writes the log of a table again
/// whose directory `_delta_log` is gone. Only by explicit command: what it takes out of a table is processed again by the next run,
/// if the source still has it.
///
/// A table is taken back by a new version, as other programs' RESTORE does it: nothing of the log is deleted, and the files that are
/// no longer the table's stay until a VACUUM.
public struct TableRestore: Sendable {
  /// What was done to a table, or would be.
  public struct Report: Sendable, Equatable {
    public var table: String
    /// The entry that the table had applied; nil: its log was gone.
    public var from: Int64?
    /// The ledger's entry that it was taken back to.
    public var to: Int64
    /// Paths under the table's directory, as in the log.
    public var removed: [String] = []
    public var added: [String] = []
  }

  /// Attempts while other workers commit to the table.
  private static let triesMax = 8

  private let environment: EngineEnvironment
  private let ledger: Ledger
  private let ledgerID: String
  private let layout: TableLayout
  private let names: TableTransactions
  private let table: DeltaTable

  private init(_ environment: EngineEnvironment, _ ledger: Ledger, ledgerID: String, _ layout: TableLayout) {
    self.environment = environment
    self.ledger = ledger
    self.ledgerID = ledgerID
    self.layout = layout
    names = TableTransactions(ledgerID: ledgerID, table: layout.table)
    table = DeltaTable(store: environment.lake, path: layout.table, application: names.application)
  }

  /// Restores the tables that need it, and brings all tables up to the ledger's last entry.
  /// - Parameter isDry: only report.
  /// - Returns: the tables that were not as the ledger says.
  /// - Throws: `table_ahead` or `table_missing` when a table cannot be restored, before anything is written to it; what the stores and
  ///   the ledger throw.
  public static func run(_ compiled: CompiledPlan, environment: EngineEnvironment, isDry: Bool) async throws -> [Report] {
    let ledger = try await LedgerOpening.required(compiled.plan, environment)
    let fold = await ledger.fold
    let ledgerID = fold.genesis.ledgerID
    var reports: [Report] = []
    for layout in TableLayout.all(compiled.plan) {
      let restore = TableRestore(environment, ledger, ledgerID: ledgerID, layout)
      if let report = try await restore.run(given: fold.tables[layout.table], isDry: isDry) { reports.append(report) }
    }
    if !isDry {
      let followers = Followers(environment: environment, ledger: ledger, ledgerID: ledgerID, plan: compiled.plan)
      try await followers.catchUp(to: await ledger.fold.number)
    }
    return reports
  }

  private func run(given: TableFold?, isDry: Bool) async throws -> Report? {
    for _ in 0..<TableRestore.triesMax {
      let log = try await table.log()
      guard log.latest >= 0, let snapshot = try await table.snapshot() else {
        return given == nil ? nil : try await remake(isDry: isDry)
      }
      let now = names.snapshot(snapshot.tip)
      guard now.ledgerID == ledgerID else {
        throw FollowerMachine.Refusal.foreign(owner: now.ledgerID).error(table: layout.table, head: await ledger.fold.number)
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
      "storage", "the Delta log of \(layout.table) could not be written", advice: "Stop other programs that write to it, then run again.",
      isRetriable: true)
  }

  /// Looks for the entries that the table has not applied, and their files.
  private func checkFiles(after number: Int64) async throws {
    let files = DataFiles(lake: environment.lake)
    for entry in try await ledger.entries(after: number, through: await ledger.fold.number) {
      try await files.check(entry.files(of: layout.table), of: layout.table)
    }
  }

  private func belongs(_ number: Int64, _ proof: Int64?) async throws -> Bool {
    guard let truth = try await ledger.proof(of: number) else { return false }
    return truth.agrees(with: proof, number: number)
  }

  // MARK: Taking back

  /// The commit that takes the table back.
  private func back(from snapshot: DeltaSnapshot, _ log: DeltaLog) async throws -> (Report, [UInt8]) {
    let good = try await lastGood(snapshot.version, log)
    guard let proof = try await ledger.proof(of: good.entry) else { preconditionFailure("a good entry is the ledger's") }
    // What follows must be there, or the table would be stuck behind it.
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
    var report = Report(table: layout.table, from: names.snapshot(snapshot.tip).txn ?? 0, to: good.entry)
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
    let path = "\(layout.table)/\(uriDecode(add.path))"
    return try await environment.lake.list(path).contains { $0.path == path && $0.bytes == add.bytes }
  }

  private func encode(_ actions: [DeltaAction], _ report: Report) -> [UInt8] {
    DeltaCommit.encode(
      info: [
        .init("timestamp", .int(environment.clock.wallMicroseconds / 1000)), .init("operation", .string("RESTORE")),
        .init("operationParameters", .object([])), .init("engineInfo", .string("weir")), .init("isBlindAppend", .bool(false)),
        .init("weir", .members(["ledger": .string(ledgerID), "restoredFrom": .int(report.from ?? 0), "to": .int(report.to)])),
      ], actions: actions)
  }

  private func refused(_ why: String) -> WeirError {
    WeirError(
      "table_ahead", "the table \(layout.table) cannot be taken back to the ledger's entries: \(why)",
      advice:
        "Nothing was written to it. Restore the table's directory from a copy that is not newer than the ledger, or replay into a new lake (--lake DIR --store DIR)."
    )
  }

  // MARK: A log that is gone

  /// Writes the log again from the ledger, if all files are there.
  private func remake(isDry: Bool) async throws -> Report {
    let head = await ledger.fold.number
    var report = Report(table: layout.table, from: nil, to: head)
    for entry in try await ledger.entries(after: 0, through: head) {
      for file in entry.files(of: layout.table) {
        guard try await environment.lake.list(file.path).contains(where: { $0.path == file.path && $0.bytes == file.bytes }) else {
          throw WeirError(
            "table_missing", "the Delta log of \(layout.table) is gone, and so is its file \(file.path) (entry \(entry.number) names it)",
            advice: "Restore the table's directory from a copy of the lake, or replay into a new lake (--lake DIR --store DIR).")
        }
        report.added.append(uriEncode(String(file.path.dropFirst(layout.table.count + 1))))
      }
    }
    if !isDry {
      var follower = DeltaFollower(environment: environment, ledgerID: ledgerID, layout: layout)
      try await follower.follow(ledger, to: head, given: nil)
    }
    return report
  }
}
