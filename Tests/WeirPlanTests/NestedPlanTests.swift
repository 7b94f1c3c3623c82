import Testing
import WeirConfiguration
import WeirCore
import WeirPlan

/// Lists, structs and maps in a pipeline file: taken as they are, and refused where a scalar is needed.
@Suite struct NestedPlanTests {
  private func load(_ more: String, key: String = "k") throws -> Plan {
    try loadPipeline(
      yaml: """
        pipeline: p
        source: {capture: {stream: s}}
        record:
          key: \(key)
          time: {field: at}
          fields:
            k: string!
            at: timestamp_s!
            tags: list<string>
            who: {type: "struct<id: int64, name: string>!", path: user.who}
            attrs: map<string,double>
        \(more)
        """, file: "p.yaml"
    ).plan
  }

  @Test func aColumnIsTakenAsItIs() throws {
    let plan = try load(
      "silver: {columns: [\"*\", \"tags as t\", \"attrs is null as no_attrs\"]}\nstate: {u: {by: [k], measure: {n: count(tags)}}}")
    let who = ColumnType.structure(members: [StructMember("id", .int64), StructMember("name", .string)])
    #expect(
      plan.record.fields.dropFirst(2).map(\.type) == [.list(element: .string), who, .map(value: .double)]
        && plan.record.fields[3].required && plan.record.fields[3].steps == [.name("user"), .name("who")])
    #expect(
      plan.silver?.columns.map(\.expr.type.name) == [
        "string", "timestamp", "list<string>", "struct<id:int64,name:string>", "map<string,double>", "list<string>", "bool",
      ])
  }

  @Test(arguments: [
    ("silver: {columns: [tags = tags as x]}", "cannot compare: tags is list<string>; expressions cannot use a list"),
    ("silver: {columns: [\"coalesce(tags, tags) as x\"]}", "coalesce: tags is list<string>"),
    ("silver: {columns: [\"cast(attrs as string) as x\"]}", "cast: attrs is map<string,double>"),
    ("silver: {columns: [\"case when k = 'a' then tags end as x\"]}", "case: tags is list<string>"),
    ("silver: {columns: [\"length(tags) as x\"]}", "length needs a string, and tags is list<string>"),
    ("silver: {columns: [\"tags in (1) as x\"]}", "in: tags is list<string>"),
    ("silver: {columns: [\"who + 1 as x\"]}", "does not accept struct<id:int64,name:string>"),
    ("silver: {partition_by: tags}", "silver.partition_by: tags is list<string>"),
    ("dedup: {id: tags}\nsilver: {}", "dedup.id: tags is list<string>"),
    ("state: {u: {by: [attrs], measure: {n: count()}}}", "state.u.by: attrs is map<string,double>"),
    ("gold: {g: {by: [who], window: {tumbling: 1s}, measure: {n: count()}}}", "gold.g.by: who is struct<"),
    ("state: {u: {by: [k], measure: {n: min(tags)}}}", "min needs a value with an order, not list<string>"),
    ("state: {u: {by: [k], measure: {n: sum(tags)}}}", "sum needs a number, not list<string>"),
    ("checks: [{name: c, that: tags}]\nsilver: {}", "tags is list<string>, a bool is needed"),
  ]) func whereAScalarIsNeededItIsRefused(_ more: String, _ words: String) {
    let error = #expect(throws: ConfigurationError.self) { try load(more) }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }

  @Test func aKeyIsAScalar() {
    let error = #expect(throws: ConfigurationError.self) { try load("silver: {}", key: "tags") }
    #expect(error?.description.contains("record.key: tags is list<string>") == true, "\(error?.description ?? "")")
  }

  @Test(arguments: [
    ("x: list<strnig>", "list<strnig> is not a type: unknown type strnig"), ("x: list|int64", "unknown type list|int64"),
    ("x: map-string", "unknown type map-string"), ("x: list<struct;a>", "unknown type struct;a"),
    ("x: \"struct<a b:int64>\"", "':' is expected after a"),
    ("x: \"struct<\\\"a b\\\":int64>\"", "cannot be named 'a b'"),
    ("x: list(string)", "'<' is expected after list"), ("x: list<timestamp_ms>", "text with a zone"),
  ]) func aFieldOfNoSuchTypeIsRefused(_ field: String, _ words: String) {
    let yaml = "pipeline: p\nsource: {capture: {stream: s}}\nrecord:\n  fields:\n    \(field)\nsilver: {}\n"
    let error = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml, file: "p.yaml") }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }

  @Test func withinAFlowCollectionATypeWithCommasMustBeQuoted() {
    let yaml = "pipeline: p\nsource: {capture: {stream: s}}\nrecord: {fields: {a: map<string,double>, b: int64}}\nsilver: {}\n"
    let error = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml, file: "p.yaml") }
    #expect(error?.description.contains("quote it: \"map<string,double>\"") == true, "\(error?.description ?? "")")
  }
}
