import CWeirScan
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
    // As many digits after the point as the column has: the most frequent case.
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

  /// A number of seconds, milliseconds or microseconds since 1970 (`unit` is that in microseconds), exactly, rounded down to the
  /// microsecond as text is; nil beyond the years 1 to 9999.
  @inline(__always)
  static func timestamp(_ n: JSONScanner.Number, unit: Int64) -> Int64? {
    guard n.exponent == 0, !n.isLong else { return fractional(n, unit: unit) }
    guard n.mantissa <= UInt64(Int64.max) else { return nil }
    let (micros, overflow) = (n.isNegative ? -Int64(n.mantissa) : Int64(n.mantissa)).multipliedReportingOverflow(by: unit)
    guard !overflow, micros >= timestampMin, micros <= timestampMax else { return nil }
    return micros
  }

  private static func fractional(_ n: JSONScanner.Number, unit: Int64) -> Int64? {
    var (mantissa, exponent, isCut) = n.isLong ? leading(n) : (Int128(n.mantissa), n.exponent, false)
    if mantissa == 0 { return 0 }
    exponent += unit == 1_000_000 ? 6 : unit == 1000 ? 3 : 0
    if exponent >= 0 {
      guard exponent <= 20 else { return nil }
      let (value, overflow) = mantissa.multipliedReportingOverflow(by: powers[exponent])
      guard !overflow else { return nil }
      mantissa = value
    } else {
      let (q, r) = exponent < -38 ? (0, mantissa) : mantissa.quotientAndRemainder(dividingBy: powers[-exponent])
      mantissa = q
      isCut = isCut || r != 0
    }
    let value = n.isNegative ? -(mantissa + (isCut ? 1 : 0)) : mantissa
    guard value >= Int128(timestampMin), value <= Int128(timestampMax) else { return nil }
    return Int64(value)
  }

  /// The first 38 digits of a long number that count, its exponent with them, and whether other digits than 0 follow.
  private static func leading(_ n: JSONScanner.Number) -> (mantissa: Int128, exponent: Int, isCut: Bool) {
    var mantissa: Int128 = 0
    var (taken, dropped, isCut) = (0, 0, false)
    for i in 0..<n.count {
      let c = n.start[i]
      if c | 0x20 == 0x65 { break }
      guard c &- 0x30 < 10 else { continue }
      if taken == 38 {
        dropped += 1
        isCut = isCut || c != 0x30
      } else {
        mantissa = mantissa * 10 + Int128(c &- 0x30)
        if mantissa != 0 { taken += 1 }
      }
    }
    return (mantissa, n.exponent + dropped, isCut)
  }

  /// ISO 8601 with a zone: `2015-09-12T00:46:58.771Z`, `2015-09-12 00:46+02:00`. The seconds may be left out, or have a fraction of
  /// 1 to 9 digits, which is rounded down to the microsecond; `T`, `t` or a space between date and time; `Z`, `z`, `+02:00`, `+0200`
  /// or `+02`.
  static func timestamp(_ p: Bytes, _ count: Int) -> (value: Int64?, reason: String) {
    func two(_ i: Int) -> Int64? {
      guard i + 2 <= count, p[i] &- 0x30 < 10, p[i + 1] &- 0x30 < 10 else { return nil }
      return Int64(p[i] &- 0x30) * 10 + Int64(p[i + 1] &- 0x30)
    }
    let form = "a timestamp needs the form 2026-01-31T23:59:59.123Z"
    guard count >= 10, let y1 = two(0), let y2 = two(2), p[4] == 0x2D, let month = two(5), p[7] == 0x2D, let day = two(8) else {
      return (nil, form)
    }
    if count == 10 { return (nil, "a timestamp needs a time of day and a zone: 2026-01-31T00:00:00Z") }
    guard count >= 16, p[10] | 0x20 == 0x74 || p[10] == 0x20, let hour = two(11), p[13] == 0x3A, let minute = two(14) else {
      return (nil, form)
    }
    var (at, second, micros): (Int, Int64, Int64) = (16, 0, 0)
    if at < count, p[at] == 0x3A {
      guard let two = two(17) else { return (nil, form) }
      (at, second) = (19, two)
      if at < count, p[at] == 0x2E {
        at += 1
        let first = at
        while at < count, p[at] &- 0x30 < 10 {
          if at - first < 6 { micros = micros * 10 + Int64(p[at] &- 0x30) }
          at += 1
        }
        guard at > first, at - first <= 9 else { return (nil, "a fraction of a second has 1 to 9 digits") }
        for _ in 0..<max(0, 6 - (at - first)) { micros *= 10 }
      }
    }
    let year = y1 * 100 + y2
    guard year >= 1, month >= 1, month <= 12, day >= 1, day <= daysIn(month, year), hour < 24, minute < 60, second < 60 else {
      return (nil, "there is no such date or time")
    }
    guard at < count else { return (nil, "a timestamp needs a zone (Z or +02:00)") }
    guard let offset = zone(p + at, count - at) else {
      return (nil, p[at] == 0x2B || p[at] == 0x2D ? "a zone has the form Z, +02:00, +0200 or +02" : form)
    }
    let days = dayNumber(year, month, day)
    let value = ((days * 24 + hour) * 60 + minute - offset) * 60_000_000 + second * 1_000_000 + micros
    guard value >= timestampMin, value <= timestampMax else { return (nil, "a timestamp must be in the years 1 to 9999") }
    return (value, "")
  }

  /// Minutes east of Greenwich.
  private static func zone(_ p: Bytes, _ count: Int) -> Int64? {
    if count == 1, p[0] | 0x20 == 0x7A { return 0 }
    guard p[0] == 0x2B || p[0] == 0x2D, count == 3 || count == 5 || count == 6 && p[3] == 0x3A else { return nil }
    func two(_ i: Int) -> Int64? {
      p[i] &- 0x30 < 10 && p[i + 1] &- 0x30 < 10 ? Int64(p[i] &- 0x30) * 10 + Int64(p[i + 1] &- 0x30) : nil
    }
    guard let hours = two(1), let minutes = count == 3 ? 0 : two(count - 2), hours < 24, minutes < 60 else { return nil }
    return (p[0] == 0x2D ? -1 : 1) * (hours * 60 + minutes)
  }

  static func isDate(_ year: Int64, _ month: Int64, _ day: Int64) -> Bool {
    (1...9999).contains(year) && (1...12).contains(month) && day >= 1 && day <= daysIn(month, year)
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

/// Times as text, as records, expressions and pipeline files have them.
package enum TimestampText {
  /// The years 1 to 9999, as microseconds since 1970.
  package static let range = FieldValues.timestampMin...FieldValues.timestampMax

  /// Microseconds since 1970, or why it is not a time: see the plan reference.
  package static func parse(_ text: String) -> (microseconds: Int64?, reason: String) {
    var text = text
    return text.withUTF8 { utf8 in
      guard let start = utf8.baseAddress, !utf8.isEmpty else { return (nil, "a timestamp needs the form 2026-01-31T23:59:59.123Z") }
      let (value, reason) = FieldValues.timestamp(start, utf8.count)
      return (value, reason)
    }
  }
}
