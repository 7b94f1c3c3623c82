import WeirCore

/// How long until the source deletes a record that was not read yet, from how fast its first position rises.
struct TrimForecast: Sendable {
  /// Samples that are kept: with one every five seconds, about two minutes.
  private static let samplesMax = 24
  private var samples: [(nanoseconds: Int64, low: Position)] = []

  mutating func saw(low: Position, at nanoseconds: Int64) {
    // A source that was recreated begins below: what was seen before says nothing.
    if let last = samples.last, low < last.low { samples = [] }
    samples.append((nanoseconds, low))
    if samples.count > TrimForecast.samplesMax { samples.removeFirst() }
  }

  /// - Returns: nil before there are two samples, and where the source's positions do not show it; infinity while nothing is deleted.
  func seconds(position: Position) -> Double? {
    guard let first = samples.first, let last = samples.last, last.nanoseconds > first.nanoseconds else { return nil }
    guard last.low > first.low else { return .infinity }
    guard let trimmed = first.low.distance(to: last.low), let left = last.low.distance(to: position) else { return nil }
    let rate = Double(trimmed) / (Double(last.nanoseconds - first.nanoseconds) / 1e9)
    return Double(left) / rate
  }
}
