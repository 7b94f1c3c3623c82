import WeirCore
import WeirParquet

/// What a table's log says, up to one version.
public struct DeltaSnapshot: Sendable {
  public internal(set) var version: Int64
  public internal(set) var reader: Int64 = 1
  public internal(set) var writer: Int64 = 2
  public internal(set) var metadata: DeltaMetadata?
  public internal(set) var files: [String: DeltaAdd] = [:]
  public internal(set) var removed: [String: DeltaRemove] = [:]
  public internal(set) var transactions: [String: Int64] = [:]

  init() { version = -1 }

  mutating func apply(_ actions: [DeltaAction], version: Int64, path: String) throws(WeirError) {
    for action in actions {
      switch action {
      case .protocolVersion(let reader, let writer, let features):
        guard reader <= 1, writer <= 2, features.isEmpty else {
          throw WeirError(
            "foreign_table", "the table of \(path) needs Delta reader \(reader) and writer \(writer) \(features.joined(separator: ", "))",
            advice: "Weir writes protocol (1,2): the table was upgraded by another program; use another table or a new lake.")
        }
        (self.reader, self.writer) = (reader, writer)
      case .metadata(let metadata): self.metadata = metadata
      case .add(let add):
        files[add.path] = add
        removed[add.path] = nil
      case .remove(let remove):
        files[remove.path] = nil
        removed[remove.path] = remove
      case .transaction(let app, let version): transactions[app] = version
      case .other: break
      }
    }
    self.version = version
  }
}

/// A Delta table in an object store: reads its log, tries commits, writes checkpoints. Protocol (1,2).
///
/// Source: the Delta transaction log protocol (https://github.com/delta-io/delta/blob/master/PROTOCOL.md).
public struct DeltaTable: Sendable {
  /// Relative to the store, without "/" at its end.
  public let path: String
  let store: any ObjectStore
  /// Commits with a `txn` whose application id begins with this carry a hash (``DeltaCommit/encode(info:actions:)``).
  let application: String?

  /// - Parameter application: begins the ids of the commits that must carry a hash; nil: not known.
  public init(store: any ObjectStore, path: String, application: String? = nil) {
    self.store = store
    self.path = path
    self.application = application
  }

  private static func digits(_ n: Int64) -> String {
    let text = String(n)
    return String(repeating: "0", count: max(0, 20 - text.utf8.count)) + text
  }

  public func commitPath(_ version: Int64) -> String { "\(path)/_delta_log/\(DeltaTable.digits(version)).json" }
  func checkpointPath(_ version: Int64) -> String { "\(path)/_delta_log/\(DeltaTable.digits(version)).checkpoint.parquet" }

  /// Tries to make `version`. After anything but `created` read the snapshot again: it decides.
  public func tryCommit(version: Int64, bytes: [UInt8]) async -> PutOutcome {
    await store.putIfAbsent(NewObject(path: commitPath(version), bytes: bytes))
  }

  /// Makes a version that another program may have made durable. Does nothing where a checkpoint alone stands for it.
  public func sync(_ version: Int64) async throws {
    guard try await store.get(commitPath(version), offset: 0, count: 1) != nil else { return }
    try await store.sync(commitPath(version))
  }

  /// The actions of a new table.
  public static func creation(
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

  /// Writes the classic checkpoint of a snapshot, then the hint to it. A checkpoint that is there already is left.
  public func writeCheckpoint(_ snapshot: DeltaSnapshot) async throws {
    let bytes = try Checkpoint(snapshot).encode()
    let outcome = await store.putIfAbsent(NewObject(path: checkpointPath(snapshot.version), bytes: bytes))
    guard outcome == .created else { return }
    let hint = JSONValue.members([
      "version": .int(snapshot.version), "size": .int(Int64(Checkpoint.rows(snapshot))), "sizeInBytes": .int(Int64(bytes.count)),
      "numOfAddFiles": .int(Int64(snapshot.files.count)),
    ])
    try await store.replace(NewObject(path: "\(path)/_delta_log/_last_checkpoint", bytes: hint.bytes))
  }
}
