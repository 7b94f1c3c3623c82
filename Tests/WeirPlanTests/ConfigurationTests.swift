import Foundation
import Testing
import WeirCore
import WeirOperators

@testable import WeirConfiguration
@testable import WeirPlan

struct ConfigurationTests {
  private static let good = """
    pipeline: p
    source: {capture: {stream: s}}
    record:
      format: json
      key: user
      time: {field: t, out_of_order: 2s}
      fields: {id: string!, user: string, t: timestamp_ms!, n: int64, amount: "decimal(12,2)"}
    dedup: {id: id, within: 10s}
    silver: {partition_by: day(t)}
    gold:
      g:
        by: [user]
        window: {tumbling: 10s, lateness: 5s}
        measure: {rows: count(), total: sum(amount)}
    state:
      st: {by: [user], measure: {rows: count()}}
    """

  private func problems(_ from: String, _ to: String) -> [Diagnostic] {
    let yaml = ConfigurationTests.good.replacingOccurrences(of: from, with: to)
    do {
      return try loadPipeline(yaml: yaml, file: "p.yaml").warnings
    } catch { return error.diagnostics }
  }

  @Test func theGoodFileIsGood() { #expect(problems("", "").isEmpty) }

  @Test func everyMistakeIsToldWithPlaceReasonAndTheNearestName() {
    let cases: [(from: String, to: String, code: String, line: Int, column: Int, suggestion: String?)] = [
      ("dedup:", "dedupe:", "unknown_key", 8, 1, "dedup"),
      ("key: user", "key: usr", "unknown_column", 5, 8, "user"),
      ("n: int64", "n: int46", "bad_type", 7, 60, "int64"),
      ("within: 10s", "within: 10x", "bad_duration", 8, 25, nil),
      ("tumbling: 10s", "tumbling: 0s", "impossible_window", 13, 24, nil),
      ("sum(amount)", "sum(amout)", "expression", 14, 41, "amount"),
      ("sum(amount)", "\"quantile(amount, 0.5)\"", "not_yet", 14, 37, nil),
      ("capture: {stream: s}", "lake: {stream: t}", "not_yet", 2, 10, nil),
      ("day(t)", "day(n)", "type_mismatch", 9, 24, nil),
      ("day(t)", "day(tt)", "unknown_column", 9, 24, "t"),
      ("measure: {rows: count(), total", "measure: {rows: count(), user", "duplicate_name", 14, 30, nil),
      ("measure: {rows: count()}}", "measure: {rows: count()}, ttl: 0s}", "bad_duration", 16, 51, nil),
      ("measure: {rows: count()}}", "measure: {rows: count()}, ttl: 36501d}", "bad_duration", 16, 51, nil),
      ("measure: {rows: count()}}", "measure: {rows: count()}, ttl: soon}", "bad_duration", 16, 51, nil),
    ]
    for item in cases {
      let found = problems(item.from, item.to)
      #expect(found.count == 1, "\(item.to): \(found.map(\.text))")
      guard let first = found.first else { continue }
      #expect(first.code == item.code && first.line == item.line && first.column == item.column, "\(first.text)")
      #expect(first.suggestion == item.suggestion, "\(first.text)")
    }
  }

  @Test func `a ttl is a part of a state table's meaning, and needs an event time`() throws {
    let state = ("measure: {rows: count()}}", "measure: {rows: count()}, ttl: 30d}")
    #expect(problems(state.0, state.1).isEmpty)
    let plan = try loadPipeline(yaml: ConfigurationTests.good.replacingOccurrences(of: state.0, with: state.1), file: "p.yaml").plan
    let month: Int64 = 30 * 86_400_000_000
    #expect(plan.state[0].ttlMicroseconds == month)
    let without = try loadPipeline(yaml: ConfigurationTests.good, file: "p.yaml").plan
    #expect(PlanMeaning.hash(plan) != PlanMeaning.hash(without) && !PlanMeaning.text(without).contains("ttl"))
    #expect(PlanMeaning.changes(from: try PlanMeaning.json(without), to: try PlanMeaning.json(plan)) == ["state.st.ttl: added (30 d)"])
    let untimed = """
      pipeline: p
      source: {capture: {stream: s}}
      record: {format: json, key: user, fields: {user: string}}
      state: {st: {by: [user], measure: {rows: count()}, ttl: 1h}}
      """
    #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: untimed, file: "p.yaml") }
  }

  @Test func hoppingWindowsMustFit() {
    let window = "{tumbling: 10s, lateness: 5s}"
    #expect(problems(window, "{hopping: 60s, every: 7s}").first?.code == "impossible_window")
    #expect(problems(window, "{hopping: 60s}").first?.code == "impossible_window")
    #expect(problems(window, "{hopping: 60s, every: 5s}").isEmpty)
  }

  @Test func thePlansMeaningChangesWithMeaningAlone() throws {
    func meaning(_ from: String, _ to: String) throws -> JSONValue {
      let yaml = ConfigurationTests.good.replacingOccurrences(of: from, with: to)
      return try PlanMeaning.json(try loadPipeline(yaml: yaml, file: "p.yaml").plan)
    }
    let base = try meaning("", "")
    #expect(try meaning("silver:", "lake: {path: ./elsewhere, codec: snappy, flush: {bytes: 1MiB}}\nsilver:") == base)
    let changed = try meaning("tumbling: 10s", "tumbling: 60s")
    #expect(changed != base)
    #expect(PlanMeaning.changes(from: base, to: changed) == ["gold.g.window.size: 10 s -> 60 s"])
  }

  @Test func aChangeIsToldByNameInTheWordsOfTheFile() throws {
    func meaning(_ from: String, _ to: String) throws -> JSONValue {
      let yaml = ConfigurationTests.good.replacingOccurrences(of: from, with: to)
      return try PlanMeaning.json(try loadPipeline(yaml: yaml, file: "p.yaml").plan)
    }
    let cases: [(from: String, to: String, lines: [String])] = [
      ("fields: {id", "fields: {z: int64!, id", ["record.fields.z: added (int64!)", "silver.columns.z: added (z)"]),
      ("n: int64, ", "", ["record.fields.n: removed (it was int64)", "silver.columns.n: removed (it was n)"]),
      ("n: int64", "n: double", ["record.fields.n: int64 -> double"]),
      (
        "{tumbling: 10s, lateness", "{hopping: 60s, every: 10s, lateness",
        ["gold.g.window.size: 10 s -> 60 s", "gold.g.window.every: added (10 s)"]
      ),
      (
        "out_of_order: 2s", "out_of_order: 250ms, max_ahead: 1h",
        ["record.time.out_of_order: 2 s -> 250 ms", "record.time.max_ahead: added (1 h)"]
      ),
      ("within: 10s", "within: 7d", ["dedup.within: 10 s -> 7 d"]),
      (", within: 10s", "", ["dedup.within: removed (it was 10 s)"]),
      ("sum(amount)", "sum(n)", ["gold.g.measure.total: sum(amount) -> sum(n)"]),
      (
        "{partition_by: day(t)}", "{partition_by: month(t)}",
        ["silver.partition_by.t_day: removed (it was day(t))", "silver.partition_by.t_month: added (month(t))"]
      ),
      ("  st: {", "  v: {by: [id], measure: {c: count()}}\n  st: {", ["state.v: added"]),
      (
        "measure: {rows: count(), total: sum(amount)}", "measure: {total: sum(amount), rows: count()}",
        ["gold.g.measure: the order rows, total -> total, rows"]
      ),
      ("key: user", "key: id", ["record.key: user -> id"]),
    ]
    for item in cases {
      #expect(PlanMeaning.changes(from: try meaning("", ""), to: try meaning(item.from, item.to)) == item.lines, "\(item.to)")
    }
  }

  @Test func longTextsAreShownWhereTheyDiffer() throws {
    let shared = String(repeating: "n > 1 and ", count: 12)
    func meaning(_ end: String) throws -> JSONValue {
      let yaml = ConfigurationTests.good + "\n"
      let check = "checks:\n  - {name: long, that: \"\(shared)n < \(end)\"}\n"
      return try PlanMeaning.json(
        try loadPipeline(yaml: yaml.contains("checks:") ? yaml.replacing("checks:\n", with: check) : yaml + check, file: "p.yaml").plan)
    }
    let found = try #require(PlanMeaning.changes(from: try meaning("5"), to: try meaning("7")).first)
    let sides = found.split(separator: " -> ")
    #expect(sides.count == 2 && sides[0].contains("n < 5") && sides[1].contains("n < 7") && found.utf8.count < 200, "\(found)")
  }

  @Test func aPlanThatAnEarlierVersionWroteIsReadAndWrittenTheSame() throws {
    let field = #"{"encoding":"natural","name":"city","path":["address","city"],"required":false,"type":{"string":{}}}"#
    let column = #"{"node":{"column":{"_0":0}},"text":"city","type":{"string":{}}}"#
    let list = #"{"inList":{"_0":\#(column),"_1":[{"string":{"_0":"Bern"}},{"null":{}}]}}"#
    let expr = #"{"node":\#(list),"text":"city in ('Bern', null)","type":{"bool":{}}}"#
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    let readField = try JSONDecoder().decode(Field.self, from: Data(field.utf8))
    #expect(readField.path == [.name("address"), .name("city")])
    #expect(String(decoding: try encoder.encode(readField), as: UTF8.self) == field)
    let readExpr = try JSONDecoder().decode(Expr.self, from: Data(expr.utf8))
    #expect(String(decoding: try encoder.encode(readExpr), as: UTF8.self) == expr)
    let inputs = [InputColumn(name: "city", type: .string, nullable: true, origin: .field(0))]
    #expect(try compileExpression(readExpr.text, inputs: inputs) == readExpr)
    let indexed = Field(name: "x", type: .string, path: [.name("a"), .index(3)])
    #expect(try JSONDecoder().decode(Field.self, from: try encoder.encode(indexed)) == indexed)
  }

  @Test func theDeepestExpressionIsStoredAndComparedWherever() throws {
    // As deep as it may be, in the places with the most levels around it.
    let deep = (0..<165).map { "n = \($0)" }.joined(separator: " or ")
    let shallow = (0..<400).map { "n = \($0)" }.joined(separator: " or ")
    var nots = "n = 1"
    while true {
      let more = "not " + nots
      let yaml = ConfigurationTests.good.replacingOccurrences(of: "by: [user]", with: "by: [user, \"\(more) as deep\"]")
      guard (try? loadPipeline(yaml: yaml, file: "p.yaml")) != nil else { break }
      nots = more
    }
    #expect(nots.count > 400)
    for text in [deep, shallow, nots] {
      let yaml = ConfigurationTests.good.replacingOccurrences(of: "by: [user]", with: "by: [user, \"\(text) as deep\"]")
      let plan = try loadPipeline(yaml: yaml, file: "p.yaml").plan
      let meaning = try PlanMeaning.json(plan)
      let other = try PlanMeaning.json(try loadPipeline(yaml: ConfigurationTests.good, file: "p.yaml").plan)
      // In an entry it is two levels deeper.
      #expect(try JSONValue(parsing: JSONValue.members(["a": .members(["b": meaning])]).bytes)["a"]?["b"] == meaning)
      #expect(PlanMeaning.changes(from: other, to: meaning).first?.contains("gold.g.by.deep: added") == true)
    }
  }

  @Test func manyChangesEndWithTheirNumber() throws {
    let yaml = ConfigurationTests.good
    let fields = (0..<12).map { "f\($0): int64" }.joined(separator: ", ")
    let old = try PlanMeaning.json(try loadPipeline(yaml: yaml, file: "p.yaml").plan)
    let new = try PlanMeaning.json(
      try loadPipeline(yaml: yaml.replacingOccurrences(of: "{id: string!", with: "{\(fields), id: string!"), file: "p.yaml").plan)
    let lines = PlanMeaning.changes(from: old, to: new)
    #expect(lines.count == 9 && lines.last == "and 16 more", "\(lines)")
    #expect(PlanMeaning.changes(from: .object([]), to: new).count == 1)
  }

  @Test func namesOfColumnsThatDeltaTakesForOneAreRefused() {
    let silver = "silver: {partition_by: day(t)}"
    let cases: [(from: String, to: String, line: Int, column: Int)] = [
      (silver, "silver: {columns: \"*, n + 1 as N\"}", 9, 23),
      (silver, "silver: {columns: [id, \"n + 1 as ID\"]}", 9, 24),
      (silver, "silver: {columns: \"t, id as T_DAY\", partition_by: day(t)}", 9, 51),
      ("n: int64", "N: int64, n: int64", 9, 9),
      ("by: [user]\n", "by: [user as Window_Start]\n", 12, 10),
      ("by: [user]\n", "by: [user, id as USER]\n", 12, 16),
      ("measure: {rows: count(), total", "measure: {rows: count(), Revision", 14, 30),
      ("measure: {rows: count(), total", "measure: {rows: count(), ROWS", 14, 30),
      ("st: {by: [user], measure: {rows:", "st: {by: [user], measure: {User:", 16, 30),
      ("st: {by: [user], measure: {rows:", "st: {by: [user], measure: {_fence:", 16, 30),
    ]
    for item in cases {
      let found = problems(item.from, item.to)
      let names = found.map(\.text)
      #expect(found.count == 1, "\(item.to): \(names)")
      guard let first = found.first else { continue }
      #expect(first.code == "duplicate_name" && first.line == item.line && first.column == item.column, "\(item.to): \(first.text)")
    }
    #expect(problems(silver, "silver: {columns: \"*, n + 1 as m\"}").isEmpty)
  }

  @Test(arguments: ["a b", " a", "a ", "a,b", "a;b", "a{b", "a}b", "a(b", "a)b", "a=b", "a\tb", "a\u{A0}b", "a\u{7}b", ""])
  func namesOfColumnsThatReadersRefuseAreRefused(name: String) {
    let silver = "silver: {partition_by: day(t)}"
    let text = name.replacingOccurrences(of: "\t", with: "\\t").replacingOccurrences(of: "\u{7}", with: "\\a")
    let cases: [(from: String, to: String, line: Int, column: Int)] = [
      (silver, "silver: {columns: [\"n as \\\"\(text)\\\"\"]}", 9, 20),
      ("by: [user]\n", "by: [\"user as \\\"\(text)\\\"\"]\n", 12, 10),
      ("measure: {rows: count(), total", "measure: {rows: count(), \"\(text)\"", 14, 30),
      ("st: {by: [user], measure: {rows:", "st: {by: [user], measure: {\"\(text)\":", 16, 30),
      ("n: int64", "\"\(text)\": int64", 9, 9),
    ]
    for item in cases where !name.isEmpty || item.line == 9 && item.column == 20 {
      let found = problems(item.from, item.to)
      #expect(
        found.contains { $0.code == "bad_name" && $0.line == item.line && $0.column == item.column }, "\(item.to): \(found.map(\.text))")
    }
  }

  @Test func theLongestNameOfAColumnIs255BytesLong() {
    let (longest, longer) = (String(repeating: "é", count: 127) + "x", String(repeating: "é", count: 128))
    #expect(problems("{rows: count(), total", "{rows: count(), \(longest)").isEmpty)
    #expect(problems("{rows: count(), total", "{rows: count(), \(longer)").map(\.code) == ["bad_name"])
  }
}
