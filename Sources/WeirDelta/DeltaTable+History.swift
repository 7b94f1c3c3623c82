import WeirCore

/// Older versions of a table, and how a table is taken back to one of them.
extension DeltaTable {
  /// The actions of one commit; nil if it is not there.
  /// - Throws: `corrupt`
  package func actions(of version: Int64) async throws -> [DeltaAction]? {
    guard let bytes = try await store.get(commitPath(version)) else { return nil }
    return try actions(bytes, of: version)
  }

  /// The table as of a version; -1: before its first commit. Reads the newest checkpoint at or below it, and the commits after that.
  /// - Throws: `corrupt` when they do not lead to it.
  package func snapshot(at version: Int64, in log: DeltaLog) async throws -> DeltaSnapshot {
    var snapshot = DeltaSnapshot()
    for candidate in log.checkpoints where candidate.version <= version {
      do {
        snapshot = try await read(candidate, DeltaSnapshot())
        break
      } catch let error as WeirError where error.code == .corrupt {
        continue
      }
    }
    while snapshot.version < version {
      guard try await advanceOnce(&snapshot) else {
        throw WeirError(
          .corrupt, "\(commitPath(snapshot.version + 1)) is missing, so version \(version) of the table cannot be read",
          advice: "Restore the commits that are missing from a copy.")
      }
    }
    return snapshot
  }
}

/// What a table holds when the commits of one writer after a version are undone and other programs' commits are kept.
///
/// Another program that only moved rows from file to file (OPTIMIZE) and took files of the writer into it is undone as well: the
/// files that it replaced are the table's again. One that changed rows of such files (DELETE, UPDATE) cannot be kept and cannot be
/// undone without loss.
package struct DeltaUndo: Sendable {
  package private(set) var files: [String: DeltaAdd]
  /// Files that hold rows of what is undone.
  private var undone: Set<String> = []

  /// - Parameter snapshot: the version that is gone back to.
  package init(_ snapshot: DeltaSnapshot) { files = snapshot.files }

  /// Takes the next commit.
  /// - Parameter isUndone: it is one of those that are undone.
  /// - Returns: false when it changed rows of files that are undone.
  package mutating func take(_ actions: [DeltaAction], isUndone: Bool) -> Bool {
    var adds: [DeltaAdd] = []
    var removes: [DeltaRemove] = []
    for action in actions {
      if case .add(let add) = action { adds.append(add) }
      if case .remove(let remove) = action { removes.append(remove) }
    }
    let touches = removes.contains { undone.contains($0.path) }
    if isUndone || touches && !removes.contains(where: \.dataChange) {
      undone.formUnion(adds.map(\.path))
      return true
    }
    guard !touches else { return false }
    for remove in removes { files[remove.path] = nil }
    for add in adds { files[add.path] = add }
    return true
  }

  /// The actions that make a snapshot hold these files, in the order of their paths.
  package func actions(from snapshot: DeltaSnapshot, milliseconds: Int64) -> [DeltaAction] {
    let gone = snapshot.files.keys.filter { files[$0] == nil }.sorted()
    let back = files.filter { snapshot.files[$0.key] == nil }.sorted { $0.key < $1.key }
    return gone.map { .remove(DeltaRemove(path: $0, deletionMilliseconds: milliseconds, dataChange: true)) } + back.map { .add($0.value) }
  }
}
