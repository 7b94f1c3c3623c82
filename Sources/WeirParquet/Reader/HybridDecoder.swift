import WeirCore

extension ByteCursor {
  /// `count` values of `width` (0...32) bits in the RLE/bit-packing hybrid (Encodings.md, "RLE = 3"), without a length
  /// before it. `T` must hold `width` bits.
  mutating func hybrid<T: FixedWidthInteger & UnsignedInteger>(_: T.Type, width: Int, count: Int) throws(WeirError) -> [T] {
    var values: [T] = []
    values.reserveCapacity(count)
    while values.count < count {
      let header = try varint()
      let missing = count - values.count
      if header & 1 == 0 {
        guard header > 1 else { throw broken("a run of no values") }
        let value = try littleEndian((width + 7) / 8)
        guard width == 64 || value >> UInt64(width) == 0 else { throw broken("a value of more than \(width) bits") }
        // Runs may extend beyond the requested values.
        values.append(contentsOf: repeatElement(T(truncatingIfNeeded: value), count: Int(min(header >> 1, UInt64(missing)))))
      } else {
        try literals(groups: header >> 1, width: width, missing: missing, into: &values)
      }
    }
    return values
  }

  /// A bit-packed run of `groups` times 8 values. The last one of a page may be cut after the values that count.
  private mutating func literals<T: FixedWidthInteger & UnsignedInteger>(
    groups: UInt64, width: Int, missing: Int, into values: inout [T]
  ) throws(WeirError) {
    guard groups > 0 else { throw broken("a run of no values") }
    let n = groups > UInt64(missing) ? missing : min(missing, Int(groups) * 8)
    let (whole, isTooLarge) = groups.multipliedReportingOverflow(by: UInt64(width))
    let size = isTooLarge || whole > UInt64(left) ? left : Int(whole)
    let part = try self.part(size)
    guard size >= (n * width + 7) / 8 else { throw broken("a bit-packed run is cut") }
    for i in 0..<n { values.append(T(truncatingIfNeeded: part.packed(i, width: width))) }
  }

  /// Value `index` of bit-packed values of `width` (0...64) bits, least significant bit first, that begin at the cursor.
  /// The caller has checked that they are before its end.
  @inline(__always) func packed(_ index: Int, width: Int) -> UInt64 {
    var bit = index * width
    var value: UInt64 = 0
    var got = 0
    while got < width {
      let take = min(8 - (bit & 7), width - got)
      let bits = UInt64(bytes[at + bit >> 3] >> UInt8(bit & 7)) & (1 << UInt64(take) - 1)
      value |= bits << UInt64(got)
      got += take
      bit += take
    }
    return value
  }
}
