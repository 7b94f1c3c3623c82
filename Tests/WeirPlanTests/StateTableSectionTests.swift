import Foundation
import Testing
import WeirCore
import WeirDynamoDBSettings
import WeirLMDBSettings
import Yams

@testable import WeirConfiguration
@testable import WeirPlan

/// A state table that nothing but this test knows: `store: {shelf: {room: …}}`.
private struct ShelfSettings: StateTableSettings {
  static let adapter = "shelf"
  var room: Int
}

private struct ShelfSection: StateTableSection {
  var settings: any StateTableSettings.Type { ShelfSettings.self }

  func read(_ node: Node?, with loader: PipelineLoader) -> (any StateTableSettings)? {
    guard let node else { return nil }
    let members = loader.reader.mapping(node, "store.shelf", keys: ["room"])
    return loader.reader.required(members, "room", of: "store.shelf", at: node)
      .flatMap { loader.reader.string($0, "store.shelf.room") }.flatMap(Int.init).map { ShelfSettings(room: $0) }
  }
}

/// State tables register under a name, with settings of a type of their own.
struct StateTableSectionTests {
  private static let sections = PlanSections(
    sources: [CaptureSection()], sinks: [], stateTables: [LMDBSection(), ShelfSection()])

  private static func yaml(_ store: String) -> String {
    """
    pipeline: k
    source: {capture: {stream: s}}
    record: {format: json, key: user, fields: {user: string!}}
    state: {u: {by: [user], measure: {rows: count()}}}
    \(store)
    """
  }

  private func coded(_ plan: Plan) throws -> (plan: Plan, store: JSONValue?) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    let bytes = try encoder.encode(plan)
    let decoder = JSONDecoder()
    decoder.userInfo[.adapters] = StateTableSectionTests.sections.types
    return (try decoder.decode(Plan.self, from: bytes), try JSONValue(parsing: Array(bytes))["store"])
  }

  @Test func `a state table of another kind is read, kept in the plan and means nothing for its rows`() throws {
    let plan = try loadPipeline(
      yaml: StateTableSectionTests.yaml("store: {shelf: {room: 7}, flush: 50ms}"), file: "k.yaml", sections: StateTableSectionTests.sections
    ).plan
    #expect(plan.store.settings as? ShelfSettings == ShelfSettings(room: 7) && plan.store.adapter == "shelf")
    let (again, document) = try coded(plan)
    #expect(again == plan)
    #expect(document?.text == #"{"flushMicroseconds":50000,"share":0.1,"shelf":{"room":7}}"#)
    let lmdb = try loadPipeline(
      yaml: StateTableSectionTests.yaml("store: {lmdb: ./elsewhere}"), file: "k.yaml", sections: StateTableSectionTests.sections
    ).plan
    #expect(PlanMeaning.text(plan) == PlanMeaning.text(lmdb))
  }

  @Test func `the document of a plan with LMDB is what it always was`() throws {
    for (store, path) in [("", "./state"), ("store: {lmdb: ./elsewhere}", "./elsewhere"), ("store: {share: 10%}", "./state")] {
      let plan = try loadPipeline(yaml: StateTableSectionTests.yaml(store), file: "k.yaml").plan
      let (again, document) = try coded(plan)
      #expect(document?.text == #"{"flushMicroseconds":100000,"path":"\#(path)","share":0.1}"#)
      #expect(again == plan && again.store.settings as? LMDBSettings == LMDBSettings(path: path))
      #expect(
        PlanMeaning.text(plan).contains(#""store":{"flushMicroseconds":100000,"path":".\/state","share":0.1}"#), "\(PlanMeaning.text(plan))"
      )
    }
  }

  @Test func `two state tables, and one that is not registered, are refused`() throws {
    for (store, code) in [
      ("store: {lmdb: ./a, shelf: {room: 1}}", "bad_value"), ("store: {redis: r}", "unknown_key"), ("store: {dynamodb: t}", "unknown_key"),
      ("store: {shelv: 1}", "unknown_key"),
    ] {
      let error = #expect(throws: ConfigurationError.self) {
        try loadPipeline(yaml: StateTableSectionTests.yaml(store), file: "k.yaml", sections: StateTableSectionTests.sections)
      }
      #expect(error?.diagnostics.map(\.code) == [code], "\(store)")
    }
    let alone = #expect(throws: ConfigurationError.self) {
      try loadPipeline(yaml: StateTableSectionTests.yaml("store: {shelf: {room: 1}}"), file: "k.yaml")
    }
    #expect(alone?.diagnostics.map(\.code) == ["unknown_key"])
  }

  @Test func `a table of DynamoDB is a name, or a name with settings`() throws {
    for (store, settings) in [
      ("store: {dynamodb: weir-state}", DynamoDBSettings(table: "weir-state")),
      (
        "store: {dynamodb: {table: abc, region: eu-west-1, endpoint: 'http://localhost:8000', create: false}, flush: 10s}",
        DynamoDBSettings(table: "abc", region: "eu-west-1", endpoint: "http://localhost:8000", create: false)
      ),
    ] {
      let loaded = try loadPipeline(yaml: StateTableSectionTests.yaml(store), file: "k.yaml")
      #expect(loaded.plan.store.settings as? DynamoDBSettings == settings && loaded.plan.store.adapter == "dynamodb")
      #expect(loaded.warnings.map(\.code) == (store.contains("flush") ? [] : ["costly_flush"]))
      let bytes = try JSONEncoder().encode(loaded.plan)
      let decoder = JSONDecoder()
      decoder.userInfo[.adapters] = PlanSections.standard.types
      #expect(try decoder.decode(Plan.self, from: bytes) == loaded.plan)
    }
  }

  @Test(arguments: [("100ms", "2,250.00"), ("1s", "225.00"), ("9s", "25.00"), ("10s", nil), ("1m", nil)] as [(String, String?)])
  func `a flush of DynamoDB that may cost more than 22 dollars an hour is a warning at its line`(_ flush: String, _ dollars: String?) throws
  {
    let yaml = StateTableSectionTests.yaml("store:\n  dynamodb: weir-state\n  flush: \(flush)")
    let warnings = try loadPipeline(yaml: yaml, file: "k.yaml").warnings
    #expect(warnings.map(\.code) == (dollars == nil ? [] : ["costly_flush"]))
    guard let dollars, let warning = warnings.first else { return }
    let lines = yaml.split(separator: "\n", omittingEmptySubsequences: false)
    let line = try #require(lines.firstIndex { $0.contains("flush:") })
    #expect(warning.line == line + 1 && warning.column > 1, "\(warning)")
    #expect(warning.message.contains("\(dollars) $ per hour") && warning.message.contains("Set store.flush to 10s"), "\(warning)")
  }

  @Test func `wrong settings of DynamoDB are refused with their names`() throws {
    for (store, name) in [
      ("store: {dynamodb: ab}", "store.dynamodb"), ("store: {dynamodb: {region: r}}", "store.dynamodb"),
      ("store: {dynamodb: {table: abc, region: 'a b'}}", "store.dynamodb.region"),
      ("store: {dynamodb: {table: abc, endpoint: 'ftp://h'}}", "store.dynamodb.endpoint"),
      ("store: {dynamodb: {table: abc, create: perhaps}}", "store.dynamodb.create"),
      ("store: {dynamodb: {tabel: abc}}", "store.dynamodb"), ("store: {dynamodb: abc, lmdb: ./s}", "store"),
    ] {
      let error = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: StateTableSectionTests.yaml(store), file: "k.yaml") }
      #expect(error?.diagnostics.contains { $0.message.hasPrefix(name) } == true, "\(store): \(String(describing: error))")
    }
  }
}
