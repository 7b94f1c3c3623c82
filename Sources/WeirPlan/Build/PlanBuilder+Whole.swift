import WeirCore
import WeirOperators

/// Checks of the plan as a whole, and what is right by the rules and probably not what is meant.
extension PlanBuilder {
  func checkWhole(at span: SourceSpan?) {
    checkSource()
    warn()
    if !namesTables {
      diagnostics.report(
        "bronze, silver, gold and state are all missing: only counts and quarantined records will be written", "no_output", at: span,
        severity: .warning)
    }
  }

  private func checkSource() {
    let isLive = plan.source.live != nil
    if isLive, plan.dedup != nil, plan.record.key == nil {
      diagnostics.report(
        "dedup without record.key: duplicates are found within a partition only", "partition_only", at: spans["dedup"], severity: .warning)
    }
    if let format = plan.record.format, !format.format.readsLines, hasSource, !isLive {
      diagnostics.report(
        "record.format \(format.name): lines of a plain capture have no schema ids; record the topic with `weir capture` and replay it with source.kafka",
        "bad_value", at: spans["record"])
    }
    checkFraming(isLive)
    if isLive, let blank = spans["record.blank_lines"] {
      diagnostics.report(
        "record.blank_lines: only lines of a plain capture can be blank; a record of a topic is always a record", "bad_value", at: blank)
    }
  }

  /// Records that are not lines are only in files.
  private func checkFraming(_ isLive: Bool) {
    guard plan.record.recordFormat.captureFraming != nil, hasSource else { return }
    let what = "record.format.\(plan.record.format?.name ?? "").framing"
    if isLive {
      diagnostics.report(
        "\(what): only files of a plain capture have a framing; a record of a topic is always one record: leave it out", "bad_value",
        at: spans[what] ?? spans["record"])
    } else if plan.record.blankLines == .quarantine {
      diagnostics.report(
        "record.blank_lines: with \(what) records are not lines: leave it out", "bad_value", at: spans["record.blank_lines"])
    }
  }

  /// Only of a plan without errors: they would be follow-ups, or noise beside them.
  private func warn() {
    guard !diagnostics.hasErrors else { return }
    warnOfOrder()
    warnOfDedup()
    warnOfLookups()
    warnOfOverlap()
  }

  /// Slides that a window of doubles may hold without a warning.
  private static let slidesMax: Int64 = 100

  /// Windows are made from the one before only where merging does not depend on the order (``AggregateLayout/isExact``).
  private func warnOfOverlap() {
    for gold in plan.gold where !AggregateLayout(gold.measures).isExact {
      let slides = gold.window.sizeMicroseconds / max(1, gold.window.slideMicroseconds)
      guard slides > PlanBuilder.slidesMax else { continue }
      diagnostics.report(
        "gold.\(gold.name): each window sums \(slides) slides per group, because a measure is over doubles: use decimals or integers, or a larger `every`",
        "costly_overlap", at: spans["gold.\(gold.name).window"], severity: .warning)
    }
  }

  /// Without any allowance each record that comes after a later one misses its window, if that ends between them.
  private func warnOfOrder() {
    guard plan.record.time?.outOfOrderMicroseconds == 0 else { return }
    // Written down, it is meant.
    for gold in plan.gold where gold.window.latenessMicroseconds == 0 && !statedLateness.contains(gold.name) {
      diagnostics.report(
        "gold.\(gold.name): record.time.out_of_order and the window's lateness are both 0: a record is late as soon as one record of a later window has arrived; set one of them, or write lateness: 0s",
        "no_disorder", at: spans["gold.\(gold.name).window"], severity: .warning)
    }
  }

  private func warnOfDedup() {
    guard let dedup = plan.dedup, dedup.withinMicroseconds == nil else { return }
    diagnostics.report(
      "dedup without within keeps every id forever, about 20 bytes each: set \(plan.record.time == nil ? "record.time and " : "")within (36500d: forever)",
      "unbounded_state", at: spans["dedup"], severity: .warning)
  }

  /// Columns of lookups that are declared, that no object of the file has and that no expression uses: the plan means the same without them.
  func dropAbsentColumns() {
    let count = tables.reduce(0) { $0 + $1.absentColumns }
    guard count > 0, count <= plan.inputs.count else { return }
    let first = plan.inputs.count - count
    guard !expressions.contains(where: { $0.inputColumns.contains { $0 >= first } }) else { return }
    set { plan in
      plan.inputs.removeLast(count)
      for (l, table) in tables.enumerated() { plan.lookups[l].columns.removeLast(table.absentColumns) }
    }
  }

  private func warnOfLookups() {
    var isUsed = [Bool](repeating: false, count: plan.lookups.count)
    for expr in expressions {
      for input in expr.inputColumns where input < plan.inputs.count {
        if case .lookup(let lookup, _) = plan.inputs[input].origin { isUsed[lookup] = true }
      }
    }
    for (lookup, used) in zip(plan.lookups, isUsed) where !used {
      diagnostics.report(
        "lookups.\(lookup.name): no expression uses its columns", "unused_lookup", at: spans["lookups.\(lookup.name)"],
        severity: .warning)
    }
  }

  private var expressions: [Expr] {
    var all = plan.checks.map(\.that) + plan.silverExpressions
    for gold in plan.gold { all += gold.by.map(\.expr) + gold.measures.compactMap(\.argument) + [gold.filter].compactMap(\.self) }
    for state in plan.state { all += state.by.map(\.expr) + state.measures.compactMap(\.argument) + [state.filter].compactMap(\.self) }
    return all
  }
}
