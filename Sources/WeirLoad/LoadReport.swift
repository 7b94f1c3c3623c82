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

  package func end(_ result: LoadResult, comparedWith comparison: LoadComparison? = nil) {
    if console.isTerminal { console.status("") }
    if json { return console.data(LoadReport.json(result, comparison).text) }
    console.data(result.verdict, marking: result.isGood ? "PASS" : "FAIL", result.isGood ? .good : .bad)
    for fault in result.faults.dropFirst() { console.data("             \(fault)") }
    console.data(
      "sent         \(Human.count(result.sent)) records in \(Human.seconds(result.seconds)) (\(Human.count(Int64(result.rate)))/s), \(Human.count(result.delivered)) acknowledged, \(result.failed) failed"
        + (result.repeated > 0 ? ", \(Human.count(result.repeated)) sent again" : "")
    )
    console.data("schedule     maximum send delay \(Human.fixed(result.behindMaxMilliseconds, 1)) ms")
    for failure in result.failures { console.talk(failure) }
    if let latency = result.latency {
      let parts = LoadReport.percentiles(latency).map { "\($0.name) \(LoadReport.ms($0.nanoseconds)) ms" }
      console.data(
        "latency      \(parts.joined(separator: ", ")) from scheduled send to visible state, \(Human.count(latency.records)) records")
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
    for line in comparison?.lines ?? [] { console.data(line) }
  }

  /// The percentiles of all reports, by their names.
  static func percentiles(_ latency: LatencyMeter.Summary) -> [(name: String, nanoseconds: Int64)] {
    [("p50", latency.p50), ("p90", latency.p90), ("p99", latency.p99), ("p99.9", latency.p999), ("max", latency.max)]
  }

  static func json(_ result: LoadResult, _ comparison: LoadComparison? = nil) -> JSONValue {
    let repeated: [JSONValue.Member] = result.repeated > 0 ? [.init("repeated", .int(result.repeated))] : []
    return .object(facts(result, comparison) + repeated)
  }

  private static func facts(_ result: LoadResult, _ comparison: LoadComparison?) -> [JSONValue.Member] {
    let all: KeyValuePairs<String, JSONValue> = [
      "event": .string("done"), "ok": .bool(result.isGood), "verdict": .string(result.isGood ? "PASS" : "FAIL"),
      "faults": .array(result.faults.map { .string($0) }), "load": .string(result.title), "sent": .int(result.sent),
      "delivered": .int(result.delivered), "failed": .int(result.failed), "seconds": .number(Human.fixed(result.seconds, 3)),
      "records_per_second": .int(Int64(result.rate)),
      "behind_schedule_max_ms": .number(Human.fixed(result.behindMaxMilliseconds, 3)), "latency_ms": LatencyReport.json(result.latency),
      "settled": result.isSettled.map { .bool($0) } ?? .null,
      "samples": result.samples.map { .members(["rows": .int($0.rows), "stale": .int($0.stale)]) } ?? .null,
      "checks": .array(result.findings.map(\.json)), "limits": result.limits.json, "run": result.facts.json,
      "compared": comparison?.json ?? .null,
    ]
    return all.map { JSONValue.Member($0.key, $0.value) }
  }
}
