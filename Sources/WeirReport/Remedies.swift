import WeirCore

/// The one table of how the command line and the pipeline file name a ``Remedy``.
extension Remedy {
  package var words: String {
    switch self {
    case .newLake: "a new lake (--lake DIR --store DIR)"
    case .ownLake: "a lake of its own (--lake DIR --store DIR)"
    case .otherLake: "another lake (--lake DIR)"
    case .otherStore: "another store (--store DIR)"
    case .otherDirectory: "another (--lake, --store, --out)"
    case .findLedger:
      "`weir run` or `weir replay` creates one. If one of them already did, name its lake with --lake DIR; the default is lake.path of the pipeline file, relative to the file's directory"
    case .nameStateTable: "Give the store's directory with --store, or the pipeline with --pipeline"
    case .captureFiles: "--capture accepts NDJSON files (plain, gzip or zstd), or - for standard input"
    case .captureDirectory: "the directory that `weir capture --out` wrote"
    case .readFrom(let command): "\(command) | weir replay PIPELINE --capture -"
    case .compressWithSmallerWindow(let path):
      "Compress it again with at most --long=27, or uncompress it: zstd -dc --long=31 \(path) | weir replay PIPELINE --capture -"
    case .keepingOpen: "with --keep-open"
    case .leaveOut(let choice): "Leave \(choice.words) out"
    case .withoutDecisions: "without --decisions"
    case .decisions: "--decisions"
    case .acceptRecreated(let stream): "`weir run PIPELINE --accept-recreated \(stream)`"
    case .acceptCheckpoints(let stream): "`weir run PIPELINE --accept-checkpoints \(stream)`"
    case .acceptPartitions(let stream): "`weir run PIPELINE --accept-partitions \(stream)`"
    case .rebuildState: "`weir state rebuild PIPELINE`"
    case .verifyLedger: "`weir ledger verify`"
    case .restoreTables: "`weir ledger restore-tables PIPELINE`"
    case .dryRun: "--dry-run"
    case .setting(let setting): setting.words
    case .clientOption(let name): "options: {\(name): …}"
    }
  }
}

extension Remedy.Choice {
  fileprivate var words: String {
    switch self {
    case .lanes: "--lanes"
    case .join: "--join"
    case .decisions: "--decisions"
    }
  }
}

extension Remedy.Setting {
  fileprivate var words: String {
    switch self {
    case .recordKey: "record.key"
    case .checkFailure: "`else: quarantine`"
    case .haltAbove: "quarantine.halt_above"
    case .dedupWithin: "dedup.within"
    case .windowDistance: "`every`"
    case .groups: "`by`"
    case .ledgerKeep: "lake.ledger_keep"
    case .flushBytes: "lake.flush.bytes"
    case .workerMemory: "worker.memory"
    case .sourceGroup: "source.kafka.group, or source.kinesis.app"
    case .partitioner: "source.kafka.partitioner"
    case .misplaced: "source.kafka.misplaced, or source.kinesis.misplaced"
    case .handOver: "source.kafka.handover, or source.kinesis.handover"
    case .registry: "record.registry"
    case .registryURL: "record.registry.url"
    }
  }
}

extension Wording {
  /// As the command line shows it.
  package var words: String { text(\.words) }
}

extension WeirError {
  /// Message and advice as the command line shows them.
  package var words: String { wording.words }
}
