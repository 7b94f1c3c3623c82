import Testing
import WeirCore

@testable import WeirConfiguration
@testable import WeirPlan

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
    ("gold: {g: {by: [k[0], k], window: {tumbling: 10s}, measure: {rows: count()}}}", "\"k[0]\"", 1),
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

  /// What a text of the pipeline says is no reason to leave an error out.
  @Test func wordsOfAMessageDoNotDecideWhatFollows() {
    let fields = "{id: string!, k: string, n: integer, t: timestamp_ms!}"
    let found = diagnostics(
      pipeline(fields: fields, more: "bronze: {}\nchecks: [{name: c, that: \"'unknown column n' + 1 = 2\"}, {name: d, that: n = 1}]"))
    #expect(found.count == 2 && found.contains { $0.message.contains("check c: + does not accept") }, "\(found.map(\.text))")
  }

  @Test(arguments: [
    ("k == 'a'", "written ="), ("k = 'a' && n = 1", "write and"), ("k = \"a\"", "single quotes"), ("k ilike 'A%'", "lower(x) like"),
    ("n = 1 || n = 2", "write or"), ("!(n = 1)", "write not"), ("n::double > 1", "cast(x as double) instead of x::double"),
    ("n::int = 1", "cast(x as int64)"), ("n = '1'::whatever", "cast(x as TYPE)"),
    ("n is not distinct from 1", "coalesce(x = y, x is null and y is null)"),
    ("n is distinct from 1", "coalesce(x <> y, (x is null) <> (y is null))"), ("k like \"a\"", "single quotes"),
    ("k not like \"a\"", "single quotes"), ("k ~ 'a'", "regular expressions"), ("k ~* 'a'", "regular expressions"),
    ("k !~ 'a'", "regular expressions"), ("k =~ 'a'", "regular expressions"), ("k in (array['a'])", "x in ('a', 'b')"),
    ("k = any(array['a'])", "x in ('a', 'b')"), ("k in ['a']", "x in ('a', 'b')"), ("n <=> 1", "x is null and y is null"),
    ("n notnull", "x is not null"), ("t > date '2026-01-01'", "timestamp '"), ("t + interval '1 day' > t", "epoch_ms"),
    ("json_value(k, \"$.a\") = 'b'", "single quotes"), ("length(array) = 1", "unknown column array"), ("`k` = 'a'", "bare"),
    ("n = 1;", "leave out"),
    ("ifnull(n, 0) = 0", "coalesce"), ("if(n = 1, true, false)", "case when"), ("t < now()", "_arrival"),
    ("k regexp 'a'", "regular expressions"),
    ("n = none", "null"), ("len(k) > 1", "length(x)"), ("k = “a”", "straight quotes"), ("k = ‘a’", "straight quotes"),
    ("k = 'a’", "straight quotes"), ("t > 1700000000000", "epoch_ms(t)"), ("1.5 < t", "epoch_ms(t)"),
  ]) func habitsOfSQLGetHints(_ expression: String, _ words: String) throws {
    let quoted = "'" + expression.replacing("'", with: "''") + "'"
    let found = diagnostics(pipeline(more: "bronze: {}\nchecks: [{name: c, that: \(quoted)}]"))
    #expect(found.count == 1 && found[0].severity == .error && found[0].message.contains(words), "\(found.map(\.text))")
  }

  @Test(arguments: ["*, k ilike 'a' as y", "k ilike 'a' as y", "*, k k as y", "n + 1 m"]) func wordsAfterAColumnAreTheMistakeAndNotItsName(
    _ columns: String
  ) throws {
    let found = diagnostics(pipeline(more: "silver: {columns: \"\(columns)\"}"))
    #expect(found.count == 1 && found[0].message.contains("expected ',' or as NAME"), "\(found.map(\.text))")
    #expect(found.first?.message.contains("lower(x) like") == columns.contains("ilike"))
  }

  @Test(arguments: [
    ("n = 1 and", "found the end"), ("and n = 1", "found 'and'"), ("n = or k = 'a'", "found 'or'"), ("(n = as", "found 'as'"),
    ("case when then 1 end = 1", "found 'then'"), ("like 'a'", "found 'like'"),
  ]) func aWordThatJoinsExpressionsIsNoColumn(_ expression: String, _ words: String) {
    let found = diagnostics(pipeline(more: "bronze: {}\nchecks: [{name: c, that: \"\(expression)\"}]"))
    #expect(found.count == 1 && found[0].message.contains("expected an expression, \(words)"), "\(found.map(\.text))")
    let column = diagnostics(
      pipeline(fields: "{id: string!, k: string, as: int64, t: timestamp_ms!}", more: "silver: {columns: \"*, as + 1 as x\"}"))
    #expect(column.map(\.text) == [], "a field may have such a name")
  }

  @Test(arguments: ["silver: {columns: n, k as who}", "silver: {partition_by: day(t), month(t)}", "silver: {columns: n\n  , k as who}"])
  func theRestOfATextThatYAMLSplitsIsToBeQuoted(_ more: String) {
    let found = diagnostics(pipeline(more: more))
    #expect(found.contains { $0.code == "quote_it" && $0.message.contains("quote the whole text") }, "\(found.map(\.text))")
    #expect(!found.contains { $0.code == "unknown_key" }, "\(found.map(\.text))")
  }

  @Test(arguments: [
    ("silver: {columns: *, n + 1 as z}", "begins with * in quotes"), ("silver: {columns: *x}", "begins with * in quotes"),
    ("checks: [{name: a, that: !b}]", "begins with ! in quotes"), ("silver: {columns: @x}", "begins with @ in quotes"),
    ("silver: {columns: `x`}", "begins with ` in quotes"), ("silver: {columns: %x}", "begins with % in quotes"),
    ("silver:\n\tcolumns: n", "indent with spaces"), ("silver: {columns: \"*}", "is not closed"), ("silver: {columns: n", "is not closed"),
    ("silver: {columns: > 3}", "begins with > in quotes"), ("---\nsilver: {}", "one document"),
    ("silver: \(String(repeating: "[", count: 20_000))", "nested too deep"),
  ]) func anErrorOfYAMLNamesItsCause(_ more: String, _ words: String) {
    let found = diagnostics(pipeline(more: more))
    #expect(found.count == 1 && found[0].code == "yaml" && found[0].message.contains(words), "\(found.map(\.text))")
  }

  @Test func anUnknownKeyWithoutANearOneNamesTheKeysThatExist() {
    let found = diagnostics(pipeline(more: "silver: {foo: 1}"))
    let words = "silver: unknown key foo; the keys are partition_by, columns, where, explode, tables"
    #expect(found.map(\.message) == [words], "\(found.map(\.text))")
  }

  @Test(arguments: [
    ("int", "int64"), ("integer!", "int64"), ("float", "double"), ("date", "timestamp"), ("text", "string"), ("Boolean", "bool"),
  ]) func aTypeOfAnotherLanguageHasItsNameHere(_ type: String, _ name: String) {
    let found = diagnostics(pipeline(fields: "{id: string!, k: string, t: timestamp_ms!, x: \(type)}", more: "bronze: {}"))
    #expect(found.map(\.code) == ["bad_type"] && found.first?.suggestion == name, "\(found.map(\.text))")
    let nested = diagnostics(pipeline(fields: "{id: string!, k: string, t: timestamp_ms!, x: list<\(type)>}", more: "bronze: {}"))
    #expect(type.hasSuffix("!") || nested.first?.message.hasSuffix("(did you mean \(name)?)") == true, "\(nested.map(\.text))")
  }

  @Test(arguments: [("int", "int64"), ("INTEGER", "int64"), ("float", "double"), ("date", "timestamp"), ("bol", "bool")])
  func aTypeInACastHasASuggestion(_ type: String, _ name: String) {
    let found = diagnostics(pipeline(more: "silver: {columns: \"cast(k as \(type)) as x\"}"))
    #expect(found.map(\.suggestion) == [name], "\(found.map(\.text))")
  }

  @Test(arguments: ["string?", "list<string>?", "list<string?>"]) func aTypeIsNotMarkedAsOptional(_ type: String) {
    let found = diagnostics(pipeline(fields: "{id: string!, k: string, t: timestamp_ms!, x: \"\(type)\"}", more: "bronze: {}"))
    #expect(found.count == 1 && found[0].suggestion == nil && found[0].message.contains("may be"), "\(found.map(\.text))")
    #expect(found.first?.message.contains("did you mean") == false)
  }

  @Test(arguments: [
    ("checks: [{name: c, that: k = null}]\nbronze: {}", "check c: k = null is null for every record, and never true: write k is null"),
    ("gold: {g: {where: n + 1 <> null, by: [k], window: {tumbling: 10s}, measure: {rows: count()}}}", "write n + 1 is not null"),
    ("silver: {columns: \"*, not (null = k or n = 1) as x\"}", "silver.columns: null = k is null"),
    ("state: {s: {by: [k], measure: {rows: 'sum(case n when null then 1 end)'}}}", "state.s.measure.rows: n = null is"),
  ]) func aComparisonWithNullIsWarnedOf(_ more: String, _ words: String) {
    let found = diagnostics(pipeline(more: more))
    #expect(found.map(\.code) == ["null_comparison"] && found[0].severity == .warning, "\(found.map(\.text))")
    #expect(found.first?.message.contains(words) == true, "\(found.map(\.text))")
  }

  @Test(arguments: ["nullif(n, null)", "nullif(k, null)", "coalesce(nullif(n, null), 1)"])
  func aNullIfWithNullIsNoComparisonOfTheUser(_ expression: String) {
    #expect(diagnostics(pipeline(more: "silver: {columns: \"\(expression) as x\"}")).map(\.text) == [])
  }

  @Test(arguments: ["null between 1 and 2", "case null when 1 then true end", "1 = null"])
  func aComparisonOfAConstantWithNullHasNoAdvice(_ expression: String) {
    let found = diagnostics(pipeline(more: "silver: {columns: \"\(expression) as x\"}"))
    #expect(found.map(\.code) == ["null_comparison"] && found[0].message.hasSuffix("never true"), "\(found.map(\.text))")
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
      #expect(try loadPipeline(file: directory + name + ".yaml", sections: .standard).warnings.map(\.text) == [], "\(name)")
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

  // MARK: Paths in a record

  @Test(arguments: [
    ("$.a.b", "without $"), ("$", "without $"), ("a/b", "separated by dots: a.b;"), ("/a/b", "separated by dots: a.b;"),
    ("#/a/b", "separated by dots: a.b;"), ("a.b.0", "a.b[0]"), ("a.0.b", "a[0]"), ("0", "\"0\""), ("a.b/c", "a.b.c"),
    ("a\u{200B}", "U+200B (ZERO WIDTH SPACE)"), ("a\u{A0}b", "U+00A0 (NO-BREAK SPACE)"),
  ]) func `a path in the form of another language is refused with the right form`(_ path: String, _ words: String) {
    let found = diagnostics(
      pipeline(fields: "{id: string!, k: string, t: timestamp_ms!, x: {type: int64, path: '\(path)'}}", more: "silver: {}"))
    #expect(found.count == 1 && found[0].code == "bad_value" && found[0].message.contains(words), "\(found.map(\.text))")
  }

  @Test(arguments: [
    "a.b", "a[0].b", "_id.$oid", "@timestamp", "a-b.c", "\"$\".a", "\"a/b\"", "a.\"0\"", "\"a\u{200B}\"", "a.b0", "dc:title", "é.ü",
  ])
  func `a path in the right form is accepted, and its text is read as the same`(_ path: String) throws {
    let steps = try FieldPath.parse(path)
    #expect(try FieldPath.parse(FieldPath.text(steps)) == steps)
    let found = diagnostics(
      pipeline(fields: "{id: string!, k: string, t: timestamp_ms!, x: {type: int64, path: '\(path)'}}", more: "silver: {}"))
    #expect(found.isEmpty, "\(found.map(\.text))")
  }

  @Test func `two fields with one place say which`() {
    let same = diagnostics(pipeline(fields: "{id: string!, k: string, t: timestamp_ms!, x: {type: int64, path: k}}", more: "silver: {}"))
    #expect(same.map(\.message) == ["record.fields: k and x both read k: one place of a record can be only one field"])
    let inside = diagnostics(
      pipeline(fields: "{id: string!, k: string, t: timestamp_ms!, x: {type: int64, path: k.n}}", more: "silver: {}"))
    #expect(
      inside.map(\.message) == [
        "record.fields: k reads k, and x reads k.n, which is inside it: one place of a record can be only one field"
      ])
  }

  // MARK: Characters that cannot be seen

  @Test(arguments: ["\u{200B}", "\u{200D}", "\u{2060}", "\u{FEFF}", "\u{AD}", "\u{202E}", "\u{A0}", "\u{3000}", "\u{115F}", "\u{FE0F}"])
  func `no name of a field or column has an invisible character, and the message shows it`(_ character: String) throws {
    let code = Printable.name(of: character.unicodeScalars.first!)
    let wrong = [
      pipeline(fields: "{id: string!, k: string, \"a\(character)b\": int64, t: timestamp_ms!}", more: "bronze: {}"),
      pipeline(more: "silver: {columns: 'k as \"a\(character)b\"'}"),
      pipeline(more: "silver: {columns: 'n\(character) as x'}"),
      pipeline(more: "gold: {g: {by: [k], window: {tumbling: 1s}, measure: {\"a\(character)b\": count()}}}"),
    ]
    for yaml in wrong {
      let found = diagnostics(yaml).filter { $0.severity == .error }
      #expect(found.contains { $0.message.contains(code) }, "\(found.map(\.text))")
      #expect(!found.contains { Printable.invisible(in: $0.message) != nil }, "\(found.map(\.text))")
    }
  }

  @Test func `a no-break space in place of a space is named, with its column`() throws {
    let found = diagnostics(pipeline(more: "silver: {columns: \"n\u{A0}+ 1 as x\"}"))
    #expect(found.count == 1 && found[0].message.contains("U+00A0 (NO-BREAK SPACE)") && found[0].column == 21, "\(found.map(\.text))")
    let key = diagnostics(pipeline(more: "\u{A0}silver: {}")).filter { $0.severity == .error }
    #expect(key.first?.message == "the pipeline: unknown key \\u{A0}silver" && key.first?.suggestion == "silver", "\(key.map(\.text))")
  }

  @Test(arguments: [
    "nullif(null, null) + 1", "coalesce(null, null) + 1", "case when n = 1 then null end + 1", "abs(nullif(null, null))",
    "1.5 * coalesce(null, nullif(null, null))",
  ])
  func `what is only null takes the type that it stands with`(_ text: String) {
    let found = diagnostics(pipeline(more: "silver: {columns: \"\(text) as x\"}"))
    #expect(found.isEmpty, "\(found.map(\.text))")
  }

  @Test func `a column of a lookup that cannot be read is no error of its own`() {
    let found = diagnostics(
      pipeline(
        more:
          "lookups: {l: {file: none.csv, key: k}}\ngold: {g: {by: [l.a], window: {tumbling: 1s}, measure: {c: count(l.b)}, partition_by: a}}"
      ))
    #expect(found.map(\.code) == ["no_file"], "\(found.map(\.text))")
  }

  @Test(arguments: [
    ("items is true", "is true needs a bool, and items is list<struct<sku:string>>"),
    ("k is not true", "is true needs a bool, and k is string"),
    ("n || k", "n is int64: cast it"), ("(n = 1) || (n = 2)", "write or between conditions"),
    ("raw.a.b", "raw is string, and has no members; if it is JSON, write json_value(raw, '$.a.b')"),
    ("raw['a']", "json_value(raw, '$.a')"), ("raw[0]", "json_value(raw, '$[0]')"), ("n.a", "n is int64, and has no members"),
    ("\"user.id\"", "a path has them around each of its names"),
  ]) func anExpressionSaysWhatIsMeant(_ text: String, _ words: String) {
    let fields = "{id: string!, k: string, n: int64, raw: json, items: \"list<struct<sku:string>>\", t: timestamp_ms!}"
    let found = diagnostics(pipeline(fields: fields, more: "silver: {columns: '\(text.replacing("'", with: "''")) as x'}"))
    #expect(found.count == 1 && found[0].message.contains(words), "\(found.map(\.text))")
    #expect(!words.hasSuffix("cast it") || found.first?.message.contains("conditions") == false)
    #expect(!words.hasPrefix("n is int64, and has no") || found.first?.message.contains("JSON") == false)
  }

  @Test(arguments: [
    ("key: user.id, fields: {id: string}", "record.key: there is no field user.id: a path needs a field of its own"),
    ("fields: {l: 'list<json>'}", "json is the type of a whole field"),
    ("fields: {l: 'struct<a:json>'}", "json is the type of a whole field"),
    ("framing: {each: null}, fields: {id: string}", "record.framing.each is null"),
    ("framing: {each: ~}, fields: {id: string}", "record.framing.each is null"),
    ("fields: {id: {type: string, path: null}}", "path is null"),
    ("fields: {id: !!foo string}", "the tag !!foo has no meaning"), ("fields: {id: !Ref string}", "the tag !Ref has no meaning"),
  ]) func aRecordSaysWhatIsMeant(_ record: String, _ words: String) {
    let found = diagnostics("pipeline: p\nsource: {capture: {stream: s}}\nrecord: {\(record)}\nbronze: {}\n")
    #expect(found.contains { $0.severity == .error && $0.message.contains(words) }, "\(found.map(\.text))")
  }

  @Test(arguments: ["fields: {id: !!str string}", "fields: !!map {id: string}", "framing: {each: \"null\"}, fields: {id: string}"])
  func tagsOfYAMLAndQuotedTextsAreAccepted(_ record: String) {
    let found = diagnostics("pipeline: p\nsource: {capture: {stream: s}}\nrecord: {\(record)}\nbronze: {}\n")
    #expect(found.allSatisfy { $0.severity == .warning }, "\(found.map(\.text))")
  }

  @Test(arguments: [
    ("store: {lmdb: ./s, flush: 0ms}", "store.flush: the shortest is 1ms"),
    ("lake: {path: s3://bucket//}", "only slashes after the bucket"),
    ("lake: {path: 's3://bucket/lake', s3: {endpoint: 'http://host:99999'}}", "port up to 65535"),
    ("store: {dynamodb: {table: tab, endpoint: 'http://host:99999'}}", "port up to 65535"),
    ("catalog: {glue: {database: d, endpoint: 'https://host:0'}}", "port up to 65535"),
  ]) func aSettingThatCannotBeMeantIsRefused(_ more: String, _ words: String) {
    let found = diagnostics("pipeline: p\nsource: {capture: {stream: s}}\nrecord: {fields: {id: string}}\nbronze: {}\n\(more)\n")
    #expect(found.contains { $0.severity == .error && $0.message.contains(words) }, "\(found.map(\.text))")
  }

  @Test(arguments: [
    ("endpoint: 'http://host:99999'", "port up to 65535"), ("lease_endpoint: 'http://user@host'", "port up to 65535"),
    ("read: ''", "source.kinesis.read is empty: it must be one of polling, fan_out"),
  ]) func aSettingOfKinesisThatCannotBeMeantIsRefused(_ more: String, _ words: String) {
    let found = diagnostics(
      "pipeline: p\nsource: {kinesis: {stream: s, app: application, \(more)}}\nrecord: {fields: {id: string}}\nbronze: {}\n")
    #expect(found.contains { $0.severity == .error && $0.message.contains(words) }, "\(found.map(\.text))")
  }

  // MARK: Characters of two escapes

  @Test(arguments: [
    ("\\ud83d\\ude00", "😀"), ("a\\uD83D\\uDE00\\ud83d\\ude00b", "a😀😀b"), ("\\\\ud83d", "\\ud83d"), ("\\u00e9\\ud83d\\ude00", "é😀"),
    ("\\udbff\\udfff", "\u{10FFFF}"), ("\\ud800\\udc00", "\u{10000}"), ("\\U0001F600", "😀"),
  ]) func twoEscapesAreOneCharacter(_ text: String, _ value: String) throws {
    let yaml = pipeline(
      more: "bronze: {}\n# \"\\ud83d\nchecks: [{name: 'x\\ud83d\\ude00', that: \"k = '\(text)'\"}, {name: d, that: \"k = '\(text)'\"}]")
    let plan = try loadPipeline(yaml: yaml, file: "p.yaml").plan
    for check in plan.checks { #expect(check.that.text == "k = '\(value)'") }
    #expect(plan.checks[0].name == "x\\ud83d\\ude00", "single quotes have no escapes")
  }

  @Test(arguments: ["\\ud83d", "\\ude00", "\\ud83dx", "\\ud83d\\ud83d", "\\ud83d\\u0041", "é\\ud83d\\ude00\\ude00"])
  func halfACharacterIsAnErrorWithItsPlace(_ text: String) throws {
    let line = "checks: [{name: c, that: \"k = '\\ud83d\\ude00' or k = '\(text)'\"}]"
    let found = diagnostics(pipeline(more: "bronze: {}\n\(line)"))
    let whole = text.hasPrefix("é") ? "é\\ud83d\\ude00" : ""
    let column = try #require(line.ranges(of: "k = '\(text)").last).lowerBound
    let place = line.distance(from: line.startIndex, to: column) + "k = '\(whole)".count + 1
    #expect(found.count == 1 && found[0].message.contains("without its other half is not a character"), "\(found.map(\.text))")
    #expect(found.first?.line == 8 && found.first?.column == place, "\(found.map(\.text)), \(place)")
  }

  @Test func columnsAfterACharacterOfTwoEscapesAreThoseOfTheFile() throws {
    let line = "checks: [{name: c, that: \"k = '\\ud83d\\ude00\\ud83d\\ude00'\"}, {name: d, that: wrong = 1}]"
    let found = diagnostics(pipeline(more: "bronze: {}\n\(line)"))
    let place = try #require(line.firstRange(of: "wrong")).lowerBound
    #expect(found.count == 1 && found[0].column == line.distance(from: line.startIndex, to: place) + 1, "\(found.map(\.text))")
  }

  @Test func textsWithSuchCharactersAreBounded() {
    func checks(_ count: Int) -> [Diagnostic] {
      let all = (0..<count).map { "{name: c\($0), that: \"k = '\\ud83d\\ude00'\"}" }.joined(separator: ", ")
      return diagnostics(pipeline(more: "bronze: {}\nchecks: [\(all)]"))
    }
    #expect(checks(200).map(\.text) == [])
    #expect(checks(201).first?.message.contains("pipeline_surrogates") == true)
  }

  // MARK: Names

  @Test(arguments: ["ı: int64, I: int64", "ſ: int64, s: int64", "\u{212A}: int64, k2: int64, K2: int64", "İ: int64, i: int64"])
  func namesOfColumnsThatReadersDoNotDistinguishAreRefused(_ fields: String) {
    let found = diagnostics(pipeline(fields: "{id: string!, k: string, t: timestamp_ms!, \(fields)}", more: "silver: {}"))
    #expect(found.contains { $0.code == "duplicate_name" && $0.message.contains("case does not distinguish") }, "\(found.map(\.text))")
  }
}
