/// DELTA_BINARY_PACKED (Encodings.md, "Delta Encoding"): blocks of 128 deltas in 4 miniblocks of 32.
enum DeltaEncoding {
  static let blockValues = 128
  static let miniblockValues = 32
  static let miniblocks = 4
}

extension Buffer where Element == UInt8 {
  /// - Parameter narrow: the values are of INT32, whose differences wrap around at 32 bits.
  mutating func appendDelta(_ values: UnsafePointer<Int64>, count: Int, narrow: Bool = false) {
    append(varint: UInt64(DeltaEncoding.blockValues))
    append(varint: UInt64(DeltaEncoding.miniblocks))
    append(varint: UInt64(count))
    append(zigzag: count > 0 ? values[0] : 0)
    guard count > 1 else { return }
    withUnsafeTemporaryAllocation(of: Int64.self, capacity: DeltaEncoding.blockValues) { deltas in
      guard let block = deltas.baseAddress else { return }
      var at = 1
      while at < count {
        let n = min(DeltaEncoding.blockValues, count - at)
        let least = subtract(values + at, count: n, narrow: narrow, into: block)
        append(zigzag: least)
        appendMiniblocks(block, count: n, least: least)
        at += n
      }
    }
  }

  private mutating func append(zigzag value: Int64) { append(varint: UInt64(bitPattern: (value << 1) ^ (value >> 63))) }

  private mutating func appendMiniblocks(_ deltas: UnsafePointer<Int64>, count: Int, least: Int64) {
    reserve(DeltaEncoding.miniblocks)
    let widths = self.count
    self.count += DeltaEncoding.miniblocks
    for i in 0..<DeltaEncoding.miniblocks {
      let start = i * DeltaEncoding.miniblockValues
      let n = min(DeltaEncoding.miniblockValues, count - start)
      let width = n > 0 ? packedWidth(deltas + start, count: n, least: least) : 0
      base[widths + i] = UInt8(width)
      guard n > 0, width > 0 else { continue }
      appendPacked(deltas + start, count: n, padded: DeltaEncoding.miniblockValues, width: width) {
        UInt64(bitPattern: $0 &- least)
      }
    }
  }
}

/// Differences to the value before each of `values`, which has one before it; returns the least. They wrap around.
@inline(__always) private func subtract(
  _ values: UnsafePointer<Int64>, count: Int, narrow: Bool, into deltas: UnsafeMutablePointer<Int64>
) -> Int64 {
  var least = Int64.max
  for i in 0..<count {
    var delta = values[i] &- values[i - 1]
    if narrow { delta = Int64(Int32(truncatingIfNeeded: delta)) }
    deltas[i] = delta
    least = min(least, delta)
  }
  return least
}

@inline(__always) private func packedWidth(_ deltas: UnsafePointer<Int64>, count: Int, least: Int64) -> Int {
  var all: UInt64 = 0
  for i in 0..<count { all |= UInt64(bitPattern: deltas[i] &- least) }
  return bitWidth(all)
}

/// Bits a value that ``Buffer/appendDelta(_:count:)`` would take, about.
func deltaBits(_ values: UnsafePointer<Int64>, count: Int) -> Int {
  guard count > 1 else { return 64 }
  var total = 0
  withUnsafeTemporaryAllocation(of: Int64.self, capacity: DeltaEncoding.blockValues) { deltas in
    guard let block = deltas.baseAddress else { return }
    var at = 1
    while at < count {
      let n = min(DeltaEncoding.blockValues, count - at)
      let least = subtract(values + at, count: n, narrow: false, into: block)
      total += packedWidth(block, count: n, least: least) * n
      at += n
    }
  }
  return total / (count - 1)
}
