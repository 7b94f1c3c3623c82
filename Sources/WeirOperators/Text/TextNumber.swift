import WeirCore

/// Numbers as people and other programs write them in text: as JSON's, and with a plus sign, zeros before, no digit before or after the
/// point, or a comma for the point.
enum TextNumber {
  typealias Bytes = UnsafePointer<UInt8>

  /// Bytes of a number.
  static let bytesMax = 1000

  /// - Parameter point: the byte between whole and fraction.
  /// - Returns: nil: it is no number. The result refers to the text.
  @inline(__always)
  static func scan(_ start: Bytes, _ count: Int, point: UInt8) -> JSONScanner.Number? {
    guard count > 0, count <= bytesMax else { return nil }
    let end = start + count
    var at = start
    let isNegative = at.pointee == 0x2D
    if isNegative || at.pointee == 0x2B { at += 1 }
    var mantissa: UInt64 = 0
    // Digits from the first that is not 0, and all of them.
    var (digits, all, exponent) = (0, 0, 0)
    let whole = at
    while at < end, at.pointee &- 0x30 < 10 {
      mantissa = mantissa &* 10 &+ UInt64(at.pointee &- 0x30)
      if mantissa != 0 || digits > 0 { digits += 1 }
      at += 1
    }
    all = at - whole
    if at < end, at.pointee == point {
      at += 1
      let fraction = at
      while at < end, at.pointee &- 0x30 < 10 {
        mantissa = mantissa &* 10 &+ UInt64(at.pointee &- 0x30)
        if mantissa != 0 || digits > 0 { digits += 1 }
        at += 1
      }
      exponent = fraction - at
      all -= exponent
    }
    guard all > 0 else { return nil }
    if at < end {
      guard let power = power(at, end) else { return nil }
      exponent += power
    }
    return JSONScanner.Number(
      start: start, count: count, isNegative: isNegative, mantissa: mantissa, exponent: exponent, isLong: digits > 19)
  }

  /// `e10`, `E-3`, up to the end.
  private static func power(_ start: Bytes, _ end: Bytes) -> Int? {
    var at = start
    guard at.pointee | 0x20 == 0x65 else { return nil }
    at += 1
    let isNegative = at < end && at.pointee == 0x2D
    if at < end, isNegative || at.pointee == 0x2B { at += 1 }
    guard at < end else { return nil }
    var value = 0
    while at < end {
      guard at.pointee &- 0x30 < 10 else { return nil }
      if value < 1_000_000 { value = value * 10 + Int(at.pointee &- 0x30) }
      at += 1
    }
    return isNegative ? -value : value
  }

  /// The double of a number with another point than `.`.
  static func double(_ number: JSONScanner.Number, point: UInt8) -> Double? {
    guard point != 0x2E else { return FieldValues.double(number) }
    var text = Array(UnsafeBufferPointer(start: number.start, count: number.count))
    for i in text.indices where text[i] == point { text[i] = 0x2E }
    return text.withUnsafeBufferPointer { bytes in
      var copy = number
      copy.start = bytes.baseAddress!
      return FieldValues.double(copy)
    }
  }
}
