import WeirCore
import WeirEngine
import WeirOperators

/// `weir explain --json`: a contract for programs, which names nothing of Swift's coding or of the ledger's. Documented in PlanReference.md.
///
/// Members may be added; none is removed or changes its meaning without another ``format``. All members are always there; what a
/// pipeline does not have is null or an empty list. Durations are microseconds.
package enum ExplainDocument {
  static let format: Int64 = 1

  package static func json(_ plan: Plan, lookups: [LookupTable]) -> JSONValue {
    let compiled = CompiledPlan(plan, lookups: lookups)
    let places = compiled.aggregates.map { $0.isFinishedInLane ? "lane" : "merge" }
    return .members([
      "format": .int(format), "pipeline": .string(plan.pipeline), "plan_hash": .string(PlanMeaning.hash(plan).hex),
      "source": source(plan.source), "record": record(plan.record), "route": plan.record.route.map { route($0, plan.record) } ?? .null,
      "checks": list(plan.checks) {
        .members([
          "name": .string($0.name), "that": .string($0.that.text), "otherwise": .string($0.otherwise.rawValue), "from": kind($0.kind, plan),
        ])
      },
      "dedup": plan.dedup.map {
        .members([
          "id": .string(plan.record.fields[$0.id].name), "other_ids": list($0.otherIDs ?? []) { .string(plan.record.fields[$0].name) },
          "within_us": int($0.withinMicroseconds),
        ])
      } ?? .null,
      "lookups": list(plan.lookups) {
        .members([
          "name": .string($0.name), "file": .string($0.file), "key": .string(plan.record.fields[$0.key].name),
          "columns": list($0.columns, column), "refresh_us": int($0.refreshMicroseconds),
        ])
      },
      "tables": list(plan.tables) { table in
        let gold = table.kind.gold
        return .members([
          "table": .string(table.name), "columns": list(table.columns, column),
          "partition_by": list(table.partitionBy) {
            .members(["name": .string($0.name), "column": .string($0.column), "transform": .string($0.transform.rawValue)])
          },
          "aggregate": gold.map {
            aggregate(plan.gold[$0].filter, plan.gold[$0].by, plan.gold[$0].measures, places[$0], from: kind(plan.gold[$0].kind, plan))
          } ?? .null,
          "window": gold.map { window(plan.gold[$0].window) } ?? .null, "rows": rows(table.kind, plan),
        ])
      },
      "state": .array(
        plan.state.enumerated().map { i, state in
          .members([
            "table": .string(state.name),
            "aggregate": aggregate(
              state.filter, state.by, state.measures, places[compiled.goldCount + i], from: kind(state.kind, plan)),
            "ttl_us": int(state.ttlMicroseconds),
          ])
        }),
      "topics": list(plan.sinks?.routes ?? []) { .members(["table": .string($0.table), "topic": .string($0.topic)]) },
    ])
  }

  private static func list<T>(_ items: [T], _ json: (T) -> JSONValue) -> JSONValue { .array(items.map(json)) }

  private static func int(_ value: Int64?) -> JSONValue { value.map { .int($0) } ?? .null }

  private static func step(_ step: PathStep) -> JSONValue {
    switch step {
    case .name(let name): .string(name)
    case .index(let index): .int(Int64(index))
    }
  }

  private static func column(_ column: ColumnSchema) -> JSONValue {
    .members(["name": .string(column.name), "type": .string(column.type.name)])
  }

  private static func source(_ source: SourceSpec) -> JSONValue {
    .members([
      "kind": .string(source.adapter), "stream": .string(source.stream),
      "deal": source.live == nil ? .string(source.deal.rawValue) : .null,
      "topics": list(source.live?.streams ?? []) { .string($0) },
      "partitioner": source.live.map { .string($0.partitioner?.rawValue ?? "auto") } ?? .null,
      "misplaced": source.live.map { .string($0.misplaced.rawValue) } ?? .null,
    ])
  }

  private static func record(_ record: RecordSpec) -> JSONValue {
    .members([
      "format": .string(type(of: record.recordFormat).name), "key": record.key.map { .string(record.fields[$0].name) } ?? .null,
      "other_keys": list(record.otherKeys ?? []) { .string(record.fields[$0].name) },
      "envelope": record.envelope.map { .string($0.rawValue) } ?? .null, "tombstones": .string((record.tombstones ?? .quarantine).rawValue),
      "time": record.time.map {
        .members([
          "field": .string(record.fields[$0.field].name), "out_of_order_us": .int($0.outOfOrderMicroseconds),
          "max_ahead_us": int($0.maxAheadMicroseconds),
        ])
      } ?? .null,
      "each": record.each.map { .array($0.map(step)) } ?? .null,
      "fields": list(Array(record.fields.prefix(record.route?.common ?? record.fields.count)), field),
    ])
  }

  private static func field(_ field: Field) -> JSONValue {
    .members([
      "name": .string(field.name), "type": .string(field.type.name), "required": .bool(field.required),
      "encoding": .string(field.encoding.rawValue), "path": .array(field.steps.map(step)),
    ])
  }

  /// Several kinds of records. `record.fields` are those that all have.
  private static func route(_ route: RouteSpec, _ record: RecordSpec) -> JSONValue {
    .members([
      "by": .string(record.fields[route.by].name), "otherwise": .string(route.otherwise.rawValue),
      "kinds": list(route.kinds) {
        .members(["name": .string($0.name), "is": list($0.values) { .string($0) }, "fields": list($0.fields) { field($0.field) }])
      },
    ])
  }

  /// The name of the kind that a check or table is of; null: of all.
  private static func kind(_ number: Int?, _ plan: Plan) -> JSONValue {
    number.flatMap { plan.record.route?.kinds[$0] }.map { .string($0.name) } ?? .null
  }

  /// `finished_in`: `lane`, where all records of a key are in one, or `merge`.
  private static func aggregate(
    _ filter: Expr?, _ by: [OutputColumn], _ measures: [Measure], _ place: String, from: JSONValue
  ) -> JSONValue {
    .members([
      "from": from, "where": filter.map { .string($0.text) } ?? .null,
      "by": list(by) { .members(["name": .string($0.name), "type": .string($0.expr.type.name), "expression": .string($0.expr.text)]) },
      "measures": list(measures) {
        .members([
          "name": .string($0.name), "type": .string($0.type.name), "function": .string($0.function.rawValue),
          "argument": $0.argument.map { .string($0.text) } ?? .null,
        ])
      },
      "finished_in": .string(place),
    ])
  }

  /// Of a silver table with a name of its own.
  private static func rows(_ kind: TableKind, _ plan: Plan) -> JSONValue {
    guard case .silverTable(let number) = kind, let table = plan.silverTables?[number] else { return .null }
    return .members([
      "explode": table.explode.map { .string($0.list.text) } ?? .null, "element": table.explode.map { .string($0.name) } ?? .null,
      "where": table.filter.map { .string($0.text) } ?? .null, "from": Self.kind(table.kind, plan),
    ])
  }

  private static func window(_ window: WindowSpec) -> JSONValue {
    .members([
      "size_us": .int(window.sizeMicroseconds), "slide_us": .int(window.slideMicroseconds), "offset_us": .int(window.offsetMicroseconds),
      "lateness_us": .int(window.latenessMicroseconds),
    ])
  }
}
