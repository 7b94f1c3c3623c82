import WeirCore

/// Where a value goes: a field's column, or the list, struct or map that it is in.
protocol AvroTarget {
  /// A value of a type's physical form, see ``ColumnType``.
  mutating func put<T>(_ value: T, _ row: Int)
  mutating func put(text: String, _ row: Int)
}

extension FieldSink: AvroTarget {}

extension NestedBuilder: AvroTarget {
  @inline(__always)
  func put<T>(_ value: T, _ row: Int) {
    switch value {
    case let value as Int64: int64(value)
    case let value as Double: double(value)
    case let value as StringRef: string(value)
    case let value as Bool: bool(value)
    case let value as Int128: decimal(value)
    default: preconditionFailure("no physical form of a scalar")
    }
  }

  func put(text: String, _ row: Int) {
    var text = text
    text.withUTF8 { bytes in string(bytes.baseAddress.map { StringRef(start: $0, count: bytes.count) } ?? .empty) }
  }
}

/// Scalar values, from Avro's binary encoding to the form that a column has.
enum AvroScalar {
  static func read<Target: AvroTarget>(
    _ conversion: AvroProgram.Conversion, _ cursor: inout AvroCursor, into target: inout Target, _ row: Int
  ) throws(DecodeError) {
    switch conversion {
    case .boolean: target.put(try cursor.boolean(), row)
    case .integer(let isLong): target.put(try cursor.integer(isLong: isLong), row)
    case .integerAsDouble(let isLong): target.put(Double(try cursor.integer(isLong: isLong)), row)
    case .floatAsDouble: target.put(try finite(try cursor.float(), cursor), row)
    case .double: target.put(try finite(try cursor.double(), cursor), row)
    case .integerAsDecimal(let precision, let scale, let isLong):
      target.put(try decimal(Int128(try cursor.integer(isLong: isLong)), from: 0, precision, scale, cursor), row)
    case .decimal(let fixed, let from, let precision, let scale):
      target.put(try decimal(try unscaled(try part(fixed, &cursor), precision, scale, cursor), from: from, precision, scale, cursor), row)
    case .timestamp(let unit, let isLong): target.put(try timestamp(try cursor.integer(isLong: isLong), unit, cursor), row)
    case .days: target.put(try timestamp(try cursor.int(), CivilTime.microsecondsPerDay, cursor), row)
    case .text: target.put(try text(try cursor.bytes(), cursor), row)
    case .bytesAsText(let fixed): target.put(try text(try part(fixed, &cursor), cursor), row)
    case .textAsTimestamp:
      let text = try cursor.bytes()
      let (value, reason) = FieldValues.timestamp(text.start, text.count)
      guard let value else { throw fail(reason, cursor) }
      target.put(value, row)
    case .symbol(let symbols): target.put(text: symbols[try cursor.place(of: symbols.count, "symbol")], row)
    case .uuid: target.put(text: UUIDText.text(try cursor.part(16).bytes), row)
    case .dateText: target.put(text: CivilTime.dateText(ofDay: try cursor.int()), row)
    }
  }

  private static func part(_ fixed: Int?, _ cursor: inout AvroCursor) throws(DecodeError) -> StringRef {
    if let fixed { try cursor.part(Int64(fixed)) } else { try cursor.bytes() }
  }

  private static func fail(_ why: String, _ cursor: AvroCursor) -> DecodeError { DecodeError(reason: why, at: cursor.at, isOfValue: true) }

  /// JSON has no others, and neither has a double column.
  private static func finite(_ value: Double, _ cursor: AvroCursor) throws(DecodeError) -> Double {
    guard value.isFinite else { throw fail("\(value) is not a finite number", cursor) }
    return value
  }

  static func text(_ text: StringRef, _ cursor: AvroCursor) throws(DecodeError) -> StringRef {
    if UTF8Check.firstError(text.start, text.start + text.count) != nil { throw fail("ill-formed UTF-8", cursor) }
    return text
  }

  private static func timestamp(_ value: Int64, _ unit: Int64, _ cursor: AvroCursor) throws(DecodeError) -> Int64 {
    let (micros, overflow) = unit < 0 ? (CivilTime.floorDivide(value, -unit), false) : value.multipliedReportingOverflow(by: unit)
    guard !overflow, micros >= FieldValues.timestampMin, micros <= FieldValues.timestampMax else {
      throw fail("\(value) is not a time in the years 1 to 9999", cursor)
    }
    return micros
  }

  /// The number that bytes are in two's complement.
  private static func unscaled(_ bytes: StringRef, _ precision: Int, _ scale: Int, _ cursor: AvroCursor) throws(DecodeError) -> Int128 {
    // Leading bytes of the sign say nothing; what does not fit in 16 bytes is beyond any decimal of ours.
    let negative = bytes.count > 0 && bytes.start[0] >= 0x80
    var value: Int128 = negative ? -1 : 0
    for (i, byte) in bytes.bytes.enumerated() {
      if i < bytes.count - 16 {
        guard byte == (negative ? 0xFF : 0) else { throw inexact(precision, scale, cursor) }
      } else {
        value = value << 8 | Int128(byte)
      }
    }
    guard (value < 0) == negative else { throw inexact(precision, scale, cursor) }
    return value
  }

  private static func decimal(
    _ unscaled: Int128, from: Int, _ precision: Int, _ scale: Int, _ cursor: AvroCursor
  ) throws(DecodeError) -> Int128 {
    var (value, places) = (unscaled, scale - from)
    while places < 0 {
      let (quotient, rest) = value.quotientAndRemainder(dividingBy: 10)
      guard rest == 0 else { throw inexact(precision, scale, cursor) }
      if quotient == 0 { (value, places) = (0, 0); break }
      (value, places) = (quotient, places + 1)
    }
    let (scaled, overflow) = value.multipliedReportingOverflow(by: FieldValues.powers[min(places, 38)])
    guard !overflow, scaled.magnitude < FieldValues.powers[precision].magnitude else { throw inexact(precision, scale, cursor) }
    return scaled
  }

  private static func inexact(_ precision: Int, _ scale: Int, _ cursor: AvroCursor) -> DecodeError {
    fail("a number that is not exact as \(ColumnType.decimal(precision: precision, scale: scale).name)", cursor)
  }
}

/// Lists, structs and maps: arrays, records and maps of Avro.
struct AvroNested {
  let schema: AvroSchema

  func run(_ step: AvroProgram.NestedStep, _ cursor: inout AvroCursor, _ out: NestedBuilder) throws(DecodeError) {
    guard !out.isFull else { throw tooMany(cursor) }
    switch step {
    case .null: out.null()
    case .scalar(let conversion):
      var target = out
      try AvroScalar.read(conversion, &cursor, into: &target, 0)
    case .list(let element):
      out.beginList()
      try blocks(&cursor) { cursor throws(DecodeError) in
        out.element()
        try run(element, &cursor, out)
      }
      out.endList()
    case .map(let value):
      out.beginMap()
      try blocks(&cursor) { cursor throws(DecodeError) in
        out.key(try AvroScalar.text(try cursor.bytes(), cursor))
        try run(value, &cursor, out)
      }
      out.endMap()
    case .structure(let steps, let members):
      out.beginStruct(members: members)
      for step in steps {
        switch step {
        case .skip(let type): try cursor.skip(type, schema)
        case .read(let member, let step):
          out.member(member)
          try run(step, &cursor, out)
        }
      }
      out.endStruct(members: members)
    case .union(let steps): try run(steps[try cursor.place(of: steps.count, "branch")], &cursor, out)
    case .reject(let reason): throw cursor.fail(reason)
    }
  }

  /// The items of an array or map come in blocks; one of 0 items is the end. A negative number of items is followed by their bytes.
  private func blocks(_ cursor: inout AvroCursor, _ item: (inout AvroCursor) throws(DecodeError) -> Void) throws(DecodeError) {
    while true {
      var count = try cursor.long()
      if count == 0 { return }
      if count < 0 {
        guard count > Int64.min else { throw cursor.fail("a block of \(count) items") }
        count = -count
        _ = try cursor.long()
      }
      for _ in 0..<count { try item(&cursor) }
    }
  }

  private func tooMany(_ cursor: AvroCursor) -> DecodeError {
    DecodeError(reason: "more than \(NestedBuilder.valuesMax) values in a record (nested_values)", at: cursor.at, isOfValue: true)
  }
}
