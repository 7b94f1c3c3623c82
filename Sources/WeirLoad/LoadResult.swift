import WeirCore
import WeirEngine
import WeirReport

/// What a load must not exceed to pass.
package struct LoadLimits: Sendable {
  /// Maximum p99 of the latency; nil: any.
  package var p99Nanoseconds: Int64?
  /// Maximum number of lost records, in each check.
  package var lost: Int64 = 0

  package init(p99Nanoseconds: Int64? = nil, lost: Int64 = 0) {
    self.p99Nanoseconds = p99Nanoseconds
    self.lost = lost
  }

  var json: JSONValue {
    .members([
      "p99_ms": p99Nanoseconds.map { .number(Human.fixed(Double($0) / 1e6, 3)) } ?? .null, "lost": .int(lost),
    ])
  }
}

/// With what a load was made, so that it can be repeated and compared.
package struct LoadFacts: Sendable {
  /// The command line, without the values of `--option`: they may be secrets.
  package var command = ""
  package var version = ""
  package var host = ""
  /// nil: a capture was played.
  package var seed: UInt64?
  /// UTC microseconds since 1970; nil: not known.
  package var startedMicroseconds: Int64?

  package init() {}

  /// For people, in the order of the report.
  var rows: [(name: String, text: String)] {
    [("command", command), ("version", version), ("host", host)] + (seed.map { [("seed", String($0))] } ?? [])
      + (startedMicroseconds.map { [("started", CivilTime.text(ofMicroseconds: $0))] } ?? [])
  }

  var json: JSONValue { .object(rows.map { .init($0.name, .string($0.text)) }) }
}

/// What a load came to.
package struct LoadResult: Sendable {
  var title: String
  var sent: Int64 = 0
  var delivered: Int64 = 0
  var failed: Int64 = 0
  /// Sent again because the target refused them at first.
  var repeated: Int64 = 0
  var seconds: Double = 0
  var behindMaxMilliseconds: Double = 0
  var latency: LatencyMeter.Summary?
  var histogram = LatencyHistogram()
  var samples: LoadWatch.Samples?
  /// nil: nothing was read back. False: not everything was visible in time.
  var isSettled: Bool?
  package var findings: [LoadFindings] = []
  var moments: [LoadMoment] = []
  var failures: [String] = []
  package var limits = LoadLimits()
  package var facts = LoadFacts()

  package init(title: String) { self.title = title }

  package var isGood: Bool { faults.isEmpty }

  /// Records per second.
  var rate: Double { Double(sent) / max(1e-3, seconds) }

  /// All that failed, for people.
  var faults: [String] {
    var faults: [String] = []
    let unanswered = max(failed, sent - delivered)
    if unanswered > limits.lost { faults.append("\(Human.count(unanswered)) of \(Human.count(sent)) records were not acknowledged") }
    for found in findings where found.lost > limits.lost || found.duplicate > 0 || found.disordered > 0 {
      faults.append(
        "\(found.place): \(Human.count(found.checked)) checked, \(Human.count(found.lost)) lost, \(Human.count(found.duplicate)) duplicate, \(Human.count(found.disordered)) disordered"
      )
    }
    if let samples, samples.stale > 0 {
      faults.append("\(Human.count(samples.stale)) of \(Human.count(samples.rows)) rows were looked up and not visible yet")
    }
    if isSettled == false { faults.append("some of the sent records did not become visible in time") }
    if let limit = limits.p99Nanoseconds {
      if let latency {
        if latency.p99 > limit {
          faults.append("the p99 of the latency is \(LoadReport.ms(latency.p99)) ms; --max-p99 is \(LoadReport.ms(limit)) ms")
        }
      } else {
        faults.append("no latency was measured, and --max-p99 is set")
      }
    }
    return faults
  }

  /// For people: PASS, or FAIL with the first thing that failed.
  var verdict: String {
    guard let first = faults.first else {
      return isSettled == nil
        ? "PASS         all records were acknowledged (--verify checks the results)" : "PASS         all checks passed"
    }
    return "FAIL         \(first)"
  }
}
