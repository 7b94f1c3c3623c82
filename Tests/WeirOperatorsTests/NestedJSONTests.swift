import Testing
import WeirCore

@testable import WeirOperators

/// Lists, structs and maps from JSON.
@Suite struct NestedJSONTests {
  private func decode(_ type: String, _ values: [String], required: Bool = false) throws -> DecodedBlock {
    let field = Field(name: "f", type: try TypeText.parse(type), required: required)
    return RecordDecoder(fields: [field, Field(name: "n", type: .int64)]).decode(
      RawBlock(records: values.map { Array("{\"f\": \($0), \"n\": 1}".utf8) }))
  }

  /// The value as text: `[1,null]`, `{a:1}`, `{"k"=1}`.
  private func text(_ block: DecodedBlock, _ row: Int) -> String {
    let column = block.columns[0]
    guard column.isValid(row), case .string(let values) = column.values else { return "null" }
    var bytes = Array(values[row].bytes)[...]
    func number<T: FixedWidthInteger>(_ type: T.Type) -> T {
      defer { bytes = bytes.dropFirst(MemoryLayout<T>.size) }
      return Array(bytes.prefix(MemoryLayout<T>.size)).withUnsafeBytes { T(littleEndian: $0.loadUnaligned(as: T.self)) }
    }
    func string() -> String {
      let count = Int(number(UInt32.self))
      defer { bytes = bytes.dropFirst(count) }
      return "\"\(String(decoding: bytes.prefix(count), as: UTF8.self))\""
    }
    func value(_ type: ColumnType) -> String { number(UInt8.self) == 0 ? "null" : payload(type) }
    func payload(_ type: ColumnType) -> String {
      switch type {
      case .bool: number(UInt8.self) == 1 ? "true" : "false"
      case .int64, .timestamp: "\(number(Int64.self))"
      case .double: "\(Double(bitPattern: number(UInt64.self)))"
      case .decimal: "\(number(Int128.self))"
      case .string, .binary: string()
      case .list(let element): "[" + (0..<number(UInt32.self)).map { _ in value(element) }.joined(separator: ",") + "]"
      case .structure(let members): "{" + members.map { "\($0.name):\(value($0.type))" }.joined(separator: ",") + "}"
      case .map(let type): "{" + (0..<number(UInt32.self)).map { _ in "\(string())=\(value(type))" }.joined(separator: ",") + "}"
      }
    }
    let out = payload(column.type)
    #expect(bytes.isEmpty, "bytes are left")
    return out
  }

  @Test(arguments: [
    ("list<int64>", "[1, null ,-3]", "[1,null,-3]"), ("list<int64>", "[]", "[]"), ("list<int64>", "null", "null"),
    ("list<int64>", "[ ]", "[]"),
    ("list<list<bool>>", "[[true],[],null,[false,null]]", "[[true],[],null,[false,null]]"),
    ("struct<a:int64,b:string>", "{\"a\": 1, \"b\": \"x\"}", "{a:1,b:\"x\"}"), ("struct<a:int64,b:string>", "{}", "{a:null,b:null}"),
    ("struct<a:int64,b:string>", "{\"b\": \"x\", \"z\": [{}], \"a\": 1}", "{a:1,b:\"x\"}"),
    ("struct<a:int64,b:string>", "{\"a\": 1, \"a\": 2, \"b\": \"x\", \"a\": null}", "{a:null,b:\"x\"}"),
    ("struct<a:int64,b:string,c:bool>", "{\"c\": true, \"a\": 7}", "{a:7,b:null,c:true}"),
    ("struct<a:struct<b:list<int64>,c:double>,d:int64>", "{\"d\": 4, \"a\": {\"c\": 1.5, \"b\": [1]}}", "{a:{b:[1],c:1.5},d:4}"),
    ("map<string,double>", "{\"x\": 1, \"y\\n\": null}", "{\"x\"=1.0,\"y\n\"=null}"), ("map<string,double>", "{}", "{}"),
    ("map<string,int64>", "{\"a\": 1, \"b\": 2, \"a\": 3}", "{\"a\"=3,\"b\"=2}"),
    (
      "map<string,map<string,list<string>>>", "{\"a\": {\"b\": [\"é\", \"\\u00e9\"]}, \"\": null}",
      "{\"a\"={\"b\"=[\"é\",\"é\"]},\"\"=null}"
    ),
    ("list<struct<m:map<string,int64>>>", "[{\"m\": {\"k\": 1}}, null, {\"m\": {}}, {}]", "[{m:{\"k\"=1}},null,{m:{}},{m:null}]"),
    ("list<decimal(5,2)>", "[1.5, 100, 0.01]", "[150,10000,1]"), ("list<timestamp>", "[\"1970-01-01T00:00:01Z\"]", "[1000000]"),
    (
      "struct<a:int64,b:int64,c:int64,d:int64,e:int64,f:int64,g:int64,h:int64,i:int64,j:int64>", "{\"j\": 10, \"\\u0061\": 1, \"e\": 5}",
      "{a:1,b:null,c:null,d:null,e:5,f:null,g:null,h:null,i:null,j:10}"
    ),
  ]) func aValueIsReadWithAllThatIsInIt(_ type: String, _ json: String, _ want: String) throws {
    let block = try decode(type, [json, "null", json])
    #expect(block.rejections.isEmpty, "\(block.rejections.map(\.rejection.reason))")
    #expect([text(block, 0), text(block, 1), text(block, 2)] == [want, "null", want])
  }

  @Test(arguments: [
    ("list<int64>", "[1, \"2\"]", "field f[1]: expected int64, found a string"),
    ("list<int64>", "{}", "field f: expected list<int64>, found an object"),
    ("list<int64>", "7", "field f: expected list<int64>, found a number"), ("list<int64>", "[1.5]", "field f[0]: 1.5 is not an int64"),
    ("list<struct<a:map<string,double>>>", "[{}, {\"a\": {\"k\": 1, \"l\": true}}]", "field f[1].a[\"l\"]: expected double, found a bool"),
    ("struct<a:struct<b:list<string>>>", "{\"a\": {\"b\": [\"x\", {\"c\": 1}]}}", "field f.a.b[1]: expected string, found an object"),
    ("struct<a:int64>", "[]", "field f: expected struct<a:int64>, found an array"),
    ("list<decimal(3,1)>", "[1000]", "field f[0]: 1000 is not exact"),
    ("list<timestamp>", "[\"2026-01-01\"]", "field f[0]: "),
    ("list<timestamp>", "[5]", "field f[0]: expected a timestamp string, found a number"),
    ("list<int64>", "[1,]", "not a JSON value"), ("list<int64>", "[1}", "',' or ']' expected"),
    ("map<string,int64>", "{\"a\" 1}", "':' expected"),
    ("map<string,int64>", "{\"a\": 1,}", "a member name expected"), ("struct<a:int64>", "{\"a\": 1 \"b\"}", "',' or '}' expected"),
    ("list<string>", "[\"\\ud800\"]", "lone surrogate"),
  ]) func aReasonHasTheWayToWhatIsWrong(_ type: String, _ json: String, _ words: String) throws {
    let block = try decode(type, ["null", json])
    #expect(block.valid == [true, false] && block.rejections.first?.rejection.reason.contains(words) == true, "\(block.rejections)")
    #expect(block.columns.allSatisfy { !$0.isValid(1) }, "a rejected row is null")
  }

  @Test func aRecordHasABoundedNumberOfValues() throws {
    let most = "[" + [String](repeating: "null", count: NestedBuilder.valuesMax - 1).joined(separator: ",") + "]"
    let more = "[" + [String](repeating: "{}", count: NestedBuilder.valuesMax / 3 + 1).joined(separator: ",") + "]"
    #expect(try decode("list<bool>", [most]).valid == [true])
    for (type, json) in [("list<bool>", most.replacing("[", with: "[null,")), ("list<struct<a:bool,b:bool>>", more)] {
      let block = try decode(type, [json])
      #expect(block.rejections.first?.rejection.reason.contains("field f: more than 262144 values in a record (nested_values)") == true)
    }
  }

  @Test func aRequiredFieldIsNotNull() throws {
    let block = try decode("list<int64>", ["[]", "null", "[null]"], required: true)
    #expect(block.valid == [true, false, true] && block.rejections[0].rejection.reason.contains("required field f"))
  }

  @Test func aLargeMapKeepsTheFirstPlaceAndTheLastValueOfAKey() throws {
    let entries = (0..<300).map { "\"k\($0 % 200)\": \($0)" }.joined(separator: ",")
    let block = try decode("map<string,int64>", ["{\(entries)}", "{\(entries)}"])
    let want = "{" + (0..<200).map { "\"k\($0)\"=\($0 < 100 ? $0 + 200 : $0)" }.joined(separator: ",") + "}"
    #expect(text(block, 0) == want && text(block, 1) == want)
  }

  @Test(arguments: [
    "list<int64>", "map<string,list<struct<a:decimal(12,2),\"b:<\":timestamp>>>",
    "struct<a:struct<b:bool,c:map<string,string>>,\"q\"\"\":double>",
  ])
  func aTypeIsReadFromItsName(_ name: String) throws {
    let type = try TypeText.parse(name)
    #expect(type.name == name && ColumnType(name: name) == type)
    #expect(try TypeText.parse(name.replacing(",", with: " , ").replacing(">", with: " > ")) == type)
  }

  @Test(arguments: [
    ("list", "'<' is expected after list"), ("list<>", "a type is missing"), ("list<int64", "'>' is expected"),
    ("list<int64>>", "the end is expected"),
    ("list<foo>", "unknown type foo"), ("list<binary>", "unknown type binary"), ("list<timestamp_ms>", "text with a zone"),
    ("map<int64,int64>", "keys of a map"),
    ("map<string>", "','"), ("struct<>", "NAME:TYPE"), ("struct<a>", "':' is expected after a"),
    ("struct<a:int64,A:int64>", "two members A"),
    ("struct<a:int64!>", "only a field as a whole"), ("struct<\"a:int64>", "does not end"),
    ("list<decimal(99,1)>", "unknown type decimal(99,1)"),
    (String(repeating: "list<", count: 40) + "int64" + String(repeating: ">", count: 40), "nested_depth"),
    ("struct<" + (0..<300).map { "m\($0):bool" }.joined(separator: ",") + ">", "nested_leaves"),
  ]) func aTextThatIsNoTypeIsRefusedWithItsReason(_ text: String, _ words: String) {
    let fault = #expect(throws: TypeText.Fault.self) { try TypeText.parse(text) }
    #expect(fault?.reason.contains(words) == true, "\(fault?.reason ?? "")")
  }
}
