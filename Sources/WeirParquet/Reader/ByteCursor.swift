import WeirCore

/// Where bytes come from: what an error names.
struct BytePlace {
  var file: String
  /// The file's offset of the page that the bytes were decompressed from; nil when they are the file's own.
  var page: Int?
  /// The file's offset of the first of the bytes.
  var first = 0

  func broken(at offset: Int, _ reason: String) -> WeirError {
    let place = page.map { "in the page at byte \($0)" } ?? "at byte \(first + offset)"
    return WeirError(
      .corrupt, "the Parquet file \(file) cannot be read \(place): \(reason)", advice: "Restore the file from a copy.")
  }
}

/// Reads untrusted bytes: each read checks its bounds.
struct ByteCursor {
  let bytes: [UInt8]
  let place: BytePlace
  private(set) var at: Int
  /// Reads end here, at `bytes.count` at most.
  let end: Int

  /// All of `bytes`.
  init(_ bytes: [UInt8], _ place: BytePlace) {
    self.bytes = bytes
    self.place = place
    at = 0
    end = bytes.count
  }

  private init(_ outer: ByteCursor, count: Int) {
    bytes = outer.bytes
    place = outer.place
    at = outer.at
    end = outer.at + count
  }

  /// Bytes that are left.
  var left: Int { end - at }

  func broken(_ reason: String) -> WeirError { place.broken(at: at, reason) }

  private func need(_ count: Int, _ what: String) throws(WeirError) {
    guard count >= 0, count <= left else { throw broken("\(what) of \(count) bytes, \(left) are left") }
  }

  mutating func byte() throws(WeirError) -> UInt8 {
    try need(1, "a byte")
    defer { at += 1 }
    return bytes[at]
  }

  mutating func skip(_ count: Int) throws(WeirError) {
    try need(count, "a part")
    at += count
  }

  /// A cursor over the next `count` bytes, which this one skips.
  mutating func part(_ count: Int) throws(WeirError) -> ByteCursor {
    try need(count, "a part")
    defer { at += count }
    return ByteCursor(self, count: count)
  }

  /// The next `count` bytes as a slice.
  mutating func slice(_ count: Int) throws(WeirError) -> ArraySlice<UInt8> {
    try need(count, "a value")
    defer { at += count }
    return bytes[at..<at + count]
  }

  /// An unsigned integer of `count` (0...8) bytes, least significant first.
  mutating func littleEndian(_ count: Int) throws(WeirError) -> UInt64 {
    try need(count, "a number")
    var value: UInt64 = 0
    for i in 0..<count { value |= UInt64(bytes[at + i]) << UInt64(8 * i) }
    at += count
    return value
  }

  /// ULEB128 of at most 64 bits.
  mutating func varint() throws(WeirError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      let byte = try byte()
      guard shift < 63 || byte <= 1 else { break }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    throw broken("a number of more than 64 bits")
  }

  mutating func zigzag() throws(WeirError) -> Int64 {
    let value = try varint()
    return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
  }

  /// A varint that counts something, `limit` at most.
  mutating func count(of what: String, limit: Int) throws(WeirError) -> Int {
    let value = try varint()
    guard value <= UInt64(max(0, limit)) else { throw broken("\(value) \(what), the maximum is \(limit)") }
    return Int(value)
  }
}
