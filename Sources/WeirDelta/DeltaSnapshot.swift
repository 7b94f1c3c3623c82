import WeirCore

/// What is made of a table's log: the actions of a checkpoint, then those of each commit after it, in order.
protocol DeltaReplay: Sendable {
  /// -1: nothing was applied.
  var version: Int64 { get }
  /// The actions of a commit, or of a part of a checkpoint.
  mutating func apply(_ actions: [DeltaAction], version: Int64, path: String) throws(WeirError)
  /// All actions so far are those of this checkpoint.
  mutating func began(at checkpoint: CheckpointMark)
  /// There is a checkpoint at a version that was passed already.
  mutating func passed(_ checkpoint: CheckpointMark)
}

/// A checkpoint of a table, as far as it matters when the next one is due.
package struct CheckpointMark: Sendable, Equatable {
  var version: Int64
  /// Actions that it holds.
  var rows: Int64
}

/// What a table's log says up to one version, without the table's files: its size does not grow with the table.
package struct DeltaTip: DeltaReplay {
  package private(set) var version: Int64 = -1
  private(set) var reader: Int64 = 1
  private(set) var writer: Int64 = 2
  package private(set) var metadata: DeltaMetadata?
  /// Versions of the applications that are followed.
  package private(set) var transactions: [String: Int64] = [:]
  /// Files of the table. Means nothing once ``hasRemovals``: the log does not say what a removal removes.
  package private(set) var files: Int64 = 0
  /// Of the files; see ``files``.
  package private(set) var bytes: Int64 = 0
  /// The log, or the checkpoint that covers its beginning, removes files.
  package private(set) var hasRemovals = false
  /// A file was added or removed at some time.
  package private(set) var hadFiles = false
  /// The newest that is known; nil: none.
  private(set) var checkpoint: CheckpointMark?
  /// Work for a reader of the commits after the checkpoint: their actions on files, and at least one per commit.
  private(set) var tail: Int64 = 0
  /// Begins the ids of the applications that are followed; nil: all.
  private let application: String?

  init(application: String? = nil) { self.application = application }

  mutating func apply(_ actions: [DeltaAction], version: Int64, path: String) throws(WeirError) {
    try CommitLink(actions)?.check(transactions, owner: metadata?.configuration[DeltaTable.ledgerProperty], path)
    var onFiles: Int64 = 0
    for action in actions {
      switch action {
      case .protocolVersion(let reader, let writer, let features):
        guard reader <= 1, writer <= 2, features.isEmpty else {
          throw WeirError(
            .foreignTable, "the table of \(path) needs Delta reader \(reader) and writer \(writer) \(features.joined(separator: ", "))",
            advice: "Weir writes protocol (1,2): the table was upgraded by another program; use another table or a new lake.")
        }
        (self.reader, self.writer) = (reader, writer)
      case .metadata(let metadata): self.metadata = metadata
      case .add(let add):
        files += 1
        onFiles += 1
        bytes &+= add.bytes
        hadFiles = true
      case .remove:
        onFiles += 1
        (hasRemovals, hadFiles) = (true, true)
      case .transaction(let app, let version):
        if application.map(app.hasPrefix) ?? true { transactions[app] = version }
      case .other: break
      }
    }
    self.version = version
    tail += max(1, onFiles)
  }

  mutating func began(at checkpoint: CheckpointMark) {
    self.checkpoint = checkpoint
    tail = 0
  }

  mutating func passed(_ checkpoint: CheckpointMark) {
    guard checkpoint.version > self.checkpoint?.version ?? -1 else { return }
    self.checkpoint = checkpoint
    tail = version - checkpoint.version
  }
}

/// What a table's log says, up to one version, its files among it. A follower keeps the ``DeltaTip`` alone.
package struct DeltaSnapshot: DeltaReplay {
  package private(set) var tip = DeltaTip()
  package private(set) var files: [String: DeltaAdd] = [:]
  package private(set) var removed: [String: DeltaRemove] = [:]

  package var version: Int64 { tip.version }
  package var metadata: DeltaMetadata? { tip.metadata }
  package var transactions: [String: Int64] { tip.transactions }

  init() {}

  mutating func apply(_ actions: [DeltaAction], version: Int64, path: String) throws(WeirError) {
    try tip.apply(actions, version: version, path: path)
    for action in actions {
      switch action {
      case .add(let add):
        files[add.path] = add
        removed[add.path] = nil
      case .remove(let remove):
        files[remove.path] = nil
        removed[remove.path] = remove
      default: break
      }
    }
  }

  mutating func began(at checkpoint: CheckpointMark) { tip.began(at: checkpoint) }
  mutating func passed(_ checkpoint: CheckpointMark) { tip.passed(checkpoint) }
}
