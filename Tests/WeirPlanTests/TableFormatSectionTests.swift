import Foundation
import Testing
import WeirCore
import Yams

@testable import WeirConfiguration
@testable import WeirPlan

/// A format that nothing but this test knows: `lake: {format: {shelf: {rows: …}}}`.
private struct ShelfSettings: TableFormatSettings {
  static let adapter = "shelf"
  var rows: Int
}

private struct ShelfSection: TableFormatSection {
  var settings: any TableFormatSettings.Type { ShelfSettings.self }

  func read(_ node: Node?, with loader: PipelineLoader) -> (any TableFormatSettings)? {
    guard let node else { return ShelfSettings(rows: 1) }
    return loader.reader.mapping(node, "lake.format.shelf", keys: ["rows"])["rows"].flatMap { loader.reader.string($0, "rows") }
      .flatMap(Int.init).map { ShelfSettings(rows: $0) }
  }
}

/// Formats of tables register under a name, with settings of a type of their own.
struct TableFormatSectionTests {
  private static let sections = PlanSections(sources: [CaptureSection()], sinks: [], tableFormats: [DeltaSection(), ShelfSection()])

  private func plan(_ lake: String, _ sections: PlanSections = TableFormatSectionTests.sections) throws(ConfigurationError) -> Plan {
    try loadPipeline(
      yaml: "pipeline: k\nsource: {capture: {stream: s}}\nrecord: {fields: {user: string!}}\nbronze: {}\n\(lake)", file: "k.yaml",
      sections: sections
    ).plan
  }

  private func coded(_ plan: Plan) throws -> (plan: Plan, format: JSONValue?) {
    let bytes = Array(try JSONEncoder().encode(plan))
    let decoder = JSONDecoder()
    decoder.userInfo[.adapters] = TableFormatSectionTests.sections.types
    return (try decoder.decode(Plan.self, from: Data(bytes)), try JSONValue(parsing: bytes)["lake"]?["format"])
  }

  @Test func `a format is read by its name, with or without settings, and means nothing for the rows`() throws {
    let without = try plan("")
    for (lake, rows) in [("lake: {format: shelf}", 1), ("lake: {format: {shelf: {rows: 7}}}", 7)] {
      let plan = try plan(lake)
      #expect(plan.lake.format?.settings as? ShelfSettings == ShelfSettings(rows: rows) && plan.lake.format?.adapter == "shelf")
      let (again, document) = try coded(plan)
      #expect(again == plan && document?.text == #"{"shelf":{"rows":\#(rows)}}"#)
      #expect(PlanMeaning.text(plan) == PlanMeaning.text(without))
    }
    #expect(try plan("lake: {format: delta}").lake.format?.adapter == "delta")
  }

  @Test func `a plan that names no format has the document that it always had`() throws {
    for lake in ["", "lake: {path: ./l}"] { #expect(try coded(plan(lake)).format == nil) }
  }

  @Test(arguments: [
    ("lake: {format: iceberg}", "not_yet"), ("lake: {format: delt}", "bad_value"), ("lake: {format: {delta: {x: 1}}}", "bad_value"),
    ("lake: {format: {delta: {}, shelf: {}}}", "bad_value"),
  ]) func `what is no format is refused`(_ lake: String, _ code: String) {
    let error = #expect(throws: ConfigurationError.self) { try plan(lake) }
    #expect(error?.diagnostics.map(\.code) == [code], "\(lake): \(error?.description ?? "")")
  }

  @Test func `a format that is not registered is refused`() {
    let error = #expect(throws: ConfigurationError.self) { try plan("lake: {format: shelf}", .standard) }
    #expect(error?.diagnostics.map(\.code) == ["bad_value"])
  }
}
