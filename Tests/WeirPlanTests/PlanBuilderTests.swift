import Testing
import WeirCore
import WeirLocal

@testable import WeirConfiguration
@testable import WeirPlan

/// A plan that is built in Swift, without YAML: the same plan, the same checks.
struct PlanBuilderTests {
  private static let yaml = """
    pipeline: p
    source: {capture: {stream: s}}
    record:
      key: user
      time: {field: at, out_of_order: 2s}
      fields: {id: string!, user: string!, at: timestamp_ms!, amount: "decimal(12,2)", city: {type: string, path: address.city}}
    checks: [{name: known, that: "amount >= 0", else: drop}]
    dedup: {id: id, within: 10s}
    bronze: {partition_by: day(_arrival)}
    silver: {columns: "*, upper(city) as town", partition_by: day(at)}
    gold:
      spent: {where: amount > 1, by: [city], window: {hopping: 60s, every: 10s, lateness: 5s}, measure: {rows: count(), total: sum(amount)}}
    state:
      users: {by: [user], measure: {last: max(at)}}
    """

  private func built(_ change: (PlanBuilder) -> Void = { _ in }) throws(ConfigurationError) -> Plan {
    let builder = PlanBuilder(file: "plan.swift")
    builder.set { $0.pipeline = "p" }
    builder.source(SourceSpec(stream: "s", settings: CaptureSourceSettings()))
    builder.field("id", type: "string!")
    builder.field("user", type: "string!")
    builder.field("at", type: "timestamp_ms!")
    builder.field("amount", type: "decimal(12,2)")
    builder.field("city", type: "string", path: "address.city")
    builder.endFields()
    builder.key("user")
    builder.time("at", outOfOrder: { 2_000_000 })
    builder.makeInputs()
    builder.check("known", that: "amount >= 0", otherwise: .drop)
    builder.dedup(id: "id", within: PlanDuration(10_000_000))
    builder.bronze(partitionBy: ["day(_arrival)"])
    builder.silver(columns: ["*, upper(city) as town"], partitionBy: ["day(at)"])
    var window = PlanWindow()
    (window.hopping, window.every, window.lateness) = (PlanDuration(60_000_000), PlanDuration(10_000_000), PlanDuration(5_000_000))
    var spent = PlanTable(
      "spent", in: "gold", by: ["city"], measures: [PlanMeasure("rows", "count()"), PlanMeasure("total", "sum(amount)")])
    spent.filter = "amount > 1"
    builder.gold(spent, window: window)
    builder.state(PlanTable("users", in: "state", by: ["user"], measures: [PlanMeasure("last", "max(at)")]))
    change(builder)
    return try builder.build()
  }

  @Test func aPlanThatIsBuiltInSwiftIsThePlanOfTheFile() throws {
    let loaded = try loadPipeline(yaml: PlanBuilderTests.yaml, file: "p.yaml").plan
    let plan = try built()
    #expect(PlanMeaning.hash(plan) == PlanMeaning.hash(loaded))
    #expect(
      PlanMeaning.changes(from: try PlanMeaning.json(plan), to: try PlanMeaning.json(loaded)).first?.contains("has the same meaning")
        == true)
  }

  /// Each mistake in YAML and in Swift: the same code, text and suggestion, in Swift at the place that the caller named.
  @Test func mistakesAreReportedAsInTheFileAtPlacesOfTheCallersOwn() throws {
    let place = SourceSpan(line: 40, column: 7, textColumn: 8)
    func text(_ text: String) -> PlanText { PlanText(text, at: place) }
    let window: PlanWindow = {
      var window = PlanWindow()
      (window.tumbling, window.lateness, window.span) = (PlanDuration(10_000_000), PlanDuration(0), place)
      return window
    }()
    let cases: [(from: String, to: String, text: String, build: (PlanBuilder) -> Void)] = [
      ("that: \"amount >= 0\"", "that: \"amont >= 0\"", "amont >= 0", { $0.check(text("known"), that: text("amont >= 0")) }),
      ("that: \"amount >= 0\"", "that: \"amount >= 'x'\"", "amount >= 'x'", { $0.check(text("known"), that: text("amount >= 'x'")) }),
      ("id: id, within", "id: idd, within", "idd", { $0.dedup(id: text("idd"), within: PlanDuration(1)) }),
      ("partition_by: day(_arrival)", "partition_by: dya(_arrival)", "dya(_arrival)", { $0.bronze(partitionBy: [text("dya(_arrival)")]) }),
      (
        "total: sum(amount)", "rows2: sum(city)", "sum(city)",
        { $0.gold(PlanTable("spent", in: "gold", by: ["city"], measures: [PlanMeasure("rows2", text("sum(city)"))]), window: window) }
      ),
      (
        "{hopping: 60s, every: 10s, lateness: 5s}", "{hopping: 60s}", "{hopping: 60s}",
        { builder in
          var wrong = window
          (wrong.tumbling, wrong.hopping) = (nil, PlanDuration(60_000_000))
          builder.gold(PlanTable("spent", in: "gold", by: ["city"], measures: []), window: wrong)
        }
      ),
    ]
    for item in cases {
      let yaml = PlanBuilderTests.yaml.replacing(item.from, with: item.to)
      let ofFile = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml, file: "p.yaml") }
      let ofSwift = #expect(throws: ConfigurationError.self) { try built(item.build) }
      let (wanted, found) = (ofFile?.diagnostics.first, ofSwift?.diagnostics.first { $0.line == 40 })
      #expect(
        wanted != nil && found?.message == wanted?.message && found?.code == wanted?.code, "\(item.to): \(ofSwift?.description ?? "")")
      #expect(found?.suggestion == wanted?.suggestion && found?.file == "plan.swift")
      // An error within a text is as far from its start as in the file.
      let line = yaml.split(separator: "\n")[(wanted?.line ?? 1) - 1]
      let start = line.firstRange(of: item.text).map { line.distance(from: line.startIndex, to: $0.lowerBound) + 1 }
      let offset = max(0, (wanted?.column ?? 0) - (start ?? 0))
      #expect(start != nil && found?.column == (offset == 0 ? 7 : 8 + offset), "\(item.to)")
    }
  }

  @Test func aSecondCheckOfANameIsReported() {
    let error = #expect(throws: ConfigurationError.self) { try built { $0.check("known", that: "amount < 5") } }
    #expect(error?.diagnostics.map(\.code) == ["duplicate_name"])
  }

  @Test func aTableWithoutByOrMeasureIsReportedOnce() {
    for (missing, code) in [("by: [user], ", "state.users needs by"), (", measure: {last: max(at)}", "state.users needs measure")] {
      let yaml = PlanBuilderTests.yaml.replacing(missing, with: "")
      let error = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml, file: "p.yaml") }
      #expect(error?.diagnostics.map(\.message) == [code], "\(missing)")
    }
  }
}
