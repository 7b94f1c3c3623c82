import Foundation
import WeirCore
import WeirEngine
import WeirReport

/// The metrics of a live worker. Names, units and meanings stand in Operations.md; a driver holds the two together.
struct WorkerMetrics {
  /// Shards that have samples of their own; what is behind them is added up as `other`.
  static let shardsMax = 512

  let snapshot: LiveSnapshot
  let health: WorkerHealth
  let ratios: [String: ActivityRatios.Ratio]
  let stalled: [StallWatch.Finding]
  let version: String
  let pipeline: String
  /// ``Log/held``.
  let heldLines: Int64
  let process: ProcessReading?

  private var totals: LiveMeter.Totals { snapshot.meter }
  private var held: [LiveSnapshot.Lane] { snapshot.lanes.filter(\.isHeld) }

  func text() -> [UInt8] {
    var out = Exposition()
    worker(&out)
    lag(&out)
    lanes(&out)
    records(&out)
    commits(&out)
    latency(&out)
    if let process { process.write(to: &out) }
    return out.bytes
  }

  private func worker(_ out: inout Exposition) {
    out.family("weir_info", .gauge, "Always 1; labels carry version and pipeline.")
    out.sample(1, [("version", version), ("pipeline", pipeline)])
    out.family("worker_phase", .gauge, "1 for the worker's current phase, 0 for the others.")
    for name in WorkerHealth.names { out.sample(name == health.name ? 1 : 0, [("phase", name)]) }
    out.family("leases_owned", .gauge, "Lanes (partitions) that this worker owns.")
    out.sample(Int64(held.count))
    out.family("leases_taken_total", .counter, "Lanes taken over.")
    out.sample(totals.lanesTaken)
    out.family("leases_released_total", .counter, "Lanes handed over cleanly, after a commit.")
    out.sample(totals.lanesHandedOver)
    out.family("leases_lost_total", .counter, "Lanes lost without a hand-over.")
    out.sample(totals.lanesLost)
    out.family("stalled_lanes", .gauge, "Lanes (and the worker as a whole) that have work and make no progress.")
    out.sample(Int64(stalled.count))
    out.family("stall_seconds", .gauge, "Duration of the longest current stall; 0 if there is none.")
    out.sample(Double(stalled.first?.nanoseconds ?? 0) / 1e9)
    out.family("worker_stage", .gauge, "1 for the current stage of the worker's commit path, 0 for the others.")
    for stage in LiveSnapshot.Stage.allCases { out.sample(stage == snapshot.stage ? 1 : 0, [("stage", "\(stage)")]) }
    out.family("errors_total", .counter, "Errors from which the worker recovered without help.")
    for (code, count) in totals.troubles.sorted(by: { $0.key < $1.key }) { out.sample(count, [("code", code)]) }
    out.family("log_lines_held_total", .counter, "Log lines suppressed because a similar line was logged shortly before.")
    out.sample(heldLines)
  }

  /// One sample a lane, and one for those that are too many.
  private func each(
    _ lanes: [LiveSnapshot.Lane], _ out: inout Exposition, label: String = "shard", _ value: (LiveSnapshot.Lane) -> Int64?
  ) {
    for lane in lanes.prefix(WorkerMetrics.shardsMax) { if let value = value(lane) { out.sample(value, [(label, lane.shard)]) } }
    let rest = lanes.dropFirst(WorkerMetrics.shardsMax)
    if !rest.isEmpty { out.sample(rest.reduce(0) { $0 + (value($1) ?? 0) }, [(label, "other")]) }
  }

  private func lag(_ out: inout Exposition) {
    out.family("consumer_lag_records", .gauge, "Positions at the source that are not in the ledger, for each lane of this worker.")
    each(held, &out, label: "partition") { $0.lag }
    out.family("pipeline_lag_records", .gauge, "The same for all lanes of the pipeline; every worker reports the same value.")
    if let lag = snapshot.lag { out.sample(lag) }
    out.family("survey_age_seconds", .gauge, "Time since the source was last queried; lag values are as old as this.")
    if let age = snapshot.surveyNanoseconds { out.sample(Double(age) / 1e9) }
    out.family(
      "seconds_to_data_loss", .gauge,
      "Time until the source deletes a record that is not in the ledger, at the rate of the last minutes; infinite while it deletes nothing."
    )
    for lane in held.prefix(WorkerMetrics.shardsMax) {
      if let seconds = lane.secondsToDataLoss { out.sample(seconds, [("shard", lane.shard)]) }
    }
    out.family(
      "lost_positions_total", .counter,
      "Positions that the source had deleted before they were read; the ledger has an entry for each range.")
    out.sample(totals.lostPositions)
    out.family("watermark_timestamp_seconds", .gauge, "Event time up to which a lane of this worker is complete in the ledger.")
    for lane in held.prefix(WorkerMetrics.shardsMax) {
      if let seconds = WorkerMetrics.seconds(lane.ledger?.watermark) { out.sample(seconds, [("shard", lane.shard)]) }
    }
    out.family("watermark_lag_seconds", .gauge, "Delay of that watermark relative to the clock.")
    let now = Double(snapshot.wallMicroseconds) / 1e6
    for lane in held.prefix(WorkerMetrics.shardsMax) {
      if let seconds = WorkerMetrics.seconds(lane.ledger?.watermark) { out.sample(now - seconds, [("shard", lane.shard)]) }
    }
    out.family(
      "merged_watermark_timestamp_seconds", .gauge, "Event time up to which the pipeline is complete; every worker reports the same value.")
    if let seconds = WorkerMetrics.seconds(snapshot.mergedWatermark) { out.sample(seconds) }
    out.family("idle_shards", .gauge, "Lanes of the pipeline that do not hold back the merged watermark, because they are idle.")
    out.sample(Int64(snapshot.lanes.count { $0.ledger?.isIdle == true }))
  }

  private static func seconds(_ watermark: Int64?) -> Double? {
    guard let watermark, watermark != Watermark.minimum, watermark != Watermark.maximum else { return nil }
    return Double(watermark) / 1e6
  }

  private func lanes(_ out: inout Exposition) {
    let known = snapshot.lanes.filter { $0.isHeld || $0.records > 0 }
    out.family("records_in_total", .counter, "Records that this worker read and consumed, committed or not.")
    each(known, &out) { $0.records }
    out.family("bytes_in_total", .counter, "Bytes of the values of these records.")
    each(known, &out) { $0.bytes }
    out.family("checkpoint_age_seconds", .gauge, "Time since the ledger's position of a lane of this worker moved.")
    for lane in held.prefix(WorkerMetrics.shardsMax) {
      guard let ledger = lane.ledger else { continue }
      out.sample(Double(max(0, snapshot.monotonicNanoseconds - ledger.seenAt)) / 1e9, [("shard", lane.shard)])
    }
    out.family("state_bytes", .gauge, "Size of the lane's state in the lake: base and deltas.")
    each(held, &out) { $0.ledger?.stateBytes }
    out.family("dedup_entries", .gauge, "Ids in the lane's dedup index, at its last cut.")
    each(held, &out) { $0.dedupEntries }
    out.family("windows_open", .gauge, "Open windows: in a lane, at its last cut, or in the merge lane of this worker.")
    each(held, &out) { $0.openWindows }
    out.sample(totals.openMergeWindows, [("shard", "merge")])
    ratio("busy_ratio", "Share of the last ten seconds in which the lane worked.", \.busy, &out)
    ratio(
      "backpressured_ratio", "Share of the last ten seconds in which the lane waited for a commit, a schema or a topic.", \.backpressured,
      &out)
    ratio("idle_ratio", "Share of the last ten seconds in which the lane waited for records.", \.idle, &out)
  }

  private func ratio(_ name: String, _ help: String, _ part: KeyPath<ActivityRatios.Ratio, Double>, _ out: inout Exposition) {
    out.family(name, .gauge, help)
    for (lane, ratio) in ratios.sorted(by: { $0.key < $1.key }).prefix(WorkerMetrics.shardsMax) {
      out.sample(ratio[keyPath: part], [("actor", lane)])
    }
  }

  private func records(_ out: inout Exposition) {
    out.family("records_committed_total", .counter, "Records in entries that this worker committed, by bucket: each is in exactly one.")
    let buckets = [
      ("accepted", totals.accepted), ("duplicate", totals.duplicate), ("filtered", totals.filtered), ("quarantined", totals.quarantined),
    ]
    for (name, count) in buckets { out.sample(count, [("bucket", name)]) }
    out.family(
      "records_dropped_total", .counter,
      "Committed records that were not fully processed, by reason. late counts the windows that records missed.")
    let late = totals.late.values.reduce(0, +)
    for (reason, count) in [("duplicate", totals.duplicate), ("filtered", totals.filtered), ("dlq", totals.quarantined), ("late", late)] {
      out.sample(count, [("reason", reason)])
    }
    out.family("dlq_total", .counter, "Quarantined records, by the stage that rejected them.")
    for (stage, count) in totals.rejected.sorted(by: { $0.key < $1.key }) { out.sample(count, [("stage", stage)]) }
    out.family("records_out_total", .counter, "Rows that this worker committed to a table of the lake.")
    for (table, count) in totals.rows.sorted(by: { $0.key < $1.key }) { out.sample(count, [("sink", table)]) }
    out.family("bytes_out_total", .counter, "Bytes of their files.")
    for (table, count) in totals.bytes.sorted(by: { $0.key < $1.key }) { out.sample(count, [("sink", table)]) }
    out.family("windows_closed_total", .counter, "Windows (one per key) whose row was committed.")
    for (table, count) in totals.windowsClosed.sorted(by: { $0.key < $1.key }) { out.sample(count, [("sink", table)]) }
    out.family("out_of_range_total", .counter, "Sums and means of doubles that are null because no double can hold them, by table.")
    for (table, count) in totals.outOfRange.sorted(by: { $0.key < $1.key }) { out.sample(count, [("sink", table)]) }
    out.family("parquet_file_bytes", .histogram, "Sizes of data files.")
    out.sample(totals.fileBytes)
  }

  private func commits(_ out: inout Exposition) {
    out.family("ledger_entry_number", .gauge, "The newest ledger entry that this worker has seen.")
    if snapshot.ledgerNumber >= 0 { out.sample(snapshot.ledgerNumber) }
    out.family("entries_total", .counter, "Entries of the ledger that this worker committed.")
    out.sample(totals.entries)
    out.family("buffer_bytes", .gauge, "Bytes of records in the current epoch.")
    out.sample(snapshot.epochBytes, [("sink", "lake")])
    out.family(
      "memory_budget_bytes", .gauge, "Memory that the worker may use: worker.memory, or a share of the container's or the machine's.")
    if let budget = snapshot.memoryBudget { out.sample(budget) }
    out.family("memory_peak_bytes", .gauge, "Peak memory of the worker that counts towards its budget, without mapped files.")
    if let peak = snapshot.memoryPeak { out.sample(peak) }
    out.family(
      "memory_bytes", .gauge, "Estimated memory by holder: the current epoch by estimate; state that no cut frees, at the last cut.")
    let state = snapshot.state
    for (holder, bytes) in [
      ("epoch", snapshot.epochHeldBytes), ("dedup", state.dedup), ("windows", state.windows), ("keyed", state.keyed),
    ] { out.sample(bytes, [("holder", holder)]) }
    out.family("buffer_age_seconds", .gauge, "Age of the current epoch.")
    out.sample(Double(snapshot.epochNanoseconds) / 1e9, [("sink", "lake")])
    out.family("flush_trigger_total", .counter, "Cuts, by their reason.")
    for (reason, count) in totals.cuts.sorted(by: { $0.key < $1.key }) { out.sample(count, [("reason", reason)]) }
    out.family("flush_duration_seconds", .histogram, "Encoding and writing the files of an epoch.")
    out.sample(totals.flushes)
    out.family("commit_duration_seconds", .histogram, "Time to write an entry to the ledger, and to update a table of the lake to it.")
    for (table, histogram) in totals.commits.sorted(by: { $0.key < $1.key }) { out.sample(histogram, [("table", table)]) }
    out.family(
      "commit_conflicts_total", .counter, "Entries that were written under a later number because another worker had taken theirs.")
    out.sample(totals.conflicts)
    out.family("commit_ambiguous_total", .counter, "Commits whose outcome remained unknown.")
    out.sample(totals.ambiguous)
    out.family("commit_fenced_total", .counter, "Entries that were refused because another worker had taken over a lane.")
    out.sample(totals.fenced)
    out.family("state_flush_duration_seconds", .histogram, "Writing changed rows to the state table.")
    out.sample(totals.stateFlushes)
  }

  private func latency(_ out: inout Exposition) {
    out.family(
      "end_to_end_latency_seconds", .histogram, "From a record's timestamp (the producer's or the broker's clock) to when it can be read.")
    out.sample(totals.toLedger, [("to", "ledger")])
    out.sample(totals.toState, [("to", "state")])
  }
}

/// What the system says of this process.
struct ProcessReading {
  var residentBytes: Int64
  var cpuSeconds: Double
  var openFiles: Int64
  var startSeconds: Double

  /// nil where there is no /proc.
  static func now(startSeconds: Double) -> ProcessReading? {
    guard let statm = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8),
      let pages = statm.split(separator: " ").dropFirst().first.flatMap({ Int64($0) }),
      let files = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
    else { return nil }
    var usage = rusage()
    getrusage(0, &usage)  // RUSAGE_SELF, which is imported with another type
    let cpu = Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    return ProcessReading(
      residentBytes: pages * Int64(sysconf(Int32(_SC_PAGESIZE))), cpuSeconds: cpu, openFiles: Int64(files.count), startSeconds: startSeconds
    )
  }

  func write(to out: inout Exposition) {
    out.family("process_resident_memory_bytes", .gauge, "Memory of the process.")
    out.sample(residentBytes)
    out.family("process_cpu_seconds_total", .counter, "CPU time of the process.")
    out.sample(cpuSeconds)
    out.family("process_open_fds", .gauge, "Open file descriptors.")
    out.sample(openFiles)
    out.family("process_start_time_seconds", .gauge, "When the process was started, since 1970.")
    out.sample(startSeconds)
  }
}
