import WeirCore

/// Decoded values of one column, nulls left out. Which of the arrays is filled is the leaf's ``ParquetLeaf/Kind``.
struct ParquetValues {
  struct Slice {
    var start: Int
    var count: Int
  }

  /// Bytes of a column chunk's values at most: bounds what values built on each other can grow to.
  private static let bytesMax = 1 << 30
  private static let tooLarge = "a column of more than 1 GiB"

  private(set) var bools: [Bool] = []
  /// INT32 and INT64.
  private(set) var ints: [Int64] = []
  /// FLOAT and DOUBLE.
  private(set) var doubles: [Double] = []
  private(set) var bytes: [UInt8] = []
  /// Parts of `bytes`. Values of a dictionary share theirs: a short run of indices must not make many bytes.
  private(set) var slices: [Slice] = []

  /// Appends `count` values of a page of values (or of a dictionary, which is PLAIN).
  mutating func append(_ page: ByteCursor, _ leaf: ParquetLeaf, _ encoding: Int, count: Int) throws(WeirError) {
    var page = page
    switch (Encoding(rawValue: encoding), leaf.physical) {
    case (.plain, _): try appendPlain(&page, leaf, count: count)
    case (.rle, .boolean):
      var part = try page.part(Int(try page.littleEndian(4)))
      bools += try part.hybrid(UInt8.self, width: 1, count: count).map { $0 == 1 }
    case (.deltaBinaryPacked, .int32): ints += try page.deltaPacked(count: count, narrow: true)
    case (.deltaBinaryPacked, .int64): ints += try page.deltaPacked(count: count)
    case (.deltaLengthByteArray, .byteArray):
      for length in try page.deltaLengths(count: count) { try append(try page.slice(length), page) }
    case (.deltaByteArray, .byteArray), (.deltaByteArray, .fixedLengthByteArray): try appendDelta(&page, leaf, count: count)
    default: throw page.broken("values of \(leaf.name) in encoding \(encoding), which is not read for their type")
    }
  }

  /// Appends the dictionary's values that a page's indices name.
  mutating func append(_ page: ByteCursor, dictionary: ParquetValues, _ leaf: ParquetLeaf, count: Int) throws(WeirError) {
    var page = page
    let width = Int(try page.byte())
    guard width <= 32 else { throw page.broken("indices of \(width) bits") }
    let indices = try page.hybrid(UInt32.self, width: width, count: count)
    let limit =
      switch leaf.kind {
      case .bool: dictionary.bools.count
      case .int: dictionary.ints.count
      case .double: dictionary.doubles.count
      case .bytes: dictionary.slices.count
      }
    guard indices.allSatisfy({ $0 < limit }) else { throw page.broken("an index beyond the \(limit) values of the dictionary") }
    switch leaf.kind {
    case .bool: bools += indices.lazy.map { dictionary.bools[Int($0)] }
    case .int: ints += indices.lazy.map { dictionary.ints[Int($0)] }
    case .double: doubles += indices.lazy.map { dictionary.doubles[Int($0)] }
    case .bytes: slices += indices.lazy.map { dictionary.slices[Int($0)] }
    }
  }

  /// Takes the bytes of a dictionary over, and gives back the dictionary whose slices are parts of these bytes.
  mutating func adopt(_ dictionary: ParquetValues) -> ParquetValues {
    var dictionary = dictionary
    let base = bytes.count
    bytes += dictionary.bytes
    dictionary.bytes = []
    dictionary.slices = dictionary.slices.map { Slice(start: base + $0.start, count: $0.count) }
    return dictionary
  }

  private mutating func append(_ value: ArraySlice<UInt8>, _ page: ByteCursor) throws(WeirError) {
    guard value.count <= ParquetValues.bytesMax - bytes.count else { throw page.broken(ParquetValues.tooLarge) }
    slices.append(Slice(start: bytes.count, count: value.count))
    bytes += value
  }

  private mutating func appendPlain(_ page: inout ByteCursor, _ leaf: ParquetLeaf, count: Int) throws(WeirError) {
    switch leaf.physical {
    case .boolean:
      let bits = try page.part((count + 7) / 8)
      for i in 0..<count { bools.append(bits.packed(i, width: 1) == 1) }
    case .int32:
      for _ in 0..<count { ints.append(Int64(Int32(truncatingIfNeeded: try page.littleEndian(4)))) }
    case .int64:
      for _ in 0..<count { ints.append(Int64(bitPattern: try page.littleEndian(8))) }
    case .float:
      for _ in 0..<count { doubles.append(Double(Float(bitPattern: UInt32(truncatingIfNeeded: try page.littleEndian(4))))) }
    case .double:
      for _ in 0..<count { doubles.append(Double(bitPattern: try page.littleEndian(8))) }
    case .byteArray:
      for _ in 0..<count { try append(try page.slice(Int(try page.littleEndian(4))), page) }
    case .int96:
      for _ in 0..<count { try append(try page.slice(12), page) }
    case .fixedLengthByteArray:
      for _ in 0..<count { try append(try page.slice(leaf.width), page) }
    }
  }

  /// DELTA_BYTE_ARRAY: each value is a prefix of the one before it, and a suffix.
  private mutating func appendDelta(_ page: inout ByteCursor, _ leaf: ParquetLeaf, count: Int) throws(WeirError) {
    let prefixes = try page.deltaLengths(count: count)
    let suffixes = try page.deltaLengths(count: count)
    var last = Slice(start: 0, count: 0)
    for (prefix, suffix) in zip(prefixes, suffixes) {
      guard prefix <= last.count else { throw page.broken("a prefix longer than the value before it") }
      let end = try page.slice(suffix)
      guard leaf.width == 0 || prefix + suffix == leaf.width else { throw page.broken("a value of another length than its type has") }
      guard prefix + suffix <= ParquetValues.bytesMax - bytes.count else { throw page.broken(ParquetValues.tooLarge) }
      let value = Slice(start: bytes.count, count: prefix + suffix)
      // Byte by byte: a slice of the array would make it be copied when it grows.
      for i in 0..<prefix { bytes.append(bytes[last.start + i]) }
      bytes += end
      slices.append(value)
      last = value
    }
  }
}
