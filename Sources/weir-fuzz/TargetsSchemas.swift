import WeirCore
import WeirEngine
import WeirOperators
import WeirRegistry

extension FuzzTarget {
  private static let avroSchemas = [
    #"""
    {"type":"record","name":"R","fields":[{"name":"id","type":"string"},{"name":"n","type":["null","long"]},{"name":"list","type":{"type":"array","items":{"type":"map","values":{"type":"fixed","name":"F","size":2}}}},{"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},{"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"next","type":["null","R"]}]}
    """#,
    #"{"type":"record","name":"a.b.S","fields":[{"name":"id","type":{"type":"enum","name":"E","symbols":["x","y"]}},{"name":"x","type":"float"},{"name":"flag","type":"boolean"},{"name":"ms","type":"long"},{"name":"wide","type":"int"}]}"#,
    #"["null",{"type":"record","name":"U","fields":[{"name":"id","type":{"type":"string","logicalType":"uuid"}},{"name":"x","type":["double","int"]},{"name":"o","type":{"type":"record","name":"O","fields":[{"name":"k","type":"long"}]}}]}]"#,
  ]
  private static let avroRecord: [UInt8] = [4, 0x61, 0x62, 2, 10, 2, 2, 2, 0x6B, 1, 2, 0, 0, 4, 1, 0, 2, 2, 2, 0x63, 0, 0, 0, 0, 0]
  private static let avroWords = [
    "\"null\"", "\"record\"", "\"R\"", "\"type\":", "\"items\":", "\"fields\":[", "\"name\":", "\"array\"", "\"map\"", "\"fixed\"",
    "\"size\":",
    "\"enum\"", "\"symbols\":", "\"union\"", "\"logicalType\":\"decimal\"", "\"uuid\"", "\"date\"", "\"scale\":", "\"namespace\":",
    "\"bytes\"",
    "[", "]", "{", "}", ",", "\u{0}", "\u{1}", "\u{2}",
  ]
  private static let avroFields =
    fields.filter { !$0.steps.contains { if case .index = $0 { true } else { false } } }.map { field in
      var field = field
      field.required = false
      return field
    } + [
      Field(name: "k", type: .int64, path: [.name("o"), .name("k")]),
      Field(name: "next_id", type: .string, path: [.name("next"), .name("id")]),
    ]

  private static func rows(_ block: DecodedBlock) -> [[Literal]] { (0..<block.count).map { row in block.columns.map { $0.literal(row) } } }

  /// Bodies with one schema: rows alone and together must be the same.
  private static func decode(_ format: FramedDecoder.Body, _ fields: [Field], _ schema: RegisteredSchema, _ bodies: [[UInt8]]) {
    func block(_ bodies: [[UInt8]]) -> DecodedBlock {
      var raw = RawBlock(records: bodies.map { [0, 0, 0, 0, 7] + $0 })
      raw.schemas = SchemaFraming(raw).schemas([.known(.number(7), schema)])
      return FramedDecoder(format, fields: fields).decode(raw)
    }
    let whole = block(bodies)
    let parts = bodies.map { block([$0]) }
    expect(whole.valid == parts.flatMap(\.valid), "records alone have other verdicts")
    expect(zip(rows(whole).joined(), parts.flatMap { rows($0).joined() }).allSatisfy(same), "records alone have other values")
    expect(whole.rejections.map(\.rejection) == parts.flatMap { $0.rejections.map(\.rejection) }, "records alone have other reasons")
    expect(whole.rejections.allSatisfy { $0.rejection.reason.utf8.count < 2100 }, "a reason without a bound")
  }

  static let avro = FuzzTarget(
    "avro", words: avroWords,
    seeds: {
      [
        Parts.join(Array(avroSchemas[0].utf8), avroRecord),
        Parts.join(Array(avroSchemas[1].utf8), [2, 0, 0, 0x80, 0x3F, 1, 0x90, 0x4E, 7]),
        Parts.join(Array(avroSchemas[2].utf8), [2, 4, 0x61, 0x62, 2, 9, 8]), Parts.join(Array("\"string\"".utf8), [2, 0x61]),
      ]
    }
  ) { input in
    let parts = Parts.split(input, 2)
    let schema = RegisteredSchema(type: "AVRO", schema: String(decoding: parts[0], as: UTF8.self))
    // The body, its first half, and a valid one.
    decode(.avro, avroFields, schema, [parts[1], Array(parts[1].prefix(parts[1].count / 2)), avroRecord])
  }

  static let jsonSchema = FuzzTarget(
    "json-schema",
    words: jsonWords + ["\"type\":", "\"properties\":{", "\"items\":", "\"object\"", "\"additionalProperties\":false", "\"integer\""],
    seeds: {
      let schema =
        #"{"type":"object","properties":{"id":{"type":["string","null"]},"n":{"type":"integer"},"o":{"type":"object","properties":{"k":{"items":{}}}}},"additionalProperties":false}"#
      return [Parts.join(Array(schema.utf8), Array(#"{"id":"a","n":5,"o":{"k":[1,2,{"z":3}]}}"#.utf8)), Parts.join([], [])]
    }
  ) { input in
    let parts = Parts.split(input, 2)
    decode(.json, fields, RegisteredSchema(type: "JSON", schema: String(decoding: parts[0], as: UTF8.self)), [parts[1], []])
  }

  /// Where records name their schemas: in headers or in front of the body. Ids that nobody knows.
  static let framing = FuzzTarget(
    "framing", words: jsonWords + ["__value_schema_id", "{\"hex\":\"01", "\u{0}\u{0}\u{0}\u{0}\u{7}"],
    seeds: {
      let id = Array(#"[["__value_schema_id",{"hex":"010102030405060708090a0b0c0d0e0f10"}]]"#.utf8)
      return [
        Parts.join(id, [1, 2]), Parts.join([], [0, 0, 0, 0, 7, 2, 0x61]), Parts.join(id, [1] + [UInt8](1...16) + [9]), Parts.join([], [0]),
      ]
    }
  ) { input in
    let parts = Parts.split(input, 2)
    let records = [parts[1], [], parts[1], Array(parts[1].prefix(4))]
    var raw = RawBlock(records: records)
    let header = parts[0].isEmpty ? nil : String(decoding: parts[0], as: UTF8.self)
    raw.details = RecordDetails(
      shard: "t/0", positions: [0, 1, 2, 3], arrivals: [0, 0, 0, 0], isAppendTime: false, keyOffset: [0, 0, 0, 0],
      keyLength: [-1, -1, -1, -1],
      headers: [header, nil, nil, header], tombstones: [1])
    let framing = SchemaFraming(raw)
    expect(framing.ids.count <= 2, "two records name \(framing.ids)")
    for format in [FramedDecoder.Body.avro, .json] {
      raw.schemas = framing.schemas(framing.ids.map { .unknown($0) })
      let block = FramedDecoder(format, fields: fields).decode(raw)
      expect(block.valid.allSatisfy { !$0 } && block.rejections.map(\.row) == [0, 1, 2, 3], "a record of an unknown schema was taken")
    }
  }

  /// A pin as it is, and with the hash that its answer has.
  static let schemaPin = FuzzTarget(
    "schema-pin", words: jsonWords + ["\"answer\":", "\"sha256\":", "\"unknown\":true", "\"references\":", "\"schema\":", "\"id\":\"7\""],
    seeds: {
      let schema = RegisteredSchema(type: "AVRO", schema: avroSchemas[0], references: [.init(name: "r", schema: "\"string\"")])
      return [SchemaPin.encode(schema, .number(7)), SchemaPin.encode(nil, .number(7))]
    }
  ) { input in
    _ = try? SchemaPin.decode(input, .number(7), "pin")
    guard let answer = (try? JSONValue(parsing: input))?["answer"] else { return }
    let sealed = JSONValue.members(["answer": answer, "sha256": .string(ContentHash(of: answer.bytes).hex)]).bytes
    switch try SchemaPin.decode(sealed, .number(7), "pin") {
    case .unknown: return
    case .known(let id, let schema):
      guard case .known(_, let again) = try SchemaPin.decode(SchemaPin.encode(schema, id), id, "pin") else {
        fail("a pin lost its schema")
      }
      expect(again == schema, "pinned again it is another schema")
      decode(.avro, avroFields, schema, [avroRecord])
    }
  }

  /// A registry that answers each request with the same bytes.
  static let registryAnswer = FuzzTarget(
    "registry-answer",
    words: jsonWords + ["\"schema\":", "\"schemaType\":", "\"references\":[", "\"subject\":", "\"version\":", "\"error_code\":40403"],
    seeds: {
      [
        #"{"schema":"\"string\"","schemaType":"AVRO"}"#, #"{"schema":"{}","references":[{"name":"n","subject":"a/ü","version":1}]}"#,
        #"{"error_code":40403,"message":"Schema not found"}"#,
      ].map { [0] + Array($0.utf8) }
    }
  ) { input in
    struct Answer: HTTPTransport {
      let response: HTTPResponse
      func get(_ request: HTTPRequest) async throws -> HTTPResponse { response }
    }
    let status = [200, 404, 401, 500, 302][Int(input.first ?? 0) % 5]
    let registry = ConfluentRegistry(
      url: "http://r", transport: Answer(response: HTTPResponse(status: status, body: Array(input.dropFirst()))))
    for id in [SchemaID.number(7), .guid("01020304-0506-0708-090a-0b0c0d0e0f10")] { _ = try wait { try await registry.schema(id) } }
  }
}
