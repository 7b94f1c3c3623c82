import Foundation
import WeirCore
import WeirEngine
import WeirReport
import WeirRuntime

/// The values of the metrics of a live worker; ``Metric`` has their names, units and help.
struct WorkerMetrics {
  /// Shards that have samples of their own; those after them are added up as `other`.
  static let shardsMax = 512

  let snapshot: LiveSnapshot
  let health: WorkerHealth
  let ratios: [String: ActivityRatios.Ratio]
  let stalled: [StallWatch.Finding]
  let versions: Versions
  let pipeline: String
  /// ``Log/held``.
  let heldLines: Int64
  /// nil: the plan names no catalogue.
  var catalog: CatalogKeeper.Standing?
  let process: ProcessReading?

  private var totals: LiveMeter.Totals { snapshot.meter }
  private var held: [LiveSnapshot.Lane] { snapshot.lanes.filter(\.isHeld) }

  struct Versions: Sendable {
    var weir: String
    var librdkafka: String

    static let running = Versions(
      weir: weirVersion, librdkafka: AdapterRegistry.standard.libraries.first { $0.name == "librdkafka" }?.version ?? "")
  }

  func text(_ names: Metric.Names = .current) -> [UInt8] {
    var out = Exposition(names: names, common: [("pipeline", pipeline)])
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
    out.family(.buildInfo)
    out.sample(1, [("version", versions.weir), ("librdkafka", versions.librdkafka)])
    out.family(.oldInfo)
    out.sample(1, [("version", versions.weir), ("pipeline", pipeline)])
    out.family(.workerPhase)
    for name in WorkerHealth.names { out.sample(name == health.name ? 1 : 0, [("phase", name)]) }
    out.family(.lanesOwned)
    out.sample(Int64(held.count))
    out.family(.lanesTaken)
    out.sample(totals.lanesTaken)
    out.family(.lanesReleased)
    out.sample(totals.lanesHandedOver)
    out.family(.lanesLost)
    out.sample(totals.lanesLost)
    out.family(.lanesStalled)
    out.sample(Int64(stalled.count))
    out.family(.stall)
    out.sample(Double(stalled.first?.nanoseconds ?? 0) / 1e9)
    out.family(.workerStage)
    for stage in LiveSnapshot.Stage.allCases { out.sample(stage == snapshot.stage ? 1 : 0, [("stage", "\(stage)")]) }
    out.family(.errors)
    for (code, count) in totals.troubles.sorted(by: { $0.key < $1.key }) { out.sample(count, [("code", code)]) }
    out.family(.logLinesSuppressed)
    out.sample(heldLines)
    catalog(&out)
    lookups(&out)
  }

  private func lookups(_ out: inout Exposition) {
    let all = totals.lookups.sorted { $0.key < $1.key }
    out.family(.lookupLooks)
    for (name, looks) in all {
      for (outcome, count) in [("unchanged", looks.unchanged), ("changed", looks.changed), ("failed", looks.failed)] {
        out.sample(count, [("lookup", name), ("outcome", outcome)])
      }
    }
    out.family(.lookupEntry)
    for (name, looks) in all { if let entry = looks.entry { out.sample(entry, [("lookup", name)]) } }
  }

  private func catalog(_ out: inout Exposition) {
    out.family(.catalogTables)
    if let catalog {
      for state in CatalogKeeper.Standing.states {
        out.sample(Int64(catalog.tables.count { CatalogKeeper.Standing.word($0.state) == state }), [("state", state)])
      }
    }
    out.family(.catalogFailures)
    if let catalog { out.sample(catalog.failures) }
  }

  /// One sample a lane, and one for those that are too many.
  private func each(
    _ lanes: [LiveSnapshot.Lane], _ out: inout Exposition, _ value: (LiveSnapshot.Lane) -> Int64?
  ) {
    for lane in lanes.prefix(WorkerMetrics.shardsMax) { if let value = value(lane) { out.sample(value, [("shard", lane.shard)]) } }
    let rest = lanes.dropFirst(WorkerMetrics.shardsMax)
    if !rest.isEmpty { out.sample(rest.reduce(0) { $0 + (value($1) ?? 0) }, [("shard", "other")]) }
  }

  private func lag(_ out: inout Exposition) {
    out.family(.lag)
    each(held, &out) { $0.lag }
    out.family(.pipelineLag)
    if let lag = snapshot.lag { out.sample(lag) }
    out.family(.surveyAge)
    if let age = snapshot.surveyNanoseconds { out.sample(Double(age) / 1e9) }
    out.family(.timeToDataLoss)
    for lane in held.prefix(WorkerMetrics.shardsMax) {
      if let seconds = lane.secondsToDataLoss { out.sample(seconds, [("shard", lane.shard)]) }
    }
    out.family(.lostPositions)
    out.sample(totals.lostPositions)
    out.family(.watermarkTime)
    for lane in held.prefix(WorkerMetrics.shardsMax) {
      if let seconds = WorkerMetrics.seconds(lane.ledger?.watermark) { out.sample(seconds, [("shard", lane.shard)]) }
    }
    out.family(.watermarkLag)
    let now = Double(snapshot.wallMicroseconds) / 1e6
    for lane in held.prefix(WorkerMetrics.shardsMax) {
      if let seconds = WorkerMetrics.seconds(lane.ledger?.watermark) { out.sample(now - seconds, [("shard", lane.shard)]) }
    }
    out.family(.pipelineWatermark)
    if let seconds = WorkerMetrics.seconds(snapshot.mergedWatermark) { out.sample(seconds) }
    out.family(.pipelineIdleLanes)
    out.sample(Int64(snapshot.lanes.count { $0.ledger?.isIdle == true }))
  }

  private static func seconds(_ watermark: Int64?) -> Double? {
    guard let watermark, watermark != Watermark.minimum, watermark != Watermark.maximum else { return nil }
    return Double(watermark) / 1e6
  }

  private func lanes(_ out: inout Exposition) {
    let known = snapshot.lanes.filter { $0.isHeld || $0.records > 0 }
    out.family(.recordsIn)
    each(known, &out) { $0.records }
    out.family(.bytesIn)
    each(known, &out) { $0.bytes }
    out.family(.checkpointAge)
    for lane in held.prefix(WorkerMetrics.shardsMax) {
      guard let ledger = lane.ledger else { continue }
      out.sample(Double(max(0, snapshot.monotonicNanoseconds - ledger.seenAt)) / 1e9, [("shard", lane.shard)])
    }
    out.family(.stateBytes)
    each(held, &out) { $0.ledger?.stateBytes }
    out.family(.dedupEntries)
    each(held, &out) { $0.dedupEntries }
    out.family(.windowsOpen)
    each(held, &out) { $0.openWindows }
    out.sample(totals.openMergeWindows, [("shard", "merge")])
    ratio(.busy, \.busy, &out)
    ratio(.backpressured, \.backpressured, &out)
    ratio(.idle, \.idle, &out)
  }

  private func ratio(_ metric: Metric, _ part: KeyPath<ActivityRatios.Ratio, Double>, _ out: inout Exposition) {
    out.family(metric)
    for (lane, ratio) in ratios.sorted(by: { $0.key < $1.key }).prefix(WorkerMetrics.shardsMax) {
      out.sample(ratio[keyPath: part], [("shard", lane)])
    }
  }

  private func records(_ out: inout Exposition) {
    out.family(.recordsCommitted)
    let buckets = [
      ("accepted", totals.accepted), ("duplicate", totals.duplicate), ("filtered", totals.filtered), ("quarantined", totals.quarantined),
    ]
    for (name, count) in buckets { out.sample(count, [("bucket", name)]) }
    out.family(.recordsOfKinds)
    for (kind, counts) in totals.kinds.sorted(by: { $0.key < $1.key }) {
      let buckets = [
        ("accepted", counts.accepted), ("duplicate", counts.duplicate), ("filtered", counts.filtered), ("quarantined", counts.quarantined),
      ]
      for (name, count) in buckets { out.sample(count, [("kind", kind), ("bucket", name)]) }
    }
    out.family(.oldRecordsDropped)
    let late = totals.late.values.reduce(0, +)
    for (reason, count) in [("duplicate", totals.duplicate), ("filtered", totals.filtered), ("dlq", totals.quarantined), ("late", late)] {
      out.sample(count, [("reason", reason)])
    }
    out.family(.recordsRescued)
    out.sample(totals.rescued)
    out.family(.recordsLate)
    for (table, count) in totals.late.sorted(by: { $0.key < $1.key }) { out.sample(count, [("table", table)]) }
    out.family(.recordsQuarantined)
    for (stage, count) in totals.rejected.sorted(by: { $0.key < $1.key }) { out.sample(count, [("stage", stage)]) }
    out.family(.rowsOut)
    for (table, count) in totals.rows.sorted(by: { $0.key < $1.key }) { out.sample(count, [("table", table)]) }
    out.family(.bytesOut)
    for (table, count) in totals.bytes.sorted(by: { $0.key < $1.key }) { out.sample(count, [("table", table)]) }
    out.family(.windowsClosed)
    for (table, count) in totals.windowsClosed.sorted(by: { $0.key < $1.key }) { out.sample(count, [("table", table)]) }
    out.family(.valuesOutOfRange)
    for (table, count) in totals.outOfRange.sorted(by: { $0.key < $1.key }) { out.sample(count, [("table", table)]) }
    out.family(.fileBytes)
    out.sample(totals.fileBytes)
  }

  private func commits(_ out: inout Exposition) {
    out.family(.ledgerNumber)
    if snapshot.ledgerNumber >= 0 { out.sample(snapshot.ledgerNumber) }
    out.family(.ledgerEntries)
    out.sample(totals.entries)
    out.family(.epochBytes)
    out.sample(snapshot.epochBytes)
    out.family(.memoryBudget)
    if let budget = snapshot.memoryBudget { out.sample(budget) }
    out.family(.memoryPeak)
    if let peak = snapshot.memoryPeak { out.sample(peak) }
    out.family(.memoryHeld)
    let state = snapshot.state
    for (holder, bytes) in [
      ("epoch", snapshot.epochHeldBytes), ("dedup", state.dedup), ("windows", state.windows), ("keyed", state.keyed),
    ] { out.sample(bytes, [("holder", holder)]) }
    out.family(.epochAge)
    out.sample(Double(snapshot.epochNanoseconds) / 1e9)
    out.family(.cuts)
    for (reason, count) in totals.cuts.sorted(by: { $0.key < $1.key }) { out.sample(count, [("reason", reason)]) }
    out.family(.flushes)
    out.sample(totals.flushes)
    out.family(.commits)
    for (table, histogram) in totals.commits.sorted(by: { $0.key < $1.key }) { out.sample(histogram, [("table", table)]) }
    out.family(.commitConflicts)
    out.sample(totals.conflicts)
    out.family(.commitsAmbiguous)
    out.sample(totals.ambiguous)
    out.family(.commitsFenced)
    out.sample(totals.fenced)
    out.family(.stateFlushes)
    out.sample(totals.stateFlushes)
    out.family(.stateOversizeRows)
    out.sample(totals.oversizeRows)
  }

  private func latency(_ out: inout Exposition) {
    out.family(.latency)
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
    out.family(.processMemory)
    out.sample(residentBytes)
    out.family(.processCPU)
    out.sample(cpuSeconds)
    out.family(.processFiles)
    out.sample(openFiles)
    out.family(.processStart)
    out.sample(startSeconds)
  }
}
