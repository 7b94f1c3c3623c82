import WeirCore

/// When checkpoints are written, and how: from the one before and the commits after it, one row group or commit at a time.
extension DeltaTip {
  /// Commits between two checkpoints, at least.
  package static let commitsBetweenCheckpoints: Int64 = 10
  /// A checkpoint is due when the commits after the last one act on at least this share of the files in it; a commit counts as
  /// one file at least.
  ///
  /// So all checkpoints of a table together have about 33 times the rows of the last one, however many commits there are. A
  /// reader reads 10 commits after a checkpoint at most, or one for 32 files of the table.
  package static let tailShare: Int64 = 32

  /// Whether the newest version should get a checkpoint.
  package var isCheckpointDue: Bool {
    let last = checkpoint ?? CheckpointMark(version: 0, rows: 0)
    return version - last.version >= DeltaTip.commitsBetweenCheckpoints && tail >= last.rows / DeltaTip.tailShare
  }
}

extension DeltaTable {
  /// Writes the classic checkpoint of a version, then the hint to it. A checkpoint that is there already is left.
  ///
  /// In memory are one row group, one commit, and about 64 bytes for each file that the commits after the last checkpoint added or
  /// removed: also a follower may add a file again, after a restore of the table that went further back than it had to.
  /// - Returns: the checkpoint; nil: it was there, or the store does not say whether it was written.
  @discardableResult
  package func writeCheckpoint(of tip: DeltaTip) async throws -> CheckpointMark? {
    // Of a long log the names alone are many: the last checkpoint is known.
    if let last = tip.checkpoint {
      let found = DeltaLog(try await store.list(checkpointStem(last.version)), directory: logPath).checkpoints
      if let base = found.first {
        do {
          return try await writeCheckpoint(of: tip.version, from: base)
        } catch let error as WeirError where error.code == .corrupt {
          // Another one, or all commits, may do.
        }
      }
    }
    for base in try await log().checkpoints where base.version < tip.version {
      do {
        return try await writeCheckpoint(of: tip.version, from: base)
      } catch let error as WeirError where error.code == .corrupt {
        continue
      }
    }
    return try await writeCheckpoint(of: tip.version, from: nil)
  }

  private func writeCheckpoint(of version: Int64, from base: DeltaLog.Candidate?) async throws -> CheckpointMark? {
    let path = checkpointPath(version)
    let changes = try await changes(after: base?.version ?? -1, through: version)
    let upload = try await store.upload(path)
    var encoder = CheckpointEncoder(groupRows: checkpointGroupRows)
    var rest = CheckpointRest()
    do {
      func write(_ actions: [DeltaAction], of version: Int64?) async throws {
        for action in actions {
          if try rest.takes(action, path: path) || !changes.leaves(action, of: version) { continue }
          if let part = try encoder.add(action) { try await upload.append(part) }
        }
      }
      if let base { try await forEachGroup(of: base) { actions, _ in try await write(actions, of: nil) } }
      for next in (base?.version ?? -1) + 1...version { try await write(try await needed(next), of: next) }
      for action in try rest.actions(path: path) { if let part = try encoder.add(action) { try await upload.append(part) } }
      try await upload.append(try encoder.finish())
    } catch {
      await upload.abandon()
      throw error
    }
    guard await upload.finish() == .created else { return nil }
    let hint = JSONValue.members([
      "version": .int(version), "size": .int(encoder.rows), "sizeInBytes": .int(encoder.bytes), "numOfAddFiles": .int(encoder.files),
    ])
    try await store.replace(NewObject(path: lastCheckpointPath, bytes: hint.bytes))
    return CheckpointMark(version: version, rows: encoder.rows)
  }

  private func changes(after base: Int64, through version: Int64) async throws -> FileChanges {
    var changes = FileChanges()
    for next in base + 1...version {
      changes.note(try await needed(next), of: next)
    }
    return changes
  }

  private func needed(_ version: Int64) async throws -> [DeltaAction] {
    if let actions = try await actions(of: version) { return actions }
    throw WeirError(
      .corrupt, "\(commitPath(version)) is missing, so no checkpoint can be written", advice: "Restore it from a copy of the lake.")
  }
}

/// The last word on the files of some commits: which action on a file is in force after them.
private struct FileChanges {
  private var last: [Hash128: (version: Int64, isAdd: Bool)] = [:]

  mutating func note(_ actions: [DeltaAction], of version: Int64) {
    for action in actions {
      guard let (path, isAdd) = FileChanges.file(action) else { continue }
      last[FileChanges.hash(path)] = (version, isAdd)
    }
  }

  /// Whether an action of a commit, or of the checkpoint before (nil), is in force.
  func leaves(_ action: DeltaAction, of version: Int64?) -> Bool {
    guard !last.isEmpty, let (path, isAdd) = FileChanges.file(action), let change = last[FileChanges.hash(path)] else { return true }
    return change.version == version && change.isAdd == isAdd
  }

  private static func file(_ action: DeltaAction) -> (path: String, isAdd: Bool)? {
    switch action {
    case .add(let add): (add.path, true)
    case .remove(let remove): (remove.path, false)
    default: nil
    }
  }

  private static func hash(_ path: String) -> Hash128 {
    var path = path
    return path.withUTF8 { Hash128(UnsafeRawBufferPointer($0)) }
  }
}

/// What a checkpoint holds besides files; its size is that of the programs that write to the table.
private struct CheckpointRest {
  private var tip = DeltaTip()

  /// Keeps all but actions on files; false for these.
  mutating func takes(_ action: DeltaAction, path: String) throws(WeirError) -> Bool {
    switch action {
    case .add, .remove: return false
    default:
      try tip.apply([action], version: 0, path: path)
      return true
    }
  }

  func actions(path: String) throws(WeirError) -> [DeltaAction] {
    guard let metadata = tip.metadata else {
      throw WeirError(
        .corrupt, "the Delta log has no table metadata for the checkpoint \(path)",
        advice: "Restore the commits that are missing from a copy.")
    }
    return [.protocolVersion(reader: tip.reader, writer: tip.writer, features: []), .metadata(metadata)]
      + tip.transactions.sorted { $0.key < $1.key }.map { .transaction(appID: $0.key, version: $0.value) }
  }
}
