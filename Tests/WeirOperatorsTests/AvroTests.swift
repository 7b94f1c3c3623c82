import Testing
import WeirCore

@testable import WeirOperators

/// Avro against hostile bytes and schemas; equality with another reader is `Tests/EndToEnd/other_tools_agree.py`'s.
struct AvroTests {
  static let schema = """
    {"type": "record", "name": "R", "fields": [
      {"name": "id", "type": "string"}, {"name": "n", "type": ["null", "long"]},
      {"name": "list", "type": {"type": "array", "items": {"type": "map", "values": "R2"}}},
      {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
      {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}},
      {"name": "next", "type": ["null", "R"]}]}
    """.replacing("\"R2\"", with: #"{"type": "fixed", "name": "R2", "size": 2}"#)
  static let fields = [
    Field(name: "id", type: .string, required: true), Field(name: "n", type: .int64),
    Field(name: "amount", type: .decimal(precision: 12, scale: 2)), Field(name: "t", type: .timestamp),
    Field(name: "next_id", type: .string, path: [.name("next"), .name("id")]),
  ]

  /// id "ab", n 5, list of one map of one, amount 2.56, t 1 ms, a next one with id "c" and nothing else.
  static let inner: [UInt8] = [2, 0x63, 0, 0, 0, 0, 0]
  static let record: [UInt8] = [4, 0x61, 0x62, 2, 10, 2, 2, 2, 0x6B, 1, 2, 0, 0, 4, 1, 0, 2, 2] + inner

  static func block(_ records: [[UInt8]], schema: String = Self.schema) -> RawBlock {
    var raw = RawBlock(records: records.map { [0, 0, 0, 0, 7] + $0 })
    raw.schemas = SchemaFraming(raw).schemas([.known(.number(7), RegisteredSchema(type: "AVRO", schema: schema))])
    return raw
  }

  static func rows(_ block: DecodedBlock) -> [[Literal]] { (0..<block.count).map { row in block.columns.map { $0.literal(row) } } }

  @Test func `a record becomes its fields, and the table keeps it as received`() throws {
    let decoded = FramedDecoder(.avro, fields: Self.fields).decode(Self.block([Self.record]))
    #expect(decoded.rejections.map(\.rejection.reason) == [])
    #expect(Self.rows(decoded) == [[.string("ab"), .int64(5), .decimal(256, precision: 12, scale: 2), .timestamp(1000), .string("c")]])
    #expect(decoded.offset == [0] && Int(decoded.length[0]) == Self.record.count + 5)
  }

  @Test func `every truncation is rejected, and no flipped bit does harm`() {
    let decoder = FramedDecoder(.avro, fields: Self.fields)
    let cut = decoder.decode(Self.block((0..<Self.record.count).map { Array(Self.record.prefix($0)) }))
    #expect(cut.valid.allSatisfy { !$0 })
    var flipped: [[UInt8]] = []
    for byte in Self.record.indices {
      for bit in 0..<8 {
        var record = Self.record
        record[byte] ^= 1 << bit
        flipped.append(record)
      }
    }
    let decoded = decoder.decode(Self.block(flipped))
    #expect(decoded.count == flipped.count && decoded.valid.contains(false) && decoded.valid.contains(true))
    #expect(decoded.rejections.map(\.row) == decoded.valid.indices.filter { !decoded.valid[$0] })
  }

  @Test func `a rejected record leaves nothing in its row`() {
    let decoded = FramedDecoder(.avro, fields: Self.fields).decode(Self.block([Self.record + [0], Self.record]))
    #expect(Self.rows(decoded)[0].allSatisfy { $0 == .null })
    #expect(decoded.rejections.first?.rejection.reason.contains("1 bytes left after the record") == true)
  }

  @Test func `rows do not depend on where a block begins`() {
    var random: UInt64 = 1
    let records = (0..<200).map { _ -> [UInt8] in
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      var record = Self.record
      record[Int(random >> 33) % record.count] ^= UInt8(truncatingIfNeeded: random >> 40)
      return record
    }
    let whole = FramedDecoder(.avro, fields: Self.fields).decode(Self.block(records))
    let parts = [0..<1, 1..<77, 77..<200].map { FramedDecoder(.avro, fields: Self.fields).decode(Self.block(Array(records[$0]))) }
    #expect(Self.rows(whole) == parts.flatMap(Self.rows))
    #expect(whole.rejections.map(\.rejection) == parts.flatMap { $0.rejections.map(\.rejection) })
  }

  @Test func `a list of a trillion nulls and a record nested without an end take no time and no stack`() {
    let nulls =
      #"{"type": "record", "name": "N", "fields": [{"name": "z", "type": {"type": "array", "items": "null"}}, {"name": "id", "type": "string"}]}"#
    let many: [UInt8] = [0x80, 0xC0, 0xA8, 0xCA, 0x9A, 0x3A, 0, 2, 0x61]
    let field = [Field(name: "id", type: .string, required: true)]
    let decoded = FramedDecoder(.avro, fields: field).decode(Self.block([many], schema: nulls))
    #expect(Self.rows(decoded) == [[.string("a")]])
    let deep = #"{"type": "record", "name": "D", "fields": [{"name": "id", "type": "string"}, {"name": "d", "type": ["null", "D"]}]}"#
    let nested = [[UInt8]](repeating: [2, 0x61, 2], count: 100_000).flatMap { $0 }
    let rejected = FramedDecoder(.avro, fields: field).decode(Self.block([nested], schema: deep))
    #expect(rejected.rejections.first?.rejection.reason.contains("nested too deep") == true)
  }

  @Test func `types that take no bytes are stepped over at once however they are nested`() {
    var type = #""null""#
    for level in 0..<60 {
      let second = level == 0 ? #""null""# : "\"B\(level - 1)\""
      type = #"{"type": "record", "name": "B\#(level)", "fields": [{"name": "x", "type": \#(type)}, {"name": "y", "type": \#(second)}]}"#
    }
    let schema = #"{"type": "record", "name": "R", "fields": [{"name": "b", "type": \#(type)}, {"name": "id", "type": "string"}]}"#
    let decoded = FramedDecoder(.avro, fields: [Field(name: "id", type: .string, required: true)]).decode(
      Self.block([[2, 0x61]], schema: schema))
    #expect(Self.rows(decoded) == [[.string("a")]])
  }

  @Test(arguments: ["int64", "double", "decimal", "timestamp", "skipped"])
  func `an int of more than 32 bits is refused, a long is not`(wanted: String) {
    let types: [String: Field] = [
      "int64": Field(name: "a", type: .int64), "double": Field(name: "a", type: .double),
      "decimal": Field(name: "a", type: .decimal(precision: 20, scale: 2)),
      "timestamp": Field(name: "a", type: .timestamp, encoding: .milliseconds), "skipped": Field(name: "b", type: .int64),
    ]
    func reasons(_ type: String) -> [String] {
      let schema = #"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "\#(type)"}, {"name": "b", "type": "long"}]}"#
      // 2^31 and 2^31 - 1 in zig-zag, and a 1.
      let records: [[UInt8]] = [[0x80, 0x80, 0x80, 0x80, 0x10, 2], [0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 2]]
      return FramedDecoder(.avro, fields: [types[wanted]!]).decode(Self.block(records, schema: schema)).rejections.map(\.rejection.reason)
    }
    #expect(reasons("long") == [])
    #expect(reasons("int").count == 1)
    #expect(reasons("int").first?.contains("2147483648 is not an int") == true)
  }

  /// Each record that a schema spoils has its reason in a row, perhaps in a header and in the log.
  @Test func `a reason does not become as large as a text of its schema`() {
    let large = String(repeating: "é", count: 1 << 20)
    let quoted = "\"\(large)\""
    let schemas = [
      quoted, #"{"type": "fixed", "name": \#(quoted), "size": -1}"#, #"{"type": "enum", "name": \#(quoted), "symbols": []}"#,
      #"[{"type": "fixed", "name": \#(quoted), "size": 1}, {"type": "fixed", "name": \#(quoted), "size": 1}]"#,
      #"{"type": "record", "name": \#(quoted), "fields": [{}]}"#,
      #"{"type": "record", "name": "R", "fields": [{"name": "id", "type": {"type": "enum", "name": \#(quoted), "symbols": []}}]}"#,
      String(repeating: "x", count: 2 << 20),
    ]
    for schema in schemas {
      let decoded = FramedDecoder(.avro, fields: [Field(name: "id", type: .int64)]).decode(Self.block([[2, 0x61]], schema: schema))
      let reason = decoded.rejections.first?.rejection.reason ?? ""
      #expect(reason.hasPrefix("schema 7: ") && reason.contains("…"), "\(schema.prefix(60)): \(reason.prefix(300))")
      #expect(reason.utf8.count < SchemaError.nameBytesMax + 100, "\(schema.prefix(60)): \(reason.utf8.count) bytes")
    }
    let type = FramedDecoder(.avro, fields: [Field(name: "id", type: .int64)])
    var block = RawBlock(records: [[0, 0, 0, 0, 7, 2]])
    block.schemas = SchemaFraming(block).schemas([.known(.number(7), RegisteredSchema(type: large, schema: "{}"))])
    #expect(type.decode(block).rejections.first.map { $0.rejection.reason.utf8.count < 400 } == true)
  }

  @Test func `a record without a value is told apart from an empty line`() {
    var block = RawBlock(records: [[], []])
    block.details = RecordDetails(
      shard: "t/0", positions: [0, 1], arrivals: [0, 0], isAppendTime: false, keyOffset: [0, 0], keyLength: [-1, -1], tombstones: [1])
    let reasons = RecordDecoder(fields: [Field(name: "id", type: .int64)]).decode(block).rejections.map(\.rejection.reason)
    #expect(reasons == ["blank line (byte 0)", "the record has no value"])
  }

  @Test func `whatever made a reason, a rejection keeps no more of it than its bound`() {
    let reason = Rejection(stage: .check, reason: String(repeating: "é", count: 1 << 20), byte: 3).reason
    #expect(reason.hasSuffix("é… (byte 3)") && reason.utf8.count < 2_030, "\(reason.utf8.count) bytes")
    let odd = "a" + String(repeating: "é", count: 4000)
    #expect(odd.shortened(toBytes: 4) == "aé…" && odd.shortened(toBytes: 5) == "aéé…", "no scalar is cut in two")
    #expect("abc".shortened(toBytes: 3) == "abc")
  }

  @Test func `types by name within types by name are refused before they multiply`() {
    // Eight levels of unions of twenty records: 20^8 ways to the field.
    let (levels, width) = (8, 20)
    var types: [String] = []
    for level in (0..<levels).reversed() {
      let inner = level == levels - 1 ? #""long""# : "[" + (0..<width).map { "\"L\(level + 1)_\($0)\"" }.joined(separator: ",") + "]"
      types += (0..<width).map { #"{"type": "record", "name": "L\#(level)_\#($0)", "fields": [{"name": "a", "type": \#(inner)}]}"# }
    }
    let schema = "[" + types.joined(separator: ",") + "]"
    let field = Field(name: "n", type: .int64, path: [PathStep](repeating: .name("a"), count: levels))
    let decoded = FramedDecoder(.avro, fields: [field]).decode(Self.block([[2]], schema: schema))
    #expect(decoded.rejections.first?.rejection.reason.contains("more than 20000 steps") == true)
  }

  @Test func `a schema nested too deep is told as that`() {
    let deep = String(repeating: "[", count: 3000) + String(repeating: "]", count: 3000)
    for schema in [deep, #"{"type": "array", "items": \#(deep)}"#, String(repeating: "[", count: 100) + String(repeating: "]", count: 100)]
    {
      let decoded = FramedDecoder(.avro, fields: [Field(name: "id", type: .int64)]).decode(Self.block([[2]], schema: schema))
      #expect(decoded.rejections.first?.rejection.reason.contains("nested too deep") == true, "\(schema.prefix(20))")
    }
  }

  @Test func `schemas that cannot give the fields are told by what is wrong`() {
    func reason(_ schema: String, _ fields: [Field], type: String = "AVRO") -> String {
      do {
        _ = try AvroProgram(RegisteredSchema(type: type, schema: schema), fields: fields)
        return ""
      } catch { return error.reason }
    }
    func record(_ type: String) -> String { #"{"type": "record", "name": "R", "fields": [{"name": "a", "type": \#(type)}]}"# }
    let long = [Field(name: "a", type: .int64)]
    #expect(reason(record(#""long""#), long) == "")
    #expect(reason(record(#"["null", "string", "int"]"#), long) == "", "some branches fit")
    #expect(reason(record(#""string""#), long) == "a is string there, which cannot be read as int64")
    #expect(reason(record(#"["null", "string"]"#), long).contains("a is string there"))
    #expect(reason(record(#""Nobody""#), long) == "the schema has no type Nobody")
    #expect(reason(record(#""long""#), [Field(name: "b", type: .int64, required: true)]) == "it has no field b, which is required")
    #expect(reason(record(#""long""#), [Field(name: "b", type: .int64)]) == "", "what is not required may be missing")
    #expect(reason(record(#""long""#), [Field(name: "a", type: .timestamp)]).contains("declare timestamp_ms"))
    #expect(reason("{", long).contains("not valid JSON"))
    #expect(reason(#""string""#, long).contains("not a record"))
    #expect(reason("{}", long, type: "JSON").contains("type JSON"))
    #expect(reason(String(repeating: "[", count: 400) + String(repeating: "]", count: 400), long) == "the schema is nested too deep")
  }

  @Test func `ids are found in both places and both forms, the header first`() {
    let text = "0102030405060708090a0b0c0d0e0f10"
    var raw = RawBlock(records: [[0, 0, 1, 0, 2, 9], [1] + Array(1...16) + [9], [9, 9], [0, 0, 0, 0, 1]])
    raw.details = RecordDetails(
      shard: "t/0", positions: [0, 1, 2, 3], arrivals: [0, 0, 0, 0], isAppendTime: false, keyOffset: [0, 0, 0, 0],
      keyLength: [-1, -1, -1, -1],
      headers: [nil, nil, #"[["__value_schema_id",{"hex":"01\#(text)"}]]"#, #"[["other","x"]]"#])
    let framing = SchemaFraming(raw)
    let guid = SchemaID.guid("01020304-0506-0708-090a-0b0c0d0e0f10")
    #expect(framing.ids == [.number(65_538), guid, .number(1)])
    let schemas = framing.schemas([])
    #expect(schemas.places == [0, 1, 1, 2] && schemas.prefixes == [5, 17, 0, 5])
  }

  @Test func `a JSON Schema is compared where it says plainly what a field is`() {
    func reason(_ schema: String, _ field: Field) -> String {
      do {
        try JSONSchemaCheck.check(RegisteredSchema(type: "JSON", schema: schema), fields: [field])
        return ""
      } catch { return error.reason }
    }
    let number = Field(name: "a", type: .int64, required: true)
    #expect(reason(#"{"properties": {"a": {"type": ["integer", "null"]}}}"#, number) == "")
    #expect(reason(#"{"properties": {"a": {"type": "string"}}}"#, number) == "a is string there, which cannot be read as int64")
    #expect(reason(#"{"properties": {}, "additionalProperties": false}"#, number) == "it has no field a, which is required")
    #expect(reason(##"{"properties": {"a": {"$ref": "#/x"}}}"##, number) == "")
    #expect(reason(#"{"type": "array"}"#, number).contains("not an object"))
  }
}
