import Foundation
import Testing
import WeirCore

@testable import WeirConfiguration
@testable import WeirPlan

/// Lookups whose file is missing, does not answer, or lacks a declared column.
@Suite struct LookupLoadingTests {
  private static func yaml(_ columns: String, silver: String = "campaigns.name", more: String = "") -> String {
    """
    pipeline: ads
    source: {kafka: {brokers: "h:9092", topic: ads, group: g}}
    record: {key: ad, time: {field: t, out_of_order: 1s}, fields: {ad: string!, t: timestamp_ms!}}
    lookups: {campaigns: {file: "s3://bucket/campaigns.ndjson", key: ad\(columns)}}
    silver: {columns: "*, \(silver)"}
    gold: {per_name: {by: [\(silver)], window: {tumbling: 1m}, measure: {n: count()}}}
    state: {names: {by: [\(silver)], measure: {n: count()}}}
    lake: {path: "s3://bucket/lake"}
    \(more)
    """
  }

  private static func sections(_ answer: Result<String, InputFile.Refusal>) -> PlanSections {
    var sections = PlanSections.standard
    sections.lookupFiles = { _ throws(InputFile.Refusal) in Array(try answer.get().utf8) }
    return sections
  }

  private static func plan(_ yaml: String, _ file: String) throws -> Plan {
    try loadPipeline(yaml: yaml, file: "k.yaml", sections: sections(.success(file))).plan
  }

  private static let file = "{\"ad\":\"a\",\"name\":\"x\"}\n"

  @Test func `a declared column that no object has can be used, and is null`() throws {
    let plan = try LookupLoadingTests.plan(
      LookupLoadingTests.yaml(", columns: {budget: int64}", silver: "campaigns.budget"), LookupLoadingTests.file)
    #expect(plan.lookups[0].columns == [ColumnSchema("name", .string), ColumnSchema("budget", .int64)])
    let column = try #require(plan.silver?.columns.last)
    #expect(column.expr.type == .int64)
  }

  @Test func `a declared column that no object has and no expression uses changes nothing of the plan`() throws {
    let plain = try LookupLoadingTests.plan(LookupLoadingTests.yaml(""), LookupLoadingTests.file)
    let declared = try LookupLoadingTests.plan(LookupLoadingTests.yaml(", columns: {budget: int64}"), LookupLoadingTests.file)
    #expect(PlanMeaning.text(declared) == PlanMeaning.text(plain))
    #expect(declared.inputs == plain.inputs && declared.lookups == plain.lookups)
  }

  @Test func `a declared column that the header of a CSV file lacks is a warning with the nearest name`() throws {
    let yaml = LookupLoadingTests.yaml(", format: csv, columns: {nmae: int64}")
    let loaded = try loadPipeline(
      yaml: yaml, file: "k.yaml", sections: LookupLoadingTests.sections(.success("ad,name\na,x\n")))
    let found = loaded.warnings.filter { $0.code == "no_effect" }
    #expect(found.count == 1 && found[0].message.contains("lookups.campaigns.columns.nmae") && found[0].suggestion == "name")
  }

  private func written(_ yaml: String) throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("lookups-\(UUID().uuidString).yaml").path
    try yaml.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  @Test(arguments: ["name", "upper(name) as n", "campaigns.name"])
  func `a column of a lookup that is not read is not a problem`(_ silver: String) throws {
    let yaml = LookupLoadingTests.yaml("", silver: silver).split(separator: "\n").filter { !$0.hasPrefix("gold") && !$0.hasPrefix("state") }
    let path = try written(yaml.joined(separator: "\n"))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let found = try #require(try LoadedPipeline.withoutLookups(file: path, sections: .standard))
    #expect(found.problems == [] && found.pipeline.plan.lake.path == "s3://bucket/lake")
  }

  @Test func `a pipeline is read without its lookups, with its lake, source and state, and with no problem of their columns`() throws {
    let path = try written(LookupLoadingTests.yaml(", columns: {budget: int64}"))
    defer { try? FileManager.default.removeItem(atPath: path) }
    var sections = PlanSections.standard
    sections.lookupFiles = { _ throws(InputFile.Refusal) in
      Issue.record("a file was asked for")
      throw .notAsked
    }
    let found = try #require(try LoadedPipeline.withoutLookups(file: path, sections: sections))
    #expect(found.problems == [] && found.pipeline.plan.pipeline == "ads" && found.pipeline.plan.lake.path == "s3://bucket/lake")
    #expect(found.pipeline.namesState && found.pipeline.plan.source.live != nil)
  }

  @Test func `other problems of a pipeline that is read without its lookups are found`() throws {
    let path = try written(LookupLoadingTests.yaml("", more: "storee: {lmdb: ./state}\nchecks: [{name: c, that: \"adx = 'a'\"}]"))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let found = try #require(try LoadedPipeline.withoutLookups(file: path, sections: .standard))
    #expect(found.problems.map(\.code) == ["unknown_key"], "an expression may need the lookup: \(found.problems)")
  }

  @Test func `an object that cannot be read now is not a missing file`() throws {
    for (refusal, code) in [(InputFile.Refusal.unavailable("no byte came"), "unavailable"), (.unreadable("no such object"), "no_file")] {
      let error = #expect(throws: ConfigurationError.self) {
        try loadPipeline(yaml: LookupLoadingTests.yaml(""), file: "k.yaml", sections: LookupLoadingTests.sections(.failure(refusal)))
      }
      #expect(error?.diagnostics.map(\.code) == [code] && error?.diagnostics[0].message.contains("s3://bucket/campaigns.ndjson") == true)
    }
  }
}
