import Testing
import WeirConfiguration
import WeirCore
import WeirPlan
import WeirTesting

@testable import WeirInfer

/// Pipelines from records. Tests/EndToEnd/inferred_pipelines_run.py replays streams with them, and compares types with another program's.
@Suite struct InferTests {
  private func infer(_ records: [String], _ form: CaptureForm = .lines) throws -> (yaml: String, plan: Plan) {
    let yaml = try InferredPipeline(RecordSample(records), form: form, capture: "orders.ndjson", stream: "orders").yaml
    return (yaml, try loadPipeline(yaml: yaml, file: "/p.yaml").plan)
  }

  private func types(_ values: [String], name: String = "v") throws -> String {
    let plan = try infer(values.map { "{\"other\":0,\"\(name)\":\($0)}" }).plan
    return plan.record.fields.dropFirst().map { field in
      (field.encoding == .natural ? field.type.name : "\(field.encoding)") + (field.required ? "!" : "")
        + (field.coerce == nil ? "" : " coerce")
    }.joined(separator: ", ")
  }

  @Test func aTypeIsTheNarrowestThatHoldsAllValues() throws {
    #expect(try types(["1", "-9223372036854775808"]) == "int64!")
    #expect(try types(["1", "9223372036854775808"]) == "decimal(38,0)!")
    #expect(try types(["1", "2.5"]) == "double!" && types(["1", "1e3"]) == "double!")
    #expect(try types(["1", "2.5"], name: "price") == "decimal(18,2)!")
    #expect(try types(["1", "2.12345"], name: "price") == "double!")
    #expect(try types(["true", "null"]) == "bool")
    #expect(try types(["\"a\"", "\"1\""]) == "string!")
    #expect(try types(["\"a\"", "1"]) == "string! coerce", "text and numbers")
    #expect(try types(["true", "1"]) == "string! coerce" && types(["1", "\"2\""]) == "int64! coerce" && types(["1", "[]"]) == "json!")
    #expect(try types(["{}", "{}"]) == "json!" && types(["[]", "[]"]) == "json!" && types(["null", "null"]) == "json")
    #expect(try types(["[1,2]", "[]"]) == "list<int64>!" && types(["[1,\"a\"]", "[]"]) == "json!")
    #expect(try types(["[{\"a\":1,\"b\":\"x\"}]", "[{\"a\":2.5}]"]) == "list<struct<a:double,b:string>>!")
  }

  @Test func textThatIsNumbersTimesOrTruthIsReadAsSuch() throws {
    #expect(try types(["\"1.50\"", "\"2\""], name: "weight") == "double! coerce")
    #expect(try types(["\"1\"", "\"2\""], name: "quantity") == "int64! coerce")
    #expect(try types(["\"1\"", "\"2\""], name: "id") == "string!", "digits of an id")
    #expect(try types(["\"01\"", "\"02\""], name: "quantity") == "string!", "digits with zeros before")
    #expect(try types(["\"true\"", "\"False\""]) == "bool! coerce")
    #expect(try types(["\"2026-03-01T12:00:00Z\"", "\"2026-03-01 12:00:00+0100\""]) == "timestamp!")
    #expect(try types(["\"2026-03-01 12:00:00\"", "\"2026-03-02\""]) == "timestamp! coerce", "with a zone that is a guess")
    #expect(try types(["1772366400123", "1772366401123"], name: "ts") == "milliseconds!")
    #expect(try types(["1772366400", "1772366401"], name: "bytes") == "int64!", "no name of a time")
  }

  @Test func threeWrongValuesInAHundredAreCountedAndNoMore() throws {
    let numbers = (0..<120).map { "{\"n\":\($0)}" }
    let wrong = ["{\"n\":[]}", "{\"n\":{}}", "{\"n\":[1]}", "{\"n\":[2]}"]
    let few = try infer(numbers + wrong.prefix(3))
    #expect(few.plan.record.fields.map(\.type) == [.int64] && few.yaml.contains("look different, and may be quarantined: 3"))
    #expect(try infer(numbers + wrong).plan.record.fields.map(\.encoding) == [.json])
    #expect(try infer(Array(numbers.prefix(90)) + wrong.prefix(1)).plan.record.fields.map(\.encoding) == [.json], "too few to say")
  }

  @Test func rolesAreTheFieldsThatBehaveLikeThem() throws {
    var records: [String] = []
    for i in 0..<200 {
      let time = 1_772_366_400_000 + i * 1000 - (i % 10 == 0 ? 4000 : 0)
      let record = "{\"order_id\":\"o-\(i)\",\"customer\":{\"id\":\"c-\(i % 7)\"},\"ts\":\(time),\"amount\":\"\(i).50\"}"
      records += i % 50 == 3 ? [record, record] : [record]
    }
    let (yaml, plan) = try infer(records)
    let fields = plan.record.fields
    #expect(plan.record.time.map { fields[$0.field].name } == "ts" && plan.record.time?.outOfOrderMicroseconds == 5_000_000)
    #expect(plan.record.key.map { fields[$0].name } == "customer_id")
    #expect(yaml.contains("dedup: {id: order_id, within: 1m}  # ids that repeat: 4, at most 0s apart"))
    #expect(yaml.contains("amount: {type: \"decimal(18,2)!\", coerce: true}") && yaml.contains("path: customer.id"))
  }

  @Test func anIDOfDifferentRecordsIsNone() throws {
    let yaml = try infer((0..<100).map { "{\"id\":\"i-\($0 / 2)\",\"n\":\($0)}" }).yaml
    #expect(yaml.contains("# dedup:") && !yaml.contains("\ndedup:"))
  }

  @Test func dedupIsActiveOnlyWhereAllRepeatsAreEqualRecords() throws {
    func records(_ repeated: (Int) -> String?) -> [String] {
      (0..<200).flatMap { i -> [String] in
        let record = "{\"id\":\"e-\(i)\",\"v\":1,\"ts\":\(1_772_366_400_000 + i * 1000)}"
        return [record] + [repeated(i)?.replacing("#", with: record)].compactMap { $0 }
      }
    }
    let none = try infer(records { _ in nil })
    #expect(none.plan.dedup == nil && none.yaml.contains("\n# dedup: {id: id, within: 1h}  (no id repeats. Remove the #"), "\(none.yaml)")
    #expect(try infer(records { $0 % 50 == 1 ? "#" : nil }).plan.dedup?.id == 0)
    let change = "{\"id\":\"e-100\",\"v\":2,\"ts\":1772366500500}"
    let changed = try infer(records { $0 == 100 ? change : nil })
    #expect(
      changed.plan.dedup == nil && changed.yaml.contains("with another record than before, which dedup drops: 1. Remove"), "\(changed.yaml)"
    )
    // One that differs is enough: it would be lost.
    let both = try infer(records { $0 == 100 ? change : $0 % 50 == 1 ? "#" : nil })
    #expect(both.plan.dedup == nil && both.yaml.contains("\n# dedup: {id: id, "), "\(both.yaml)")
  }

  @Test func recordsInTheEnvelopeOfConnectAreTheirPayload() throws {
    let envelope = (0..<20).map { i in
      "{\"schema\":{\"type\":\"struct\",\"optional\":false},\"pay\\u006coad\":{\"op\":\"c\",\"after\":{\"n\":\(i)},\"ts_ms\":\(1_772_366_400_000 + i)}}"
    }
    let odd = ["null", "{\"schema\":null,\"payload\":null}", "{\"schema\":{\"type\":\"struct\"},\"payload\":null}"]
    let (yaml, plan) = try infer(envelope + odd + ["{\"op\":\"d\",\"after\":{\"n\":9},\"ts_ms\":1772366400099}"])
    #expect(plan.record.envelope == .connect && plan.record.tombstones == .drop, "\(yaml)")
    #expect(plan.record.fields.map(\.name) == ["op", "after_n", "ts_ms"])
    #expect(
      yaml.contains("records without a value: 2") && yaml.contains("which a replay quarantines: 1") && yaml.contains("from 21 records"))
    // Members of the same names that are the record's own.
    let own = try infer((0..<20).map { "{\"schema\":\"v1\",\"payload\":{\"n\":\($0)}}" })
    #expect(own.plan.record.envelope == nil && own.plan.record.fields.map(\.name) == ["schema", "payload_n"])
    // Flattened changes have tombstones, too.
    let flat = try infer(["{\"a\":1}", "null", "{\"a\":2}"])
    #expect(flat.plan.record.envelope == nil && flat.plan.record.tombstones == .drop)
  }

  @Test(arguments: ["null", "True", "123", "1e3", "0x1F", "-", "---", "y", "no", "NULL", "0b1", "012"])
  func aNameThatYAMLTakesForSomethingElseIsQuoted(_ name: String) throws {
    let record = "{\"id\":\"a\",\"ts\":\"2026-03-01T00:00:00Z\"}"
    let yaml = try InferredPipeline(RecordSample([record]), form: .lines, capture: "x", stream: name).yaml
    let plan = try loadPipeline(yaml: yaml, file: "/p.yaml").plan
    #expect(plan.pipeline == name && plan.source.stream == name && plan.gold.map(\.name) == ["\(name)_per_window"], "\(yaml)")
  }

  @Test func rowsWithANameTwiceAreRefused() {
    let error = #expect(throws: WeirError.self) { try infer(["a,b,a", "1,2,3"], .rows(delimiter: ",")) }
    #expect(error?.message.contains("has the name a twice") == true && error?.advice?.contains("name of its own") == true)
  }

  /// Names as attackers and other languages have them.
  private static let names = [
    "a", "A", "a.b", "a[0]", "\\\"q\\\"", "", " ", "_id", "__op", "$ref", "0", "123", "case", "null", "true", "ä", "名前", "x\\ny", "a/b",
    "#", "user id",
    "order-total", "ts", "time", "id", "user_id", "price", "item", "records", "_index", "\\u202e", "\\u007f", "\\u0085", "\\ufeff",
    "\\u0001", "on", "day(x)", "'", "a: b", "{", "&x",
    "*x", "!x", "%",
  ]

  private func value(_ random: inout SplitMix64, depth: Int) -> String {
    switch random.below(depth > 3 ? 9 : 12) {
    case 0: return "null"
    case 1: return random.chance(0.5) ? "true" : "false"
    case 2: return String(Int64(truncatingIfNeeded: random.next()) >> Int64(random.below(60)))
    case 3: return "\(random.below(1000)).\(random.below(1000))"
    case 4: return "1e\(random.below(300))"
    case 5: return "\"2026-03-01T12:\(10 + random.below(50)):00\(random.chance(0.7) ? "Z" : "")\""
    case 6: return "\(1_772_366_400_000 + random.below(100_000))"
    case 7: return "\"\(random.below(50))\""
    case 8: return "\"text \(random.below(9))\""
    case 9: return "[" + (0..<random.below(3)).map { _ in value(&random, depth: depth + 1) }.joined(separator: ",") + "]"
    default: return object(&random, depth: depth + 1)
    }
  }

  private func object(_ random: inout SplitMix64, depth: Int) -> String {
    let members = (0..<(1 + random.below(6))).map { _ in
      "\"\(InferTests.names[random.below(InferTests.names.count)])\":\(value(&random, depth: depth))"
    }
    return "{\(members.joined(separator: ","))}"
  }

  @Test(arguments: Cases.seeds(0..<300, debugStep: 20)) func everyInferredPipelineIsValidAndTheSameAgain(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    // Records of one shape, some with changes.
    var shape = SplitMix64(seed: seed)
    var records: [String] = []
    for _ in 0..<(1 + random.below(150)) {
      var own = random.chance(0.8) ? SplitMix64(seed: seed &+ 7) : random
      records.append(object(&own, depth: 0))
      _ = random.next()
    }
    _ = shape.next()
    records += [object(&shape, depth: 0), "{\"z\":1}", "not JSON", "[1]"]
    let sample = RecordSample(records)
    let first = try InferredPipeline(sample, form: .lines, capture: "x\ny.json", stream: "x").yaml
    #expect(throws: Never.self, "\(first)") { try loadPipeline(yaml: first, file: "/p.yaml") }
    #expect(try InferredPipeline(sample, form: .lines, capture: "x\ny.json", stream: "x").yaml == first)
  }

  // MARK: Forms

  private func form(_ text: String) -> CaptureForm? { CaptureForm(Array(text.utf8)) }

  @Test func theFormIsRecognisedByTheFirstBytes() {
    #expect(form("{\"a\":1}\n{\"a\":2}\n") == .lines && form("  {\"a\":1}") == .lines && form("null\n{}\n") == .lines)
    #expect(
      form("{\"a\":1}{\"a\":2}") == .concatenated && form("{\n  \"a\": 1\n}\n") == .concatenated && form("{\"a\":\"}\"}{}") == .concatenated
    )
    #expect(form("[{\"a\":1},\n{\"a\":2}]") == .array && form("{\"a\":\"cut o") == .lines)
    #expect(form("a,b\n1,2\n3,4\n") == .rows(delimiter: ",") && form("\u{FEFF}a;b\r\n1,5;2\r\n") == .rows(delimiter: ";"))
    #expect(form("a\tb\n1\t2,3\n") == .rows(delimiter: "\t") && form("\"a,x\",b\n1,2\n") == .rows(delimiter: ","))
    #expect(form("") == nil && form("plain text\nwithout rows\n") == nil && form("1,2\n3,4\n") == nil, "rows without names")
  }

  @Test func rowsHaveTheTypesOfTheirTexts() throws {
    let (yaml, plan) = try infer(
      [
        "sensor;at;temp;note", "s-1;2026-03-27 00:06:45;7,48;", "s-2;2026-03-27 00:07:03;8;\"a; b\"",
        "s-1;2026-03-27 00:08:03;8;\"say \"\"x\"\"\"",
      ],
      .rows(delimiter: ";"))
    #expect(plan.record.fields.map { $0.type.name + ($0.required ? "!" : "") } == ["string!", "timestamp!", "double!", "string"])
    #expect(yaml.contains("delimiter: \";\", decimal: \",\"") && yaml.contains("from 3 records"))
  }

  @Test func theListOfAnOuterRecordHoldsTheRecords() throws {
    let (yaml, plan) = try infer(["{\"Records\":[{\"a\":1},{\"a\":2}]}", "{\"Records\":[]}"])
    #expect(yaml.contains("framing: {each: Records}") && plan.record.fields.map(\.name) == ["a"] && yaml.contains("from 2 records"))
  }

  // MARK: Captures that show little

  @Test func oneRecordShowsItsTimeAndID() throws {
    let (yaml, plan) = try infer(["{\"order_id\":\"a\",\"ts\":\"2026-03-01T00:00:00Z\",\"v\":1}"])
    #expect(yaml.contains("from 1 record: it has no more") && !yaml.contains("1 records"), "\(yaml)")
    #expect(
      plan.record.time?.field == 1 && plan.dedup == nil && yaml.contains("# dedup: {id: order_id, within: 1h}  (no id repeats")
        && plan.gold.map(\.name) == ["orders_per_window"])
  }

  @Test func twoPipelinesOfALakeHaveTablesOfTheirOwn() throws {
    let record = "{\"id\":\"a\",\"ts\":\"2026-03-01T00:00:00Z\"}"
    let names = try ["a", "b"].map { stream in
      let yaml = try InferredPipeline(RecordSample([record]), form: .lines, capture: "x", stream: stream).yaml
      return Set(try loadPipeline(yaml: yaml, file: "/p.yaml").plan.tables.map(\.name))
    }
    #expect(names[0].isDisjoint(with: names[1]), "\(names)")
  }

  @Test func aFieldThatIsOftenNullIsNamedAsATime() throws {
    let yaml = try infer((0..<50).map { "{\"n\":\($0),\"ts\":\($0 % 5 == 0 ? "null" : "\"2026-03-01T00:00:\($0 + 10)Z\"")}" }).yaml
    #expect(yaml.contains("# time: {field: FIELD}  (ts is a time in 40 of 50: with it the records without one are quarantined"), "\(yaml)")
  }

  @Test func numbersBeyondTheLargestDoubleAreKeptAsTheyAre() throws {
    #expect(try types(["1e400", "2"]) == "json!")
    #expect(try infer(["a,b", "1,1e400"], .rows(delimiter: ",")).plan.record.fields.map(\.type) == [.int64, .string])
  }

  @Test func longDigitsOfATextKeepAllOfThem() throws {
    let digits = "4959033845027104252801850253246345"
    #expect(try types(["\"\(digits)6789012345678901234567\"", "\"\(digits)6789012345678901234568\""], name: "SequenceNumber") == "string!")
    #expect(try types(["\"12\"", "\"99999999999999999999\""], name: "quantity") == "string!")
    #expect(try types(["\"12\"", "\"13\""], name: "quantity") == "int64! coerce")
  }

  @Test func aColumnThatIsAlwaysEmptyIsAText() throws {
    let (yaml, plan) = try infer(["a,b", "1,", "2,"], .rows(delimiter: ","))
    #expect(plan.record.fields.map(\.type) == [.int64, .string] && yaml.contains("always null"))
  }

  @Test(arguments: [
    ("", "it has no records"), ("\n \n", "it has no records"), ("\u{FEFF}", "it has no records"), ("a,b\n", "one line only"),
    ("hello\n", "one line only"), ("\"{\\\"a\\\":1}\"\n", "encodes it twice"), ("\u{1}\u{2}\u{3}x", "binary data"),
    ("1.2.3.4 - - [01/Mar/2026:13:00:00 +0100] \"GET / HTTP/1.1\" 200 1\nx\n", "text log"), ("1,2\n3,4\n", "CSV"),
    ("7\n8\n", "neither JSON nor rows"),
  ]) func aCaptureWithoutRecordsSaysWhatItIs(_ text: String, _ words: String) {
    #expect(CaptureForm(Array(text.utf8)) == nil)
    let error = InferredPipeline.refused("c", first: Array(text.utf8))
    #expect(error.message.hasPrefix("no pipeline can be inferred from c: ") && error.message.contains(words), "\(error.message)")
  }

  @Test(arguments: [
    ([String](), "it has no records"), (["{}", "{}"], "no members that can be columns"), (["{\"\":1}"], "no members that can be columns"),
    (["null"], "its only record is not an object"),
    (["{'a':1}", "x"], "none of its first 2 records is an object of JSON: JSON needs double quotes"),
  ]) func recordsWithoutColumnsAreRefused(_ records: [String], _ words: String) {
    let error = #expect(throws: WeirError.self) { try infer(records) }
    #expect(error?.message.contains(words) == true, "\(String(describing: error))")
  }

  // MARK: Bounds

  @Test func theSampleAndItsPlacesAreBounded() throws {
    var sample = RecordSample()
    let record = Array("{\"a\":1}".utf8)
    var added = 0
    while record.withUnsafeBufferPointer({ sample.add($0) }) { added += 1 }
    #expect(added == RecordSample.recordsMax && sample.count == added)
    // Each record has names of its own.
    let wide = (0..<300).map { i in "{\"m\":{" + (0..<40).map { "\"k\(i)_\($0)\":1" }.joined(separator: ",") + "},\"n\":1}" }
    let fields = try infer(wide).plan.record.fields
    #expect(fields.map(\.name) == ["m", "n"] && fields[0].encoding == .json)
    let flat = (0..<60).map { i in "{" + (0..<300).map { "\"k\(i)_\($0)\":1" }.joined(separator: ",") + "}" }
    #expect(try infer(flat).plan.record.fields.count <= FieldFinder.fieldsMax)
  }

  @Test func aLongestDelayAboveAnHourDoesNotHoldWindowsBack() throws {
    let records = (0..<1000).map { i in "{\"ts\":\(1_772_366_400_000 + i * 1000 - (i % 200 == 199 ? 40_000_000 : 0))}" }
    let plan = try infer(records).plan
    #expect(plan.record.time?.outOfOrderMicroseconds == 0)
  }
}
