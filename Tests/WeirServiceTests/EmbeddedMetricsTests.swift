import Foundation
import Testing
import WeirCore

@testable import WeirEngine
@testable import WeirObserve

/// Lines in CloudWatch's embedded metric format, read with Foundation's JSON and judged by the rules of AWS's specification.
@Suite struct EmbeddedMetricsTests {
  private func line(_ text: String) throws -> [String: Any] {
    try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  private func snapshot(_ change: (inout LiveSnapshot) -> Void = { _ in }) -> LiveSnapshot {
    var snapshot = LiveSnapshot()
    (snapshot.wallMicroseconds, snapshot.monotonicNanoseconds) = (1_764_489_600_123_456, 60_000_000_000)
    change(&snapshot)
    return snapshot
  }

  private func metrics(_ every: Int64 = 60_000_000) -> EmbeddedMetrics {
    EmbeddedMetrics(CloudWatchSpec(namespace: "Shop", everyMicroseconds: every), pipeline: "orders", now: 0)
  }

  @Test func everyMetricOfALineIsDeclaredOnceWithAUnitAndHasAMember() throws {
    var metrics = metrics()
    let full = snapshot {
      var lane = LiveSnapshot.Lane(shard: "orders/0")
      (lane.isHeld, lane.secondsToDataLoss, lane.bounds) = (true, 77, ShardBounds(low: 0, high: 30))
      lane.ledger = LiveSnapshot.LedgerLane(
        position: 9, epoch: 3, generation: 0, watermark: 1_764_489_590_000_000, isIdle: false, accepted: 5, duplicate: 1, filtered: 1,
        quarantined: 2, stateBytes: 512, seenAt: 0)
      $0.lanes = [lane]
      $0.meter.toLedger.observe(0.3)
      $0.meter.toState.observe(500, count: 2)
    }
    let process = ProcessReading(residentBytes: 1 << 20, cpuSeconds: 2.5, openFiles: 3, startSeconds: 0)
    let read = try line(metrics.line(full, stalled: [], process: process))
    let about = try #require(read["_aws"] as? [String: Any])
    #expect(about["Timestamp"] as? Int == 1_764_489_600_123)
    let directives = try #require(about["CloudWatchMetrics"] as? [[String: Any]])
    try #require(directives.count == 1)
    #expect(directives[0]["Namespace"] as? String == "Shop")
    #expect(directives[0]["Dimensions"] as? [[String]] == [["pipeline"]])
    #expect(read["pipeline"] as? String == "orders")
    let declared = try #require(directives[0]["Metrics"] as? [[String: String]])
    let names = declared.compactMap { $0["Name"] }
    #expect(names.count == declared.count && Set(names).count == names.count && names.count == 18)
    #expect(declared.allSatisfy { ["Count", "Seconds", "Bytes"].contains($0["Unit"]) })
    #expect(Set(read.keys) == Set(names).union(["_aws", "pipeline"]))
    for name in names where !name.hasPrefix("latency") { #expect(read[name] is NSNumber, "\(name)") }
    #expect(read["pipeline_lag_records"] as? Int == 21)
    #expect(read["watermark_lag_seconds"] as? Double == 10.123456)
    #expect(read["time_to_data_loss_seconds"] as? Double == 77)
    let latency = try #require(read["latency_to_ledger_seconds"] as? [String: [Double]])
    #expect(latency == ["Values": [0.5], "Counts": [1]])
    // Above the last bound of 120 s.
    #expect(read["latency_to_state_seconds"] as? [String: [Double]] == ["Values": [240], "Counts": [2]])
  }

  @Test func countsOfLinesAddUpToTheTotals() throws {
    var (metrics, accepted, errors, cpu) = (metrics(), 0, 0, 0.0)
    var now = snapshot()
    for step in 1...5 {
      now.meter.accepted += Int64(step * 10)
      now.meter.troubles["storage", default: 0] += 1
      now.meter.late["gold/a", default: 0] += 2
      let process = ProcessReading(residentBytes: 1, cpuSeconds: Double(step) * 0.5, openFiles: 3, startSeconds: 0)
      let read = try line(metrics.line(now, stalled: [], process: process))
      accepted += try #require(read["records_accepted"] as? Int)
      errors += try #require(read["errors"] as? Int)
      cpu += try #require(read["process_cpu_seconds"] as? Double)
      #expect(read["records_late"] as? Int == 2)
    }
    #expect(accepted == 150 && errors == 5 && cpu == 2.5)
    let quiet = try line(metrics.line(now, stalled: [], process: nil))
    #expect(quiet["records_accepted"] as? Int == 0)
    #expect(quiet["latency_to_ledger_seconds"] == nil)
  }

  @Test func aValueThatIsInfiniteOrUnknownIsLeftOut() throws {
    var metrics = metrics()
    let unknown = snapshot {
      var lane = LiveSnapshot.Lane(shard: "orders/0")
      (lane.isHeld, lane.secondsToDataLoss) = (true, .infinity)
      $0.lanes = [lane]
    }
    let read = try line(metrics.line(unknown, stalled: [], process: nil))
    #expect(read["time_to_data_loss_seconds"] == nil && read["pipeline_lag_records"] == nil && read["watermark_lag_seconds"] == nil)
    #expect(read["lanes_owned"] as? Int == 1)
  }

  @Test func aLineIsDueOneIntervalAfterTheOneBefore() {
    var metrics = metrics(10_000_000)
    #expect(!metrics.isDue(at: 9_999_999_999) && metrics.isDue(at: 10_000_000_000))
    _ = metrics.line(snapshot { $0.monotonicNanoseconds = 12_000_000_000 }, stalled: [], process: nil)
    #expect(!metrics.isDue(at: 21_999_999_999) && metrics.isDue(at: 22_000_000_000))
  }
}
