import Foundation
import Synchronization
import WeirCore
import WeirEngine
import WeirReport

/// One look at a running load.
struct LoadMoment: Sendable {
  /// Since the load began.
  var seconds: Double
  /// Records a second that were due, and that were sent, since the look before.
  var wanted: Double
  var sent: Double
  /// How late the newest record left.
  var behindMilliseconds: Double
  /// Of the records that became visible since the look before; nil: none did.
  var latency: LatencyMeter.Summary?
}

/// What a load came to.
package struct LoadResult: Sendable {
  var title: String
  var sent: Int64 = 0
  var delivered: Int64 = 0
  var failed: Int64 = 0
  var seconds: Double = 0
  var behindMaxMilliseconds: Double = 0
  var latency: LatencyMeter.Summary?
  var histogram = LatencyHistogram()
  var samples: LoadWatch.Samples?
  /// nil: nobody watched. False: not everything was visible in time.
  var isSettled: Bool?
  package var findings: [LoadFindings] = []
  var moments: [LoadMoment] = []
  var failures: [String] = []

  package var isGood: Bool {
    failed == 0 && delivered == sent && isSettled != false && (samples?.stale ?? 0) == 0 && findings.allSatisfy(\.isGood)
  }

  /// For people: PASS, or FAILED with the first thing that failed.
  var verdict: String {
    if isGood { return "PASS: all checks passed" }
    if failed > 0 || delivered != sent {
      return "FAILED: \(Human.count(max(failed, sent - delivered))) of \(Human.count(sent)) records were not acknowledged"
    }
    if let found = findings.first(where: { !$0.isGood }) {
      return
        "FAILED: \(found.place): \(Human.count(found.checked)) checked, \(Human.count(found.lost)) lost, \(Human.count(found.duplicate)) duplicate, \(Human.count(found.disordered)) disordered"
    }
    if let samples, samples.stale > 0 {
      return "FAILED: \(Human.count(samples.stale)) of \(Human.count(samples.rows)) rows were looked up and not visible yet"
    }
    return "FAILED: some of the sent records did not become visible in time"
  }
}

/// What `weir load` tells.
package struct LoadReport: Sendable {
  let console: Console
  let json: Bool

  package init(console: Console, json: Bool) {
    self.console = console
    self.json = json
  }

  /// One line that is written over; only on a terminal.
  func live(_ moment: LoadMoment, sent: Int64, of total: Int64, waiting: Int) {
    guard console.isTerminal else { return }
    var text = "\(Human.fixed(moment.seconds, 1)) s  \(Human.count(sent)) of \(Human.count(total)) sent, \(Human.rate(moment.sent))"
    text += "  \(Human.fixed(moment.behindMilliseconds, 1)) ms behind schedule  \(Human.count(Int64(waiting))) not acknowledged"
    if let latency = moment.latency { text += "  visible after p50 \(LoadReport.ms(latency.p50)), p99 \(LoadReport.ms(latency.p99)) ms" }
    console.status(text)
  }

  static func ms(_ nanoseconds: Int64) -> String { Human.fixed(Double(nanoseconds) / 1e6, 1) }

  package func end(_ result: LoadResult) {
    if console.isTerminal { console.status("") }
    if json { return console.data(LoadReport.json(result).text) }
    console.data(
      "sent         \(Human.count(result.sent)) records in \(Human.seconds(result.seconds)) (\(Human.rate(Double(result.sent) / max(1e-3, result.seconds)))), \(Human.count(result.delivered)) acknowledged, \(result.failed) failed"
    )
    console.data("schedule     maximum send delay \(Human.fixed(result.behindMaxMilliseconds, 1)) ms")
    for failure in result.failures { console.talk(failure) }
    if let latency = result.latency {
      let parts = [("p50", latency.p50), ("p90", latency.p90), ("p99", latency.p99), ("p99.9", latency.p999), ("max", latency.max)]
      console.data(
        "latency      \(parts.map { "\($0) \(LoadReport.ms($1)) ms" }.joined(separator: ", ")) from scheduled send to visible state, \(Human.count(latency.records)) records"
      )
    }
    if let samples = result.samples {
      console.data(
        "samples      \(Human.count(samples.rows)) rows looked up as their records became visible, \(samples.stale) of them not visible yet"
      )
      if let first = samples.firstStale { console.talk(first) }
    }
    if result.isSettled == false {
      console.talk("some of the sent records did not become visible in time: check that the worker is running without errors")
    }
    for found in result.findings {
      console.data(
        "\(found.place.padding(toLength: max(24, found.place.count), withPad: " ", startingAt: 0)) \(Human.count(found.checked)) checked: \(found.lost) lost, \(found.duplicate) duplicate, \(found.disordered) disordered"
          + (found.note.map { "; \($0)" } ?? ""))
    }
  }

  static func json(_ result: LoadResult) -> JSONValue {
    .members([
      "event": .string("done"), "ok": .bool(result.isGood), "load": .string(result.title), "sent": .int(result.sent),
      "delivered": .int(result.delivered), "failed": .int(result.failed), "seconds": .number(Human.fixed(result.seconds, 3)),
      "records_per_second": .int(Int64(Double(result.sent) / max(1e-3, result.seconds))),
      "behind_schedule_max_ms": .number(Human.fixed(result.behindMaxMilliseconds, 3)), "latency_ms": LatencyReport.json(result.latency),
      "settled": result.isSettled.map { .bool($0) } ?? .null,
      "samples": result.samples.map { .members(["rows": .int($0.rows), "stale": .int($0.stale)]) } ?? .null,
      "checks": .array(result.findings.map(\.json)),
    ])
  }
}
