/// Counts of durations in buckets of 1/64 of an octave or finer (the layout of HdrHistogram with 6 bits of precision), so a percentile
/// is right to 1.6 %. 32 KiB.
package struct LatencyHistogram: Sendable {
  private var counts = [Int64](repeating: 0, count: 64 * 64)
  package private(set) var records: Int64 = 0
  package private(set) var max: Int64 = 0

  package init() {}

  /// Nanoseconds; negative ones count as 0.
  package mutating func add(_ nanoseconds: Int64) {
    let value = Swift.max(0, nanoseconds)
    counts[LatencyHistogram.bucket(value)] += 1
    records += 1
    max = Swift.max(max, value)
  }

  package mutating func add(_ other: LatencyHistogram) {
    for i in counts.indices { counts[i] += other.counts[i] }
    records += other.records
    max = Swift.max(max, other.max)
  }

  /// The value that a share (0...1) of all is at most; 0 without any.
  package func percentile(_ share: Double) -> Int64 {
    var left = Int64((Double(records) * share).rounded(.up))
    for (bucket, count) in counts.enumerated() where count > 0 {
      left -= count
      if left <= 0 { return min(LatencyHistogram.upperEnd(bucket), max) }
    }
    return max
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
