import Foundation
import Testing
import WeirConfiguration
import WeirCore
import WeirPlan

/// Plans with several inputs can be written down and kept, and are refused before they run.
struct SeveralInputsTests {
  private static let orders = """
        source: {kafka: {brokers: "b:1", topic: orders, group: g, start: earliest}}
        record: {key: id, time: {field: at}, fields: {id: string!, at: timestamp_ms!, amount: int64}}
    """
  private static let clicks = """
        source: {capture: {stream: clicks}}
        record: {key: user, fields: {user: string!, page: string}}
    """
  private static let table = """
    silver: {columns: [id, amount]}
    """

  private static func inputs(_ named: [(String, String)]) -> String {
    "pipeline: p\ninputs:\n" + named.map { "  \($0):\n\($1)\n" }.joined() + table
  }

  private static func diagnostics(_ yaml: String) throws -> [Diagnostic] {
    do {
      _ = try loadPipeline(yaml: yaml, file: "p.yaml")
      return []
    } catch let error as ConfigurationError { return error.diagnostics }
  }

  @Test func oneInputWithANameIsThePipelineOfTheShortForm() throws {
    let named = try loadPipeline(yaml: Self.inputs([("o", Self.orders)]), file: "p.yaml").plan
    let short = try loadPipeline(
      yaml: "pipeline: p\n" + Self.orders.replacingOccurrences(of: "    ", with: "") + "\n" + Self.table, file: "p.yaml"
    ).plan
    #expect(named == short && named.severalInputs == nil)
    #expect(PlanMeaning.text(named) == PlanMeaning.text(short))
    #expect(!PlanMeaning.text(short).contains("severalInputs"), "plans of before keep their bytes")
    #expect(named.everyInput.map(\.name) == [""] && named.everyInput[0].record == short.record)
  }

  @Test func severalInputsAreRefusedWithTheirNamesAndTheirPlace() throws {
    let found = try Self.diagnostics(Self.inputs([("orders", Self.orders), ("clicks", Self.clicks)]))
    #expect(found.map(\.code) == ["not_yet"])
    #expect(found.first?.message.contains("2 inputs (orders, clicks)") == true)
    #expect(found.first?.line == 3)
  }

  @Test func eachInputIsCheckedWhereItIsWritten() throws {
    let wrong = Self.clicks.replacingOccurrences(of: "string!", with: "strin")
    let found = try Self.diagnostics(Self.inputs([("orders", Self.orders), ("clicks", wrong)]))
    #expect(found.contains { $0.code == "bad_type" && $0.line == 8 }, "\(found)")
    let both = try Self.diagnostics("source: {capture: {stream: s}}\n" + Self.inputs([("orders", Self.orders)]))
    #expect(both.contains { $0.message.contains("source belongs to an input") })
    #expect(try Self.diagnostics("pipeline: p\ninputs: {}\n").map(\.message) == ["inputs must name at least one input"])
  }

  /// What a front door builds, what a ledger keeps and what comes back.
  @Test func aPlanKeepsEachInputWithSourceFormatKeyAndTime() throws {
    var plan = try loadPipeline(yaml: Self.inputs([("orders", Self.orders)]), file: "p.yaml").plan
    let other = try loadPipeline(
      yaml: "pipeline: q\n" + Self.clicks.replacingOccurrences(of: "    ", with: "") + "\nsilver: {columns: [page]}", file: "q.yaml"
    ).plan
    let clicks = PlanInput(name: "clicks", source: other.source, record: other.record, columns: other.inputs)
    plan.severalInputs = SeveralInputs(first: "orders", others: [clicks])
    let decoder = JSONDecoder()
    decoder.userInfo[.adapters] = PlanSections.standard.types
    let again = try decoder.decode(Plan.self, from: Data(PlanMeaning.text(plan).utf8))
    #expect(again.severalInputs == plan.severalInputs)
    #expect(again.everyInput.map(\.name) == ["orders", "clicks"])
    #expect(again.everyInput.map(\.record.time?.field) == [1, nil] && again.everyInput.map(\.source.stream) == ["orders", "clicks"])
    #expect(again.everyInput[1].columns.map(\.name).contains("page"))
    #expect(PlanMeaning.text(again) == PlanMeaning.text(plan))
  }
}
