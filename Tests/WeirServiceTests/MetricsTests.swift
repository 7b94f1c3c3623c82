import Testing
import WeirCore

@testable import WeirEngine
@testable import WeirObserve
@testable import WeirReport

/// Names, labels and text of `/metrics`.
@Suite struct MetricsTests {
  /// One metric of a scrape: its type, the label names of its samples, and its values by the values of the labels.
  struct Family: Equatable {
    var kind = ""
    var labels: Set<String> = []
    var samples: [[String: String]: String] = [:]
  }

  /// Read again, by no code of the program.
  static func families(_ text: String) throws -> [String: Family] {
    var families: [String: Family] = [:]
    for line in text.split(separator: "\n") {
      if line.hasPrefix("# TYPE ") {
        let words = line.split(separator: " ")
        try #require(families[String(words[2])] == nil, "\(words[2]) is declared twice")
        families[String(words[2])] = Family(kind: String(words[3]))
      } else if !line.hasPrefix("#") {
        let parts = try #require(
          line.wholeMatch(of: try Regex(#"(\w+)(?:\{(.*)\})? (\S+)"#, as: (Substring, Substring, Substring?, Substring).self)))
        let full = String(parts.output.1)
        let suffix = ["_bucket", "_sum", "_count"].first {
          full.hasSuffix($0) && families[String(full.dropLast($0.count))]?.kind == "histogram"
        }
        let name = suffix.map { String(full.dropLast($0.count)) } ?? full
        var labels: [String: String] = ["": suffix ?? ""]
        for pair in (parts.output.2 ?? "").matches(of: try Regex(#"(\w+)="((?:[^"\\]|\\.)*)""#, as: (Substring, Substring, Substring).self))
        {
          labels[String(pair.output.1)] = String(pair.output.2)
        }
        families[name, default: Family()].labels.formUnion(labels.keys.filter { $0 != "" && $0 != "le" })
        try #require(families[name]?.samples.updateValue(String(parts.output.3), forKey: labels) == nil, "twice: \(line)")
      }
    }
    return families
  }

  /// A worker that has a sample of every metric.
  static func metrics(lanes: Int = 2) -> WorkerMetrics {
    var snapshot = LiveSnapshot()
    snapshot.lanes = (0..<Int64(lanes)).map { number in
      var lane = LiveSnapshot.Lane(shard: "orders/\(number)")
      (lane.isHeld, lane.records, lane.bytes, lane.dedupEntries, lane.openWindows) = (true, 10 + number, 1000, 8, 2)
      lane.bounds = ShardBounds(low: 0, high: 30)
      lane.secondsToDataLoss = 77
      lane.ledger = LiveSnapshot.LedgerLane(
        position: 9, epoch: 3, generation: 0, watermark: 5_000_000, isIdle: number == 0, accepted: 5, duplicate: 1, filtered: 1,
        quarantined: 2,
        stateBytes: 512, seenAt: 0)
      return lane
    }
    (snapshot.ledgerNumber, snapshot.mergedWatermark, snapshot.surveyNanoseconds) = (12, 4_000_000, 1_500_000_000)
    (snapshot.wallMicroseconds, snapshot.monotonicNanoseconds) = (9_000_000, 3_000_000_000)
    (snapshot.epochBytes, snapshot.epochNanoseconds, snapshot.memoryBudget, snapshot.memoryPeak) = (700, 2_000_000_000, 1 << 30, 1 << 20)
    (snapshot.meter.accepted, snapshot.meter.duplicate, snapshot.meter.filtered, snapshot.meter.quarantined) = (5, 1, 2, 3)
    snapshot.meter.kinds = ["orders": BucketCounts()]
    snapshot.meter.late = ["gold/per_minute": 4, "gold/per_hour": 1]
    snapshot.meter.rejected = ["parse": 3]
    snapshot.meter.rows = ["silver/orders": 5]
    snapshot.meter.bytes = ["silver/orders": 900]
    snapshot.meter.windowsClosed = ["gold/per_minute": 6]
    snapshot.meter.outOfRange = ["state/sums": 1]
    (snapshot.meter.cuts, snapshot.meter.troubles) = (["age": 2], ["source": 1])
    snapshot.meter.lookups = ["users": LiveMeter.LookupLooks(unchanged: 2, changed: 1, failed: 1, entry: 4)]
    var commits = Histogram.seconds
    commits.observe(0.2)
    snapshot.meter.commits = ["ledger": commits, "silver/orders": commits]
    let ratios = Dictionary(
      uniqueKeysWithValues: snapshot.lanes.map { ($0.shard, ActivityRatios.Ratio(busy: 0.5, backpressured: 0.25, idle: 0.25)) })
    var metrics = WorkerMetrics(
      snapshot: snapshot, health: WorkerHealth(now: 0), ratios: ratios, stalled: [], versions: .init(weir: "1.2.3", librdkafka: "2.0.2"),
      pipeline: "web \"shop\"", heldLines: 3, process: ProcessReading(residentBytes: 1 << 20, cpuSeconds: 2, openFiles: 9, startSeconds: 1))
    metrics.catalog = CatalogKeeper.Standing(place: "glue:ads", tables: [("silver/orders", "silver_orders", .registered)], failures: 1)
    return metrics
  }

  static func text(_ metrics: WorkerMetrics, _ names: Metric.Names = .current) -> String {
    String(decoding: metrics.text(names), as: UTF8.self)
  }

  @Test func `labels are escaped and buckets add up`() {
    var out = Exposition(common: [("pipeline", "p")])
    out.family(.init("a_seconds", .histogram, old: nil, help: "Two\nlines, a \\."))
    var histogram = Histogram(bounds: [0.5, 1])
    for value in [0.5, 0.6, 1, 7] { histogram.observe(value) }
    out.sample(histogram, [("t", "x\"y\\z\n")])
    out.family(.init("b", .gauge, old: nil, help: "b"))
    out.sample(Double.infinity)
    out.sample(1.5, [("l", "m")])
    #expect(
      String(decoding: out.bytes, as: UTF8.self) == """
        # HELP weir_a_seconds Two\\nlines, a \\\\.
        # TYPE weir_a_seconds histogram
        weir_a_seconds_bucket{pipeline="p",t="x\\"y\\\\z\\n",le="0.5"} 1
        weir_a_seconds_bucket{pipeline="p",t="x\\"y\\\\z\\n",le="1"} 3
        weir_a_seconds_bucket{pipeline="p",t="x\\"y\\\\z\\n",le="+Inf"} 4
        weir_a_seconds_sum{pipeline="p",t="x\\"y\\\\z\\n"} 9.1
        weir_a_seconds_count{pipeline="p",t="x\\"y\\\\z\\n"} 4
        # HELP weir_b b
        # TYPE weir_b gauge
        weir_b{pipeline="p"} +Inf
        weir_b{pipeline="p",l="m"} 1.5

        """)
  }

  @Test func `lanes beyond the bound are added up`() throws {
    let families = try MetricsTests.families(MetricsTests.text(MetricsTests.metrics(lanes: WorkerMetrics.shardsMax + 3)))
    let samples = try #require(families["weir_input_records_total"]?.samples)
    #expect(samples.count == WorkerMetrics.shardsMax + 1)
    #expect(samples.first { $0.key["shard"] == "other" }?.value == "\(10 * 3 + 512 + 513 + 514)")
  }

  /// The label names of all metrics: one for each concept.
  static let concepts: Set<String> = [
    "version", "librdkafka", "phase", "stage", "code", "shard", "table", "bucket", "kind", "reason", "to", "holder", "state", "lookup",
    "outcome",
  ]

  @Test func `names follow Prometheus's conventions, with one label for each concept`() {
    let rows = Metric.allCases.map(\.row).filter { $0.name != nil }
    #expect(rows.count > 50 && Set(rows.map(\.name)).count == rows.count)
    for row in rows {
      let name = row.name!, words = name.split(separator: "_").map(String.init)
      #expect(name.hasPrefix("weir_") || name.hasPrefix("process_"), "\(name)")
      #expect((words.last == "total") == (row.kind == .counter), "\(name) is a \(row.kind)")
      let unit = words.last == "total" ? words.dropLast() : words[...]
      switch row.unit {
      case .seconds, .bytes, .ratio: #expect(unit.last == row.unit.rawValue, "\(name): its unit is \(row.unit)")
      case .records: #expect(unit.contains("records"), "\(name)")
      case .count: #expect(!Metric.Unit.allCases.contains { $0 != .count && unit.last == $0.rawValue }, "\(name) has no unit in the table")
      }
      #expect(row.kind != .histogram || row.unit != .count, "\(name): a histogram without a unit")
      #expect(Set(row.labels).isSubset(of: MetricsTests.concepts), "\(name){\(row.labels)}")
      #expect(row.help.hasSuffix(".") && row.help.first?.isLowercase == false, "\(name): \(row.help)")
    }
    let old = Metric.allCases.compactMap(\.row.old?.name)
    #expect(Set(old).count == old.count)
  }

  @Test func `a scrape has every metric of the table, with its type and labels, and no other`() throws {
    let families = try MetricsTests.families(MetricsTests.text(MetricsTests.metrics()))
    var wanted: [String: Family] = [:]
    for row in Metric.allCases.map(\.row) {
      guard let name = row.name else { continue }
      wanted[name] = Family(kind: row.kind.rawValue, labels: Set(row.labels + ["pipeline"]))
    }
    #expect(families.mapValues { Family(kind: $0.kind, labels: $0.labels) } == wanted)
    #expect(
      families["weir_build_info"]?.samples == [["": "", "pipeline": #"web \"shop\""#, "version": "1.2.3", "librdkafka": "2.0.2"]: "1"])
  }

  /// From the page of version 0.1.
  static let version01 = """
    weir_info{version,pipeline} gauge
    worker_phase{phase} gauge
    worker_stage{stage} gauge
    leases_owned gauge
    leases_taken_total counter
    leases_released_total counter
    leases_lost_total counter
    stalled_lanes gauge
    stall_seconds gauge
    errors_total{code} counter
    log_lines_held_total counter
    consumer_lag_records{partition} gauge
    pipeline_lag_records gauge
    survey_age_seconds gauge
    seconds_to_data_loss{shard} gauge
    lost_positions_total counter
    watermark_timestamp_seconds{shard} gauge
    watermark_lag_seconds{shard} gauge
    merged_watermark_timestamp_seconds gauge
    idle_shards gauge
    records_in_total{shard} counter
    bytes_in_total{shard} counter
    checkpoint_age_seconds{shard} gauge
    state_bytes{shard} gauge
    dedup_entries{shard} gauge
    windows_open{shard} gauge
    busy_ratio{actor} gauge
    backpressured_ratio{actor} gauge
    idle_ratio{actor} gauge
    records_committed_total{bucket} counter
    records_dropped_total{reason} counter
    dlq_total{stage} counter
    records_out_total{sink} counter
    bytes_out_total{sink} counter
    windows_closed_total{sink} counter
    out_of_range_total{sink} counter
    parquet_file_bytes histogram
    ledger_entry_number gauge
    entries_total counter
    buffer_bytes{sink} gauge
    buffer_age_seconds{sink} gauge
    flush_trigger_total{reason} counter
    flush_duration_seconds histogram
    commit_duration_seconds{table} histogram
    commit_conflicts_total counter
    commit_ambiguous_total counter
    commit_fenced_total counter
    state_flush_duration_seconds histogram
    end_to_end_latency_seconds{to} histogram
    memory_budget_bytes gauge
    memory_peak_bytes gauge
    memory_bytes{holder} gauge
    process_resident_memory_bytes gauge
    process_cpu_seconds_total counter
    process_open_fds gauge
    process_start_time_seconds gauge
    """

  @Test func `old names are those of version 0.1, with its types and labels`() throws {
    let families = try MetricsTests.families(MetricsTests.text(MetricsTests.metrics(), .old))
    var wanted: [String: Family] = [:]
    for line in MetricsTests.version01.split(separator: "\n") {
      let parts = try #require(
        line.wholeMatch(of: try Regex(#"(\w+)(?:\{(.*)\})? (\w+)"#, as: (Substring, Substring, Substring?, Substring).self))
      ).output
      let labels = (parts.2 ?? "").split(separator: ",").map(String.init)
      wanted[String(parts.1)] = Family(kind: String(parts.3), labels: Set(labels))
    }
    #expect(wanted.count > 50)
    #expect(families.mapValues { Family(kind: $0.kind, labels: $0.labels) } == wanted)
    #expect(families["records_dropped_total"]?.samples[["": "", "reason": "late"]] == "5")
    #expect(families["buffer_bytes"]?.samples == [["": "", "sink": "lake"]: "700"])
  }

  @Test func `an old name has the values of the new one`() throws {
    let old = try MetricsTests.families(MetricsTests.text(MetricsTests.metrics(), .old))
    let current = try MetricsTests.families(MetricsTests.text(MetricsTests.metrics()))
    for row in Metric.allCases.map(\.row) {
      guard let name = row.name, let was = row.old else { continue }
      let renamed = (current[name]?.samples ?? [:]).map { labels, value in
        var labels = Dictionary(uniqueKeysWithValues: labels.map { (was.labels[$0.key] ?? $0.key, $0.value) })
        labels["pipeline"] = nil
        for (label, value) in was.constant { labels[label] = value }
        return (labels, value)
      }
      #expect(old[was.name]?.samples == Dictionary(uniqueKeysWithValues: renamed) && !renamed.isEmpty, "\(name), \(was.name)")
    }
  }

  /// Under the old names, samples have no label `pipeline`.
  @Test func `a scrape is less than twice as large as under the old names`() {
    for lanes in [3, 512] {
      let metrics = MetricsTests.metrics(lanes: lanes)
      let (current, old) = (metrics.text().count, metrics.text(.old).count)
      #expect(current < old * 2, "\(lanes) lanes: \(current) bytes, under old names \(old)")
    }
  }

  @Test func `a scrape asks for old names by a parameter`() async throws {
    let routes = try AdminAccessTests.routes(try AdminAccessTests.access())
    func has(_ path: String) async -> [Bool] {
      let answer = await AdminAccessTests.ask(routes, path)
      let text = String(decoding: answer.body, as: UTF8.self)
      return [answer.status == 200, text.contains("\nweir_lanes_owned{pipeline=\"p\"} 0\n"), text.contains("\nleases_owned 0\n")]
    }
    #expect(await has("/metrics") == [true, true, false])
    #expect(await has("/metrics?names=current") == [true, true, false])
    #expect(await has("/metrics?names=old") == [true, false, true])
    let wrong = await AdminAccessTests.ask(routes, "/metrics?names=older")
    #expect(wrong.status == 400 && String(decoding: wrong.body, as: UTF8.self).contains("names=old"))
  }
}
