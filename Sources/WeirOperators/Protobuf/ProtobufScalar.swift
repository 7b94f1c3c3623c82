import WeirCore

/// Bits of a number, or bytes.
struct ProtobufValue {
  var bits: UInt64
  var part: StringRef

  @inline(__always)
  init(_ wire: ProtobufWire, _ cursor: inout ProtobufCursor) throws(DecodeError) {
    (bits, part) = (0, .empty)
    switch wire {
    case .varint: bits = try cursor.varint()
    case .fixed64: bits = try cursor.fixed64()
    case .fixed32: bits = UInt64(try cursor.fixed32())
    default: part = try cursor.part()
    }
  }

  /// 0, false or empty: of what is not there.
  static let none = ProtobufValue(bits: 0, part: .empty)

  private init(bits: UInt64, part: StringRef) { (self.bits, self.part) = (bits, part) }
}

/// Scalar values, from Protobuf's encoding to the form that a column has.
enum ProtobufScalar {
  typealias Kind = ProtobufSchema.Kind

  /// - Parameter at: for errors.
  @inline(__always)
  static func put<Target: AvroTarget>(
    _ value: ProtobufValue, _ kind: Kind, _ conversion: ProtobufProgram.Conversion, in program: ProtobufProgram,
    into target: inout Target, _ row: Int, at: UnsafePointer<UInt8>
  ) throws(DecodeError) {
    switch conversion {
    case .text:
      let text = value.part
      if UTF8Check.firstError(text.start, text.start + text.count) != nil { throw fail("ill-formed UTF-8", text.start) }
      target.put(text, row)
    case .integer: target.put(try int64(value.bits, kind, at), row)
    case .boolean: target.put(value.bits != 0, row)
    case .real: target.put(try double(value.bits, kind, at), row)
    case .timestamp(let unit): target.put(try timestamp(try int64(value.bits, kind, at), unit, at), row)
    case .decimal(let precision, let scale): target.put(try decimal(integer(value.bits, kind), precision, scale, at), row)
    case .symbol(let number):
      let symbol = Int32(truncatingIfNeeded: value.bits)
      if let name = program.symbols[number].name(symbol) { target.put(name, row) } else { target.put(text: String(symbol), row) }
    case .textAsTimestamp:
      let (time, reason) = FieldValues.timestamp(value.part.start, value.part.count)
      guard let time else { throw fail(reason, value.part.start) }
      target.put(time, row)
    }
  }

  private static func fail(_ why: String, _ at: UnsafePointer<UInt8>) -> DecodeError { DecodeError(reason: why, at: at, isOfValue: true) }

  /// Bits beyond those of the type are dropped, as other readers do.
  private static func integer(_ bits: UInt64, _ kind: Kind) -> Int128 {
    switch kind {
    case .uint64, .fixed64: Int128(bits)
    default: Int128(signed(bits, kind))
    }
  }

  @inline(__always)
  private static func signed(_ bits: UInt64, _ kind: Kind) -> Int64 {
    switch kind {
    case .int32, .sfixed32, .symbol: return Int64(Int32(truncatingIfNeeded: bits))
    case .uint32, .fixed32: return Int64(UInt32(truncatingIfNeeded: bits))
    case .sint32:
      let low = UInt32(truncatingIfNeeded: bits)
      return Int64(Int32(bitPattern: low >> 1) ^ -Int32(bitPattern: low & 1))
    case .sint64: return Int64(bitPattern: bits >> 1) ^ -Int64(bitPattern: bits & 1)
    default: return Int64(bitPattern: bits)
    }
  }

  @inline(__always)
  private static func int64(_ bits: UInt64, _ kind: Kind, _ at: UnsafePointer<UInt8>) throws(DecodeError) -> Int64 {
    if kind == .uint64 || kind == .fixed64, bits > UInt64(Int64.max) {
      throw fail("\(bits) is not an int64: declare decimal(20,0)", at)
    }
    return signed(bits, kind)
  }

  /// A double column has finite numbers only.
  private static func double(_ bits: UInt64, _ kind: Kind, _ at: UnsafePointer<UInt8>) throws(DecodeError) -> Double {
    let value: Double
    switch kind {
    case .double: value = Double(bitPattern: bits)
    case .float: value = Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
    case .uint64, .fixed64: return Double(bits)
    default: return Double(signed(bits, kind))
    }
    guard value.isFinite else { throw fail("\(value) is not a finite number", at) }
    return value
  }

  private static func decimal(
    _ value: Int128, _ precision: Int, _ scale: Int, _ at: UnsafePointer<UInt8>
  ) throws(DecodeError) -> Int128 {
    let (scaled, overflow) = value.multipliedReportingOverflow(by: FieldValues.powers[scale])
    guard !overflow, scaled.magnitude < FieldValues.powers[precision].magnitude else {
      throw fail("\(value) does not fit \(ColumnType.decimal(precision: precision, scale: scale).name)", at)
    }
    return scaled
  }

  private static func timestamp(_ value: Int64, _ unit: Int64, _ at: UnsafePointer<UInt8>) throws(DecodeError) -> Int64 {
    let (micros, overflow) = unit < 0 ? (CivilTime.floorDivide(value, -unit), false) : value.multipliedReportingOverflow(by: unit)
    guard !overflow, TimestampText.range.contains(micros) else { throw fail("\(value) is not a time in the years 1 to 9999", at) }
    return micros
  }

  /// Of a message `Timestamp`.
  static func timestamp(seconds: Int64, nanos: Int64, _ at: UnsafePointer<UInt8>) throws(DecodeError) -> Int64 {
    guard nanos >= 0, nanos < 1_000_000_000 else { throw fail("\(nanos) nanoseconds of a Timestamp are not 0 to 999999999", at) }
    return try timestamp(seconds, 1_000_000, at) + nanos / 1000
  }

  /// A key of a map as the text that JSON has.
  static func key(_ value: ProtobufValue, _ kind: Kind) -> String {
    kind == .bool ? value.bits != 0 ? "true" : "false" : String(integer(value.bits, kind))
  }
}
