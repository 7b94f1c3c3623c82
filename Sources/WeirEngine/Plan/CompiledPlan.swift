import WeirCore
import WeirOperators

/// A plan with everything made that a block needs: evaluators, column lists, which tables are finished in the lane.
package struct CompiledPlan: Sendable {
  /// One expression of a table.
  struct Output: Sendable {
    /// Its place in the pipeline file: `silver.z`, `gold.g.where`, `state.u.measure.total`.
    let place: String
    let evaluator: ExprEvaluator

    init(_ place: String, _ expr: Expr) {
      self.place = place
      evaluator = ExprEvaluator(expr)
    }

    /// Why a record is quarantined, in the style of checks.
    func failure(_ reason: String) -> String { "\(place): \(reason)" }
  }

  /// One aggregate over accepted rows: a gold table or a state table.
  package struct Aggregate: Sendable {
    package var name: String
    /// nil for a state table.
    package var window: WindowSpec?
    /// Of a state table, see ``StateSpec/ttlMicroseconds``.
    package var ttl: Int64?
    /// Of which kind the records are; nil: of any.
    var kind: Int?
    var filter: Output?
    var by: [Output]
    package var byTypes: [ColumnType]
    /// Of those of `by` that are plain columns.
    var origins: [InputColumn.Origin]
    /// One a measure; nil for `count()`.
    var arguments: [Output?]
    package var layout: AggregateLayout
    /// True when one of `by` is the record's key, or the shard of a live source: every row of a group is then in the same
    /// lane (DESIGN section 5).
    package var isFinishedInLane: Bool
    /// See ``WindowParts``; nil: its windows are in few partitions, or it has none.
    var parts: PartitionBound?
  }

  package let plan: Plan
  /// Of the records.
  let format: any RecordFormat
  package private(set) var lookups: [LookupTable]
  let checks: [(check: Check, evaluator: ExprEvaluator)]
  let silver: [Output]
  /// Silver tables with names of their own, in the plan's order.
  let rowTables: [RowTable]
  /// Gold tables in the plan's order, then state tables.
  package let aggregates: [Aggregate]
  package let goldCount: Int
  /// By `Plan.inputs`: an expression reads it.
  let inputsRead: [Bool]
  /// By `Plan.record.fields`: its column is read, by an expression or because the record is partitioned or deduplicated by it.
  let fieldsRead: [Bool]
  /// nil: the plan has no windows.
  let eventTimes: EventTimeBounds?
  /// A blank line of a plain capture is a record, which is rejected; else it is skipped and counted.
  var keepsBlankLines: Bool
  let windowParts: WindowParts
  /// For the simulation's own test, see ``KeyedStore/init(layout:ttl:retiresEarly:)``.
  package var retiresEarly = false

  /// Keys may be in any shard since a stream got more of them: the merge lane finishes tables by key, whatever the plan says.
  package let mergesKeys: Bool

  /// - Parameters:
  ///   - mergesKeys: see ``mergesKeys``.
  ///   - windowParts: other bounds than the usual ones are for tests.
  package init(_ plan: Plan, lookups: [LookupTable], mergesKeys: Bool = false, windowParts: WindowParts = WindowParts()) {
    self.plan = plan
    self.mergesKeys = mergesKeys
    self.lookups = lookups
    self.windowParts = windowParts
    format = plan.record.recordFormat
    keepsBlankLines = plan.record.blankLines == .quarantine
    eventTimes = EventTimeBounds(plan)
    checks = plan.checks.map { ($0, ExprEvaluator($0.that)) }
    silver = plan.silver?.columns.map { Output("silver.\($0.name)", $0.expr) } ?? []
    rowTables = (plan.silverTables ?? []).map { RowTable($0, plan) }
    goldCount = plan.gold.count
    // Where keys may be anywhere, or in one partition of each of several topics, no lane can finish a table by key.
    let isSpread = mergesKeys || (plan.source.live.map { $0.misplaced != .halt || $0.readsSeveralStreams } ?? false)
    let key = isSpread ? nil : plan.record.soleKey
    // A live lane has all of its shard; a capture's shard is partitioned over several.
    let isByShard = plan.source.live != nil
    func make(_ name: String, _ window: WindowSpec?, _ filter: Expr?, _ by: [OutputColumn], _ measures: [Measure]) -> Aggregate {
      let place = (window == nil ? "state." : "gold.") + name
      let origins = by.compactMap { column in column.expr.plainColumn.map { plan.inputs[$0].origin } }
      return Aggregate(
        name: name, window: window, filter: filter.map { Output("\(place).where", $0) },
        by: by.map { Output("\(place).by.\($0.name)", $0.expr) }, byTypes: by.map(\.expr.type),
        origins: origins, arguments: measures.map { measure in measure.argument.map { Output("\(place).measure.\(measure.name)", $0) } },
        layout: AggregateLayout(measures),
        isFinishedInLane: origins.contains { origin in
          switch origin {
          case .field(let field): field == key
          case .system(.shard): isByShard
          default: false
          }
        })
    }
    let layouts = TableLayout.all(plan)
    aggregates =
      plan.gold.enumerated().map { number, gold in
        var aggregate = make(gold.name, gold.window, gold.filter, gold.by, gold.measures)
        aggregate.kind = gold.kind
        let layout = layouts.first { $0.kind == .gold(number) }
        aggregate.parts = layout.flatMap { windowParts.bound($0, byTypes: aggregate.byTypes, isLane: aggregate.isFinishedInLane) }
        return aggregate
      }
      + plan.state.map {
        var aggregate = make($0.name, nil, $0.filter, $0.by, $0.measures)
        (aggregate.ttl, aggregate.kind) = ($0.ttlMicroseconds, $0.kind)
        return aggregate
      }
    inputsRead = CompiledPlan.inputsRead(plan)
    fieldsRead = CompiledPlan.fieldsRead(plan, inputsRead)
  }

  /// The same plan with other versions of its lookups.
  func with(lookups tables: [LookupTable]) -> CompiledPlan {
    var other = self
    other.lookups = tables
    return other
  }

  private static func inputsRead(_ plan: Plan) -> [Bool] {
    var all = plan.checks.map(\.that) + plan.silverExpressions
    for gold in plan.gold { all += gold.by.map(\.expr) + gold.measures.compactMap(\.argument) + [gold.filter].compactMap(\.self) }
    for state in plan.state { all += state.by.map(\.expr) + state.measures.compactMap(\.argument) + [state.filter].compactMap(\.self) }
    var isRead = [Bool](repeating: false, count: plan.inputs.count)
    for expr in all { for input in expr.inputColumns where input < isRead.count { isRead[input] = true } }
    return isRead
  }

  private static func fieldsRead(_ plan: Plan, _ inputsRead: [Bool]) -> [Bool] {
    var isRead = [Bool](repeating: false, count: plan.record.fields.count)
    for field in plan.record.keys + (plan.dedup?.ids ?? []) { isRead[field] = true }
    // Records with something in it are counted.
    for field in [plan.record.time?.field, plan.record.rescued].compactMap(\.self) { isRead[field] = true }
    for (input, reads) in zip(plan.inputs, inputsRead) where reads {
      switch input.origin {
      case .field(let field): isRead[field] = true
      case .lookup(let lookup, _): isRead[plan.lookups[lookup].key] = true
      case .system, .exploded, .hidden: break
      }
    }
    return isRead
  }

  /// An empty store, by aggregate number, for each of those that are `chosen`: with windows in the one list, without in the other.
  func stores(_ chosen: (Aggregate) -> Bool) -> (windows: [(any WindowOperator)?], keyed: [KeyedStore?]) {
    (
      aggregates.map { aggregate in
        chosen(aggregate) ? aggregate.window.map { WindowKinds.kind(of: $0).makeOperator(aggregate.layout, aggregate.parts) } : nil
      },
      aggregates.map { chosen($0) && $0.window == nil ? KeyedStore(layout: $0.layout, ttl: $0.ttl, retiresEarly: retiresEarly) : nil }
    )
  }

  /// Measures of state tables that became null because no double can hold them, by table; only those that there are. Takes them out.
  func stateOutOfRange(_ keyed: [KeyedStore?]) -> [String: Int64] {
    var counts: [String: Int64] = [:]
    for (aggregate, store) in zip(aggregates, keyed) {
      guard let count = store?.takeOutOfRange(), count > 0 else { continue }
      counts["state/\(aggregate.name)"] = count
    }
    return counts
  }

  /// Records that were too late for state tables whose rows expire, by table; only those that there are. Takes them out.
  func stateLate(_ keyed: [KeyedStore?]) -> [String: Int64] {
    var counts: [String: Int64] = [:]
    for (aggregate, store) in zip(aggregates, keyed) where aggregate.ttl != nil {
      if let count = store?.takeLate(), count > 0 { counts["state/\(aggregate.name)"] = count }
    }
    return counts
  }

  /// State tables whose rows expire.
  var expiringTables: Set<String> { Set(aggregates.lazy.filter { $0.ttl != nil }.map(\.name)) }

  /// A gold table is finished in the lanes.
  var hasLaneWindows: Bool { aggregates.contains { $0.isFinishedInLane && $0.window != nil } }

  /// Which of an aggregate's `by` columns is the record's key; nil: none.
  func keyColumn(of aggregate: Int) -> Int? { column(of: aggregate) { $0 == plan.record.soleKey.map { .field($0) } } }

  /// Which of them is the record's shard; nil: none.
  func shardColumn(of aggregate: Int) -> Int? { column(of: aggregate) { $0 == .system(.shard) } }

  private func column(of aggregate: Int, _ isIt: (InputColumn.Origin) -> Bool) -> Int? {
    let by = aggregate < goldCount ? plan.gold[aggregate].by : plan.state[aggregate - goldCount].by
    return by.firstIndex { column in column.expr.plainColumn.map { isIt(plan.inputs[$0].origin) } ?? false }
  }

  /// A state table is finished in the lanes.
  package var hasLaneState: Bool { aggregates.contains { $0.isFinishedInLane && $0.window == nil } }
  /// A lane finishes a table because its `by` holds the field, which is the record's key.
  func hasTableFinished(byField field: Int) -> Bool {
    aggregates.contains { aggregate in
      aggregate.isFinishedInLane && aggregate.origins.contains(.field(field)) && !aggregate.origins.contains(.system(.shard))
    }
  }
  /// Some state table's rows are merged over the lanes.
  var hasMergedState: Bool { aggregates.contains { !$0.isFinishedInLane && $0.window == nil } }
  var hasMerge: Bool { aggregates.contains { !$0.isFinishedInLane } }
}
