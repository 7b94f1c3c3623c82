import WeirCore

extension ByteCursor {
  /// Values of a block at most; writers use 128 and 1024.
  private static let deltaBlockMax = 1 << 16

  /// `count` values in DELTA_BINARY_PACKED (Encodings.md, "Delta Encoding"). The cursor is then after them.
  ///
  /// - Parameter narrow: the values are of INT32, whose differences wrap around at 32 bits.
  mutating func deltaPacked(count: Int, narrow: Bool = false) throws(WeirError) -> [Int64] {
    let block = try self.count(of: "values per block", limit: ByteCursor.deltaBlockMax)
    let miniblocks = try self.count(of: "miniblocks", limit: max(1, block / 8))
    guard miniblocks > 0, block % miniblocks == 0, block / miniblocks % 8 == 0, block > 0 else {
      throw broken("blocks of \(block) values in \(miniblocks) miniblocks")
    }
    let said = try self.count(of: "values", limit: count)
    guard said == count else { throw broken("\(said) values instead of \(count)") }
    var last = try zigzag()
    var values: [Int64] = []
    guard count > 0 else { return values }
    values.reserveCapacity(count)
    values.append(narrow ? Int64(Int32(truncatingIfNeeded: last)) : last)
    while values.count < count {
      let least = try zigzag()
      let widths = try slice(miniblocks)
      // Miniblocks after the last value have a width and no bytes.
      for width in widths where values.count < count {
        try miniblock(block / miniblocks, width: Int(width), least: least, narrow: narrow, count: count, &last, into: &values)
      }
    }
    return values
  }

  private mutating func miniblock(
    _ size: Int, width: Int, least: Int64, narrow: Bool, count: Int, _ last: inout Int64, into values: inout [Int64]
  ) throws(WeirError) {
    guard width <= 64 else { throw broken("differences of \(width) bits") }
    let part = try self.part(size / 8 * width)
    for i in 0..<min(size, count - values.count) {
      last = last &+ least &+ Int64(bitPattern: part.packed(i, width: width))
      values.append(narrow ? Int64(Int32(truncatingIfNeeded: last)) : last)
    }
  }

  /// Lengths in DELTA_BINARY_PACKED.
  mutating func deltaLengths(count: Int) throws(WeirError) -> [Int] {
    let lengths = try deltaPacked(count: count, narrow: true)
    guard lengths.allSatisfy({ $0 >= 0 }) else { throw broken("a negative length") }
    return lengths.map { Int($0) }
  }
}
