import WeirCore
import WeirEngine

/// Latencies, as programs read them.
package enum LatencyReport {
  package static func json(_ summary: LatencyMeter.Summary?) -> JSONValue {
    guard let summary else { return .null }
    func ms(_ nanoseconds: Int64) -> JSONValue { .number(Human.fixed(Double(nanoseconds) / 1e6, 3)) }
    return .members([
      "records": .int(summary.records), "p50": ms(summary.p50), "p90": ms(summary.p90), "p99": ms(summary.p99), "p99.9": ms(summary.p999),
      "max": ms(summary.max),
    ])
  }
}
