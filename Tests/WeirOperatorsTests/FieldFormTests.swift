import Testing
import WeirCore

@testable import WeirOperators

/// Fields by path, and the forms of times, as the JSON decoder reads them.
struct FieldFormTests {
  private func decode(_ fields: [Field], _ lines: [String]) -> DecodedBlock {
    RecordDecoder(fields: fields).decode(RawBlock(records: lines.map { Array($0.utf8) }))
  }

  private func path(_ text: String) throws -> [PathStep] { try FieldPath.parse(text) }

  // MARK: Paths

  @Test func aPathsTextIsReadAndWrittenBack() throws {
    let cases: [(String, [PathStep], String)] = [
      ("a", [.name("a")], "a"), ("a.b", [.name("a"), .name("b")], "a.b"), ("__op", [.name("__op")], "__op"),
      ("items[0].id", [.name("items"), .index(0), .name("id")], "items[0].id"),
      ("\"a.b\".c", [.name("a.b"), .name("c")], "\"a.b\".c"), ("\"a\"", [.name("a")], "a"), ("\"\"", [.name("")], "\"\""),
      ("\"say \"\"x\"\"\"[3][4]", [.name("say \"x\""), .index(3), .index(4)], "\"say \"\"x\"\"\"[3][4]"),
      ("_id.$oid", [.name("_id"), .name("$oid")], "_id.$oid"), ("größe.x-y", [.name("größe"), .name("x-y")], "größe.x-y"),
    ]
    for (text, steps, canonical) in cases {
      #expect(try path(text) == steps, "\(text)")
      #expect(FieldPath.text(steps) == canonical)
    }
    let wrong = [
      "", ".a", "a.", "a..b", "[0]", "a[", "a[x]", "a[-1]", "a[1", "a[10000]", "a[99999999999999999999]", "a]", "a b", "\"a", "\"a\"b",
      "a\"b",
      "a.[0]", String(repeating: "a.", count: 40) + "a", String(repeating: "a", count: 2000),
    ]
    for text in wrong { #expect(throws: FieldPath.Fault.self, "\(text)") { try path(text) } }
  }

  /// As names they would never be found, and the field would always be null.
  @Test(arguments: [
    ("*", "no * for several"), ("a.*", "write a.\"*\""), ("@", "without @"), ("@.a", "without @"), ("'a'.b", "double quotes: \"a\""),
    ("a.'b c'", "a dot or [ is expected"), ("a.'b'", "a.\"b\""), ("`a`", "double quotes"), ("a->b", "separated by dots: a.b"),
    ("a->>'b'", "separated by dots: a.b"), ("a.length()", "calls no functions"), ("$..a", "without $"), ("a..b", "between two dots"),
    ("a[]", "explode it"), ("a[*]", "explode it"), ("a[-1]", "which is [0]"), ("a['b']", "write a.b"), ("a[\"b.c\"]", "write a.\"b.c\""),
    ("a[0", "does not end"),
  ]) func whatOtherLanguagesWriteIsNoPath(_ text: String, _ words: String) {
    let fault = #expect(throws: FieldPath.Fault.self) { try path(text) }
    #expect(fault?.reason.contains(words) == true, "\(String(describing: fault))")
  }

  @Test(arguments: ["*", "@", "'a'", "`a`", "a->b", "f()", "$", "@x", "it's", "a-b", "-", "->"]) func eachNameHasAPathInQuotesIfItNeedsThem(
    _ name: String
  ) throws {
    #expect(try path(FieldPath.text([.name("a"), .name(name)])) == [.name("a"), .name(name)])
    #expect(try path(FieldPath.text([.name(name)])) == [.name(name)])
    #expect(try path("@timestamp") == [.name("@timestamp")], "a frequent name")
  }

  // MARK: Names of columns

  @Test func namesThatReadersDoNotDistinguishAreOne() {
    for (a, b) in [
      ("A", "a"), ("ı", "I"), ("ı", "i"), ("ſ", "s"), ("ſ", "S"), ("\u{212A}", "k"), ("İ", "i"), ("µ", "μ"), ("ς", "σ"), ("Å", "\u{212B}"),
    ] {
      #expect(ColumnNames.folded("x\(a)") == ColumnNames.folded("x\(b)"), "\(a) \(b)")
      var names = TableNames(["x\(a)"])
      #expect(names.add("x\(b)")?.contains("is taken") == true, "\(a) \(b)")
    }
    for (a, b) in [("ß", "ss"), ("é", "e"), ("ə", "a"), ("o", "0"), ("ﬁ", "fi")] {
      #expect(ColumnNames.folded(a) != ColumnNames.folded(b), "\(a) \(b)")
    }
    #expect((try? TypeText.parse("struct<ı:int64,I:int64>")) == nil && (try? TypeText.parse("struct<ſ:int64,s:int64>")) == nil)
  }

  @Test func fieldsAreReadByTheirPaths() throws {
    let fields = [
      Field(name: "id", type: .string, required: true),
      Field(name: "op", type: .string, path: try path("__op")),
      Field(name: "city", type: .string, path: try path("address.city")),
      Field(name: "zip", type: .int64, path: try path("address.zip.code")),
      Field(name: "first", type: .string, path: try path("items[0].id")),
      Field(name: "third", type: .int64, path: try path("items[2].n")),
      Field(name: "odd", type: .bool, path: try path("\"a.b\".c")),
      Field(name: "deep", type: .double, path: try path("m[1][0]")),
    ]
    let lines = [
      #"{"id":"1","__op":"c","address":{"x":[{}],"city":"Bern","zip":{"code":3000}},"items":[{"id":"a"},{},{"n":7}],"a.b":{"c":true},"m":[1,[2.5]]}"#,
      #"{"items":[],"address":"none","m":{},"a.b":null,"a":{"b":{"c":true}},"__op":null,"id":"2"}"#,
      // Of a repeated member the last one counts, with all that is below it.
      #"{"id":"3","address":{"city":"Rom","zip":{"code":1}},"address":{"zip":{}},"items":[{"id":"a","id":"b"}],"items":[{"id":null}]}"#,
      #"{"id":"4", "address" : { "c\u0069ty" : "\u00e9" , "city2":1 } , "\u0061.b" : { "c" : false }, "items" : [ 1 , 2 , { "n" : -1 } ] }"#,
      #"{"id":"5","address":{"city":{"name":"x"}}}"#,
      #"{"id":"6","address":{"city":"x",}}"#,
      #"{"id":"7","items":[{"id":"x"} 1]}"#,
      #"{"id":"8","address":{}}"#,
    ]
    let block = decode(fields, lines)
    func value(_ name: String, _ row: Int) -> Literal { block.columns[fields.firstIndex { $0.name == name }!].literal(row) }
    #expect(block.valid == [true, true, true, true, false, false, false, true])
    #expect(
      fields.map { value($0.name, 0) } == [
        .string("1"), .string("c"), .string("Bern"), .int64(3000), .string("a"), .int64(7), .bool(true), .double(2.5),
      ])
    for row in [1, 2, 7] { for field in fields.dropFirst() { #expect(value(field.name, row) == .null, "\(row) \(field.name)") } }
    #expect(
      fields.map { value($0.name, 3) } == [
        .string("4"), .null, .string("é"), .null, .null, .int64(-1), .bool(false), .null,
      ])
    #expect(block.rejections[0].rejection.reason.hasPrefix("field city: expected string, found an object"))
  }

  @Test func aRequiredFieldBelowWhatIsNoObjectIsNamedWithItsPath() throws {
    let fields = [Field(name: "city", type: .string, required: true, path: try path("address.city"))]
    for line in [#"{"address":"x"}"#, #"{"address":[{"city":"x"}]}"#, #"{}"#, #"{"address":{"city":"a"},"address":null}"#] {
      let block = decode(fields, [line])
      #expect(
        block.rejections.first?.rejection.reason.hasPrefix("required field city (address.city) is missing or null") == true, "\(line)")
    }
  }

  @Test func manyNamesBelowOneMemberAreFound() throws {
    let fields = try (0..<300).map { Field(name: "f\($0)", type: .int64, path: try path("m.n\($0)")) }
    let members = (0..<300).reversed().map { "\"n\($0)\":\($0),\"other\($0)\":0" }.joined(separator: ",")
    let block = decode(fields, ["{\"m\":{\(members)}}", "{\"m\":{\"n7\":8}}"])
    for i in 0..<300 {
      #expect(block.columns[i].literal(0) == .int64(Int64(i)) && block.columns[i].literal(1) == (i == 7 ? .int64(8) : .null))
    }
  }

  @Test func theGrammarOfARecordIsTheSameWithPathsAndWithout() throws {
    var random = SystemRandomNumberGenerator()
    let plain = [Field(name: "id", type: .string)]
    let nested =
      plain + [
        Field(name: "x", type: .string, path: try path("a.b.none")), Field(name: "y", type: .string, path: try path("a.c[1].none")),
        Field(name: "z", type: .string, path: try path("m[0][2].none")),
      ]
    let record = #"{"id":"1","a":{"b":{"q":[1,{"r":null}]},"c":[{},{"s":"\u00e9"},true]},"m":[[0,1.5e3,{"t":[]}],-2], "n" : { } }"#
    for _ in 0..<2000 {
      var bytes = Array(record.utf8)
      for _ in 0..<Int.random(in: 1...2, using: &random) where bytes.count > 1 {
        let at = Int.random(in: 1..<bytes.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes.remove(at: at)
        case 1: bytes.insert(Array("{}[],:\" 0".utf8).randomElement(using: &random)!, at: at)
        case 2: bytes[at] = Array("{}[],:\" 0x\u{1}".utf8).randomElement(using: &random)!
        default: bytes = Array(bytes[..<at])
        }
      }
      let block = RawBlock(records: [bytes])
      let (a, b) = (RecordDecoder(fields: plain).decode(block), RecordDecoder(fields: nested).decode(block))
      #expect(a.valid == b.valid, "\(String(decoding: bytes, as: UTF8.self)): \(a.rejections) \(b.rejections)")
    }
  }

  // MARK: Times

  @Test func textIsATimeInAnyOfItsForms() {
    let cases: [(String, Int64)] = [
      ("2015-09-12T00:46:58.771Z", 1_442_018_818_771_000), ("2015-09-12T00:46Z", 1_442_018_760_000_000),
      ("2015-09-12 00:46+00:00", 1_442_018_760_000_000), ("2015-09-12t02:46+02", 1_442_018_760_000_000),
      ("2015-09-12T02:46+0200", 1_442_018_760_000_000), ("2015-09-11T19:16:58-05:30", 1_442_018_818_000_000),
      ("2015-09-12T00:46:58.7z", 1_442_018_818_700_000), ("2015-09-12T00:46:58.123456789Z", 1_442_018_818_123_456),
      ("1969-12-31T23:59:59.9999999Z", -1), ("0001-01-01T00:00Z", FieldValues.timestampMin),
    ]
    for (text, expected) in cases { #expect(TimestampText.parse(text).microseconds == expected, "\(text)") }
    let wrong: [(String, String)] = [
      ("2015-09-12T00:46:58", "needs a zone"), ("2015-09-12T00:46", "needs a zone"), ("2015-09-12 00:46:58.5", "needs a zone"),
      ("2015-09-12", "a time of day and a zone"), ("2015-13-12T00:46Z", "no such date"), ("2015-02-29T00:00Z", "no such date"),
      ("2015-09-12T24:00Z", "no such date"), ("2015-09-12T00:46:58.1234567890Z", "1 to 9 digits"),
      ("2015-09-12T00:46:58.Z", "1 to 9 digits"),
      ("2015-09-12T00:46:Z", "the form"), ("2015-09-12T00:46+2", "a zone has the form"), ("2015-09-12T00:46+02:0", "a zone has the form"),
      ("2015-09-12T00:46+24", "a zone has the form"), ("2015-09-12T00:46 +02", "the form"), ("", "the form"), ("1442018818", "the form"),
      ("2015-09-12T00Z", "the form"), ("0001-01-01T00:00+01", "years 1 to 9999"),
    ]
    for (text, reason) in wrong {
      let result = TimestampText.parse(text)
      #expect(result.microseconds == nil && result.reason.contains(reason), "\(text): \(result.reason)")
    }
  }

  @Test func epochsAreNumbersOrTextWithFractions() {
    let fields = [
      Field(name: "s", type: .timestamp, encoding: .seconds), Field(name: "ms", type: .timestamp, encoding: .milliseconds),
      Field(name: "us", type: .timestamp, encoding: .microseconds),
    ]
    let cases: [(String, Int64, Int64, Int64)] = [
      ("1700000000", 1_700_000_000_000_000, 1_700_000_000_000, 1_700_000_000),
      ("1700000000.123", 1_700_000_000_123_000, 1_700_000_000_123, 1_700_000_000),
      ("-0.0000005", -1, -1, -1), ("-1.5", -1_500_000, -1500, -2), ("1.7e9", 1_700_000_000_000_000, 1_700_000_000_000, 1_700_000_000),
      ("0.00000099999999999999999999999999999999999999999999999999", 0, 0, 0), ("-1e-400", -1, -1, -1), ("0e400", 0, 0, 0),
      ("1.00000000000000000000000000000000000000000000000000", 1_000_000, 1000, 1),
      ("-1.00000000000000000000000000000000000000000000000001", -1_000_001, -1001, -2),
    ]
    for (number, s, ms, us) in cases {
      for text in [number, "\"\(number)\""] {
        let block = decode(fields, ["{\"s\":\(text),\"ms\":\(text),\"us\":\(text)}"])
        #expect(block.columns.map { $0.literal(0) } == [.timestamp(s), .timestamp(ms), .timestamp(us)], "\(text) \(block.rejections)")
      }
    }
    let wrong: [(String, String)] = [
      ("1e400", "not in the years"), ("253402300800", "not in the years"), ("\"1e20\"", "not in the years"),
      ("\"\"", "not a number of seconds"),
      ("\"2015-09-12T00:46Z\"", "not a number of seconds since 1970; a date as text is a timestamp"), ("\" 1\"", "not a number"),
      ("\"1x\"", "not a number"),
      ("\"+1\"", "not a number"), ("\"01\"", "not a number"), ("true", "expected a timestamp number"),
      ("99999999999999999999999999999999999999999", "not in the years"),
    ]
    for (text, reason) in wrong {
      let block = decode(fields, ["{\"s\":\(text)}"])
      #expect(block.rejections.first?.rejection.reason.contains(reason) == true, "\(text): \(block.rejections)")
    }
    let natural = decode([Field(name: "t", type: .timestamp)], [#"{"t":1700000000}"#, #"{"t":"2015-09-12T00:46\u005a"}"#])
    #expect(natural.rejections.first?.rejection.reason.contains("timestamp_ms") == true && natural.valid == [false, true])
  }
}
