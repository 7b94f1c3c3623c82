/// Encodings of parquet.thrift that the writer uses or the reader knows, with their numbers there.
enum Encoding: Int {
  case plain = 0
  /// As `rleDictionary`, in files of old writers.
  case plainDictionary = 2
  case rle = 3
  case deltaBinaryPacked = 5
  case deltaLengthByteArray = 6
  case deltaByteArray = 7
  case rleDictionary = 8
}

/// Bits that hold `largest`.
@inline(__always) func bitWidth(_ largest: UInt64) -> Int { 64 - largest.leadingZeroBitCount }

extension Buffer where Element == UInt8 {
  /// The RLE/bit-packing hybrid (Encodings.md, "RLE = 3"), without a length before it.
  mutating func appendHybrid<T: FixedWidthInteger & UnsignedInteger>(
    _ values: UnsafePointer<T>, count: Int, width: Int
  ) {
    // A run costs its header, its value and the header of what follows: narrow values need longer ones to pay.
    let leastRun = width == 1 ? 32 : width <= 3 ? 16 : 8
    var at = 0
    var literals = 0
    while at < count {
      let run = runLength(values + at, count: count - at, atLeast: leastRun)
      guard run > 0 else {
        at = min(at + 8, count)
        continue
      }
      appendLiterals(values + literals, count: at - literals, width: width)
      appendRun(values[at], count: run, width: width)
      at += run
      literals = at
    }
    appendLiterals(values + literals, count: count - literals, width: width)
  }

  /// One run of the hybrid encoding.
  mutating func appendRun<T: FixedWidthInteger>(_ value: T, count run: Int, width: Int) {
    append(varint: UInt64(run) << 1)
    var rest = UInt64(truncatingIfNeeded: value)
    for _ in 0..<(width + 7) / 8 {
      append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

  private mutating func appendLiterals<T: FixedWidthInteger & UnsignedInteger>(
    _ values: UnsafePointer<T>, count: Int, width: Int
  ) {
    guard count > 0 else { return }
    let groups = (count + 7) / 8
    append(varint: UInt64(groups) << 1 | 1)
    appendPacked(values, count: count, padded: groups * 8, width: width) { UInt64(truncatingIfNeeded: $0) }
  }

  /// `count` values of `width` bits, least significant bit first, then zeros for `padded - count` more.
  @inline(__always) mutating func appendPacked<T>(
    _ values: UnsafePointer<T>, count: Int, padded: Int, width: Int, _ bits: (T) -> UInt64
  ) {
    let size = (padded * width + 7) / 8
    reserve(size + 16)
    let start = end
    var out = UnsafeMutableRawPointer(start)
    var pending: UInt64 = 0
    var used = 0
    for i in 0..<count {
      let value = bits(values[i])
      pending |= value &<< UInt64(used)
      used += width
      if used >= 64 {
        out.storeBytes(of: pending.littleEndian, as: UInt64.self)
        out += 8
        used -= 64
        // The bits of this value that did not fit; all shifts by 64 give 0.
        pending = value >> UInt64(width - used)
      }
    }
    out.storeBytes(of: pending.littleEndian, as: UInt64.self)
    let written = out - UnsafeMutableRawPointer(start) + 8
    if written < size { (start + written).update(repeating: 0, count: size - written) }
    self.count += size
  }
}

/// The length of the run of equal values at `values` if it is `atLeast` or more, else 0.
@inline(__always) private func runLength<T: Equatable>(_ values: UnsafePointer<T>, count: Int, atLeast: Int) -> Int {
  guard count >= atLeast else { return 0 }
  let first = values[0]
  var n = 1
  while n < atLeast && values[n] == first { n += 1 }
  guard n == atLeast else { return 0 }
  while n < count && values[n] == first { n += 1 }
  return n
}
