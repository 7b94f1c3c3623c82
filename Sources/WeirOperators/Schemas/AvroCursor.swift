import WeirCore

/// Reads Avro's binary encoding; the bytes are not trusted.
///
/// Source: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
struct AvroCursor {
  var at: UnsafePointer<UInt8>
  let end: UnsafePointer<UInt8>

  /// Types within types of one record.
  static let depthMax = 128

  var left: Int { end - at }

  func fail(_ reason: String) -> DecodeError { DecodeError(reason: reason, at: at) }

  func ended() -> DecodeError { fail("the record is cut off") }

  @inline(__always)
  mutating func byte() throws(DecodeError) -> UInt8 {
    guard at < end else { throw ended() }
    defer { at += 1 }
    return at.pointee
  }

  /// A zig-zag varint of at most 10 bytes.
  mutating func long() throws(DecodeError) -> Int64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let byte = try byte()
      guard shift < 63 || byte <= 1 else { throw fail("a number of more than 64 bits") }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { break }
      shift += 7
    }
    return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
  }

  mutating func int() throws(DecodeError) -> Int64 {
    let value = try long()
    guard Int32(exactly: value) != nil else { throw fail("\(value) is not an int") }
    return value
  }

  /// An int or a long.
  mutating func integer(isLong: Bool) throws(DecodeError) -> Int64 { isLong ? try long() : try int() }

  mutating func boolean() throws(DecodeError) -> Bool {
    let byte = try byte()
    guard byte <= 1 else { throw fail("the byte \(byte) is not a boolean") }
    return byte == 1
  }

  mutating func float() throws(DecodeError) -> Double {
    guard left >= 4 else { throw ended() }
    defer { at += 4 }
    return Double(Float(bitPattern: UInt32(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt32.self))))
  }

  mutating func double() throws(DecodeError) -> Double {
    guard left >= 8 else { throw ended() }
    defer { at += 8 }
    return Double(bitPattern: UInt64(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt64.self)))
  }

  mutating func part(_ count: Int64) throws(DecodeError) -> StringRef {
    guard count >= 0 else { throw fail("a length of \(count) bytes") }
    guard count <= Int64(left) else { throw ended() }
    defer { at += Int(count) }
    return StringRef(start: at, count: Int(count))
  }

  mutating func bytes() throws(DecodeError) -> StringRef { try part(try long()) }

  /// An index into a list of `count` items.
  mutating func place(of count: Int, _ what: String) throws(DecodeError) -> Int {
    let value = try long()
    guard value >= 0, value < Int64(count) else { throw fail("\(what) \(value) of \(count)") }
    return Int(value)
  }

  // MARK: Skipping

  mutating func skip(_ type: Int, _ schema: AvroSchema, depth: Int = 0) throws(DecodeError) {
    // What follows takes a byte at least, so a record bounds the work that it makes.
    if schema.nodes[type].isEmpty { return }
    guard depth < AvroCursor.depthMax else { throw fail("the record is nested too deep") }
    switch schema.nodes[type].kind {
    case .null: return
    case .boolean: _ = try boolean()
    case .int: _ = try int()
    case .long: _ = try long()
    case .float: _ = try part(4)
    case .double: _ = try part(8)
    case .bytes, .string: _ = try bytes()
    case .fixed(let size): _ = try part(Int64(size))
    case .symbols(let symbols): _ = try place(of: symbols.count, "symbol")
    case .union(let branches):
      try skip(branches[try place(of: branches.count, "branch")], schema, depth: depth + 1)
    case .record(let fields):
      for field in fields { try skip(field.type, schema, depth: depth + 1) }
    case .array(let items): try skipBlocks(schema, depth) { cursor throws(DecodeError) in try cursor.skip(items, schema, depth: depth + 1) }
    case .map(let values):
      try skipBlocks(schema, depth) { cursor throws(DecodeError) in
        _ = try cursor.bytes()
        try cursor.skip(values, schema, depth: depth + 1)
      }
    }
  }

  private mutating func skipBlocks(
    _ schema: AvroSchema, _ depth: Int, _ item: (inout AvroCursor) throws(DecodeError) -> Void
  ) throws(DecodeError) {
    while true {
      let count = try long()
      if count == 0 { return }
      // Negative: the block's size in bytes follows.
      if count < 0 {
        _ = try bytes()
        continue
      }
      for _ in 0..<count {
        let before = at
        try item(&self)
        // Items without bytes (nulls) are all the same: their number costs nothing.
        if at == before { break }
      }
    }
  }
}
