import Foundation

/// Times as people write them in a pipeline file.
enum TimeText {
  /// `2026-01-31T00:00:00Z`, also with a fraction of a second or another zone, as microseconds since 1970.
  static func microseconds(_ text: String) -> Int64? {
    let formatter = ISO8601DateFormatter()
    for options: ISO8601DateFormatter.Options in [[.withInternetDateTime], [.withInternetDateTime, .withFractionalSeconds]] {
      formatter.formatOptions = options
      if let date = formatter.date(from: text) { return Int64((date.timeIntervalSince1970 * 1e6).rounded()) }
    }
    return nil
  }
}
