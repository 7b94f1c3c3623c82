import WeirCore

/// A Delta table in an object store: reads its log, tries commits, writes checkpoints. Protocol (1,2).
///
/// Source: the Delta transaction log protocol (https://github.com/delta-io/delta/blob/master/PROTOCOL.md).
package struct DeltaTable: Sendable {
  /// Relative to the store, without "/" at its end.
  package let path: String
  /// The property of a table with the ledger that it belongs to.
  static let ledgerProperty = "weir.ledger"
  let store: any ObjectStore
  /// Commits with a `txn` whose application id begins with this carry a hash (``DeltaCommit/encode(info:actions:)``).
  let application: String?
  /// Rows of a row group of a checkpoint.
  var checkpointGroupRows = 8192

  /// - Parameter application: begins the ids of the commits that must carry a hash; nil: not known.
  package init(store: any ObjectStore, path: String, application: String? = nil) {
    self.store = store
    self.path = path
    self.application = application
  }

  private static func digits(_ n: Int64) -> String {
    let text = String(n)
    return String(repeating: "0", count: max(0, 20 - text.utf8.count)) + text
  }

  package func commitPath(_ version: Int64) -> String { "\(path)/_delta_log/\(DeltaTable.digits(version)).json" }
  /// The directory of the log.
  var logPath: String { "\(path)/_delta_log/" }
  var lastCheckpointPath: String { logPath + "_last_checkpoint" }
  /// The names of all files of a version's checkpoints begin with it.
  func checkpointStem(_ version: Int64) -> String { "\(logPath)\(DeltaTable.digits(version)).checkpoint." }
  func checkpointPath(_ version: Int64) -> String { checkpointStem(version) + "parquet" }

  /// Tries to make `version`. After anything but `created` read the snapshot again: it decides.
  package func tryCommit(version: Int64, bytes: [UInt8]) async -> PutOutcome {
    await store.putIfAbsent(NewObject(path: commitPath(version), bytes: bytes))
  }

  /// Whether the commit of a version is there.
  func has(_ version: Int64) async throws -> Bool { try await store.get(commitPath(version), offset: 0, count: 1) != nil }

  /// Makes a version that another program may have made durable. Does nothing where only a checkpoint covers it.
  package func sync(_ version: Int64) async throws {
    guard try await has(version) else { return }
    try await store.sync(commitPath(version))
  }

  /// The actions of a new table.
  package static func creation(
    id: String, columns: [ColumnSchema], partitionColumns: [String], configuration: [String: String], milliseconds: Int64
  ) -> [DeltaAction] {
    [
      .protocolVersion(reader: 1, writer: 2, features: []),
      .metadata(
        DeltaMetadata(
          id: id, name: nil, schema: DeltaSchema.text(columns), partitionColumns: partitionColumns, configuration: configuration,
          createdMilliseconds: milliseconds)),
    ]
  }
}
