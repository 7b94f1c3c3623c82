import WeirCore

/// A value of fixed width as the encoders handle it: `Int64` (integers, timestamps, decimals of up to 18 digits),
/// `Double`, and `Int128` (decimals of more digits).
protocol FixedValue: BitwiseCopyable, Sendable {
  static var lowest: Self { get }
  static var highest: Self { get }
  static var canBeNaN: Bool { get }
  var isNaN: Bool { get }
  /// Equal bits: what the dictionary takes as one value.
  static func isSame(_ a: Self, _ b: Self) -> Bool
  static func isBelow(_ a: Self, _ b: Self) -> Bool
  /// All bits depend on all bits of the value.
  var mixed: UInt64 { get }
  var asLowerBound: Self { get }
  var asUpperBound: Self { get }
  /// The PLAIN encoding in `width` bytes.
  func write(to out: UnsafeMutablePointer<UInt8>, width: Int)
}

extension FixedValue {
  static var canBeNaN: Bool { false }
  var isNaN: Bool { false }
  var asLowerBound: Self { self }
  var asUpperBound: Self { self }
}

/// The finaliser of MurmurHash3.
@inline(__always) private func mix(_ x: UInt64) -> UInt64 {
  var h = x ^ (x >> 33)
  h = h &* 0xff51_afd7_ed55_8ccd
  h ^= h >> 33
  h = h &* 0xc4ce_b9fe_1a85_ec53
  return h ^ (h >> 33)
}

extension Int64: FixedValue {
  static var lowest: Int64 { .min }
  static var highest: Int64 { .max }
  @inline(__always) static func isSame(_ a: Int64, _ b: Int64) -> Bool { a == b }
  @inline(__always) static func isBelow(_ a: Int64, _ b: Int64) -> Bool { a < b }
  @inline(__always) var mixed: UInt64 { mix(UInt64(bitPattern: self)) }

  /// INT64, or INT32 when `width` is 4.
  @inline(__always) func write(to out: UnsafeMutablePointer<UInt8>, width: Int) {
    if width == 4 {
      UnsafeMutableRawPointer(out).storeBytes(of: Int32(truncatingIfNeeded: self).littleEndian, as: Int32.self)
    } else {
      UnsafeMutableRawPointer(out).storeBytes(of: littleEndian, as: Int64.self)
    }
  }
}

extension Double: FixedValue {
  static var lowest: Double { -.infinity }
  static var highest: Double { .infinity }
  static var canBeNaN: Bool { true }
  @inline(__always) static func isSame(_ a: Double, _ b: Double) -> Bool { a.bitPattern == b.bitPattern }
  @inline(__always) static func isBelow(_ a: Double, _ b: Double) -> Bool { a < b }
  @inline(__always) var mixed: UInt64 { mix(bitPattern) }
  var asLowerBound: Double { self == 0 ? -0.0 : self }
  var asUpperBound: Double { self == 0 ? 0.0 : self }

  @inline(__always) func write(to out: UnsafeMutablePointer<UInt8>, width: Int) {
    UnsafeMutableRawPointer(out).storeBytes(of: bitPattern.littleEndian, as: UInt64.self)
  }
}

extension Int128: FixedValue {
  static var lowest: Int128 { .min }
  static var highest: Int128 { .max }
  @inline(__always) static func isSame(_ a: Int128, _ b: Int128) -> Bool { a == b }
  @inline(__always) static func isBelow(_ a: Int128, _ b: Int128) -> Bool { a < b }
  @inline(__always) var mixed: UInt64 {
    mix(UInt64(truncatingIfNeeded: self) ^ mix(UInt64(truncatingIfNeeded: self >> 64)))
  }

  /// FIXED_LEN_BYTE_ARRAY: two's complement, most significant byte first.
  @inline(__always) func write(to out: UnsafeMutablePointer<UInt8>, width: Int) {
    for i in 0..<width { out[i] = UInt8(truncatingIfNeeded: self >> Int128(8 * (width - 1 - i))) }
  }
}

/// Bytes of the shortest two's complement that holds every decimal of `precision` digits.
func decimalBytes(precision: Int) -> Int {
  var limit: Int128 = 1
  for _ in 0..<precision { limit *= 10 }
  return (128 - (limit - 1).leadingZeroBitCount) / 8 + 1
}

/// 10 to the power of `precision` (at most 38): decimals are below it and above its negative.
func decimalLimit(precision: Int) -> Int128 {
  var limit: Int128 = 1
  for _ in 0..<precision { limit *= 10 }
  return limit
}
