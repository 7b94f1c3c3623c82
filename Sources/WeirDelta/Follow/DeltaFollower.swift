import WeirCore
import WeirProtocol

/// Brings one Delta table up to the ledger. Carries out what ``FollowerMachine`` says.
struct DeltaFollower: TableFollower {
  /// How far back other programs' commits are passed over in search of one of ours.
  private static let versionsMax: Int64 = 64

  private let ledgerID: String
  private let followed: FollowedTable
  private let table: DeltaTable
  private let files: DataFiles
  /// Of the table's commits, those that this ledger's followers make.
  private let names: TableTransactions
  private let clock: any Clock
  private let isSyncing: Bool
  private let variant: ProtocolVariant
  /// What this follower last saw of the table, without its files: they are many after some weeks.
  private var tip: DeltaTip?
  /// What a version says of how far the table is complete, see ``said(before:)``.
  private var said: (version: Int64, through: JSONValue)?
  /// The newest version that is known to be durable.
  private var durableVersion: Int64 = -1
  private var streak = OwnVersions()

  init(_ followed: FollowedTable, _ environment: FollowerEnvironment) {
    self.followed = followed
    ledgerID = environment.ledgerID
    clock = environment.clock
    files = DataFiles(lake: environment.lake)
    isSyncing = environment.isSyncing
    variant = environment.variant
    names = TableTransactions(ledgerID: ledgerID, table: followed.path)
    table = DeltaTable(store: environment.lake, path: followed.path, application: names.application)
  }

  mutating func follow(_ ledger: Ledger, to target: Int64, given: TableFold?, checksOnly: Bool) async throws {
    var machine = FollowerMachine(
      table: followed.path, ledgerID: ledgerID, target: target, mustExist: given != nil, checksOnly: checksOnly)
    machine.variant = variant
    var action = machine.begin
    var trouble = ""
    while true {
      switch action {
      case .done: return
      case .readSnapshot:
        if try await !trustsOwnVersion(target, checksOnly) {
          tip = try await table.tip(after: tip)
          try await makeDurable()
        }
        action = machine.event(.snapshotRead(names.snapshot(tip)))
      case .readEntries(let after, let through):
        action = machine.event(.entriesRead(try await ledger.entries(after: after, through: through)))
      case .readProof(let number): action = machine.event(.proofRead(try await ledger.proof(of: number)))
      case .commit(let commit):
        try await files.check(commit.files, of: followed.path)
        let actions = actions(commit)
        let through = try await complete(commit, await ledger.fold)
        let outcome = await table.tryCommit(version: commit.version, bytes: encode(commit, actions, through))
        if case .unknown(let why) = outcome { trouble = why }
        streak.ended(outcome, version: commit.version, at: clock.monotonicNanoseconds)
        if outcome == .created {
          durableVersion = commit.version
          said = (commit.version, through)
          try await created(commit.version, actions)
        }
        action = machine.event(.putReturned(outcome))
      case .rest(let tries):
        await clock.sleep(nanoseconds: Int64(tries) * 10_000_000)
        action = machine.event(.rested)
      case .giveUp:
        throw WeirError(
          .storage, "the Delta log of \(followed.path) could not be written: \(trouble)",
          advice: "The entry is in the ledger: run again, which updates the table.")
      case .fail(let error): throw error
      case .refuse(let refusal): throw refusal.error(of: table, head: await ledger.fold.number)
      }
    }
  }

  /// Whether the version that this follower made last is taken for the newest without a look for later ones: each look is two requests,
  /// and a worker alone would never find anything. If there is a later version, the commit finds its number taken, and the next try looks.
  private func trustsOwnVersion(_ target: Int64, _ checksOnly: Bool) async throws -> Bool {
    guard let tip, !checksOnly, variant.isEmpty, streak.isLong(through: tip.version, at: clock.monotonicNanoseconds),
      let applied = names.snapshot(tip).txn, applied < target
    else { return false }
    // A log that was removed would get a commit without those before it.
    return try await table.has(tip.version)
  }

  /// Syncs the newest version, unless this follower made it durable itself: another worker may have died between its link and its sync,
  /// and with a version of ours durable above one that vanishes with the machine, the log has a hole. Its worker had done the same
  /// with the version before.
  private mutating func makeDurable() async throws {
    guard let version = tip?.version, version > durableVersion, isSyncing else { return }
    try await table.sync(version)
    durableVersion = version
  }

  func compare(with given: TableFold?, at number: Int64) async throws {
    guard let tip, names.snapshot(tip).txn == number, !tip.hasRemovals else { return }
    let (files, bytes) = (tip.files, tip.bytes)
    let wanted = (files: given?.files ?? 0, bytes: given?.bytes ?? 0)
    guard files != wanted.files || bytes != wanted.bytes else { return }
    // Another program may have removed files so long ago that its checkpoint has forgotten them; its commits have not.
    guard try await table.isOnlyOurs(through: tip.version) else { return }
    throw WeirError(
      .corrupt,
      "the Delta log of \(followed.path) has \(files) files (\(bytes) bytes) at entry \(number), the ledger lists \(wanted.files) (\(wanted.bytes) bytes)",
      advice: "A file of \(followed.path)/_delta_log is damaged: \(.verifyLedger) names it. Restore it from a copy of the lake.")
  }

  /// A commit's actions: version 0 makes the table; `txn` is the last entry that the commit covers.
  private func actions(_ commit: FollowerMachine.Commit) -> [DeltaAction] {
    var actions: [DeltaAction] = []
    if commit.version == 0 {
      actions = DeltaTable.creation(
        id: DeltaFollower.uuid(ContentHash(of: Array(names.entry.utf8)).hex), columns: followed.columns,
        partitionColumns: followed.partitionColumns,
        configuration: [DeltaTable.ledgerProperty: ledgerID, "delta.enableExpiredLogCleanup": "false"],
        milliseconds: clock.wallMicroseconds / 1000)
    }
    if let changed = changedMetadata(commit) { actions.append(.metadata(changed)) }
    actions += names.actions(entry: commit.to, proof: commit.proof)
    return actions + commit.files.map { .add(add($0)) }
  }

  private func encode(_ commit: FollowerMachine.Commit, _ actions: [DeltaAction], _ through: JSONValue) -> [UInt8] {
    let isWrite = commit.version > 0 || !commit.files.isEmpty
    return DeltaCommit.encode(
      info: info(isWrite ? "WRITE" : "CREATE TABLE", [.init("weir", accounting(commit, through))]), actions: actions)
  }

  /// Of a table that was made for a plan since replaced, and never had a file.
  private func changedMetadata(_ commit: FollowerMachine.Commit) -> DeltaMetadata? {
    guard commit.version > 0, let tip, !tip.hadFiles, var metadata = tip.metadata else { return nil }
    let (schema, partitionColumns) = (DeltaSchema.text(followed.columns), followed.partitionColumns)
    guard metadata.schema != schema || metadata.partitionColumns != partitionColumns else { return nil }
    (metadata.schema, metadata.partitionColumns) = (schema, partitionColumns)
    return metadata
  }

  private static func uuid(_ hex: String) -> String {
    let h = Array(hex)
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(h[$0]) }.joined(separator: "-")
  }

  private func info(_ operation: String, _ more: [JSONValue.Member]) -> [JSONValue.Member] {
    let parameters: [JSONValue.Member] = operation == "WRITE" ? [.init("mode", .string("Append"))] : []
    return [
      .init("timestamp", .int(clock.wallMicroseconds / 1000)), .init("operation", .string(operation)),
      .init("operationParameters", .object(parameters)), .init("engineInfo", .string("weir")),
      .init("isBlindAppend", .bool(true)),
    ] + more
  }

  private func add(_ file: DataFile) -> DeltaAdd {
    DeltaAdd(
      path: uriEncode(String(file.path.dropFirst(followed.path.count + 1))),
      partitionValues: file.partition.map { ($0.name, $0.value) }, bytes: file.bytes,
      modificationMilliseconds: clock.wallMicroseconds / 1000, stats: DeltaFollower.stats(of: file)?.text)
  }

  /// The file's statistics as Delta has them.
  static func stats(of file: DataFile) -> JSONValue? {
    switch file.stats {
    case .none: nil
    case .delta(let json): json
    case .columns(let columns):
      DeltaStats.json(
        rows: file.rows,
        columns: columns.map {
          DeltaStats.Column(
            name: $0.name, nulls: $0.nulls, nans: $0.nans, min: $0.min, max: $0.max, isMaxCut: $0.isMaxCut, isBinary: $0.type == .binary)
        })
    }
  }

  /// Law 4 in the commit: both sums of the entries `(from, to]`, and how far the table is complete.
  private func accounting(_ commit: FollowerMachine.Commit, _ through: JSONValue) -> JSONValue {
    let counts = commit.counts
    var members: [JSONValue.Member] = [
      .init("ledger", .string(ledgerID)), .init("from", .int(commit.from)), .init("to", .int(commit.to)),
      .init("in", .int(counts.input)), .init("accepted", .int(counts.accepted)),
      .init("duplicate", .int(counts.duplicate)), .init("filtered", .int(counts.filtered)),
      .init("quarantined", .int(counts.quarantined)),
      .init("completeThrough", through),
    ]
    if counts.blankLines > 0 { members.append(.init("blankLines", .int(counts.blankLines))) }
    if counts.rescued > 0 { members.append(.init("rescued", .int(counts.rescued))) }
    if !commit.kinds.isEmpty { members.append(.init("kinds", commit.kinds.json)) }
    if followed.windows != nil { members.append(.init("windows", commit.windows.json)) }
    return .object(members)
  }

  /// Through which event time the table has everything with this commit: rows of records, or windows by their end.
  private func complete(_ commit: FollowerMachine.Commit, _ fold: LedgerFold) async throws -> JSONValue {
    guard let windows = followed.windows, !variant.contains(.completeTooEarly) else { return DeltaFollower.time(commit.mergedWatermark) }
    if let through = windows.complete(commit, fold) { return DeltaFollower.time(through) }
    return try await said(before: commit)
  }

  /// What the newest version before says; null: it is not known. Another worker may have written it, or this one before it was started again.
  private func said(before commit: FollowerMachine.Commit) async throws -> JSONValue {
    if let said, said.version == commit.version - 1 { return said.through }
    var (version, through) = (commit.version - 1, commit.from)
    let oldest = max(0, commit.version - DeltaFollower.versionsMax)
    while version >= oldest, let bytes = try await table.store.get(table.commitPath(version)) {
      let path = table.commitPath(version)
      version -= 1
      // An answer that was cut off must not be taken for another program's commit: what was said before would be forgotten.
      guard let line = bytes.split(separator: 0x0A, maxSplits: 1).first, let info = try? JSONValue(parsing: line) else {
        throw WeirError(.corrupt, "\(path): its first line is not JSON")
      }
      guard let ours = info["commitInfo"]?["weir"], ours["ledger"]?.string == ledgerID, let to = ours["to"]?.int else { continue }
      if to <= through, let said = ours["completeThrough"] { return said }
      // Taken back: what other versions say of later entries is of another history.
      if ours["restoredFrom"] != nil { through = min(through, to) }
    }
    return .null
  }

  private static func time(_ watermark: Int64) -> JSONValue {
    switch watermark {
    case Watermark.minimum: .null
    case Watermark.maximum: .string("end of input")
    default: .string(CivilTime.text(ofMicroseconds: watermark))
    }
  }

  /// After the table's new version: writes a checkpoint when one is due.
  private mutating func created(_ version: Int64, _ actions: [DeltaAction]) async throws {
    tip = try table.tip(tip, after: actions, version: version)
    guard let tip, tip.isCheckpointDue, let checkpoint = try await table.writeCheckpoint(of: tip) else { return }
    // A follower that trusts its own version does not look at the hint: without this it would write one with each further commit.
    self.tip?.passed(checkpoint)
  }
}
