import WeirCore
import WeirEngine
import WeirOperators

/// The typed plan and its dataflow, for people.
package enum Explain {
  package static func text(_ plan: Plan, lookups: [LookupTable]) -> String {
    var out: [String] = ["pipeline \(plan.pipeline)", ""]
    out += dataflow(plan)
    out += promise(plan)
    let schemas = plan.record.registry.map { ", schemas of \($0.url)" } ?? ""
    out += ["", "record (\(type(of: plan.record.recordFormat).name)\(schemas))"]
    let common = plan.record.route?.common ?? plan.record.fields.count
    out += plan.record.fields.prefix(common).enumerated().map { self.field($1, $0, plan) }
    for kind in plan.record.route?.kinds ?? [] {
      out += ["", "kind \(kind.name)   \(self.says(kind, plan))"] + kind.fields.map { self.field($0.field, $0.index, plan) }
    }
    for lookup in plan.lookups {
      let columns = lookup.columns.map { "\($0.name) \($0.type.name)" }.joined(separator: ", ")
      let refresh = lookup.refreshMicroseconds.map { ", refreshed every \(Double($0) / 1e6) s" } ?? ""
      out += ["", "lookup \(lookup.name) by \(plan.record.fields[lookup.key].name), from \(lookup.file)\(refresh)", "  \(columns)"]
    }
    if !plan.checks.isEmpty {
      out +=
        ["", "checks"]
        + plan.checks.map {
          "  \(pad($0.name, 20)) \($0.that.text)   else \($0.otherwise.rawValue)\(from($0.kind, plan).map { "   \($0)" } ?? "")"
        }
    }
    let compiled = CompiledPlan(plan, lookups: lookups)
    for table in plan.tables {
      let partitionBy = table.partitionBy
      out += [
        "", "table \(table.name)\(partitionBy.isEmpty ? "" : "   partitioned by " + partitionBy.map(\.name).joined(separator: ", "))",
      ]
      if let i = table.kind.gold {
        if let from = from(plan.gold[i].kind, plan) { out.append("  \(from)") }
        out += gold(plan.gold[i], place(compiled.aggregates[i].isFinishedInLane, plan), plan.record.time)
      }
      if case .silverTable(let number) = table.kind { out += silver(plan.silverTables?[number], plan) }
      out += table.columns.map { "  \(pad($0.name, 20)) \($0.type.name)" }
    }
    for (i, state) in plan.state.enumerated() {
      let aggregate = compiled.aggregates[compiled.goldCount + i]
      out += ["", "state \(state.name)", "  \(place(aggregate.isFinishedInLane, plan))"]
      if let from = from(state.kind, plan) { out.append("  \(from)") }
      if let filter = state.filter { out.append("  where \(filter.text)") }
      out += state.by.map { "  \(pad($0.name, 20)) \(pad($0.expr.type.name, 14)) by \($0.expr.text)" }
      out += state.measures.map(measure)
      if let ttl = state.ttlMicroseconds {
        out.append(
          "  a row expires when the watermark has passed the key's newest record by \(ttl / 1000) ms, and a later one begins a new row")
      }
    }
    if let sinks = plan.sinks { out += self.sinks(sinks, plan) }
    return out.joined(separator: "\n")
  }

  private static func field(_ field: Field, _ number: Int, _ plan: Plan) -> String {
    var notes: [String] = []
    if field.required { notes.append("required") }
    if let coerce = field.coerce { notes.append(coerce.text) }
    switch field.encoding {
    case .natural: break
    case .json: notes.append("any JSON value as its text")
    case .rescued: notes.append("what no other field reads, as a JSON object")
    default: notes.append("from \(field.encoding.rawValue) since 1970")
    }
    if let path = field.path { notes.append("at \(FieldPath.text(path))") }
    if plan.record.keys.contains(number) { notes.append("key") }
    if plan.record.time?.field == number { notes.append("event time") }
    if plan.dedup?.ids.contains(number) == true { notes.append("id") }
    return "  \(pad(field.name, 20)) \(pad(field.type.name, 14)) \(notes.joined(separator: ", "))"
  }

  /// Which records are of a kind.
  private static func says(_ kind: RecordKind, _ plan: Plan) -> String {
    let by = plan.record.route.map { plan.record.fields[$0.by].name } ?? ""
    return "\(by) is \(kind.values.joined(separator: " or "))"
  }

  private static func from(_ kind: Int?, _ plan: Plan) -> String? {
    kind.flatMap { plan.record.route?.kinds[$0] }.map { "of kind \($0.name)" }
  }

  private static func sinks(_ sinks: SinkSpec, _ plan: Plan) -> [String] {
    var out = [
      "",
      "topics at \(sinks.settings.place ?? "the source's brokers"), at least once, headers weir-ledger, weir-entry, weir-table, weir-row identify repeats",
      "  from the \(sinks.start.rawValue) entry on; workers stop reading when one is \(sinks.behindMax) entries behind",
    ]
    for route in sinks.routes {
      let by = plan.tables.first { $0.name == route.table }?.kind.gold.map { plan.gold[$0].by.map(\.name) }
      let form = by.map { "JSON, keyed by \($0.isEmpty ? "nothing" : $0.joined(separator: ", "))" } ?? "key, value and headers as received"
      out.append("  \(pad(route.table, 28)) ─► \(pad(route.topic, 28)) \(form)")
    }
    return out
  }

  private static func pad(_ s: String, _ n: Int) -> String { s + String(repeating: " ", count: max(0, n - s.count)) }

  private static func place(_ inLane: Bool, _ plan: Plan) -> String {
    guard inLane else { return "combined in the lanes, merged from the ledger" }
    let byShard = plan.source.live?.misplaced == .perShard
    return "finished in the lane: by contains the \(byShard ? "shard" : "record's key")"
  }

  /// What a pipeline promises about records by key, and what breaks it.
  private static func promise(_ plan: Plan) -> [String] {
    guard let live = plan.source.live, let key = plan.record.keyText else { return [] }
    if live.reshards { return promiseOfRanges(live, key) }
    let rule =
      live.partitioner.map { "by \($0.rawValue)" }
      ?? "by murmur2, crc32 or fnv1a, as detected from the first records and recorded in the ledger"
    var out = ["", "keys (misplaced: \(live.misplaced.rawValue))"]
    switch live.misplaced {
    case .halt:
      out.append(
        "  expected \(rule); checked record by record: a record in the wrong partition, or without a key, stops the worker before it is committed"
      )
      out.append(
        live.readsSeveralStreams
          ? "  several topics: a \(key) may be in each, so all tables are merged, and duplicates are found within a topic"
          : "  so all records of a \(key) are in one partition: tables by it are finished there, and all duplicates are found"
      )
      out.append("  more partitions in a topic stop the worker: keys move")
    case .merge:
      out.append("  may be in any partition: all tables are merged over the partitions, and correct")
      out.append("  duplicates are found within a partition only")
    case .perShard:
      out.append(
        "  may be in any partition: tables by \(key) have a row for each partition that holds it (_shard); add them up for the whole")
      out.append("  duplicates are found within a partition only")
    }
    return out
  }

  /// The same of a source whose shards have ranges of hashes, and are split and merged.
  private static func promiseOfRanges(_ live: LiveSourceTraits, _ key: String) -> [String] {
    let head = ["", "keys (misplaced: \(live.misplaced.rawValue))"]
    switch live.misplaced {
    case .halt:
      return head + [
        "  expected in the shard whose range has the MD5 of \(key); checked record by record: a record elsewhere (an explicit hash key, keys that the service chose), or without a key, stops the worker before it is committed",
        "  so all records of a \(key) are in one shard at a time: tables by it are finished there, and all duplicates are found",
        "  a shard that is split or merged hands windows, state and ids over to the shards that have its keys next",
      ]
    case .merge:
      return head + [
        "  may be in any shard: all tables are merged over the shards, and correct", "  duplicates are found within a shard only",
      ]
    case .perShard:
      return head + [
        "  may be in any shard: tables by \(key) have a row for each shard that holds it (_shard); add them up for the whole",
        "  duplicates are found within a shard only",
      ]
    }
  }

  private static func measure(_ m: Measure) -> String {
    "  \(pad(m.name, 20)) \(pad(m.type.name, 14)) \(m.function.rawValue)(\(m.argument?.text ?? ""))"
  }

  private static func silver(_ table: SilverTable?, _ plan: Plan) -> [String] {
    [
      from(table?.kind, plan).map { "  \($0)" },
      table?.explode.map { "  a row for each element of \($0.list.text) as \($0.name), numbered by \(ExplodeSpec.index) from 0" },
      table?.filter.map { "  where \($0.text)" },
    ].compactMap(\.self)
  }

  private static func gold(_ g: GoldSpec, _ place: String, _ time: TimeSpec?) -> [String] {
    func seconds(_ us: Int64) -> String { us % 1_000_000 == 0 ? "\(us / 1_000_000) s" : "\(us / 1000) ms" }
    let w = g.window
    let shape =
      w.sizeMicroseconds == w.slideMicroseconds
      ? "tumbling \(seconds(w.sizeMicroseconds))" : "hopping \(seconds(w.sizeMicroseconds)) every \(seconds(w.slideMicroseconds))"
    var out = [
      "  window \(shape), lateness \(seconds(w.latenessMicroseconds)), watermark = largest event time - \(seconds(time?.outOfOrderMicroseconds ?? 0))",
      "  \(place)",
    ]
    if let filter = g.filter { out.append("  where \(filter.text)") }
    return out + g.measures.map(measure)
  }

  private static func dataflow(_ plan: Plan) -> [String] {
    var out = ["  \(plan.source.settings.summary(of: plan))"]
    func step(_ s: String) { out.append("    └─ " + s) }
    if plan.record.envelope == .connect { step("a record with schema and payload is its payload") }
    if plan.record.tombstones == .drop { step("records without a value are counted as filtered") }
    if let each = plan.record.each {
      step("each element of \(each.isEmpty ? "a record that is an array" : FieldPath.text(each)) is a record")
    }
    if let route = plan.record.route {
      let other = route.otherwise == .drop ? "others are filtered" : "others ─► quarantine/\(plan.source.stream)"
      step("kinds by \(plan.record.fields[route.by].name): \(route.kinds.map(\.name).joined(separator: ", ")); \(other)")
    }
    step("decode, shard watermark")
    if !plan.checks.isEmpty { step("checks: \(plan.checks.map(\.name).joined(separator: ", "))  ─► quarantine/\(plan.source.stream)") }
    if let dedup = plan.dedup {
      let within = dedup.withinMicroseconds.map { " within \($0 / 1000) ms" } ?? ""
      let key = plan.record.key == nil ? plan.source.live == nil ? "" : "partition and " : "key and "
      step(
        "dedup by \(key)\(dedup.ids.map { plan.record.fields[$0].name }.joined(separator: ", "))\(within)\(plan.record.route == nil ? "" : ", each kind by itself")  ─► duplicates are counted"
      )
    }
    if !plan.lookups.isEmpty { step("lookups: \(plan.lookups.map(\.name).joined(separator: ", "))") }
    step("cut ─► files and lane state ─► ledger entry ─► Delta tables, state table")
    return out
  }
}
