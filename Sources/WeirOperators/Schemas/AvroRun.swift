import WeirCore

/// Runs a program over one record, into the sinks of the fields.
struct AvroRun {
  let fields: [Field]
  var sinks: [FieldSink]
  private let builder = NestedBuilder()

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
    case .read(let field, let conversion):
      do { try AvroScalar.read(conversion, &cursor, into: &sinks[field], row) } catch { throw error.located("field \(fields[field].name)") }
    case .nested(let field, let step): try nested(field, step, &cursor, schema, row)
    case .record(let steps): for step in steps { try run(step, &cursor, schema, row) }
    case .union(let steps): try run(steps[try cursor.place(of: steps.count, "branch")], &cursor, schema, row)
    case .reject(let reason): throw cursor.fail(reason)
    }
  }

  private mutating func nested(
    _ field: Int, _ step: AvroProgram.NestedStep, _ cursor: inout AvroCursor, _ schema: AvroSchema, _ row: Int
  ) throws(DecodeError) {
    builder.begin()
    do { try AvroNested(schema: schema).run(step, &cursor, builder) } catch {
      throw error.located("field \(fields[field].name)\(builder.path(in: fields[field].type))")
    }
    sinks[field].putNested(builder, row)
  }
}

/// `f81d4fae-7dec-11d0-a765-00a0c91e6bf6`
enum UUIDText {
  static func text(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
    let hex = Array(RecordHeaders.hex(bytes))
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(hex[$0]) }.joined(separator: "-")
  }
}
