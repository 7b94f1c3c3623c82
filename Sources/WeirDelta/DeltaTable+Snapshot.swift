import WeirCore

/// How a table's log is read: the newest checkpoint that can be read, and the commits after it.
extension DeltaTable {
  /// The newest snapshot; nil if there is no table. It holds all of the table's files.
  ///
  /// With an older snapshot only the commits after it are read. Without one the log is listed, from the checkpoint on that
  /// `_last_checkpoint` names if that leads to the newest version: the newest checkpoint that can be read is the base; an older one, or the commits from 0 on, if that is broken and the commits are there.
  ///
  /// - Throws: `corrupt` when no checkpoint and commits lead to the newest version, `foreign_table` when the table asks
  ///   for more than protocol (1,2).
  package func snapshot(after older: DeltaSnapshot? = nil) async throws -> DeltaSnapshot? {
    try await newest(DeltaSnapshot(), after: older)
  }

  /// The same without the table's files: no more than one commit and one row group of a checkpoint is in memory.
  package func tip(after older: DeltaTip? = nil) async throws -> DeltaTip? {
    try await newest(DeltaTip(application: application), after: older)
  }

  /// The tip after a commit that this process made. nil if `tip` is not that of the version before.
  package func tip(_ tip: DeltaTip?, after actions: [DeltaAction], version: Int64) throws(WeirError) -> DeltaTip? {
    var next = tip ?? DeltaTip(application: application)
    guard next.version == version - 1 else { return nil }
    try next.apply(actions, version: version, path: commitPath(version))
    return next
  }

  private func newest<Replay: DeltaReplay>(_ empty: Replay, after older: Replay?) async throws -> Replay? {
    // The version that is known must still be there: a log that was removed would get a commit without those before it.
    guard var snapshot = older, try await store.get(commitPath(snapshot.version), offset: 0, count: 1) != nil else {
      return try await open(empty)
    }
    try await advance(&snapshot)
    // A program that cleans commits leaves a checkpoint and the hint to it. Without this look a worker that slept while
    // others committed and cleaned would take its old snapshot for the newest, and commit into the hole.
    guard let hint = try await hint() else { return snapshot }
    guard hint.version <= snapshot.version else { return try await open(empty) }
    snapshot.passed(hint)
    return snapshot
  }

  /// The files of the log.
  package func log() async throws -> DeltaLog {
    DeltaLog(try await store.list(logPath), directory: logPath)
  }

  /// What `_last_checkpoint` says; nil if it is not there or says nothing.
  private func hint() async throws -> CheckpointMark? {
    guard let bytes = try await store.get(lastCheckpointPath), let hint = try? JSONValue(parsing: bytes),
      let version = hint["version"]?.int
    else { return nil }
    return CheckpointMark(version: version, rows: max(0, hint["size"]?.int ?? 0))
  }

  private func open<Replay: DeltaReplay>(_ empty: Replay) async throws -> Replay? {
    if let hint = try await hint(), let snapshot = try await open(empty, from: hint.version) { return snapshot }
    let log = try await log()
    guard log.latest >= 0 else {
      guard let sample = log.sample else { return nil }
      throw WeirError(
        .corrupt, "the Delta log of \(path) has neither commits nor checkpoints (there is \(sample))",
        advice: "Restore the commits that are missing from a copy.")
    }
    guard var snapshot = try await base(log, empty) else { throw unreadable(log) }
    while snapshot.version < log.latest {
      guard try await advanceOnce(&snapshot) else {
        throw WeirError(
          .storage, "\(commitPath(snapshot.version + 1)) was removed while the log was read", advice: "Run again.")
      }
    }
    try await advance(&snapshot)
    return snapshot
  }

  /// What the log says from a checkpoint on: of a long log the names alone are many. nil if it does not lead to the newest version: the
  /// whole log has to say.
  private func open<Replay: DeltaReplay>(_ empty: Replay, from version: Int64) async throws -> Replay? {
    let log = DeltaLog(try await store.list(logPath, from: checkpointStem(version)), directory: logPath)
    guard let base = log.checkpoints.first(where: { log.leadsToLatest(from: $0.version) }) else { return nil }
    do {
      var snapshot = try await read(base, empty)
      try await advance(&snapshot)
      return snapshot.version >= log.latest ? snapshot : nil
    } catch let error as WeirError where error.code == .corrupt { return nil }
  }

  /// What the commits are applied to; nil if there is nothing that leads to the newest version.
  private func base<Replay: DeltaReplay>(_ log: DeltaLog, _ empty: Replay) async throws -> Replay? {
    var trouble: WeirError?
    for candidate in log.checkpoints where log.leadsToLatest(from: candidate.version) {
      do {
        return try await read(candidate, empty)
      } catch let error as WeirError where error.code == .corrupt {
        trouble = trouble ?? error
      }
    }
    if log.leadsToLatest(from: -1) { return empty }
    guard let trouble else { return nil }
    throw WeirError(
      .corrupt, "\(trouble.message); the commits that it covers were cleaned, and no other checkpoint covers them",
      advice: trouble.advice)
  }

  /// What a checkpoint holds.
  func read<Replay: DeltaReplay>(_ candidate: DeltaLog.Candidate, _ empty: Replay) async throws -> Replay {
    var snapshot = empty
    var protocols = 0
    var metadata = 0
    let rows = try await forEachGroup(of: candidate) { (actions, path) in
      for action in actions {
        if case .protocolVersion = action { protocols += 1 }
        if case .metadata = action { metadata += 1 }
      }
      try snapshot.apply(actions, version: candidate.version, path: path)
    }
    guard protocols == 1, metadata > 0 else {
      throw WeirError(
        .corrupt, "the checkpoint \(candidate.parts.first?.path ?? path) lacks the table's protocol or metadata",
        advice: "Restore the file from a copy.")
    }
    snapshot.began(at: CheckpointMark(version: candidate.version, rows: rows))
    return snapshot
  }

  /// Hands the actions of each row group of a checkpoint to `body`, with the path of its file.
  /// - Returns: its rows.
  @discardableResult
  func forEachGroup(of candidate: DeltaLog.Candidate, _ body: ([DeltaAction], String) async throws -> Void) async throws -> Int64 {
    var rows: Int64 = 0
    for part in candidate.parts {
      let file = try await CheckpointFile(part, store)
      for group in 0..<file.groups { try await body(try await file.actions(ofGroup: group), part.path) }
      rows += Int64(file.rows)
    }
    return rows
  }

  private func advance(_ snapshot: inout some DeltaReplay) async throws {
    while try await advanceOnce(&snapshot) {}
  }

  /// Applies the next commit; false if there is none.
  func advanceOnce(_ snapshot: inout some DeltaReplay) async throws -> Bool {
    let version = snapshot.version + 1
    guard let bytes = try await store.get(commitPath(version)) else { return false }
    try snapshot.apply(try actions(bytes, of: version), version: version, path: commitPath(version))
    return true
  }

  /// The actions of a commit, whose damage is found by its own hash: what one lost would go unnoticed otherwise.
  /// - Throws: `corrupt` for a commit without actions, one of ours whose bytes are not those of its hash or that lost its hash, and one
  ///   that cannot be read.
  func actions(_ bytes: [UInt8], of version: Int64) throws(WeirError) -> [DeltaAction] {
    let path = commitPath(version)
    let isIntact = DeltaCommit.isIntact(bytes)
    guard isIntact != false else { throw DeltaTable.damaged(path, "its bytes do not match its hash") }
    let actions = try DeltaCommit.decode(bytes, path: path)
    guard !actions.isEmpty else { throw DeltaTable.damaged(path, "it holds no actions") }
    if isIntact == nil, isOurs(actions) { throw DeltaTable.damaged(path, "the hash that was written with it is gone") }
    try checkTable(actions, path)
    return actions
  }

  /// A commit has the hash of its own bytes wherever it is: one of another table is known by its `txn` alone.
  /// - Throws: `corrupt` for a commit of another table of the ledger.
  func checkTable(_ actions: [DeltaAction], _ commitPath: String) throws(WeirError) {
    // An empty one begins all: the ledger is not known.
    guard let application, !application.isEmpty else { return }
    var others: [String] = []
    for case .transaction(let name, _) in actions where name.hasPrefix(application) {
      if name == application + path { return }
      others.append(String(name.dropFirst(application.count)))
    }
    guard let other = others.min(by: { $0.count < $1.count }) else { return }
    throw CommitLink.replaced(commitPath, "it is a commit of the table \(other)")
  }

  func isOurs(_ actions: [DeltaAction]) -> Bool {
    guard let application else { return false }
    return actions.contains { if case .transaction(let appID, _) = $0 { appID.hasPrefix(application) } else { false } }
  }

  /// Whether the commits from 0 through a version are in the log and carry the hash of ours: no other program has written to the table.
  package func isOnlyOurs(through version: Int64) async throws -> Bool {
    // One after the other: of a long log the names alone are many.
    for next in 0...max(0, version) {
      guard let bytes = try await store.get(commitPath(next)) else {
        // Cleaned; what is missing further on is a gap, which is reported as such.
        if next == 0 { return false }
        continue
      }
      if DeltaCommit.isIntact(bytes) == nil, let actions = try? DeltaCommit.decode(bytes, path: commitPath(next)), !actions.isEmpty {
        return false
      }
    }
    return true
  }

  // MARK: Errors

  private func unreadable(_ log: DeltaLog) -> WeirError {
    if let foreign = log.foreignCheckpoint { return DeltaTable.version2(foreign) }
    let missing = log.commits.last == log.latest ? (log.runStart ?? 0) - 1 : log.latest
    return WeirError(
      .corrupt, "the Delta log of \(path) has a gap: \(commitPath(missing)) is missing, and no checkpoint covers it",
      advice: "Restore the commits that are missing from a copy.")
  }

  private static func damaged(_ path: String, _ reason: String) -> WeirError {
    WeirError(
      .corrupt, "the Delta log file \(path) is damaged: \(reason)",
      advice: "Restore it from a copy of the lake: what it added to the table is missing without it.")
  }

  static func version2(_ path: String) -> WeirError {
    WeirError(
      .foreignTable, "\(path) is a checkpoint of version 2 (with sidecars), which Weir does not read",
      advice: "Weir writes protocol (1,2): the table was upgraded by another program; use another table or a new lake.")
  }
}
