import WeirCore
import WeirOperators
import WeirS3Settings

/// Checks of the plan as a whole, and what is right by the rules and probably not what is meant.
extension PlanBuilder {
  func checkWhole(at span: SourceSpan?) {
    checkSource()
    checkRescued()
    narrowFormat()
    checkPaths()
    checkSilverNames()
    warn()
    if !namesTables {
      diagnostics.report(
        "bronze, silver, gold and state are all missing: only counts and quarantined records will be written", "no_output", at: span,
        severity: .warning)
    }
  }

  /// Bytes of a data file's name, and some for longer numbers in it.
  private static let fileBytesMax = 70
  /// Of a path in a directory: the kernel takes 4,095, and the lake's own path is some of them.
  private static let localPathBytesMax = 3000

  /// Directories of partitions that fit in no form: those of very many columns, or of long names.
  private func checkPaths() {
    guard !diagnostics.hasErrors else { return }
    let location = S3Location.accepts(plan.lake.path) ? try? S3Location(plan.lake.path) : nil
    if let location, PlanBuilder.hasEscape(location.prefix) {
      diagnostics.report(
        "lake.path: the prefix \(location.prefix) has % with two hexadecimal digits; Weir and S3 take them as they are, and delta-rs (polars, DuckDB) decodes them and finds no table there: choose a prefix without them if other programs read the tables",
        "encoded_prefix", at: nil, severity: .warning)
    }
    let most = location.map { $0.pathBytesMax } ?? PlanBuilder.localPathBytesMax
    for table in plan.tables where !table.partitionBy.isEmpty {
      let steps = table.partitionBy.reduce(0) { $0 + PartitionStep.leastBytes($1.name) + 1 }
      let bytes = table.name.utf8.count + 1 + steps + PlanBuilder.fileBytesMax
      if bytes > most {
        diagnostics.report(
          "\(table.name): the paths of its files have \(bytes) bytes or more with their \(table.partitionBy.count) partition columns, and the lake \(plan.lake.path) has room for \(most): shorten names, or partition by fewer columns",
          "bad_name", at: nil)
      }
    }
  }

  private static func hasEscape(_ text: String) -> Bool {
    text.split(separator: "%", omittingEmptySubsequences: false).dropFirst().contains { part in
      part.utf8.count >= 2 && part.prefix(2).allSatisfy(\.isHexDigit)
    }
  }

  /// A plan keeps no more of what its format's settings name than the fields need: those of all kinds.
  private func narrowFormat() {
    guard let format = plan.record.format else { return }
    let fields = plan.record.fields + (plan.record.route?.kinds ?? []).flatMap { $0.fields.map(\.field) }
    set { $0.record.format = FormatSpec(format.format.narrowed(to: fields)) }
  }

  /// A table of all records has the stream's name, and one of a kind the kind's.
  private func checkSilverNames() {
    let stream = plan.source.stream
    guard plan.silver != nil, let same = plan.silverTables?.first(where: { $0.name.lowercased() == stream.lowercased() }) else { return }
    diagnostics.report(
      "silver.\(same.name): silver itself is a table of the name \(stream), that of the stream: give the kind or table another name",
      "duplicate_name", at: spans["silver.\(same.name)"])
  }

  /// What is kept has a place.
  private func checkRescued() {
    guard let field = plan.record.rescued, let input = plan.inputs.firstIndex(where: { $0.origin == .field(field) }),
      !plan.silverExpressions.contains(where: { $0.inputColumns.contains(input) })
    else { return }
    diagnostics.report(
      "record.unknown_fields: rescue: no silver table has the column _rescued: add unknown: _rescued to columns, or leave rescue out",
      "unused_column", at: spans["record.unknown_fields"], severity: .warning)
  }

  private func checkSource() {
    let isLive = plan.source.live != nil
    if isLive, plan.dedup != nil, plan.record.key == nil {
      diagnostics.report(
        "dedup without record.key: duplicates are found within a partition only", "partition_only", at: spans["dedup"], severity: .warning)
    }
    if let format = plan.record.format, !format.format.readsLines, format.format.captureFraming == nil, hasSource, !isLive {
      let why =
        format.format.carriesSchemaIDs ? "have no schema ids;" : "cannot be such records: write framing: delimited if the files have it, or"
      diagnostics.report(
        "record.format \(format.name): lines of a plain capture \(why) record the topic with `weir capture` and replay it with source.kafka",
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
