import WeirCore
import WeirOperators

/// Tables that go to topics, as a front door has parsed them.
package struct PlanSinks {
  /// Of the adapter that publishes.
  package var settings: any SinkSettings
  /// Where it publishes was written, if perhaps in vain.
  package var hasPlace: Bool
  /// `gold/NAME`, `late/NAME` or `quarantine`, and the topic.
  package var routes: [(table: PlanText, topic: PlanText)]
  package var start: SinkSpec.Start?
  /// Ledger entries; as it was written.
  package var behind: PlanText?
  package var routesSpan: SourceSpan?
  package var span: SourceSpan?

  package init(_ settings: any SinkSettings, routes: [(table: PlanText, topic: PlanText)]) {
    (self.settings, self.routes, hasPlace) = (settings, routes, settings.place != nil)
  }
}

extension PlanBuilder {
  /// Ledger entries that topics may be behind at most.
  private static let behindMax: Int64 = 1_000_000

  /// After the tables, which the routes name.
  package func sinks(_ written: PlanSinks) {
    let what = "sinks.\(type(of: written.settings).adapter)"
    if !written.hasPlace, let missing = written.settings.missing(with: plan.source.settings) {
      diagnostics.report("\(what) needs \(missing)", "missing_key", at: written.span)
    }
    var spec = SinkSpec(routes: routes(written, "\(what).topics"), settings: written.settings)
    if let start = written.start { spec.start = start }
    if let behind = written.behind {
      if let count = Int64(behind.text), count > 0, count <= PlanBuilder.behindMax {
        spec.behindMax = count
      } else {
        diagnostics.report(
          "\(what).behind: \(behind.text) is not a number of ledger entries from 1 to \(PlanBuilder.behindMax)", "bad_value",
          at: behind.span)
      }
    }
    set { $0.sinks = spec }
  }

  private func routes(_ written: PlanSinks, _ what: String) -> [SinkSpec.Route] {
    let quarantine = plan.path(of: .quarantine)
    let tables = plan.tables.filter { !$0.kind.isOfRecords && $0.kind != .quarantine }.map(\.name)
    let readsTopics = plan.source.adapter == type(of: written.settings).adapter
    var routes: [SinkSpec.Route] = []
    for (table, topic) in written.routes {
      let name = table.text
      let isDeadLetters = name == "quarantine" || name == quarantine
      if !isDeadLetters, !tables.contains(name) {
        diagnostics.report(
          "\(what): \(name) is not a table that can be published: gold/NAME, late/NAME or quarantine", "unknown_table", at: table.span,
          suggestion: nearestName(name, in: tables + ["quarantine"]))
      } else if !written.settings.isTopic(topic.text) {
        diagnostics.report("\(what).\(name): \(topic.text) is not a valid topic name", "bad_name", at: topic.span)
      } else if readsTopics, plan.source.settings.reads(topic.text) {
        diagnostics.report("\(what).\(name): the pipeline reads the topic \(topic.text) itself", "bad_value", at: topic.span)
      } else if isDeadLetters, routes.contains(where: { $0.table == quarantine }) {
        diagnostics.report("\(what): quarantine and \(quarantine) are the same table", "duplicate_name", at: table.span)
      }
      routes.append(.init(table: isDeadLetters ? quarantine : name, topic: topic.text))
    }
    if written.routes.isEmpty { diagnostics.report("\(what) must name at least one table", "missing_key", at: written.routesSpan) }
    return routes.sorted { $0.table < $1.table }
  }
}
