import WeirCore

/// A `Statistics` of parquet.thrift: plain-encoded bounds of a page or chunk.
struct EncodedStatistics {
  var nullCount: Int64 = 0
  /// For doubles.
  var nanCount: Int64?
  var min: [UInt8]?
  var max: [UInt8]?
  var isMinExact = true
  var isMaxExact = true

  func write(to thrift: inout ThriftWriter, field: Int) {
    thrift.begin(field)
    thrift.i64(3, nullCount)
    if let max, let min {
      thrift.binary(5, max)
      thrift.binary(6, min)
      thrift.bool(7, isMaxExact)
      thrift.bool(8, isMinExact)
    } else if let min {
      thrift.binary(6, min)
      thrift.bool(8, isMinExact)
    }
    if let nanCount { thrift.i64(9, nanCount) }
    thrift.end()
  }
}

/// The bounds of some fixed-width values.
struct ValueRange<Value: FixedValue> {
  var low = Value.highest
  var high = Value.lowest
  /// Values that are not null and not NaN.
  var count = 0
  var nanCount = 0

  @inline(__always) mutating func include(_ values: UnsafePointer<Value>, count n: Int) {
    var low = low
    var high = high
    var nans = 0
    for i in 0..<n {
      let value = values[i]
      // Both are false for a NaN.
      low = Value.isBelow(value, low) ? value : low
      high = Value.isBelow(high, value) ? value : high
      if Value.canBeNaN { nans += value.isNaN ? 1 : 0 }
    }
    self.low = low
    self.high = high
    nanCount += nans
    count += n - nans
  }

  mutating func include(_ other: ValueRange) {
    low = Value.isBelow(other.low, low) ? other.low : low
    high = Value.isBelow(high, other.high) ? other.high : high
    count += other.count
    nanCount += other.nanCount
  }

  /// The bounds as the format wants them (a zero of a double is -0.0 below and +0.0 above); nil without values.
  var bounds: (low: Value, high: Value)? { count > 0 ? (low.asLowerBound, high.asUpperBound) : nil }
}

/// Strings have no fixed width: their bounds in a page or chunk are cut to this many bytes.
let boundBytes = 64

/// The bounds of some byte strings, by unsigned bytes, which for UTF-8 is the order of code points.
struct BytesRange {
  private(set) var low: [UInt8] = []
  private(set) var high: [UInt8] = []
  private(set) var isEmpty = true

  mutating func include(low other: StringRef, high otherHigh: StringRef) {
    if isEmpty || low.withRef({ other < $0 }) { low = Array(other.bytes) }
    if isEmpty || high.withRef({ $0 < otherHigh }) { high = Array(otherHigh.bytes) }
    isEmpty = false
  }

  mutating func include(_ other: BytesRange) {
    guard !other.isEmpty else { return }
    other.low.withRef { low in other.high.withRef { high in include(low: low, high: high) } }
  }

  /// Bounds of at most ``boundBytes`` bytes (the upper one a few more), valid UTF-8 when `isText`. The upper one is
  /// left out when none is that short.
  func encoded(isText: Bool) -> EncodedStatistics {
    guard !isEmpty else { return EncodedStatistics() }
    var result = EncodedStatistics(min: low, max: high)
    if low.count > boundBytes {
      result.min = Array(low[..<cut(low, isText: isText)])
      result.isMinExact = false
    }
    if high.count > boundBytes {
      result.max = successor(of: high[..<cut(high, isText: isText)], isText: isText)
      result.isMaxExact = false
    }
    return result
  }

  /// Where to cut: at ``boundBytes``, or before the character that crosses it.
  private func cut(_ bytes: [UInt8], isText: Bool) -> Int {
    guard isText else { return boundBytes }
    var at = boundBytes
    while at > boundBytes - 4 && bytes[at] & 0xC0 == 0x80 { at -= 1 }
    return at
  }
}

/// The least string that is above all that begin with `prefix`, as short as can be; nil if there is none.
private func successor(of prefix: ArraySlice<UInt8>, isText: Bool) -> [UInt8]? {
  guard isText else {
    guard let last = prefix.lastIndex(where: { $0 != 0xFF }) else { return nil }
    return prefix[..<last] + [prefix[last] + 1]
  }
  var scalars = Array(String(decoding: prefix, as: UTF8.self).unicodeScalars)
  // Ill-formed text came out repaired: no bound is better than a wrong one.
  guard Array(String(String.UnicodeScalarView(scalars)).utf8) == Array(prefix) else { return nil }
  while let last = scalars.popLast() {
    let next = last.value == 0xD7FF ? 0xE000 : last.value + 1
    guard let scalar = Unicode.Scalar(next) else { continue }
    scalars.append(scalar)
    return Array(String(String.UnicodeScalarView(scalars)).utf8)
  }
  return nil
}

extension [UInt8] {
  func withRef<R>(_ body: (StringRef) -> R) -> R {
    withUnsafeBufferPointer { bytes in
      guard let start = bytes.baseAddress else { return body(.empty) }
      return body(StringRef(start: start, count: bytes.count))
    }
  }
}
