import CWeir
import WeirCore

/// From JSON numbers and strings to values of a column type: exact, or an error that says why not.
enum FieldValues {
  typealias Bytes = UnsafePointer<UInt8>

  /// 10^0 … 10^38.
  static let powers: [Int128] = {
    var powers: [Int128] = [1]
    for _ in 0..<38 { powers.append(powers.last! * 10) }
    return powers
  }()

  /// The number as an unscaled decimal of `scale`, if it is exact and has at most 38 digits.
  @inline(__always)
  static func exact(_ n: JSONScanner.Number, scale: Int) -> Int128? {
    // As many digits behind the point as the column has: the most frequent case.
    guard n.exponent + scale == 0, !n.isLong else { return scaled(n, scale: scale) }
    return n.isNegative ? -Int128(n.mantissa) : Int128(n.mantissa)
  }

  private static func scaled(_ n: JSONScanner.Number, scale: Int) -> Int128? {
    var mantissa = Int128(n.mantissa)
    var exponent = n.exponent
    if n.isLong {
      guard let long = longMantissa(n) else { return nil }
      (mantissa, exponent) = long
    }
    if mantissa == 0 { return 0 }
    var shift = exponent + scale
    while shift < 0 {
      let (q, r) = mantissa.quotientAndRemainder(dividingBy: 10)
      guard r == 0 else { return nil }
      mantissa = q
      shift += 1
    }
    guard shift <= 38 else { return nil }
    let (value, overflow) = mantissa.multipliedReportingOverflow(by: powers[shift])
    guard !overflow, value < powers[38] else { return nil }
    return n.isNegative ? -value : value
  }

  /// Mantissa and exponent of a number with many digits; nil beyond 38 significant ones.
  private static func longMantissa(_ n: JSONScanner.Number) -> (Int128, Int)? {
    var mantissa: Int128 = 0
    var zeros = 0
    var exponent = n.exponent
    var seenE = false
    for i in 0..<n.count where !seenE {
      let c = n.start[i]
      if c | 0x20 == 0x65 { seenE = true }
      guard c &- 0x30 < 10 else { continue }
      if c == 0x30 {
        zeros += 1
        continue
      }
      for _ in 0...zeros {
        let (value, overflow) = mantissa.multipliedReportingOverflow(by: 10)
        guard !overflow else { return nil }
        mantissa = value
      }
      zeros = 0
      let (value, overflow) = mantissa.addingReportingOverflow(Int128(c &- 0x30))
      guard !overflow else { return nil }
      mantissa = value
    }
    exponent += zeros
    return (mantissa, exponent)
  }

  @inline(__always)
  static func int64(_ n: JSONScanner.Number) -> Int64? {
    if n.exponent == 0, !n.isLong {
      if n.mantissa <= UInt64(Int64.max) { return n.isNegative ? -Int64(n.mantissa) : Int64(n.mantissa) }
      return n.isNegative && n.mantissa == UInt64(1) << 63 ? Int64.min : nil
    }
    return exact(n, scale: 0).flatMap { Int64(exactly: $0) }
  }

  private static let doublePowers: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21,
    1e22,
  ]

  /// Correctly rounded; nil if it is beyond the largest double. Clinger's fast path: a mantissa below 2^53 and a power of ten
  /// up to 22 are exact doubles, so one operation rounds once.
  static func double(_ n: JSONScanner.Number) -> Double? {
    if !n.isLong, n.mantissa <= 1 << 53, n.exponent >= -22, n.exponent <= 22 {
      let m = Double(n.mantissa)
      let value = n.exponent < 0 ? m / doublePowers[-n.exponent] : m * doublePowers[n.exponent]
      return n.isNegative ? -value : value
    }
    var value = 0.0
    let text = UnsafeRawPointer(n.start).assumingMemoryBound(to: CChar.self)
    guard weir_parse_double(text, n.count, &value) != 0, value.isFinite else { return nil }
    return value
  }

  // MARK: Timestamps

  /// Years 0001 to 9999, as microseconds.
  static let timestampMin: Int64 = -62_135_596_800_000_000
  static let timestampMax: Int64 = 253_402_300_799_999_999

  static func timestamp(_ n: JSONScanner.Number, unit: Int64) -> Int64? {
    guard let value = int64(n) else { return nil }
    let (micros, overflow) = value.multipliedReportingOverflow(by: unit)
    guard !overflow, micros >= timestampMin, micros <= timestampMax else { return nil }
    return micros
  }

  /// ISO 8601 with a zone: `2015-09-12T00:46:58.771Z`, `…+02:00`, `+0200`, `+02`; `T`, `t` or a space between date and
  /// time; fractions of 1 to 9 digits, what is finer than a microsecond is cut off.
  static func timestamp(_ p: Bytes, _ count: Int) -> (value: Int64?, reason: String) {
    func two(_ i: Int) -> Int64? {
      guard i + 2 <= count, p[i] &- 0x30 < 10, p[i + 1] &- 0x30 < 10 else { return nil }
      return Int64(p[i] &- 0x30) * 10 + Int64(p[i + 1] &- 0x30)
    }
    let form = "a timestamp needs the form 2026-01-31T23:59:59.123Z"
    guard count >= 19, let y1 = two(0), let y2 = two(2), p[4] == 0x2D, let month = two(5), p[7] == 0x2D, let day = two(8),
      p[10] | 0x20 == 0x74 || p[10] == 0x20, let hour = two(11), p[13] == 0x3A, let minute = two(14), p[16] == 0x3A,
      let second = two(17)
    else { return (nil, form) }
    let year = y1 * 100 + y2
    guard year >= 1, month >= 1, month <= 12, day >= 1, day <= daysIn(month, year), hour < 24, minute < 60, second < 60 else {
      return (nil, "there is no such date or time")
    }
    var at = 19
    var micros: Int64 = 0
    if at < count, p[at] == 0x2E {
      at += 1
      let first = at
      while at < count, p[at] &- 0x30 < 10 {
        if at - first < 6 { micros = micros * 10 + Int64(p[at] &- 0x30) }
        at += 1
      }
      guard at > first, at - first <= 9 else { return (nil, form) }
      for _ in 0..<max(0, 6 - (at - first)) { micros *= 10 }
    }
    guard at < count else { return (nil, "a timestamp needs a zone (Z or +02:00)") }
    guard let offset = zone(p + at, count - at) else { return (nil, form) }
    let days = dayNumber(year, month, day)
    let value = ((days * 24 + hour) * 60 + minute - offset) * 60_000_000 + second * 1_000_000 + micros
    guard value >= timestampMin, value <= timestampMax else { return (nil, "a timestamp must lie in the years 1 to 9999") }
    return (value, "")
  }

  /// Minutes east of Greenwich.
  private static func zone(_ p: Bytes, _ count: Int) -> Int64? {
    if count == 1, p[0] | 0x20 == 0x7A { return 0 }
    guard count >= 3, p[0] == 0x2B || p[0] == 0x2D else { return nil }
    var digits: [Int64] = []
    for i in 1..<count {
      if i == 3, p[i] == 0x3A, count == 6 { continue }
      guard p[i] &- 0x30 < 10 else { return nil }
      digits.append(Int64(p[i] &- 0x30))
    }
    guard digits.count == 2 || digits.count == 4 else { return nil }
    let hours = digits[0] * 10 + digits[1]
    let minutes = digits.count == 4 ? digits[2] * 10 + digits[3] : 0
    guard hours < 24, minutes < 60 else { return nil }
    return (p[0] == 0x2D ? -1 : 1) * (hours * 60 + minutes)
  }

  private static func daysIn(_ month: Int64, _ year: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Days since 1970-01-01 (Hinnant's days_from_civil).
  static func dayNumber(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let y = month <= 2 ? year - 1 : year
    let era = CivilTime.floorDivide(y, 400)
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }
}
