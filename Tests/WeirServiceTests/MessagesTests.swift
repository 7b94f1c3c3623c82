import Testing
import WeirCore

@testable import WeirService

/// What `weir check` says about frequent mistakes.
@Suite struct MessagesTests {
  private func pipeline(
    fields: String = "{id: string!, k: string, n: int64, ms: double, amount: \"decimal(12,2)\", t: timestamp_ms!}",
    time: String = "out_of_order: 1s",
    more: String
  ) -> String {
    """
    pipeline: p
    source: {capture: {stream: s}}
    record:
      key: k
      time: {field: t, \(time)}
      fields: \(fields)
    \(more)
    """
  }

  private func diagnostics(_ yaml: String) -> [Diagnostic] {
    do { return try loadPipeline(yaml: yaml, file: "p.yaml").warnings } catch { return error.diagnostics }
  }

  @Test(arguments: [
    ("gold: {g: {by: [k], window: {tumbling: 10s}, measure: {p95: sum(ms, 0.95)}}}", "\"sum(ms, 0.95)\"", 1),
    (
      "gold: {g: {by: [k], window: {tumbling: 10s}, measure: {p: sum(ms, 0.9), q: sum(ms, 0.95), r: max(ms, 0.95)}}}", "\"sum(ms, 0.9)\"", 3
    ),
    ("silver: {columns: [\"*\", coalesce(k, id) as who]}", "\"coalesce(k, id) as who\"", 1),
    (
      "gold: {g: {by: [date_trunc('hour', t) as h], window: {tumbling: 10s}, measure: {rows: count()}}}", "\"date_trunc('hour', t) as h\"",
      1
    ),
    ("checks:\n  - {name: c, that: k in ('a', 'b')}", "\"k in ('a', 'b')\"", 1),
    (
      "gold:\n  g:\n    by: [k]\n    window: {tumbling: 10s}\n    measure: {p95: coalesce(cast(n as double), ms)}",
      "\"coalesce(cast(n as double), ms)\"", 1
    ),
  ]) func aTextThatYAMLSplitsIsToBeQuoted(_ more: String, _ text: String, _ count: Int) throws {
    let found = diagnostics(pipeline(more: more))
    #expect(found.count == count && found.allSatisfy { $0.code == "quote_it" && $0.severity == .error }, "\(found.map(\.text))")
    let first = try #require(found.first)
    #expect(first.message.contains("quote it") && first.message.contains(text))
    let line = pipeline(more: more).split(separator: "\n", omittingEmptySubsequences: false)[first.line - 1]
    #expect(line.dropFirst(first.column - 1).hasPrefix(text.dropFirst().dropLast()), "line and column are those of the text")
  }

  @Test(arguments: [
    "{id: string!, a: decimal(12,2), t: timestamp_ms!}", "{id: string!, a: decimal(12,2)!, b: decimal(12,2), t: timestamp_ms!}",
  ])
  func aTypeThatYAMLSplitsIsToBeQuoted(_ fields: String) {
    let found = diagnostics(pipeline(fields: fields, more: "bronze: {}").replacing("  key: k\n", with: ""))
    #expect(found.allSatisfy { $0.code == "quote_it" && $0.message.contains("\"decimal(12,2)") } && !found.isEmpty, "\(found.map(\.text))")
  }

  @Test(arguments: [
    "silver: {columns: \"*, coalesce(k, id) as who\"} # {a: f(x, y)}", "silver:\n  columns: coalesce(k, id) as who",
    "checks:\n  - name: c\n    that: k in ('a', 'b')", "checks: [{name: c, that: 'k in (''a'', ''b'')'}]",
    "checks:\n  - name: c\n    that: |\n      k in ('a',\n       'b')",
  ]) func aTextThatIsWholeIsNotSplit(_ more: String) {
    #expect(FlowSplits.find(pipeline(more: more)).isEmpty)
    #expect(diagnostics(pipeline(more: more + "\nbronze: {}")).map(\.text) == [])
  }

  @Test func otherErrorsOfAFileWithoutSplitsAreReported() {
    let found = diagnostics(pipeline(more: "silver: {columns: \"nothing\"}\nbronze: {partition: x}"))
    #expect(Set(found.map(\.code)) == ["expression", "unknown_key"], "\(found.map(\.text))")
  }

  @Test func errorsThatFollowFromAnotherAreLeftOut() {
    let fields = "{id: strng!, k: string, n: integer, t: timestamp_ms!}"
    let found = diagnostics(
      pipeline(
        fields: fields,
        more: """
          lookups: {kinds: {file: nowhere.csv, key: k}}
          dedup: {id: id}
          silver: {columns: "*, n + 1 as m, kinds.name", partition_by: m}
          checks: [{name: c, that: wrong = 1}]
          gold: {g: {by: [id], window: {tumbling: 10s}, measure: {total: sum(n)}}}
          state: {s: {by: [k], measure: {total: "sum(n + 1)"}}}
          """))
    #expect(found.count == 4, "\(found.map(\.text))")
    for words in ["field id: unknown type", "field n: unknown type", "lookups.kinds: ", "unknown column wrong"] {
      #expect(found.contains { $0.message.contains(words) }, "\(words)")
    }
  }

  @Test(arguments: [
    ("k == 'a'", "written ="), ("k = 'a' && n = 1", "write and"), ("k = \"a\"", "single quotes"), ("k ilike 'A%'", "lower(x) like"),
    ("n = 1 || n = 2", "write or"), ("!(n = 1)", "write not"), ("n::double > 1", "cast(x as TYPE)"), ("`k` = 'a'", "bare"),
    ("n = 1;", "leave out"),
    ("ifnull(n, 0) = 0", "coalesce"), ("if(n = 1, true, false)", "case when"), ("t < now()", "_arrival"),
    ("k regexp 'a'", "regular expressions"),
    ("n = none", "null"), ("len(k) > 1", "length(x)"),
  ]) func habitsOfSQLGetHints(_ expression: String, _ words: String) throws {
    let quoted = "'" + expression.replacing("'", with: "''") + "'"
    let found = diagnostics(pipeline(more: "bronze: {}\nchecks: [{name: c, that: \(quoted)}]"))
    #expect(found.count == 1 && found[0].severity == .error && found[0].message.contains(words), "\(found.map(\.text))")
  }

  private func codes(_ yaml: String) -> [String] { diagnostics(yaml).map { "\($0.severity) \($0.code)" } }

  @Test func whatIsProbablyNotMeantIsWarnedOf() throws {
    let gold = "gold: {g: {by: [k], window: {tumbling: 10s}, measure: {rows: count()}}}"
    #expect(codes(pipeline(more: gold)) == [])
    #expect(codes(pipeline(time: "max_ahead: 1h", more: gold)) == ["warning no_disorder"])
    #expect(codes(pipeline(time: "out_of_order: 0s", more: gold)) == ["warning no_disorder"])
    #expect(codes(pipeline(time: "out_of_order: 0s", more: gold.replacing("10s}", with: "10s, lateness: 1s}"))) == [])
    #expect(codes(pipeline(time: "out_of_order: 0s", more: gold.replacing("10s}", with: "10s, lateness: 0s}"))) == [], "it is written down")
    #expect(codes(pipeline(time: "out_of_order: 0s", more: "bronze: {}")) == [], "nothing is late")
    #expect(codes(pipeline(more: "bronze: {}\ndedup: {id: id}")) == ["warning unbounded_state"])
    #expect(codes(pipeline(more: "bronze: {}\ndedup: {id: id, within: 36500d}")) == [])
    let overlap = gold.replacing("tumbling: 10s", with: "hopping: 1000s, every: 1s")
    #expect(codes(pipeline(more: overlap)) == [])
    #expect(codes(pipeline(more: overlap.replacing("count()", with: "sum(ms)"))) == ["warning costly_overlap"])
    #expect(codes(pipeline(more: overlap.replacing("count()", with: "sum(amount)"))) == [])
    let found = diagnostics(pipeline(time: "out_of_order: 0s", more: gold))
    #expect(found.map(\.line) == [7], "at the window")
  }

  @Test func theShippedPipelinesHaveNoWarning() throws {
    let directory = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/Deploy/Pipelines/"
    for name in ["ad-events-kafka", "ads-q2", "ads-q4", "flights", "synthetic", "wikipedia-edits"] {
      #expect(try loadPipeline(file: directory + name + ".yaml").warnings.map(\.text) == [], "\(name)")
    }
  }

  @Test func aLookupThatNothingUsesIsWarnedOf() throws {
    let directory = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/Deploy/Pipelines"
    let lookups = "lookups: {airlines: {file: \(directory)/airlines.csv, key: carrier}}"
    func yaml(_ columns: String) -> String {
      "pipeline: p\nsource: {capture: {stream: s}}\nrecord: {fields: {carrier: string}}\n\(lookups)\nsilver: {columns: \"\(columns)\"}"
    }
    #expect(codes(yaml("*")) == ["warning unused_lookup"])
    #expect(codes(yaml("*, airlines.name as airline")) == [])
  }
}
