import WeirCore
import WeirOperators
import Yams

/// What is right by the rules, and probably not what is meant.
extension PipelineLoader {
  /// Only of a file without errors: they would be follow-ups, or noise beside them.
  func warn(_ plan: Plan, _ top: [String: Node]) {
    guard !reader.diagnostics.contains(where: { $0.severity == .error }) else { return }
    warnOfOrder(plan, top)
    warnOfDedup(plan, top)
    warnOfLookups(plan, top)
    warnOfOverlap(plan, top)
  }

  /// Slides that a window of doubles may hold without a warning.
  private static let slidesMax: Int64 = 100

  /// Windows are made from the one before only where merging does not depend on the order (``AggregateLayout/isExact``).
  private func warnOfOverlap(_ plan: Plan, _ top: [String: Node]) {
    for gold in plan.gold where !AggregateLayout(gold.measures).isExact {
      let slides = gold.window.sizeMicroseconds / max(1, gold.window.slideMicroseconds)
      guard slides > PipelineLoader.slidesMax else { continue }
      reader.report(
        "gold.\(gold.name): each window adds up \(slides) slides for each of its groups, because a measure is over doubles: use decimals or integers, or a larger `every`",
        "costly_overlap", at: top["gold"]?.mapping?[gold.name]?.mapping?["window"] ?? top["gold"], severity: .warning)
    }
  }

  /// Without any allowance each record that comes behind a later one misses its window, if that ends between them.
  private func warnOfOrder(_ plan: Plan, _ top: [String: Node]) {
    guard plan.record.time?.outOfOrderMicroseconds == 0 else { return }
    for gold in plan.gold where gold.window.latenessMicroseconds == 0 {
      let window = top["gold"]?.mapping?[gold.name]?.mapping?["window"]
      // Written down, it is meant.
      guard window?.mapping?["lateness"] == nil else { continue }
      reader.report(
        "gold.\(gold.name): record.time.out_of_order and the window's lateness are both 0: a record that arrives after one of the next window is late; set one of them, or write lateness: 0s",
        "no_disorder", at: window ?? top["gold"], severity: .warning)
    }
  }

  private func warnOfDedup(_ plan: Plan, _ top: [String: Node]) {
    guard let dedup = plan.dedup, dedup.withinMicroseconds == nil else { return }
    reader.report(
      "dedup without within keeps every id for ever, some 20 bytes each: set \(plan.record.time == nil ? "record.time and " : "")within (36500d for ever)",
      "unbounded_state", at: top["dedup"], severity: .warning)
  }

  private func warnOfLookups(_ plan: Plan, _ top: [String: Node]) {
    var isUsed = [Bool](repeating: false, count: plan.lookups.count)
    for expr in PipelineLoader.expressions(plan) {
      for input in expr.inputColumns { if case .lookup(let lookup, _) = plan.inputs[input].origin { isUsed[lookup] = true } }
    }
    for (lookup, used) in zip(plan.lookups, isUsed) where !used {
      reader.report(
        "lookups.\(lookup.name): no expression uses a column of it", "unused_lookup",
        at: top["lookups"]?.mapping?[lookup.name] ?? top["lookups"], severity: .warning)
    }
  }

  private static func expressions(_ plan: Plan) -> [Expr] {
    var all = plan.checks.map(\.that) + (plan.silver?.columns.map(\.expr) ?? [])
    for gold in plan.gold { all += gold.by.map(\.expr) + gold.measures.compactMap(\.argument) + [gold.filter].compactMap(\.self) }
    for state in plan.state { all += state.by.map(\.expr) + state.measures.compactMap(\.argument) + [state.filter].compactMap(\.self) }
    return all
  }
}
