import Testing
import WeirCore

@testable import WeirOperators

/// Kinds of records in formats whose records carry the ids of schemas: each kind has a schema of its own.
struct RouteDecoderTests {
  private static func schema(_ own: String) -> RegisteredSchema {
    RegisteredSchema(
      type: "AVRO", schema: #"{"type": "record", "name": "R", "fields": [{"name": "by", "type": "string"}, \#(own)]}"#)
  }

  @Test func `each kind's records are read by their own schema`() {
    var record = RecordSpec(
      fields: [
        Field(name: "by", type: .string, required: true), Field(name: "n", type: .int64), Field(name: "why", type: .string),
      ], key: nil, time: nil, format: FormatSpec(AvroFormat()))
    record.route = RouteSpec(
      by: 0, common: 1,
      kinds: [
        RecordKind(name: "a", values: ["a"], fields: [KindField(index: 1, field: Field(name: "n", type: .int64, required: true))]),
        RecordKind(
          name: "b", values: ["b"],
          fields: [
            KindField(index: 2, field: Field(name: "why", type: .string, required: true)),
            KindField(index: 1, field: Field(name: "n", type: .int64, path: [.name("m")])),
          ]),
      ])
    // A kind in the other kind's schema has not its fields; one of no kind has none to have.
    let records: [[UInt8]] = [
      [0, 0, 0, 0, 7, 2, 0x61, 10], [0, 0, 0, 0, 8, 2, 0x62, 2, 0x77, 12], [0, 0, 0, 0, 7, 2, 0x61, 14],
      [0, 0, 0, 0, 8, 2, 0x61, 2, 0x77, 12],
      [0, 0, 0, 0, 7, 2, 0x63, 10], [0, 0, 0, 0, 9, 2, 0x61, 10], [1],
    ]
    var raw = RawBlock(records: records)
    raw.schemas = SchemaFraming(raw).schemas([
      .known(.number(7), Self.schema(#"{"name": "n", "type": "long"}"#)),
      .known(.number(8), Self.schema(#"{"name": "why", "type": "string"}, {"name": "m", "type": "long"}"#)), .unknown(.number(9)),
    ])
    let block = record.decoder(read: nil, keepsBlankLines: true).decode(raw)
    #expect(block.kinds == [0, 1, 0, 0, 255, 255, 255])
    #expect(
      AvroTests.rows(block) == [
        [.string("a"), .int64(5), .null], [.string("b"), .int64(6), .string("w")], [.string("a"), .int64(7), .null],
      ] + [[Literal]](repeating: [.null, .null, .null], count: 4))
    #expect(block.valid == [true, true, true, false, false, false, false])
    #expect(block.rejections.map(\.row) == [3, 4, 5, 6] && block.rejections.map(\.rejection.stage) == [.schema, .route, .schema, .schema])
    #expect(block.length.map { Int($0) } == records.map(\.count))
  }
}
