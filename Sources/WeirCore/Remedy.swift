/// Something that a person can do, change or give. The engine and the adapters say which; a front door has its own words for it, such as
/// an option, a command or the key of a file. Each is a part of a sentence (see ``Wording``).
public enum Remedy: Sendable, Hashable {
  // Where things are
  case newLake
  case ownLake
  case otherLake
  case otherStore
  case otherDirectory
  /// Where the ledger is looked for, and what begins one.
  case findLedger
  case nameStateTable

  // How a capture is read
  case captureFiles
  case captureDirectory
  /// The output of a command as the capture.
  case readFrom(command: String)
  case compressWithSmallerWindow(path: String)
  case keepingOpen
  case leaveOut(Choice)
  case withoutDecisions
  case decisions
  /// A run that continues with a stream that was recreated.
  case acceptRecreated(stream: String)
  /// A run that continues where another program's checkpoints in a stream are.
  case acceptCheckpoints(stream: String)
  /// A run that continues with a stream that has more shards.
  case acceptPartitions(stream: String)

  // Work on what is stored
  case rebuildState
  case verifyLedger
  case restoreTables
  case dryRun

  case setting(Setting)
  /// An option of the source's client, by the client's own name.
  case clientOption(String)

  /// What a run may be given or not.
  public enum Choice: Sendable, Hashable, CaseIterable { case lanes, join, decisions }

  /// A setting of the pipeline or the worker.
  public enum Setting: Sendable, Hashable, CaseIterable {
    case recordKey, checkFailure, haltAbove, dedupWithin, windowDistance, groups, ledgerKeep, flushBytes, workerMemory
    case sourceGroup, partitioner, misplaced, handOver
    case registry, registryURL
  }

  /// One of each kind.
  public static var examples: [Remedy] {
    [
      .newLake, .ownLake, .otherLake, .otherStore, .otherDirectory, .findLedger, .nameStateTable, .captureFiles, .captureDirectory,
      .readFrom(command: "COMMAND"), .compressWithSmallerWindow(path: "PATH"), .keepingOpen, .withoutDecisions, .decisions,
      .acceptRecreated(stream: "STREAM"), .acceptCheckpoints(stream: "STREAM"), .acceptPartitions(stream: "STREAM"),
      .rebuildState, .verifyLedger, .restoreTables, .dryRun, .clientOption("OPTION"),
    ] + Choice.allCases.map { .leaveOut($0) } + Setting.allCases.map { .setting($0) }
  }
}

extension Remedy {
  /// In words that fit every front door.
  public var phrase: String {
    switch self {
    case .newLake: "a new lake"
    case .ownLake: "a lake of its own"
    case .otherLake: "another lake"
    case .otherStore: "another path for the state table"
    case .otherDirectory: "another"
    case .findLedger: "A run or a replay creates one. If that has happened, name the lake that it wrote"
    case .nameStateTable: "Name the directory of the state table, or the pipeline that has it"
    case .captureFiles: "a capture is NDJSON files (plain, gzip or zstd)"
    case .captureDirectory: "the directory that a capture wrote"
    case .readFrom(let command): command
    case .compressWithSmallerWindow(let path): "Compress \(path) again with a window of at most 128 MiB, or uncompress it"
    case .keepingOpen: "with its end left open"
    case .leaveOut(let choice): "Leave out \(choice.phrase)"
    case .withoutDecisions: "without the decisions of a live run"
    case .decisions: "A replay of decisions"
    case .acceptRecreated(let stream): "a run that accepts the new \(stream)"
    case .acceptCheckpoints(let stream): "a run that accepts the other program's checkpoints in \(stream)"
    case .acceptPartitions(let stream): "a run that accepts the new partitions of \(stream)"
    case .rebuildState: "a rebuild of the state table"
    case .verifyLedger: "a verification of the ledger"
    case .restoreTables: "a restore of the tables from the ledger"
    case .dryRun: "a dry run"
    case .setting(let setting): setting.phrase
    case .clientOption(let name): "the client's \(name)"
    }
  }
}

extension Remedy.Choice {
  fileprivate var phrase: String {
    switch self {
    case .lanes: "the number of lanes"
    case .join: "that records continue in the next file"
    case .decisions: "the decisions of a live run"
    }
  }
}

extension Remedy.Setting {
  fileprivate var phrase: String {
    switch self {
    case .recordKey: "the record's key"
    case .checkFailure: "quarantine instead of a stop"
    case .haltAbove: "the share of quarantined records that stops the pipeline"
    case .dedupWithin: "the time for which ids are kept"
    case .windowDistance: "distance between windows"
    case .groups: "the columns that make groups"
    case .ledgerKeep: "time for which the ledger keeps its entries"
    case .flushBytes: "the bytes between two commits"
    case .workerMemory: "the worker's memory"
    case .sourceGroup: "the source's group"
    case .partitioner: "the source's partitioner"
    case .misplaced: "the source's rule for misplaced keys"
    case .handOver: "the source's time for handing shards over"
    case .registry: "the settings of the registry"
    case .registryURL: "the address of the registry"
    }
  }
}
