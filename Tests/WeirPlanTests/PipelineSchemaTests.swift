import Foundation
import Testing
import WeirCore
import Yams

@testable import WeirConfiguration
@testable import WeirPlan

/// The schema for editors. Tests/EndToEnd/schema_agrees_with_check.py compares it with `weir check` through another program.
@Suite struct PipelineSchemaTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  @Test func theFileBesideTheExamplesIsTheSchema() throws {
    let file = PipelineSchemaTests.root.appendingPathComponent("Deploy/Pipelines/pipeline.schema.json")
    let text = try String(contentsOf: file, encoding: .utf8)
    #expect(text == PipelineSchema.text(.standard), "run: weir schema > Deploy/Pipelines/pipeline.schema.json")
  }

  @Test func theSchemaIsOneJSONDocumentWhoseReferencesExist() throws {
    let json = PipelineSchema.json(.standard)
    #expect(try JSONValue(parsing: Array(PipelineSchema.text(.standard).utf8)) == json)
    let names = Set(json["$defs"]?.members?.map(\.name) ?? [])
    var references = Set<String>()
    func walk(_ value: JSONValue) {
      for member in value.members ?? [] {
        if member.name == "$ref", let target = member.value.string { references.insert(String(target.dropFirst("#/$defs/".count))) }
        walk(member.value)
      }
      for item in value.array ?? [] { walk(item) }
    }
    walk(json)
    #expect(
      references == names && names.count > 30,
      "definitions without use, or uses without definition: \(references.symmetricDifference(names))")
  }

  @Test func allSourcesSinksFormatsAndStateTablesAreInIt() {
    let json = PipelineSchema.json(.standard)
    func keys(_ name: String) -> [String] { json["$defs"]?[name]?["properties"]?.members?.map(\.name) ?? [] }
    let sections = PlanSections.standard
    #expect(keys("source") == sections.sources.map(\.name) && keys("sinks") == sections.sinks.map(\.name))
    #expect(keys("store").starts(with: sections.stateTables.map(\.name)))
    let plain = json["$defs"]?["record"]?["properties"]?["format"]?["anyOf"]?.array?[0]["enum"]?.array?.compactMap(\.string) ?? []
    #expect(Set(plain + keys("record.format")) == Set(sections.formats.map(\.name)))
  }

  /// By what stands for a name of the file's own: a pipeline that has the section.
  private static let bases = [
    """
    pipeline: p
    source: {kafka: {brokers: "h:1", topic: t, group: g, tls: {}}}
    record: {key: user, time: {field: at}, fields: {user: string!, at: timestamp_s!, n: int64}}
    checks: [{name: c, that: n > 0}]
    silver: {}
    gold: {g: {by: [user], window: {tumbling: 1m}, measure: {rows: count()}}}
    state: {u: {by: [user], measure: {rows: count()}}}
    lake: {path: ./lake, flush: {}}
    store: {}
    admin: {}
    worker: {cloudwatch: {namespace: W}}
    sinks: {kafka: {topics: {gold/g: gold}}}
    """,
    """
    pipeline: p
    source: {kinesis: {stream: t, app: app}}
    record: {format: {csv: {}}, fields: {user: string!}}
    silver: {}
    """,
    """
    pipeline: p
    source: {capture: {stream: t}}
    record: {fields: {user: string!}}
    quarantine: {halt_above: 5%}
    silver: {}
    """,
    """
    pipeline: p
    source: {capture: {stream: t}}
    record: {format: {tsv: {}}, fields: {user: string!}}
    silver: {}
    """,
  ]

  /// Settings that a plan keeps as they are written, although they say what a plan without them does.
  private static let kept: Set<String> = ["source.kafka.refresh", "lake.format", "quarantine.exit_above"]
  /// Settings of lines of JSON, which other sources and formats refuse.
  private static let ofLines: Set<String> = ["record.blank_lines", "record.coerce"]

  private struct Default {
    var path: [String]
    var text: String
  }

  private func defaults(_ table: KeyTable, _ node: Node, _ path: [String]) -> [Default] {
    table.keys.flatMap { key -> [Default] in
      var found: [Default] = []
      if let text = key.byDefault, node[key.name] == nil { found.append(Default(path: path + [key.name], text: text)) }
      guard let child = node[key.name] else { return found }
      return found + defaults(key.value, child, path + [key.name])
    }
  }

  private func defaults(_ shape: ValueShape, _ node: Node, _ path: [String]) -> [Default] {
    switch shape {
    case .table(let table), .optional(let table): node.mapping == nil ? [] : defaults(table, node, path)
    case .named(let value, _), .tables(let value, _):
      (node.mapping?.keys.compactMap(\.string) ?? []).flatMap { name in node[name].map { defaults(value, $0, path + [name]) } ?? [] }
    case .list(let value): (node.sequence?.first).map { defaults(value, $0, path + ["0"]) } ?? []
    case .either(let shapes): shapes.flatMap { defaults($0, node, path) }
    default: []
    }
  }

  private func with(_ node: Node, _ path: ArraySlice<String>, _ text: String) -> Node {
    guard let step = path.first else { return Node(text) }
    var changed = node
    if let number = Int(step), var list = node.sequence {
      list[number] = with(list[number], path.dropFirst(), text)
      changed = .sequence(list)
    } else {
      changed[step] = with(node[step] ?? Node(""), path.dropFirst(), text)
    }
    return changed
  }

  @Test func aFileThatWritesADefaultMeansWhatOneWithoutItMeans() throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    var count = 0
    for base in PipelineSchemaTests.bases {
      func plan(_ yaml: String) throws -> String {
        let plan = try loadPipeline(yaml: yaml, file: "/p.yaml").plan
        return String(decoding: try encoder.encode(plan), as: UTF8.self)
      }
      let node = try #require(try Yams.compose(yaml: base))
      let without = try plan(base)
      for found in defaults(.pipeline(.standard), node, []) where !PipelineSchemaTests.kept.contains(found.path.joined(separator: ".")) {
        let name = found.path.joined(separator: ".")
        if PipelineSchemaTests.ofLines.contains(name), !base.contains("record: {fields") { continue }
        count += 1
        let yaml = try Yams.serialize(node: with(node, found.path[...], found.text))
        #expect(throws: Never.self, "\(found)") {
          let isSame = try plan(yaml) == without
          #expect(isSame, "\(name): \(found.text)")
        }
      }
    }
    #expect(count > 25)
  }

  @Test func aKeyThatTheTablesDoNotHaveIsRefusedInEveryMapping() throws {
    for base in PipelineSchemaTests.bases {
      let node = try #require(try Yams.compose(yaml: base))
      for path in mappings(.table(.pipeline(.standard)), node, []) {
        let yaml = try Yams.serialize(node: with(node, (path + ["colour"])[...], "red"))
        let error = #expect(throws: ConfigurationError.self, "\(path)") { try loadPipeline(yaml: yaml, file: "/p.yaml") }
        #expect(error?.diagnostics.contains { $0.code == "unknown_key" && $0.message.contains("colour") } == true, "\(path)")
      }
    }
  }

  /// The paths of the mappings whose keys are known.
  private func mappings(_ shape: ValueShape, _ node: Node, _ path: [String]) -> [[String]] {
    switch shape {
    case .table(let table), .optional(let table):
      guard node.mapping != nil, table.name != "record.format" else { return [] }
      return [path] + table.keys.flatMap { key in node[key.name].map { mappings(key.value, $0, path + [key.name]) } ?? [] }
    case .named(let value, _), .tables(let value, _):
      return (node.mapping?.keys.compactMap(\.string) ?? []).flatMap { name in node[name].map { mappings(value, $0, path + [name]) } ?? [] }
    case .list(let value): return (node.sequence?.first).map { mappings(value, $0, path + ["0"]) } ?? []
    case .either(let shapes): return shapes.flatMap { mappings($0, node, path) }
    default: return []
    }
  }
}
