import WeirCore

/// Reads Protobuf's binary encoding; the bytes are not trusted.
///
/// Source: https://protobuf.dev/programming-guides/encoding/
struct ProtobufCursor {
  var at: UnsafePointer<UInt8>
  let end: UnsafePointer<UInt8>

  /// Groups within groups of one record.
  static let depthMax = 100

  init(at: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) { (self.at, self.end) = (at, end) }

  init(_ part: StringRef) { self.init(at: part.start, end: part.start + part.count) }

  var left: Int { end - at }

  func fail(_ reason: String) -> DecodeError { DecodeError(reason: reason, at: at) }

  func ended() -> DecodeError { fail("the record is cut off") }

  /// At most 10 bytes; bits beyond the 64th are dropped, as other readers do.
  @inline(__always)
  mutating func varint() throws(DecodeError) -> UInt64 {
    if at < end, at.pointee < 0x80 {
      defer { at += 1 }
      return UInt64(at.pointee)
    }
    return try longVarint()
  }

  @inline(never)
  private mutating func longVarint() throws(DecodeError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    var next = at
    while next < end {
      let byte = next.pointee
      next += 1
      value |= UInt64(byte & 0x7F) &<< shift
      if byte < 0x80 {
        at = next
        return value
      }
      shift += 7
      guard shift < 70 else { throw fail("a number of more than 10 bytes") }
    }
    throw ended()
  }

  /// The number and wire type of the next field.
  @inline(__always)
  mutating func tag() throws(DecodeError) -> (number: UInt32, wire: ProtobufWire) {
    let start = at
    let tag = try varint()
    guard tag <= UInt64(UInt32.max), at - start <= 5, tag >= 8, let wire = ProtobufWire(rawValue: UInt8(tag & 7)) else {
      throw badTag(tag, start)
    }
    return (UInt32(truncatingIfNeeded: tag >> 3), wire)
  }

  private func badTag(_ tag: UInt64, _ start: UnsafePointer<UInt8>) -> DecodeError {
    let why =
      tag > UInt64(UInt32.max) || at - start > 5
      ? "a field number of more than 29 bits" : tag < 8 ? "the field number 0" : "the wire type \(tag & 7), which does not exist"
    return DecodeError(reason: "\(why): the record is not a Protobuf message", at: start)
  }

  @inline(__always)
  mutating func fixed32() throws(DecodeError) -> UInt32 {
    guard left >= 4 else { throw ended() }
    defer { at += 4 }
    return UInt32(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt32.self))
  }

  @inline(__always)
  mutating func fixed64() throws(DecodeError) -> UInt64 {
    guard left >= 8 else { throw ended() }
    defer { at += 8 }
    return UInt64(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt64.self))
  }

  /// A length, and as many bytes.
  @inline(__always)
  mutating func part() throws(DecodeError) -> StringRef {
    let start = at
    let length = try varint()
    guard length <= UInt64(left), at - start <= 5 else { throw DecodeError(reason: "the record is cut off", at: start) }
    defer { at += Int(length) }
    return StringRef(start: at, count: Int(length))
  }

  /// The value of a field that is not wanted.
  mutating func skip(_ number: UInt32, _ wire: ProtobufWire) throws(DecodeError) {
    switch wire {
    case .varint: _ = try varint()
    case .fixed64: _ = try fixed64()
    case .fixed32: _ = try fixed32()
    case .bytes: _ = try part()
    case .groupStart: try skipGroup(number)
    case .groupEnd: throw fail("the end of group \(number), which did not begin: the record is not a Protobuf message")
    }
  }

  private mutating func skipGroup(_ number: UInt32) throws(DecodeError) {
    var open = [number]
    while let group = open.last {
      let start = at
      let (number, wire) = try tag()
      switch wire {
      case .groupStart:
        guard open.count < ProtobufCursor.depthMax else {
          throw fail("more than \(ProtobufCursor.depthMax) groups within each other (protobuf_depth)")
        }
        open.append(number)
      case .groupEnd:
        guard number == group else { throw DecodeError(reason: "the end of group \(number) in group \(group)", at: start) }
        open.removeLast()
      default: try skip(number, wire)
      }
    }
  }
}

/// How the bytes of a field's value end.
enum ProtobufWire: UInt8 {
  case varint = 0, fixed64 = 1, bytes = 2, groupStart = 3, groupEnd = 4, fixed32 = 5
}
