/// Counts of observations by bound, as Prometheus keeps them: a fixed number of buckets, whatever is observed.
package struct Histogram: Sendable, Equatable {
  /// Upper ends, ascending; what is above the last counts only in ``total``.
  package let bounds: [Double]
  /// One a bound: observations at or below it and above the one before.
  package private(set) var counts: [Int64]
  package private(set) var total: Int64 = 0
  package private(set) var sum: Double = 0

  package init(bounds: [Double]) {
    precondition(!bounds.isEmpty && zip(bounds, bounds.dropFirst()).allSatisfy(<), "bounds ascend")
    self.bounds = bounds
    counts = [Int64](repeating: 0, count: bounds.count)
  }

  /// Durations from a millisecond to two minutes, in seconds.
  package static let seconds = Histogram(
    bounds: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120])
  /// Sizes of files, in bytes.
  package static let bytes = Histogram(bounds: [4, 64, 1024, 4096, 16384, 65536, 131_072, 262_144, 1_048_576].map { $0 * 1024 })

  package mutating func observe(_ value: Double, count: Int64 = 1) {
    guard count > 0 else { return }
    total += count
    sum += value * Double(count)
    if let i = bounds.firstIndex(where: { value <= $0 }) { counts[i] += count }
  }

  /// Observations spread evenly over `low...high`: at most eight points represent them.
  package mutating func observe(from low: Double, to high: Double, count: Int64) {
    let points = min(count, 8)
    guard points > 1 else { return observe(high, count: count) }
    for i in 0..<points {
      let share = count * (i + 1) / points - count * i / points
      observe(low + (high - low) * Double(i) / Double(points - 1), count: share)
    }
  }
}
