/// How long until the source deletes a record that was not read yet, from how fast its first position rises.
struct TrimForecast: Sendable {
  /// Samples that are kept: with one every five seconds, about two minutes.
  private static let samplesMax = 24
  private var samples: [(nanoseconds: Int64, low: Int64)] = []

  mutating func saw(low: Int64, at nanoseconds: Int64) {
    // A source that was made anew begins below: what was seen before says nothing.
    if let last = samples.last, low < last.low { samples = [] }
    samples.append((nanoseconds, low))
    if samples.count > TrimForecast.samplesMax { samples.removeFirst() }
  }

  /// - Returns: nil before there are two samples; infinity while nothing is deleted.
  func seconds(position: Int64) -> Double? {
    guard let first = samples.first, let last = samples.last, last.nanoseconds > first.nanoseconds else { return nil }
    let trimmed = last.low - first.low
    guard trimmed > 0 else { return .infinity }
    let rate = Double(trimmed) / (Double(last.nanoseconds - first.nanoseconds) / 1e9)
    return Double(max(0, position - last.low)) / rate
  }
}
