import Foundation
import Testing
import WeirCore

@testable import WeirConfiguration
@testable import WeirPlan

/// The shape of `weir explain --json` is a contract: a change here needs another `format`, unless a member is added.
@Suite struct ExplainTests {
  private static let capture = """
    pipeline: shape
    source: {capture: {stream: s}}
    record:
      key: k
      time: {field: t, out_of_order: 2s, max_ahead: 1h}
      fields: {k: string!, t: timestamp_ms!, n: "decimal(12,2)", id: string}
    checks: [{name: positive, that: n > 0, else: drop}]
    dedup: {id: id, within: 10s}
    bronze: {}
    silver: {columns: "*, n * 2 as twice", partition_by: day(t)}
    gold: {sums: {where: n > 1, by: [k], window: {hopping: 10s, every: 5s, lateness: 1s}, measure: {c: count(), s: sum(n)}}}
    state: {last: {by: [id], measure: {m: max(n)}}}
    """
  private static let kafka = """
    pipeline: live
    source: {kafka: {brokers: "h:1", topics: [a, b], stream: ab, group: g, misplaced: merge}}
    record: {fields: {k: string!}}
    silver: {}
    sinks: {kafka: {topics: {quarantine: dead}}}
    """

  private static func document(_ yaml: String) throws -> [String: Any] {
    let pipeline = try loadPipeline(yaml: yaml, file: "p.yaml")
    let bytes = ExplainDocument.json(pipeline.plan, lookups: pipeline.lookups).bytes
    return try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
  }

  /// Names of all members, with their types, as `tables[].columns[].name: string`.
  private static func shape(_ value: Any, _ path: String = "") -> Set<String> {
    switch value {
    case let object as [String: Any]:
      object.reduce(into: []) { $0.formUnion(shape($1.value, path.isEmpty ? $1.key : "\(path).\($1.key)")) }
    case let list as [Any]: list.reduce(into: ["\(path): list"]) { $0.formUnion(shape($1, path + "[]")) }
    case is NSNull: ["\(path): null"]
    case is String: ["\(path): string"]
    default: ["\(path): value"]
    }
  }

  private static let aggregate = [
    "aggregate.by: list", "aggregate.by[].name: string", "aggregate.by[].type: string", "aggregate.by[].expression: string",
    "aggregate.measures: list", "aggregate.measures[].name: string", "aggregate.measures[].type: string",
    "aggregate.measures[].function: string", "aggregate.measures[].argument: string", "aggregate.finished_in: string",
  ]

  @Test func `the document has exactly the documented members`() throws {
    var wanted: Set<String> = [
      "format: value", "pipeline: string", "plan_hash: string",
      "source.kind: string", "source.stream: string", "source.deal: string", "source.topics: list", "source.partitioner: null",
      "source.misplaced: null",
      "record.format: string", "record.key: string", "record.time.field: string", "record.time.out_of_order_us: value",
      "record.time.max_ahead_us: value", "record.fields: list", "record.fields[].name: string", "record.fields[].type: string",
      "record.fields[].required: value", "record.fields[].encoding: string", "record.fields[].path: list", "record.fields[].path[]: string",
      "checks: list", "checks[].name: string", "checks[].that: string", "checks[].otherwise: string",
      "dedup.id: string", "dedup.other_ids: list", "dedup.within_us: value", "lookups: list", "topics: list",
      "tables: list", "tables[].table: string", "tables[].columns: list", "tables[].columns[].name: string",
      "tables[].columns[].type: string", "tables[].partition_by: list", "tables[].partition_by[].name: string",
      "tables[].partition_by[].column: string", "tables[].partition_by[].transform: string",
      "tables[].window: null", "tables[].rows: null", "record.each: null", "record.other_keys: list", "record.envelope: null",
      "record.tombstones: string", "tables[].window.size_us: value",
      "tables[].window.slide_us: value", "tables[].window.offset_us: value",
      "tables[].window.lateness_us: value", "tables[].aggregate: null", "tables[].aggregate.where: string",
      "tables[].aggregate.measures[].argument: null", "state: list", "state[].table: string",
      "state[].ttl_us: null", "state[].aggregate.where: null", "route: null", "checks[].from: null", "tables[].aggregate.from: null",
      "state[].aggregate.from: null",
    ]
    for part in ExplainTests.aggregate { wanted.formUnion(["tables[].\(part)", "state[].\(part)"]) }
    #expect(ExplainTests.shape(try ExplainTests.document(ExplainTests.capture)) == wanted)
  }

  @Test func `what it says is what the pipeline says`() throws {
    let plan = try ExplainTests.document(ExplainTests.capture)
    let record = try #require(plan["record"] as? [String: Any])
    let fields = try #require(record["fields"] as? [[String: Any]])
    #expect(plan["format"] as? Int == 1 && plan["pipeline"] as? String == "shape")
    #expect(fields.map { $0["name"] as? String } == ["k", "t", "n", "id"])
    #expect(fields.map { $0["type"] as? String } == ["string", "timestamp", "decimal(12,2)", "string"])
    #expect(fields.map { $0["required"] as? Bool } == [true, true, false, false])
    let tables = try #require(plan["tables"] as? [[String: Any]])
    let names = tables.compactMap { $0["table"] as? String }
    #expect(Set(names).isSuperset(of: ["bronze/s", "silver/s", "gold/sums", "quarantine/s", "late/sums"]), "\(names)")
    let gold = try #require(tables.first { $0["table"] as? String == "gold/sums" })
    let window = try #require(gold["window"] as? [String: Int])
    #expect(window == ["size_us": 10_000_000, "slide_us": 5_000_000, "offset_us": 0, "lateness_us": 1_000_000])
    let places = [gold, try #require((plan["state"] as? [[String: Any]])?.first)].map {
      ($0["aggregate"] as? [String: Any])?["finished_in"] as? String
    }
    #expect(places == ["lane", "merge"])
  }

  @Test func `a live pipeline names its topics`() throws {
    let plan = try ExplainTests.document(ExplainTests.kafka)
    let source = try #require(plan["source"] as? [String: Any])
    #expect(source["kind"] as? String == "kafka" && source["topics"] as? [String] == ["a", "b"])
    #expect(source["misplaced"] as? String == "merge" && source["partitioner"] as? String == "auto" && source["deal"] is NSNull)
    #expect((plan["topics"] as? [[String: String]]) == [["table": "quarantine/ab", "topic": "dead"]])
    #expect(plan["dedup"] is NSNull && (plan["record"] as? [String: Any])?["key"] is NSNull)
  }
}
