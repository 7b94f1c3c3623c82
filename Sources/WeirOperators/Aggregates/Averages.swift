/// Quotients that are rounded once: to the double nearest to the exact result.
enum Averages {
  /// The mean of `n` values whose sum is `sum` / 10^scale.
  static func mean(_ sum: Int128, scale: Int, count n: UInt64) -> Double {
    precondition(n > 0 && scale >= 0 && scale <= 38, "a mean of no values, or no decimal's scale")
    let power = (0..<scale).reduce(UInt128(1)) { value, _ in value * 10 }
    let (divisor, overflows) = UInt128(n).multipliedReportingOverflow(by: power)
    // 10^38 times more than three values: the sum has fewer bits than the divisor, and the quotient two roundings.
    let magnitude = overflows ? quotient(sum.magnitude, UInt128(n)) / Double(power) : quotient(sum.magnitude, divisor)
    return sum < 0 ? -magnitude : magnitude
  }

  /// At least 66 bits of the quotient, its last bit set if there is a remainder: then rounding to a double is exact.
  private static func quotient(_ dividend: UInt128, _ divisor: UInt128) -> Double {
    if dividend == 0 { return 0 }
    let (have, need) = (128 - dividend.leadingZeroBitCount, 128 - divisor.leadingZeroBitCount + 66)
    let shift = max(0, need - have)
    let (high, low): (UInt128, UInt128)
    switch shift {
    case 0: (high, low) = (0, dividend)
    case 128...: (high, low) = (dividend << (shift - 128), 0)
    default: (high, low) = (dividend >> (128 - shift), dividend << shift)
    }
    let (quotient, remainder) = divisor.dividingFullWidth((high, low))
    return Double(quotient | (remainder == 0 ? 0 : 1)) * Double(sign: .plus, exponent: -shift, significand: 1)
  }

  /// `(high + low) / n`, where `low` is less than half a unit in the last place of `high`.
  static func mean(_ high: Double, _ low: Double, count n: UInt64) -> Double {
    precondition(n > 0, "a mean of no values")
    let divisor = Double(n)
    let first = high / divisor
    guard first.isFinite else { return first }
    // What the first quotient leaves, which a fused operation gives exactly.
    let rest = high.addingProduct(-first, divisor)
    return first + (rest + low) / divisor
  }
}
