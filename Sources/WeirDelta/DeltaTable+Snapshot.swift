import WeirCore

/// How a snapshot is read: the newest checkpoint that can be read, and the commits behind it.
extension DeltaTable {
  /// The newest snapshot; nil if there is no table.
  ///
  /// With an older snapshot only the commits behind it are read. Without one the log is listed: the newest checkpoint
  /// that can be read is the base; an older one, or the commits from 0 on, if that is broken and the commits are there.
  ///
  /// - Throws: `corrupt` when no checkpoint and commits lead to the newest version, `foreign_table` when the table asks
  ///   for more than protocol (1,2).
  public func snapshot(after older: DeltaSnapshot? = nil) async throws -> DeltaSnapshot? {
    // The version that is known must still be there: a log that was removed would get a commit without those before it.
    guard var snapshot = older, try await store.get(commitPath(snapshot.version), offset: 0, count: 1) != nil else {
      return try await open()
    }
    try await advance(&snapshot)
    // A program that cleans commits leaves a checkpoint and the hint to it. Without this look a worker that slept while
    // others committed and cleaned would take its old snapshot for the newest, and commit into the hole.
    guard let hinted = try await hintedVersion(), hinted > snapshot.version else { return snapshot }
    return try await open()
  }

  /// The files of the log.
  public func log() async throws -> DeltaLog {
    DeltaLog(try await store.list("\(path)/_delta_log/"), directory: "\(path)/_delta_log/")
  }

  /// The version in `_last_checkpoint`; nil if it is not there or says nothing.
  private func hintedVersion() async throws -> Int64? {
    guard let bytes = try await store.get("\(path)/_delta_log/_last_checkpoint") else { return nil }
    return (try? JSONValue(parsing: bytes))?["version"]?.int
  }

  private func open() async throws -> DeltaSnapshot? {
    let log = try await log()
    guard log.latest >= 0 else {
      guard let sample = log.sample else { return nil }
      throw WeirError(
        "corrupt", "the Delta log of \(path) has neither commits nor checkpoints (there is \(sample))",
        advice: "Restore the commits that are missing from a copy.")
    }
    guard var snapshot = try await base(log) else { throw unreadable(log) }
    while snapshot.version < log.latest {
      guard try await advanceOnce(&snapshot) else {
        throw WeirError(
          "storage", "\(commitPath(snapshot.version + 1)) was removed while the log was read", advice: "Run again.", isRetriable: true,
          fatalTo: .worker)
      }
    }
    try await advance(&snapshot)
    return snapshot
  }

  /// What the commits are applied to; nil if there is nothing that leads to the newest version.
  private func base(_ log: DeltaLog) async throws -> DeltaSnapshot? {
    var trouble: WeirError?
    for candidate in log.checkpoints where log.leadsToLatest(from: candidate.version) {
      do {
        return try await read(candidate)
      } catch let error as WeirError where error.code == "corrupt" {
        trouble = trouble ?? error
      }
    }
    if log.leadsToLatest(from: -1) { return DeltaSnapshot() }
    guard let trouble else { return nil }
    throw WeirError(
      "corrupt", "\(trouble.message); the commits that it covers were cleaned, and no other checkpoint covers them",
      advice: trouble.advice)
  }

  /// The snapshot that a checkpoint holds.
  func read(_ candidate: DeltaLog.Candidate) async throws -> DeltaSnapshot {
    var snapshot = DeltaSnapshot()
    var protocols = 0
    for part in candidate.parts {
      guard let bytes = try await store.get(part) else {
        throw WeirError("corrupt", "the checkpoint \(part) was removed while it was read", advice: "Run again.")
      }
      try CheckpointReader(bytes, path: part).forEachGroup { (actions) throws(WeirError) in
        protocols += actions.count { if case .protocolVersion = $0 { true } else { false } }
        try snapshot.apply(actions, version: candidate.version, path: part)
      }
    }
    guard protocols == 1, snapshot.metadata != nil else {
      throw WeirError(
        "corrupt", "the checkpoint \(candidate.parts.first ?? path) lacks the table's protocol or metadata",
        advice: "Restore the file from a copy.")
    }
    return snapshot
  }

  private func advance(_ snapshot: inout DeltaSnapshot) async throws {
    while try await advanceOnce(&snapshot) {}
  }

  /// Applies the next commit; false if there is none.
  func advanceOnce(_ snapshot: inout DeltaSnapshot) async throws -> Bool {
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
    return actions
  }

  private func isOurs(_ actions: [DeltaAction]) -> Bool {
    guard let application else { return false }
    return actions.contains { if case .transaction(let appID, _) = $0 { appID.hasPrefix(application) } else { false } }
  }

  /// Whether all commits are in the log and carry the hash of ours: no other program has written to the table.
  public func isOnlyOurs() async throws -> Bool {
    let log = try await log()
    guard log.firstCommit == 0 else { return false }
    for version in log.commits {
      guard let bytes = try await store.get(commitPath(version)) else { return false }
      if DeltaCommit.isIntact(bytes) == nil, let actions = try? DeltaCommit.decode(bytes, path: commitPath(version)), !actions.isEmpty {
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
      "corrupt", "the Delta log of \(path) has a gap: \(commitPath(missing)) is missing, and no checkpoint covers it",
      advice: "Restore the commits that are missing from a copy.")
  }

  private static func damaged(_ path: String, _ reason: String) -> WeirError {
    WeirError(
      "corrupt", "the Delta log file \(path) is damaged: \(reason)",
      advice: "Restore it from a copy of the lake: what it added to the table is missing without it.")
  }

  static func version2(_ path: String) -> WeirError {
    WeirError(
      "foreign_table", "\(path) is a checkpoint of version 2 (with sidecars), which Weir does not read",
      advice: "Weir writes protocol (1,2): the table was upgraded by another program; use another table or a new lake.")
  }
}
