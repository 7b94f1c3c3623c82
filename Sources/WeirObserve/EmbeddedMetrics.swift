import WeirCore
import WeirEngine

/// Metrics in CloudWatch's embedded metric format: one line of JSON in the log, of which CloudWatch Logs makes metrics. No request is made.
///
/// Source: AWS, "CloudWatch embedded metric format specification". A line has far fewer than the 100 metrics, and each of them far fewer
/// than the 100 values, that the format allows. Counts are those since the line before, as CloudWatch adds the values of a period up.
///
/// Pure: what it says depends on the snapshots alone.
struct EmbeddedMetrics {
  private let spec: CloudWatchSpec
  private let pipeline: String
  /// At the line before.
  private var last = LiveMeter.Totals()
  private var lastCPU = 0.0
  private var lastAt: Int64

  /// - Parameter now: monotonic nanoseconds: the first line is due one interval later.
  init(_ spec: CloudWatchSpec, pipeline: String, now: Int64) {
    (self.spec, self.pipeline, lastAt) = (spec, pipeline, now)
  }

  func isDue(at now: Int64) -> Bool { now - lastAt >= spec.everyMicroseconds * 1000 }

  /// The line of what happened since the one before.
  mutating func line(_ snapshot: LiveSnapshot, stalled: [StallWatch.Finding], process: ProcessReading?) -> String {
    let members = values(snapshot, stalled: stalled, process: process)
    (last, lastAt) = (snapshot.meter, snapshot.monotonicNanoseconds)
    lastCPU = process?.cpuSeconds ?? lastCPU
    let directive = JSONValue.object([
      .init("Namespace", .string(spec.namespace)), .init("Dimensions", .array([.array([.string("pipeline")])])),
      .init(
        "Metrics",
        .array(members.map { .object([.init("Name", .string($0.name)), .init("Unit", .string($0.unit.rawValue))]) })),
    ])
    let about = JSONValue.object([
      .init("Timestamp", .int(snapshot.wallMicroseconds / 1000)), .init("CloudWatchMetrics", .array([directive])),
    ])
    return JSONValue.object(
      [.init("_aws", about), .init("pipeline", .string(pipeline))] + members.map { .init($0.name, $0.value) }
    ).text
  }

  enum Unit: String { case count = "Count", seconds = "Seconds", bytes = "Bytes" }

  private struct Value {
    var name: String
    var unit: Unit
    var value: JSONValue
  }

  private func values(_ snapshot: LiveSnapshot, stalled: [StallWatch.Finding], process: ProcessReading?) -> [Value] {
    let (now, held) = (snapshot.meter, snapshot.lanes.filter(\.isHeld))
    var out: [Value] = []
    func count(_ name: String, _ value: Int64) { out.append(Value(name: name, unit: .count, value: .int(value))) }
    func seconds(_ name: String, _ value: Double) { out.append(Value(name: name, unit: .seconds, value: EmbeddedMetrics.number(value))) }
    count("records_accepted", now.accepted - last.accepted)
    count("records_duplicate", now.duplicate - last.duplicate)
    count("records_filtered", now.filtered - last.filtered)
    count("records_quarantined", now.quarantined - last.quarantined)
    count("records_late", EmbeddedMetrics.sum(now.late) - EmbeddedMetrics.sum(last.late))
    count("lost_positions", now.lostPositions - last.lostPositions)
    count("errors", EmbeddedMetrics.sum(now.troubles) - EmbeddedMetrics.sum(last.troubles))
    count("ledger_entries", now.entries - last.entries)
    count("commits_fenced", now.fenced - last.fenced)
    count("lanes_owned", Int64(held.count))
    count("lanes_stalled", Int64(stalled.count))
    if let lag = snapshot.lag { count("pipeline_lag_records", lag) }
    let watermarks = held.compactMap(\.ledger?.watermark).filter { $0 != Watermark.minimum && $0 != Watermark.maximum }
    if let slowest = watermarks.min() { seconds("watermark_lag_seconds", Double(snapshot.wallMicroseconds - slowest) / 1e6) }
    // A double that is infinite has no JSON: the source deletes nothing.
    if let loss = held.compactMap(\.secondsToDataLoss).filter(\.isFinite).min() { seconds("time_to_data_loss_seconds", loss) }
    if let latency = EmbeddedMetrics.spread(now.toLedger, since: last.toLedger) {
      out.append(Value(name: "latency_to_ledger_seconds", unit: .seconds, value: latency))
    }
    if let latency = EmbeddedMetrics.spread(now.toState, since: last.toState) {
      out.append(Value(name: "latency_to_state_seconds", unit: .seconds, value: latency))
    }
    if let process {
      out.append(Value(name: "process_resident_memory_bytes", unit: .bytes, value: .int(process.residentBytes)))
      seconds("process_cpu_seconds", max(0, process.cpuSeconds - lastCPU))
    }
    return out
  }

  /// - Parameter value: finite.
  private static func number(_ value: Double) -> JSONValue { .number("\(value)") }

  private static func sum(_ counts: [String: Int64]) -> Int64 { counts.values.reduce(0, +) }

  /// What was observed since: the upper bound of each bucket with its count; above the last bound, twice that. nil: nothing was.
  private static func spread(_ now: Histogram, since last: Histogram) -> JSONValue? {
    guard now.total > last.total else { return nil }
    var (values, counts): ([JSONValue], [JSONValue]) = ([], [])
    var above = now.total - last.total
    for i in now.bounds.indices where now.counts[i] > last.counts[i] {
      values.append(number(now.bounds[i]))
      counts.append(.int(now.counts[i] - last.counts[i]))
      above -= now.counts[i] - last.counts[i]
    }
    if above > 0, let bound = now.bounds.last {
      values.append(number(bound * 2))
      counts.append(.int(above))
    }
    return .object([.init("Values", .array(values)), .init("Counts", .array(counts))])
  }
}
