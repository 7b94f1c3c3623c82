import WeirCore

/// Runs a program over one record, into the sinks of the fields.
struct AvroRun {
  let fields: [Field]
  var sinks: [FieldSink]

  /// - Parameter read: see ``RecordDecoder/init(fields:read:)``.
  init(fields: [Field], read: [Bool]? = nil) {
    self.fields = fields
    sinks = fields.enumerated().map { FieldSink($1, isRead: read?[$0] ?? true) }
  }

  /// Frees what the sinks hold: of no use afterwards.
  func destroy() { for sink in sinks { sink.destroy() } }

  /// - Throws: what is wrong with the record; its row must be cleared then.
  mutating func record(_ body: StringRef, _ program: AvroProgram, _ row: Int) throws(DecodeError) {
    var cursor = AvroCursor(at: body.start, end: body.start + body.count)
    try run(program.step, &cursor, program.schema, row)
    guard cursor.left == 0 else { throw cursor.fail("\(cursor.left) bytes left after the record: it was written with another schema") }
    for i in sinks.indices where sinks[i].required && !sinks[i].isValid(row) {
      throw cursor.fail("required field \(fields[i].name) is missing or null")
    }
  }

  private mutating func run(
    _ step: AvroProgram.Step, _ cursor: inout AvroCursor, _ schema: AvroSchema, _ row: Int
  ) throws(DecodeError) {
    switch step {
    case .skip(let type): try cursor.skip(type, schema)
    case .none: return
    case .read(let field, let conversion): try read(field, conversion, &cursor, row)
    case .record(let steps): for step in steps { try run(step, &cursor, schema, row) }
    case .union(let steps): try run(steps[try cursor.place(of: steps.count, "branch")], &cursor, schema, row)
    case .reject(let reason): throw cursor.fail(reason)
    }
  }

  private mutating func read(
    _ field: Int, _ conversion: AvroProgram.Conversion, _ cursor: inout AvroCursor, _ row: Int
  ) throws(DecodeError) {
    switch conversion {
    case .boolean: sinks[field].put(try cursor.boolean(), row)
    case .integer(let isLong): sinks[field].put(try cursor.integer(isLong: isLong), row)
    case .integerAsDouble(let isLong): sinks[field].put(Double(try cursor.integer(isLong: isLong)), row)
    case .floatAsDouble: sinks[field].put(try finite(try cursor.float(), field, cursor), row)
    case .double: sinks[field].put(try finite(try cursor.double(), field, cursor), row)
    case .integerAsDecimal(let factor, let isLong):
      try decimal(Int128(try cursor.integer(isLong: isLong)), times: factor, field, cursor, row)
    case .decimal(let fixed, let scale): try decimal(fixed, scale, field, &cursor, row)
    case .timestamp(let unit, let isLong): try timestamp(try cursor.integer(isLong: isLong), unit, field, cursor, row)
    case .days: try timestamp(try cursor.int(), CivilTime.microsecondsPerDay, field, cursor, row)
    case .text: sinks[field].put(try text(try cursor.bytes(), field, cursor), row)
    case .bytesAsText(let fixed): sinks[field].put(try text(try part(fixed, &cursor), field, cursor), row)
    case .textAsTimestamp:
      let text = try cursor.bytes()
      let (value, reason) = FieldValues.timestamp(text.start, text.count)
      guard let value else { throw cursor.fail("field \(fields[field].name): \(reason)") }
      sinks[field].put(value, row)
    case .symbol(let symbols): sinks[field].put(text: symbols[try cursor.place(of: symbols.count, "symbol")], row)
    case .uuid: sinks[field].put(text: UUIDText.text(try cursor.part(16).bytes), row)
    case .dateText: sinks[field].put(text: CivilTime.dateText(ofDay: try cursor.int()), row)
    }
  }

  private func part(_ fixed: Int?, _ cursor: inout AvroCursor) throws(DecodeError) -> StringRef {
    if let fixed { try cursor.part(Int64(fixed)) } else { try cursor.bytes() }
  }

  private func fail(_ why: String, _ field: Int, _ cursor: AvroCursor) -> DecodeError { cursor.fail("field \(fields[field].name): \(why)") }

  /// JSON has no others, and neither has a double column.
  private func finite(_ value: Double, _ field: Int, _ cursor: AvroCursor) throws(DecodeError) -> Double {
    guard value.isFinite else { throw fail("\(value) is not a finite number", field, cursor) }
    return value
  }

  private func text(_ text: StringRef, _ field: Int, _ cursor: AvroCursor) throws(DecodeError) -> StringRef {
    if UTF8Check.firstError(text.start, text.start + text.count) != nil { throw fail("ill-formed UTF-8", field, cursor) }
    return text
  }

  private mutating func timestamp(_ value: Int64, _ unit: Int64, _ field: Int, _ cursor: AvroCursor, _ row: Int) throws(DecodeError) {
    let (micros, overflow) = unit < 0 ? (CivilTime.floorDivide(value, -unit), false) : value.multipliedReportingOverflow(by: unit)
    guard !overflow, micros >= FieldValues.timestampMin, micros <= FieldValues.timestampMax else {
      throw fail("\(value) is not a time in the years 1 to 9999", field, cursor)
    }
    sinks[field].put(micros, row)
  }

  private mutating func decimal(_ fixed: Int?, _ scale: Int, _ field: Int, _ cursor: inout AvroCursor, _ row: Int) throws(DecodeError) {
    let bytes = try part(fixed, &cursor)
    guard case .decimal(_, let wanted) = fields[field].type else { preconditionFailure("the field is not a decimal") }
    // Leading bytes of the sign say nothing; what does not fit in 16 bytes is beyond any decimal of ours.
    let negative = bytes.count > 0 && bytes.start[0] >= 0x80
    var value: Int128 = negative ? -1 : 0
    for (i, byte) in bytes.bytes.enumerated() {
      if i < bytes.count - 16 {
        guard byte == (negative ? 0xFF : 0) else { throw inexact(field, cursor) }
      } else {
        value = value << 8 | Int128(byte)
      }
    }
    guard (value < 0) == negative else { throw inexact(field, cursor) }
    var places = wanted - scale
    while places < 0 {
      let (quotient, rest) = value.quotientAndRemainder(dividingBy: 10)
      guard rest == 0 else { throw inexact(field, cursor) }
      if quotient == 0 { (value, places) = (0, 0); break }
      (value, places) = (quotient, places + 1)
    }
    try decimal(value, times: FieldValues.powers[min(places, 38)], field, cursor, row)
  }

  private mutating func decimal(_ value: Int128, times factor: Int128, _ field: Int, _ cursor: AvroCursor, _ row: Int) throws(DecodeError) {
    guard case .decimal(let precision, _) = fields[field].type else { preconditionFailure("the field is not a decimal") }
    let (scaled, overflow) = value.multipliedReportingOverflow(by: factor)
    guard !overflow, scaled.magnitude < FieldValues.powers[precision].magnitude else { throw inexact(field, cursor) }
    sinks[field].put(scaled, row)
  }

  private func inexact(_ field: Int, _ cursor: AvroCursor) -> DecodeError {
    fail("a number that is not exact as \(fields[field].type.name)", field, cursor)
  }
}

/// `f81d4fae-7dec-11d0-a765-00a0c91e6bf6`
enum UUIDText {
  static func text(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
    let hex = Array(RecordHeaders.hex(bytes))
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(hex[$0]) }.joined(separator: "-")
  }
}
