import Foundation
import WeirOperators

/// Times as people write them in a pipeline file.
package enum TimeText {
  /// `2026-01-31T00:00:00Z`, also without seconds, with a fraction of a second or another zone, as microseconds since 1970.
  package static func microseconds(_ text: String) -> Int64? { TimestampText.parse(text).microseconds }
}

/// Quantities with units, as pipeline files and options have them.
package enum QuantityText {
  /// A hundred years, in microseconds: sums of some durations and any event time stay far inside of 64 bits, also as nanoseconds.
  package static let durationMax: Int64 = 36_500 * 86_400_000_000
  /// 2^50, for the same reason.
  package static let bytesMax: Int64 = 1 << 50

  /// A unit, and how many microseconds or bytes it is.
  package typealias Unit = (name: String, factor: Int64)

  package static let durationUnits: [Unit] = [
    ("us", 1), ("ms", 1000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000),
  ]
  /// The empty one is bytes.
  package static let sizeUnits: [Unit] = [
    ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("kB", 1000), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("B", 1),
    ("", 1),
  ]

  /// `250ms`, `10s`, `5m`, `2h`, `7d`; what is larger than a number holds is the largest. nil: no duration.
  package static func microseconds(_ text: String) -> Int64? {
    scaled(text, durationUnits)
  }

  /// `64MiB`, `10MB`, `1000`. nil: no size.
  package static func bytes(_ text: String) -> Int64? {
    let value = scaled(text, sizeUnits)
    return value == Int64.max ? nil : value
  }

  private static func scaled(_ text: String, _ units: [Unit]) -> Int64? {
    let number = text.prefix { $0.isNumber || $0 == "." }
    let unit = text.dropFirst(number.count).trimmingCharacters(in: .whitespaces)
    guard let value = Double(number), let factor = units.first(where: { $0.0 == unit })?.1 else { return nil }
    let product = (value * Double(factor)).rounded()
    return product < 9e18 ? Int64(product) : Int64.max
  }
}
