import Testing
import WeirCore
import WeirOperators

@Suite struct RejectionHintTests {
  private let spec = RecordSpec(
    fields: [
      Field(name: "user_id", type: .string, required: true), Field(name: "n", type: .int64), Field(name: "ok", type: .bool),
      Field(name: "price", type: .decimal(precision: 12, scale: 2)), Field(name: "at", type: .timestamp),
      Field(name: "ms", type: .timestamp, encoding: .milliseconds),
    ], key: nil, time: nil)

  /// The hint for the record as the decoder rejects it; nil where it is accepted.
  private func hint(_ record: String) -> String? {
    let decoded = RecordDecoder(fields: spec.fields).decode(RawBlock(records: [Array(record.utf8)]))
    guard let rejection = decoded.rejections.first?.rejection else { return nil }
    return RejectionHint.of(rejection, Array(record.utf8), spec) ?? ""
  }

  private func nestedHint(_ fields: [Field], _ record: String, each: [PathStep]? = nil) -> String? {
    var spec = RecordSpec(fields: fields, key: nil, time: nil)
    spec.each = each
    let decoded = spec.decoder(read: nil, keepsBlankLines: true).decode(RawBlock(records: [Array(record.utf8)]))
    return decoded.rejections.first.map { RejectionHint.of($0.rejection, Array(record.utf8), spec) ?? "" }
  }

  @Test func aRecordAtABoundIsNotCalledCutOff() {
    let list = Field(name: "l", type: .list(element: .int64))
    let many = "{\"l\":[\(Array(repeating: "1", count: 1 << 18).joined(separator: ","))]}"
    #expect(nestedHint([list], many)?.contains("declare the field as json") == true)
    #expect(nestedHint([list], many.replacing("[1,", with: "[")) == nil, "the list itself is one of the values")
    let elements = "[\(Array(repeating: "{}", count: (1 << 18) + 1).joined(separator: ","))]"
    #expect(nestedHint([Field(name: "n", type: .int64)], elements, each: [])?.contains("fewer elements") == true)
    // The end of what is looked at is not the record's.
    let long = "{\"n\":\"x\",\(String(repeating: "\"a\":1,", count: 50_000))\"b\":1}"
    #expect(nestedHint([Field(name: "n", type: .int64)], long) == "")
  }

  @Test(arguments: [
    ("{\"Records\":[{\"n\":1}]}", [PathStep.name("records")], "the outer record has Records"),
    ("{\"Detail\":{\"Items\":[]}}", [.name("detail"), .name("items")], "each: 'Detail.Items'"),
    ("[{\"n\":1}]", [.name("Records")], "each: $"), ("{\"Records\":[{\"n\":1}]}", [], "each: 'Records'"),
    ("{\"a\":{\"items\":[{\"n\":1}]}}", [.name("Records")], "each: 'a.items'"), ("{\"a\":1,\"b\":[1]}", [.name("c")], "the fields a, b"),
    ("{}", [.name("c")], "empty object"), ("{\"a\":{\"b\":{\"c\":{\"d\":[{\"n\":1}]}}}}", [.name("x")], "each: 'a.b.c.d'"),
  ]) func anOuterRecordWithoutTheArraySaysWhereOneIs(_ record: String, _ each: [PathStep], _ words: String) {
    let hint = nestedHint([Field(name: "n", type: .int64)], record, each: each)
    #expect(hint?.contains(words) == true, "\(hint ?? "accepted")")
  }

  @Test(arguments: [
    ("{\"s\":\"\\udc00\"}", "at s, "), ("{\"x\":[1,\"}\"],\"l\":[\"a,b\",\"\\ud800\"]}", "at l[1], "),
    ("{\"st\":{\"z\":{\"q\":[1,2]},\"a\":\"x\\\"\\ud800y\"}}", "at st.a, "),
  ]) func aLoneSurrogateIsReportedWithItsPath(_ record: String, _ words: String) {
    let fields = [
      Field(name: "s", type: .string), Field(name: "l", type: .list(element: .string)),
      Field(name: "st", type: .structure(members: [StructMember("a", .string)])),
    ]
    let hint = nestedHint(fields, record)
    #expect(hint?.hasPrefix(words) == true, "\(hint ?? "accepted")")
  }

  @Test(arguments: [
    ("{\"user\": {\"id\": \"a\"}}", "nested, at user.id"), ("{\"a\": {\"b\": {\"user_id\": \"a\"}}}", "nested, at a.b.user_id"),
    ("{\"a\": {\"user_id\": 1}, \"user\": {\"id\": 2}}", "nested, at user.id"), ("{\"userId\": \"a\"}", "the record has userId"),
    ("{\"USER-ID\": \"a\"}", "the record has USER-ID"), ("{\"user_di\": \"a\"}", "but user_di"),
    ("{\"x\": 1, \"y\": 2}", "the fields x, y"),
    ("{\"x\": 1, \"Records\": [{\"user_id\": \"a\"}]}", "write framing: {each: 'Records'} in record"),
    ("{}", "empty object"), ("{\"user_id\": null}", "is null"), ("{\"user_id\": 7}", "as int64"),
    ("{\"user_id\": 7.5}", "as double or decimal"),
    ("{\"user_id\": {\"id\": 1}}", "object with id"), ("{\"user_id\": [1]}", "by path: user_id[0]"),
    ("{\"user_id\": \"a\", \"n\": \"12\"}", "number is written as text"), ("{\"user_id\": \"a\", \"n\": 1.5}", "has a fraction"),
    ("{\"user_id\": \"a\", \"price\": \"1,50\"}", "decimal comma"), ("{\"user_id\": \"a\", \"price\": 1.234}", "more digits"),
    ("{\"user_id\": \"a\", \"ok\": \"TRUE\"}", "{type: bool, coerce: true}"),
    ("{\"user_id\": \"a\", \"at\": \"2026-01-31T00:00:00\"}", "no zone"),
    ("{\"user_id\": \"a\", \"at\": 1772323200}", "timestamp_s"), ("{\"user_id\": \"a\", \"at\": \"1772323200000\"}", "timestamp_ms"),
    ("{\"user_id\": \"a\", \"ms\": \"2026-01-31T00:00:00Z\"}", "declare ms as timestamp"),
    ("{\"user_id\": \"a\", \"ms\": 1772323200000000000}", "nanoseconds"),
    ("{\"user_id\": \"a\", \"ms\": 253402300800000}", "not a time in the years 1 to 9999"),
    ("a,b,c", "(CSV)"), ("a;b", "semicolons"), ("a\tb", "TSV"), ("a|b|c", "bars"), ("[", "JSON array"), ("{", "several lines"),
    ("  \"n\": 1,", "several lines"), ("},", "several lines"), ("{\"a\": 1}{\"a\": 2}", "more than one JSON object"),
    ("{'a': 1}", "double quotes"), ("{\"user_id\": 'a'}", "double quotes"), ("{user_id: \"a\"}", "double quotes around names"),
    ("{\"user_id\": \"a\", \"n\": NaN}", "no NaN"), ("{\"user_id\": \"a\", \"n\": -Infinity}", "no Infinity"),
    ("{\"user_id\": \"it's NaN, \\\" True\", \"n\": nan}", "no nan"), ("{\"user_id\": \"a\", \"n\": None}", "None is Python's"),
    ("{\"user_id\": \"a\", \"ok\": True, \"n\": NaN}", "True is Python's"), ("{\"n\": undefined}", "no undefined"),
    ("{\"user_id\": \"a\", \"n\": 1,}", "no comma after the last"), ("{\"user_id\": \"a\", \"n\": [1, 2, ]}", "no comma after the last"),
    ("{\"user_id\": \"a\", // id\n \"n\": 1}", "no comments"), ("\"{\\\"user_id\\\": \\\"a\\\"}\"", "encodes it twice"),
    ("#### connection reset by peer ####", "if all records are such lines"),
    ("<34>Oct 11 22:14:15 host su: failed", "text log"), ("level=info msg=started port=80", "text log"),
    ("[2026-01-31 10:00:00] app.INFO: done", "text log"), ("Jan 31 10:00:00 host sshd[1]: Accepted key", "text log"), ("<a/>", "XML"),
    ("data: {\"a\": 1, \"b\": 2, \"c\": 3}", "server-sent events"), ("{\"a\": 1},", "part of a JSON array"),
    ("{\"a\": 1, \"b\": \"x\",", "ends inside a JSON object"), ("{\"a\": 1,", "several lines per record"),
    ("PAR1\u{15}\u{4}", "Parquet"), ("{\0\"\0a\0", "UTF-16"), ("{\0\0\0\"\0\0\0", "iconv -f UTF-32 "),
    ("\0\0\0{\0\0\0\"", "iconv -f UTF-32 "), ("abc\u{1}", "binary"),
    ("{\"user_id\": \"a\"}\r{\"user_id\": \"b\"}", "tr '\\r' '\\n'"),
  ]) func aHintSaysWhatIsEvident(_ record: String, _ words: String) throws {
    let hint = try #require(self.hint(record), "the record is accepted")
    #expect(hint.contains(words), "\(hint)")
  }

  @Test(arguments: ["{\"user_id\": \"a\", \"n\": \"many\"}", "{\"user_id\": \"a\", \"n\": tru}", "hello", "\"text\"", "7", "   "])
  func whatIsNotEvidentHasNoHint(_ record: String) { #expect(hint(record) == "") }

  /// The element that is rejected is the record.
  @Test(arguments: [
    ("[{\"n\":1}]", [PathStep](), "format: {json: {framing: array}} besides"),
    ("[{\"n\":1}]", [PathStep.name("r")], "elements of r are arrays"),
    ("\"{\\\"n\\\":1}\"", [], "encodes it twice"), ("[1]", [], "a record is an object"),
  ]) func anElementThatIsNoRecordSaysWhatItIs(_ element: String, _ each: [PathStep], _ words: String) {
    var spec = RecordSpec(fields: [Field(name: "n", type: .int64)], key: nil, time: nil)
    spec.each = each
    let decoded = RecordDecoder(fields: spec.fields).decode(RawBlock(records: [Array(element.utf8)]))
    let hint = decoded.rejections.first.map { RejectionHint.of($0.rejection, Array(element.utf8), spec) ?? "" }
    #expect(hint?.contains(words) == true, "\(hint ?? "accepted")")
  }

  @Test func aRecordWhereAListOfThemIsExpectedNeedsNoFraming() {
    let fields = [Field(name: "id", type: .string, required: true), Field(name: "n", type: .int64)]
    #expect(nestedHint(fields, "{\"id\":\"a\"}", each: [])?.contains("leave framing out") == true)
    #expect(nestedHint(fields, "{\"x\":\"a\"}", each: [])?.contains("the fields x") == true)
  }

  @Test func aNestedFieldThatIsATextOfJSONIsReadWithItsPath() {
    let field = Field(name: "p", type: .structure(members: [StructMember("a", .int64)]))
    #expect(nestedHint([field], "{\"p\":\"{\\\"a\\\":1}\"}")?.contains("json_value(p, '$.a.b')") == true)
    #expect(nestedHint([field], "{\"p\":\"plain\"}") == "")
  }

  @Test func anEventTimeOfNullIsNotToBeMadeOptional() {
    let spec = RecordSpec(
      fields: [Field(name: "at", type: .timestamp, required: true)], key: nil, time: TimeSpec(field: 0, outOfOrderMicroseconds: 0))
    let record = Array("{\"at\": null}".utf8)
    let rejection = RecordDecoder(fields: spec.fields).decode(RawBlock(records: [record])).rejections[0].rejection
    let hint = RejectionHint.of(rejection, record, spec) ?? ""
    #expect(hint.contains("each record needs one") && !hint.contains("leave the !"), "\(hint)")
  }

  @Test func aRecordInLatin1IsToBeConverted() {
    var record = Array("{\"user_id\": \"J?rgen\"}".utf8)
    record[record.firstIndex(of: 0x3F)!] = 0xFC
    let rejection = RecordDecoder(fields: spec.fields).decode(RawBlock(records: [record])).rejections[0].rejection
    #expect(RejectionHint.of(rejection, record, spec)?.contains("iconv -f LATIN1 -t UTF-8") == true)
    let binary = record + [0, 1, 2]
    #expect(RejectionHint.of(rejection, binary, spec)?.contains("binary") == true, "binary data are not Latin-1")
  }

  @Test func aTimeWithoutAZoneGetsOneByItsField() {
    for time in [nil, TimeSpec(field: 0, outOfOrderMicroseconds: 0)] {
      let spec = RecordSpec(fields: [Field(name: "at", type: .timestamp)], key: nil, time: time)
      let record = Array("{\"at\": \"2026-01-31T00:00:00\"}".utf8)
      let rejection = RecordDecoder(fields: spec.fields).decode(RawBlock(records: [record])).rejections[0].rejection
      let hint = RejectionHint.of(rejection, record, spec) ?? ""
      #expect(hint.contains("no zone") && hint.contains("zone: Europe/Berlin") && hint.contains("timestamp!") == (time != nil), "\(hint)")
    }
  }

  @Test func aHintOfHostileBytesIsShortAndSafe() {
    var random = SystemRandomNumberGenerator()
    for size in [0, 1, 2, 3, 4, 5, 9, 10, 11, 40, 5000, 70_000] {
      for alphabet in [Array(UInt8.min...UInt8.max), Array("{}[]\",:;=-<>| \t19JanGET".utf8)] {
        let bytes = (0..<size).map { _ in alphabet.randomElement(using: &random)! }
        let hint = RejectionHint.of(Rejection(stage: .decode, reason: "field n: x"), bytes, spec) ?? ""
        #expect(hint.utf8.count < 400 && !hint.unicodeScalars.contains { $0.value < 0x20 })
      }
    }
    let deep = Array(String(repeating: "{\"a\":", count: 400).utf8) + Array("1".utf8) + Array(String(repeating: "}", count: 400).utf8)
    #expect(RejectionHint.of(Rejection(stage: .decode, reason: "required field user_id is missing or null"), deep, spec) != nil)
  }
}
