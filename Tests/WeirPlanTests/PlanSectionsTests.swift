import Foundation
import Testing
import WeirCore
import Yams

@testable import WeirConfiguration
@testable import WeirPlan

/// A source that is registered here only: nothing else in the program knows its name.
@Suite struct PlanSectionsTests {
  struct TickSettings: SourceSettings {
    static let adapter = "ticks"
    var symbols: [String]
    /// No row depends on it.
    var endpoint = ""
    var isLive = true

    var live: LiveSourceTraits? {
      guard isLive else { return nil }
      var traits = LiveSourceTraits()
      (traits.streams, traits.misplaced) = (symbols, .perShard)
      return traits
    }
    var meaning: TickSettings { TickSettings(symbols: symbols, isLive: isLive) }
    func reads(_ stream: String) -> Bool { symbols.contains(stream) }
  }

  struct TickSection: SourceSection {
    var settings: any SourceSettings.Type { TickSettings.self }
    func read(_ node: Node, with loader: PipelineLoader) -> SourceSpec? {
      let members = loader.reader.mapping(node, "source.ticks", keys: ["symbols", "endpoint", "live"])
      guard let list = loader.reader.required(members, "symbols", of: "source.ticks", at: node) else { return nil }
      var settings = TickSettings(symbols: loader.reader.strings(list, "source.ticks.symbols").map(\.0))
      if let endpoint = members["endpoint"] { settings.endpoint = loader.reader.string(endpoint, "source.ticks.endpoint") ?? "" }
      settings.isLive = members["live"]?.string != "false"
      return SourceSpec(stream: "ticks", settings: settings)
    }
  }

  private func registry() -> PlanSections {
    var registry = PlanSections.standard
    registry.sources.append(TickSection())
    return registry
  }

  private func load(_ source: String, _ sections: PlanSections) throws -> Plan {
    let yaml = """
      pipeline: p
      source: {\(source)}
      record: {key: user, time: {field: at}, fields: {user: string!, at: timestamp_s!}}
      state: {u: {by: [user], measure: {rows: count()}}}
      """
    return try PipelineLoader(file: "p.yaml", sections: sections).load(yaml).plan
  }

  @Test func aRegisteredSourceIsReadWithItsOwnSettings() throws {
    let plan = try load("ticks: {symbols: [a, b], endpoint: here}", registry())
    #expect(plan.source.adapter == "ticks" && (plan.source.settings as? TickSettings)?.endpoint == "here")
    #expect(plan.source.live?.streams == ["a", "b"] && plan.state[0].by.map(\.name) == ["user", "_shard"], "the engine's traits apply")
    #expect(ExplainDocument.json(plan, lookups: [])["source"]?["kind"]?.string == "ticks")
  }

  @Test func itsMeaningIsWhatTheHashIsMadeOf() throws {
    let registry = registry()
    let hash = PlanMeaning.hash(try load("ticks: {symbols: [a], endpoint: here}", registry))
    #expect(hash == PlanMeaning.hash(try load("ticks: {symbols: [a], endpoint: there}", registry)))
    #expect(hash != PlanMeaning.hash(try load("ticks: {symbols: [b], endpoint: here}", registry)))
  }

  @Test func aPlanIsReadFromALedgerByTheNameOfItsSource() throws {
    let registry = registry()
    for source in ["ticks: {symbols: [a], live: false}", "capture: {stream: s}", "kafka: {brokers: \"b:1\", topic: t, group: g}"] {
      let plan = try load(source, registry)
      let decoder = JSONDecoder()
      decoder.userInfo[.adapters] = registry.types
      let again = try decoder.decode(Plan.self, from: JSONEncoder().encode(plan))
      #expect(again == plan && again.source.adapter == String(source.prefix { $0 != ":" }))
    }
  }

  @Test func aSourceThatIsNotLiveIsNotACapture() throws {
    let plan = try load("ticks: {symbols: [a], live: false}", registry())
    #expect(plan.source.live == nil && plan.source.adapter == "ticks")
    #expect(PlanMeaning.hash(plan) != PlanMeaning.hash(try load("capture: {stream: ticks}", registry())))
  }

  @Test func aSourceThatIsNotRegisteredIsRefusedWithTheNamesOfThoseThatAre() {
    let error = #expect(throws: ConfigurationError.self) { try load("ticks: {symbols: [a]}", .standard) }
    #expect(error?.description.contains("capture") == true && error?.description.contains("kafka") == true, "\(error?.description ?? "")")
  }
}
