/// The metrics of a live worker. ``row`` is the one table of their names, old names, types, units, labels and help; Operations.md has the
/// same table, and a driver compares both with a real scrape.
enum Metric: CaseIterable {
  case buildInfo, workerPhase, workerStage, lanesOwned, lanesTaken, lanesReleased, lanesLost, lanesStalled, stall, errors,
    logLinesSuppressed, catalogTables, catalogFailures, lookupLooks, lookupEntry
  case lag, pipelineLag, surveyAge, timeToDataLoss, lostPositions, watermarkTime, watermarkLag, pipelineWatermark, pipelineIdleLanes
  case recordsIn, bytesIn, checkpointAge, stateBytes, dedupEntries, windowsOpen, busy, backpressured, idle
  case recordsCommitted, recordsOfKinds, recordsQuarantined, recordsRescued, recordsLate, rowsOut, bytesOut, windowsClosed, valuesOutOfRange
  case fileBytes
  case ledgerNumber, ledgerEntries, epochBytes, epochAge, cuts, flushes, commits, commitConflicts, commitsAmbiguous, commitsFenced
  case stateFlushes, stateOversizeRows, latency, memoryBudget, memoryPeak, memoryHeld
  case processMemory, processCPU, processFiles, processStart
  /// Only under its old name.
  case oldInfo, oldRecordsDropped

  /// Names as they are, or as they were in version 0.1 (`/metrics?names=old`).
  enum Names: String { case current, old }

  enum Unit: String, CaseIterable {
    case count, seconds, bytes, ratio, records
  }

  /// How version 0.1 named a metric.
  struct Old {
    var name: String
    /// Labels that were renamed: new name to old name.
    var labels: [String: String] = [:]
    /// A label that is gone, with its only value.
    var constant: [(String, String)] = []
  }

  struct Row {
    /// nil: the metric exists only under its old name.
    var name: String?
    var kind: Exposition.Kind
    var unit: Unit
    var labels: [String]
    /// nil: the metric is new.
    var old: Old?
    var help: String

    /// The row of a metric of Weir: `name` gets the prefix.
    init(_ name: String, _ kind: Exposition.Kind, _ unit: Unit = .count, old: Old?, labels: [String] = [], help: String) {
      (self.name, self.kind, self.unit, self.labels) = ("weir_" + name, kind, unit, labels)
      (self.old, self.help) = (old, help)
    }

    /// The row of a metric of the process. These names are the same in all programs, so they have no prefix.
    init(process name: String, _ kind: Exposition.Kind, _ unit: Unit, help: String) {
      self.init(name, kind, unit, old: Old(name: "process_" + name), help: help)
      self.name = "process_" + name
    }

    init(only old: String, _ kind: Exposition.Kind, labels: [String], help: String) {
      self.init(old, kind, old: Old(name: old), labels: labels, help: help)
      name = nil
    }
  }

  var row: Row {
    switch self {
    // The worker.
    case .buildInfo:
      Row(
        "build_info", .gauge, old: nil, labels: ["version", "librdkafka"],
        help: "Always 1. The labels show the versions of Weir and of its Kafka client.")
    case .oldInfo: Row(only: "weir_info", .gauge, labels: ["version", "pipeline"], help: "Always 1.")
    case .workerPhase:
      Row("worker_phase", .gauge, old: "worker_phase", labels: ["phase"], help: "1 for the worker's current phase, 0 for the others.")
    case .workerStage:
      Row(
        "worker_stage", .gauge, old: "worker_stage", labels: ["stage"],
        help: "1 for the current stage of the worker's commit path, 0 for the others.")
    case .lanesOwned: Row("lanes_owned", .gauge, old: "leases_owned", help: "Lanes (partitions) that this worker owns.")
    case .lanesTaken: Row("lanes_taken_total", .counter, old: "leases_taken_total", help: "Lanes that this worker took over.")
    case .lanesReleased:
      Row(
        "lanes_released_total", .counter, old: "leases_released_total", help: "Lanes that this worker handed over cleanly, after a commit.")
    case .lanesLost: Row("lanes_lost_total", .counter, old: "leases_lost_total", help: "Lanes that this worker lost without a hand-over.")
    case .lanesStalled:
      Row(
        "lanes_stalled", .gauge, old: "stalled_lanes",
        help: "Lanes that have work and make no progress; a stall of the whole worker counts as one.")
    case .stall:
      Row("stall_seconds", .gauge, .seconds, old: "stall_seconds", help: "Duration of the longest current stall; 0 if there is none.")
    case .errors:
      Row("errors_total", .counter, old: "errors_total", labels: ["code"], help: "Errors after which the worker continued, by error code.")
    case .logLinesSuppressed:
      Row(
        "log_lines_suppressed_total", .counter, old: "log_lines_held_total",
        help: "Log lines that were suppressed because a similar line was logged shortly before.")
    case .catalogTables:
      Row("catalog_tables", .gauge, old: nil, labels: ["state"], help: "Tables of the pipeline's catalog, by state.")
    case .catalogFailures:
      Row("catalog_failures_total", .counter, old: nil, help: "Failed attempts to register a table in the pipeline's catalog.")

    case .lookupLooks:
      Row(
        "lookup_looks_total", .counter, old: nil, labels: ["lookup", "outcome"],
        help: "Looks at the file of a refreshed lookup: unchanged, changed or failed. The worker that leads looks.")
    case .lookupEntry:
      Row(
        "lookup_entry", .gauge, old: nil, labels: ["lookup"],
        help: "Ledger entry that brought the version of a refreshed lookup that this worker uses.")

    // Lag and watermarks.
    case .lag:
      Row(
        "lag_records", .gauge, .records, old: Old(name: "consumer_lag_records", labels: ["shard": "partition"]), labels: ["shard"],
        help: "Records at the source that are not in the ledger, for each lane of this worker.")
    case .pipelineLag:
      Row(
        "pipeline_lag_records", .gauge, .records, old: "pipeline_lag_records",
        help: "Records at the source that are not in the ledger, for all lanes of the pipeline. Every worker reports the same value.")
    case .surveyAge:
      Row(
        "survey_age_seconds", .gauge, .seconds, old: "survey_age_seconds",
        help: "Time since the worker last asked the source for its positions. Lag values are as old as this.")
    case .timeToDataLoss:
      Row(
        "time_to_data_loss_seconds", .gauge, .seconds, old: "seconds_to_data_loss", labels: ["shard"],
        help:
          "Time until the source deletes a record that is not in the ledger, at the rate of the last minutes; infinite while it deletes nothing."
      )
    case .lostPositions:
      Row(
        "lost_positions_total", .counter, old: "lost_positions_total",
        help: "Positions that the source deleted before they were read. The ledger has a gap entry for each range.")
    case .watermarkTime:
      Row(
        "watermark_timestamp_seconds", .gauge, .seconds, old: "watermark_timestamp_seconds", labels: ["shard"],
        help: "Event time up to which a lane of this worker is complete in the ledger.")
    case .watermarkLag:
      Row(
        "watermark_lag_seconds", .gauge, .seconds, old: "watermark_lag_seconds", labels: ["shard"],
        help: "Current time minus the watermark of a lane of this worker.")
    case .pipelineWatermark:
      Row(
        "pipeline_watermark_timestamp_seconds", .gauge, .seconds, old: "merged_watermark_timestamp_seconds",
        help: "Event time up to which the pipeline is complete (the merged watermark). Every worker reports the same value.")
    case .pipelineIdleLanes:
      Row(
        "pipeline_idle_lanes", .gauge, old: "idle_shards",
        help: "Idle lanes of the pipeline, which do not hold back the merged watermark. Every worker reports the same value.")

    // Lanes.
    case .recordsIn:
      Row(
        "input_records_total", .counter, .records, old: "records_in_total", labels: ["shard"],
        help: "Records that this worker read and consumed, committed or not.")
    case .bytesIn:
      Row("input_bytes_total", .counter, .bytes, old: "bytes_in_total", labels: ["shard"], help: "Bytes of the values of consumed records.")
    case .checkpointAge:
      Row(
        "checkpoint_age_seconds", .gauge, .seconds, old: "checkpoint_age_seconds", labels: ["shard"],
        help: "Time since the ledger's position of a lane of this worker moved.")
    case .stateBytes:
      Row(
        "state_bytes", .gauge, .bytes, old: "state_bytes", labels: ["shard"],
        help: "Size of the lane's state in the lake: base and deltas.")
    case .dedupEntries:
      Row("dedup_entries", .gauge, old: "dedup_entries", labels: ["shard"], help: "Ids in the lane's dedup index, at its last cut.")
    case .windowsOpen:
      Row(
        "windows_open", .gauge, old: "windows_open", labels: ["shard"],
        help: "Open windows of a lane, at its last cut; shard is merge for the merge lane of this worker.")
    case .busy:
      Row(
        "lane_busy_ratio", .gauge, .ratio, old: Old(name: "busy_ratio", labels: ["shard": "actor"]), labels: ["shard"],
        help: "Fraction of the last ten seconds in which the lane worked.")
    case .backpressured:
      Row(
        "lane_backpressured_ratio", .gauge, .ratio, old: Old(name: "backpressured_ratio", labels: ["shard": "actor"]), labels: ["shard"],
        help: "Fraction of the last ten seconds in which the lane waited for a commit, a schema or a topic.")
    case .idle:
      Row(
        "lane_idle_ratio", .gauge, .ratio, old: Old(name: "idle_ratio", labels: ["shard": "actor"]), labels: ["shard"],
        help: "Fraction of the last ten seconds in which the lane waited for records.")

    // Records and rows.
    case .recordsCommitted:
      Row(
        "records_committed_total", .counter, .records, old: "records_committed_total", labels: ["bucket"],
        help: "Records in entries that this worker committed. Each record is in exactly one bucket.")
    case .recordsOfKinds:
      Row(
        "records_of_kinds_total", .counter, .records, old: nil, labels: ["kind", "bucket"],
        help: "Of a pipeline with several kinds of records: those of each kind in entries that this worker committed.")
    case .oldRecordsDropped:
      Row(only: "records_dropped_total", .counter, labels: ["reason"], help: "Committed records that were not fully processed, by reason.")
    case .recordsQuarantined:
      Row(
        "records_quarantined_total", .counter, .records, old: "dlq_total", labels: ["stage"],
        help: "Quarantined records, by the stage that rejected them.")
    case .recordsRescued:
      Row(
        "records_rescued_total", .counter, .records, old: nil, labels: [],
        help: "Of a pipeline with unknown_fields: rescue: accepted records with members that no field reads.")
    case .recordsLate:
      Row(
        "records_late_total", .counter, .records, old: nil, labels: ["table"],
        help: "Records that were too late for a window of a gold table. A record is counted once for each window that it missed.")
    case .rowsOut:
      Row(
        "output_rows_total", .counter, old: Old(name: "records_out_total", labels: ["table": "sink"]), labels: ["table"],
        help: "Rows that this worker committed to a table of the lake.")
    case .bytesOut:
      Row(
        "output_bytes_total", .counter, .bytes, old: Old(name: "bytes_out_total", labels: ["table": "sink"]), labels: ["table"],
        help: "Bytes of the data files that this worker committed to a table of the lake.")
    case .windowsClosed:
      Row(
        "windows_closed_total", .counter, old: Old(name: "windows_closed_total", labels: ["table": "sink"]), labels: ["table"],
        help: "Windows (one per key) whose row was committed.")
    case .valuesOutOfRange:
      Row(
        "values_out_of_range_total", .counter, old: Old(name: "out_of_range_total", labels: ["table": "sink"]), labels: ["table"],
        help: "Sums and means of doubles that are null because a double cannot represent them.")
    case .fileBytes: Row("parquet_file_size_bytes", .histogram, .bytes, old: "parquet_file_bytes", help: "Sizes of data files.")

    // Commits.
    case .ledgerNumber:
      Row("ledger_entry_number", .gauge, old: "ledger_entry_number", help: "Number of the newest ledger entry that this worker has seen.")
    case .ledgerEntries: Row("ledger_entries_total", .counter, old: "entries_total", help: "Ledger entries that this worker committed.")
    case .epochBytes:
      Row(
        "epoch_bytes", .gauge, .bytes, old: Old(name: "buffer_bytes", constant: [("sink", "lake")]),
        help: "Bytes of the records in the current epoch.")
    case .epochAge:
      Row(
        "epoch_age_seconds", .gauge, .seconds, old: Old(name: "buffer_age_seconds", constant: [("sink", "lake")]),
        help: "Age of the current epoch.")
    case .cuts: Row("cuts_total", .counter, old: "flush_trigger_total", labels: ["reason"], help: "Cuts (ends of epochs), by reason.")
    case .flushes:
      Row(
        "flush_duration_seconds", .histogram, .seconds, old: "flush_duration_seconds",
        help: "Time to encode and write the files of an epoch.")
    case .commits:
      Row(
        "commit_duration_seconds", .histogram, .seconds, old: "commit_duration_seconds", labels: ["table"],
        help: "Time to write an entry to the ledger (table is ledger), and to bring a table of the lake up to date with it.")
    case .commitConflicts:
      Row(
        "commit_conflicts_total", .counter, old: "commit_conflicts_total",
        help: "Entries that were written under a later number because another worker had taken theirs.")
    case .commitsAmbiguous:
      Row("commits_ambiguous_total", .counter, old: "commit_ambiguous_total", help: "Commits whose outcome remained unknown.")
    case .commitsFenced:
      Row(
        "commits_fenced_total", .counter, old: "commit_fenced_total",
        help: "Entries that were refused because another worker had taken over a lane.")
    case .stateFlushes:
      Row(
        "state_flush_duration_seconds", .histogram, .seconds, old: "state_flush_duration_seconds",
        help: "Time to write changed rows to the state table.")
    case .stateOversizeRows:
      Row(
        "state_oversize_rows_total", .counter, old: nil,
        help: "Rows that were written to the state table without their values, because these are too large for it.")
    case .latency:
      Row(
        "end_to_end_latency_seconds", .histogram, .seconds, old: "end_to_end_latency_seconds", labels: ["to"],
        help:
          "Time from a record's timestamp (the producer's or the broker's clock) to when readers of the ledger or the state table see it.")

    // Memory and process.
    case .memoryBudget:
      Row(
        "memory_budget_bytes", .gauge, .bytes, old: "memory_budget_bytes",
        help: "Memory that the worker may use: worker.memory, or a fraction of the container's or the machine's memory.")
    case .memoryPeak:
      Row(
        "memory_peak_bytes", .gauge, .bytes, old: "memory_peak_bytes",
        help: "Peak memory of the worker that counts towards its budget, without mapped files.")
    case .memoryHeld:
      Row(
        "memory_bytes", .gauge, .bytes, old: "memory_bytes", labels: ["holder"],
        help: "Estimated memory by holder: rows of the current epoch; dedup, windows and keyed state at the last cut.")
    case .processMemory: Row(process: "resident_memory_bytes", .gauge, .bytes, help: "Resident memory of the process.")
    case .processCPU: Row(process: "cpu_seconds_total", .counter, .seconds, help: "CPU time of the process.")
    case .processFiles: Row(process: "open_fds", .gauge, .count, help: "Open file descriptors of the process.")
    case .processStart: Row(process: "start_time_seconds", .gauge, .seconds, help: "Start time of the process, in seconds since 1970.")
    }
  }
}

extension Metric.Old: ExpressibleByStringLiteral {
  init(stringLiteral name: String) { self.name = name }
}
