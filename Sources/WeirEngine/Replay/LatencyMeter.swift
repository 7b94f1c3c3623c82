import Synchronization

/// From a record's scheduled arrival to the moment at which the state table shows what it did.
///
/// Counts lie in buckets of 1/64 of an octave or finer (as in HdrHistogram), so a percentile is right to 1.6 %.
public final class LatencyMeter: Sendable {
  /// Nanoseconds.
  public struct Summary: Sendable {
    public var records: Int64
    public var p50, p90, p99, p999, max: Int64
  }

  private struct Arrival {
    var through: Int64
    var records: Int64
    var first: Int64
    var last: Int64
  }

  private struct State {
    var arrivals: [Arrival] = []
    var next = 0
    var counts = [Int64](repeating: 0, count: 64 * 64)
    var max: Int64 = 0
  }
  private let state = Mutex(State())

  public init() {}

  /// Records up to a position, due evenly from `first` to `last`.
  func arrives(through: Int64, records: Int64, first: Int64, last: Int64) {
    state.withLock { $0.arrivals.append(Arrival(through: through, records: records, first: first, last: last)) }
  }

  /// Everything up to a position is visible at `now`.
  func visible(through: Int64, now: Int64) {
    state.withLock { state in
      while state.next < state.arrivals.count, state.arrivals[state.next].through <= through {
        let arrival = state.arrivals[state.next]
        state.next += 1
        for i in 0..<arrival.records {
          let due = arrival.first + (arrival.last - arrival.first) * i / max(1, arrival.records - 1)
          let latency = max(0, now - due)
          state.counts[LatencyMeter.bucket(latency)] += 1
          state.max = max(state.max, latency)
        }
      }
      if state.next > 1024 {
        state.arrivals.removeFirst(state.next)
        state.next = 0
      }
    }
  }

  /// nil before anything was visible.
  public var summary: Summary? {
    state.withLock { state in
      let total = state.counts.reduce(0, +)
      guard total > 0 else { return nil }
      func percentile(_ share: Double) -> Int64 {
        var left = Int64((Double(total) * share).rounded(.up))
        for (bucket, count) in state.counts.enumerated() where count > 0 {
          left -= count
          if left <= 0 { return min(LatencyMeter.upperEnd(bucket), state.max) }
        }
        return state.max
      }
      return Summary(
        records: total, p50: percentile(0.5), p90: percentile(0.9), p99: percentile(0.99), p999: percentile(0.999), max: state.max)
    }
  }

  /// Exact below 64 ns, then 64 buckets an octave.
  static func bucket(_ value: Int64) -> Int {
    if value < 64 { return Int(value) }
    let octave = 63 - value.leadingZeroBitCount - 6
    return (octave + 1) * 64 + Int(value >> Int64(octave)) - 64
  }

  static func upperEnd(_ bucket: Int) -> Int64 {
    if bucket < 64 { return Int64(bucket) }
    let octave = Int64(bucket / 64 - 1)
    return (Int64(bucket % 64 + 64 + 1) << octave) - 1
  }
}
