/// Calendar arithmetic of the proleptic Gregorian calendar, UTC, without leap seconds.
///
/// Source of the algorithm: Howard Hinnant, "chrono-compatible low-level date algorithms".
public enum CivilTime {
  public static let microsecondsPerDay: Int64 = 86_400_000_000

  /// Days since 1970-01-01, rounded down.
  @inlinable public static func day(ofMicroseconds t: Int64) -> Int64 { floorDivide(t, microsecondsPerDay) }

  @inlinable public static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 {
    let q = a / b
    return a % b < 0 ? q - 1 : q
  }

  /// Year, month 1...12 and day 1...31 of a day number.
  public static func date(ofDay day: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let z = day + 719_468
    let era = floorDivide(z, 146_097)
    let dayOfEra = z - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let m = (5 * dayOfYear + 2) / 153
    let month = m < 10 ? m + 3 : m - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * m + 2) / 5 + 1)
  }

  /// `2026-01-31`; years are padded to four digits.
  public static func dateText(ofDay day: Int64) -> String {
    let d = date(ofDay: day)
    return "\(pad(d.year, 4))-\(pad(d.month, 2))-\(pad(d.day, 2))"
  }

  /// `2026-01-31T23:59:59.123456Z`; the fraction is left out when it is zero and cut to milliseconds when that is exact.
  public static func text(ofMicroseconds t: Int64) -> String {
    let day = day(ofMicroseconds: t)
    let remainder = t % microsecondsPerDay
    let rest = remainder < 0 ? remainder + microsecondsPerDay : remainder
    let seconds = rest / 1_000_000
    let micros = rest % 1_000_000
    let fraction = micros == 0 ? "" : micros % 1000 == 0 ? "." + pad(micros / 1000, 3) : "." + pad(micros, 6)
    return dateText(ofDay: day) + "T\(pad(seconds / 3600, 2)):\(pad(seconds / 60 % 60, 2)):\(pad(seconds % 60, 2))\(fraction)Z"
  }

  static func pad(_ n: Int64, _ width: Int) -> String {
    let digits = String(n.magnitude)
    return (n < 0 ? "-" : "") + String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
  }
}
