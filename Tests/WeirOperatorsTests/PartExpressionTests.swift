import Testing
import WeirCore

@testable import WeirOperators

/// Expressions that reach into lists, structs, maps and texts of JSON.
@Suite struct PartExpressionTests {
  private static let fields: [(name: String, type: String)] = [
    ("user", "struct<id:int64,name:string,\"a.b\":string,at:timestamp,address:struct<city:string,tags:list<string>>>"),
    ("items", "list<struct<sku:string,price:decimal(12,2),ok:bool>>"), ("attrs", "map<string,double>"),
    ("deep", "map<string,list<map<string,int64>>>"),
    ("id", "string"), ("end", "struct<x:int64>"),
  ]

  private static let inputs =
    fields.enumerated().map { place, field in
      InputColumn(name: field.name, type: ColumnType(anyName: field.type), nullable: true, origin: .field(place))
    } + [InputColumn(name: "look.up", type: .string, nullable: true, origin: .lookup(lookup: 0, column: 0))]

  /// Values of an expression over records of JSON, and the rows that are errors.
  private func run(_ text: String, _ records: [String]) throws -> (values: [Literal], errors: [String]) {
    let expr = try compileExpression(text, inputs: PartExpressionTests.inputs)
    let again = try compileExpression(expr.text, inputs: PartExpressionTests.inputs)
    #expect(again == expr, "\(text) is compiled again from \(expr.text)")
    let fields = PartExpressionTests.fields.map { Field(name: $0.name, type: ColumnType(anyName: $0.type)) }
    let block = RecordDecoder(fields: fields).decode(RawBlock(records: records.map { Array($0.utf8) }))
    #expect(block.rejections.isEmpty)
    let result = ExprEvaluator(expr).evaluate(block.columns + [nil], count: records.count)
    return ((0..<records.count).map { result.column.literal($0) }, result.errors.map(\.reason))
  }

  private let record = """
    {"user": {"id": 7, "name": "ann", "a.b": "dot", "at": "2026-01-31T00:00:00Z", "address": {"city": "Bonn", "tags": ["x", "y"]}},
     "items": [{"sku": "A", "price": 1.50, "ok": true}, null, {"sku": null}], "attrs": {"k": 2.5, "it's": 1e0},
     "deep": {"m": [{"n": 1}, {"n": 2}]}, "id": "r", "end": {"x": 3}}
    """

  @Test(arguments: [
    ("user.id", Literal.int64(7)), ("user.id + 1", .int64(8)), ("user.\"a.b\"", .string("dot")), ("user['a.b']", .string("dot")),
    ("user.address.city || '!'", .string("Bonn!")), ("user.address.tags[1]", .string("y")), ("user.address.tags[2]", .null),
    ("user.at = '2026-01-31T00:00:00Z'", .bool(true)), ("items[0].sku", .string("A")), ("items[0].ok and true", .bool(true)),
    ("items[0].price * 2", .decimal(300, precision: 31, scale: 2)), ("items[1].sku", .null), ("items[2].sku is null", .bool(true)),
    ("items[9999].sku", .null), ("attrs['k']", .double(2.5)), ("attrs['it''s']", .double(1)), ("attrs['none']", .null),
    ("deep['m'][1]['n']", .int64(2)), ("deep['m'][0]['x']", .null), ("deep['q'][0]['n']", .null), ("\"end\".x", .int64(3)),
    ("user.address is null", .bool(false)), ("user . id", .int64(7)),
  ]) func aPathGivesThePart(_ text: String, _ value: Literal) throws {
    #expect(try run(text, [record]).values == [value])
  }

  @Test func nullsAtEveryLevelAreNull() throws {
    let records = [
      "{}", "{\"user\": null}", "{\"user\": {}}", "{\"user\": {\"address\": null}}", "{\"user\": {\"address\": {\"city\": null}}}",
    ]
    #expect(try run("user.address.city", records).values == [.null, .null, .null, .null, .null])
    #expect(
      try run("items[0].sku", ["{\"items\": []}", "{\"items\": [null]}", "{\"items\": [{\"sku\": \"s\"}]}"]).values == [
        .null, .null, .string("s"),
      ])
  }

  @Test(arguments: [
    ("user.idd", "user has no member idd", 5), ("user.address.cty", "user.address has no member cty", 13),
    ("id.x", "unknown column id.x: id is string, and has no members", 0), ("nothing.x", "unknown column nothing.x", 0),
    ("attrs.k", "attrs['k']", 6), ("items.sku", "items[0]", 6), ("items['a']", "name one of its elements first", 6),
    ("attrs[0]", "its keys are texts", 6), ("user[0]", "has no elements", 5), ("items[10000]", "path_index", 6),
    ("items[-1]", "expected the number of an element", 6),
    ("items[x]", "expected the number of an element or a key in single quotes", 6), ("items[1", "expected ']'", 7),
    ("user.address = 'x'", "name the part that you need, such as user.id", 13), ("json_value(id)", "expected ','", 13),
    ("json_value(id, 'a.b')", "it begins with $", 15), ("json_value(id, '$.a.')", "a name is missing after a dot", 15),
    ("json_value(id, '$[x]')", "the number of an element", 15),
    ("json_value(user.id, '$.a')", "json_value needs a text of JSON, and user.id is int64", 0),
    ("json_value(id, id)", "a path in quotes", 15),
  ]) func whatIsNoPathIsRefusedWhereItIs(_ text: String, _ words: String, _ offset: Int) {
    let error = #expect(throws: ExpressionError.self) { try compileExpression(text, inputs: PartExpressionTests.inputs) }
    #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    #expect(error?.offset == offset)
  }

  @Test func aPathWithMoreStepsThanTheBoundIsRefused() {
    let error = #expect(throws: ExpressionError.self) {
      try compileExpression(
        "json_value(id, '$\(String(repeating: ".a", count: FieldPath.stepsMax + 1))')", inputs: PartExpressionTests.inputs)
    }
    #expect(error?.message.contains("path_steps") == true)
  }

  @Test func aPartWithoutANameOfItsOwnIsCalledAsItsMember() throws {
    let columns = try compileSelectList("user.address.city, items[0].sku, attrs['k'] as k", inputs: PartExpressionTests.inputs, star: [])
    #expect(columns.map(\.name) == ["city", "sku", "k"])
    let error = #expect(throws: ExpressionError.self) { try compileSelectList("attrs['k']", inputs: PartExpressionTests.inputs, star: []) }
    #expect(error?.message.contains("as NAME") == true)
  }

  @Test(arguments: [
    ("$.a.b", Literal.string("x")), ("$.n", .string("1.50")), ("$.t", .string("true")), ("$.none", .null), ("$.nil", .null), ("$.a", .null),
    ("$.l", .null), ("$.l[1]", .string("2")), ("$.l[7]", .null), ("$.\"a b\"", .string("q")), ("$['a.b']", .string("d")),
    ("$.esc", .string("ü\"\n")),
    ("$.twice", .string("last")), ("$.l.x", .null), ("$.a[0]", .null), ("$", .null),
  ]) func aValueInATextOfJSON(_ path: String, _ value: Literal) throws {
    let json =
      #"{"a": {"b": "x"}, "n": 1.50, "t": true, "nil": null, "l": [1, 2, {}], "a b": "q", "a.b": "d", "esc": "\u00fc\"\n", "twice": 1, "twice": "last"}"#
    let quoted = json.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    #expect(try run("json_value(id, \(Build.quote(path)))", ["{\"id\": \"\(quoted)\"}"]).values == [value])
  }

  @Test func aTextThatIsNotJSONIsAnErrorOfItsRecord() throws {
    let found = try run(
      "json_value(id, '$.a')",
      [#"{"id": "{\"a\": 1}"}"#, #"{"id": "{\"a\": 1"}"#, #"{"id": ""}"#, #"{"id": null}"#, #"{"id": "{\"a\": 1} x"}"#])
    #expect(found.values == [.string("1"), .null, .null, .null, .null] && found.errors.count == 3)
    #expect(found.errors.allSatisfy { $0.hasPrefix("the text is not JSON: ") && $0.hasSuffix("in json_value(id, '$.a')") })
  }

  @Test func aFieldOfTypeJSONKeepsTheTextAsItIsWritten() {
    let texts = ["{ \"b\":1,  \"a\" :[1.50, \"\\u00fc\"] }", "[]", "\"x\"", "1e2", "true", "null"]
    let field = Field(name: "raw", type: .string, encoding: .json)
    let block = RecordDecoder(fields: [field]).decode(RawBlock(records: texts.map { Array("{\"raw\": \($0) }".utf8) }))
    #expect(block.rejections.isEmpty)
    #expect(texts.indices.map { block.columns[0].literal($0) } == texts.dropLast().map { .string($0) } + [.null])
    let broken = RecordDecoder(fields: [field]).decode(RawBlock(records: [Array("{\"raw\": {\"a\": 01}}".utf8)]))
    #expect(broken.rejections.first?.rejection.reason.contains("a number begins with 0") == true)
  }
}

extension ColumnType {
  fileprivate init(anyName: String) {
    guard let type = (try? TypeText.parse(anyName)) else { preconditionFailure("\(anyName) is a type") }
    self = type
  }
}
