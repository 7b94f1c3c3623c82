import Foundation
import WeirCore

/// What differs between the meanings of two plans, in the words of the pipeline file.
///
/// Members of lists are known by their names, so that one more field is one change. What follows from other parts of the file
/// (the list of an expression's inputs, and the place of each in it) is left out.
enum PlanChanges {
  /// At most `limit` lines, such as `gold.g.window.size: 10 s -> 60 s`.
  static func lines(from old: JSONValue, to new: JSONValue, _ types: AdapterTypes, limit: Int) -> [String] {
    guard let before = plan(old, types), let after = plan(new, types) else {
      return ["the plan in the ledger cannot be compared part by part: another version of Weir compiled it"]
    }
    var found: [String] = []
    compare(Part(before), Part(after), "", &found)
    if found.isEmpty {
      return ["the file has the same meaning but compiles to a different plan: another version of Weir created the ledger"]
    }
    guard found.count > limit else { return found }
    return found.prefix(limit) + ["and \(found.count - limit) more"]
  }

  private static func plan(_ json: JSONValue, _ types: AdapterTypes) -> Plan? {
    let decoder = JSONDecoder()
    decoder.userInfo[.adapters] = types
    return try? decoder.decode(Plan.self, from: Data(json.text.utf8))
  }

  private static func compare(_ a: Part?, _ b: Part?, _ path: String, _ found: inout [String]) {
    if a == b { return }
    switch (a, b) {
    case (.group(let x)?, .group(let y)?):
      let names = x.map(\.name)
      for name in names + y.map(\.name).filter({ !names.contains($0) }) {
        compare(x.first { $0.name == name }?.part, y.first { $0.name == name }?.part, path.isEmpty ? name : "\(path).\(name)", &found)
      }
      let kept = y.map(\.name).filter(names.contains)
      let keptBefore = names.filter(kept.contains)
      if kept != keptBefore {
        found.append("\(path): the order \(keptBefore.joined(separator: ", ")) -> \(kept.joined(separator: ", "))")
      }
    case (nil, let added?): found.append("\(path): added\(short(added).map { " (\($0))" } ?? "")")
    case (let removed?, nil): found.append("\(path): removed\(short(removed).map { " (it was \($0))" } ?? "")")
    case (.text(let x)?, .text(let y)?): found.append("\(path): \(difference(x, y))")
    default: found.append("\(path): \(a.flatMap(short) ?? "nothing") -> \(b.flatMap(short) ?? "nothing")")
    }
  }

  private static let shownMax = 60

  /// Both texts, of long ones the part where they first differ.
  private static func difference(_ a: String, _ b: String) -> String {
    guard max(a.count, b.count) > shownMax else { return "\(a) -> \(b)" }
    let same = zip(a, b).prefix { $0 == $1 }.count
    let from = same + 20 <= shownMax ? 0 : same - 20
    func shown(_ text: String) -> String {
      let rest = text.dropFirst(from)
      return (from > 0 ? "…" : "") + (rest.count > shownMax ? rest.prefix(shownMax - 3) + "…" : rest)
    }
    return "\(shown(a)) -> \(shown(b))"
  }

  /// nil for groups: their name says enough.
  private static func short(_ part: Part) -> String? {
    switch part {
    case .group: nil
    case .duration(let d): text(d)
    case .text(let text): text.count > shownMax ? text.prefix(shownMax - 3) + "…" : text
    }
  }

  /// In the largest unit in which it is a whole number, as people write it: 60 s, 2 m, 1 h.
  private static func text(_ duration: Int64) -> String {
    let units: [(name: String, microseconds: Int64, least: Int64)] = [
      ("d", 86_400_000_000, 1), ("h", 3_600_000_000, 1), ("m", 60_000_000, 2), ("s", 1_000_000, 0), ("ms", 1000, 1), ("us", 1, 1),
    ]
    for unit in units where duration % unit.microseconds == 0 && duration / unit.microseconds >= unit.least {
      return "\(duration / unit.microseconds) \(unit.name)"
    }
    return "\(duration) us"
  }
}

/// A part of a pipeline file: named members in their order, or a value.
private indirect enum Part: Equatable {
  struct Member: Equatable {
    var name: String
    var part: Part
  }
  case group([Member])
  case text(String)
  /// Microseconds.
  case duration(Int64)

  /// Members that are nil are left out.
  static func members(_ all: [(String, Part?)]) -> Part {
    .group(all.compactMap { name, part in part.map { Member(name: name, part: $0) } })
  }

  static func named<T>(_ list: [T], _ name: (T) -> String, _ part: (T) -> Part) -> Part? {
    list.isEmpty ? nil : .group(list.map { Member(name: name($0), part: part($0)) })
  }

  private init(_ record: RecordSpec) {
    let fields = record.fields
    let more: [(String, Part?)] = [
      ("envelope", record.envelope.map { .text($0.rawValue) }), ("tombstones", record.tombstones.map { .text($0.rawValue) }),
    ]
    let members: [(String, Part?)] = [
      ("format", record.format.map { .text(Part.format($0)) }), ("key", record.keyText.map { .text($0) }),
      ("time", record.time.map { Part($0, fields) }), ("blank_lines", record.blankLines.map { .text($0.rawValue) }),
      ("framing.each", record.each.map { .text($0.isEmpty ? "$" : FieldPath.text($0)) }),
      ("fields", .named(Array(fields.prefix(record.route?.common ?? fields.count)), \.name) { .text(Part.type($0)) }),
    ]
    self = .members(members + more)
  }

  private init(_ dedup: DedupSpec, _ fields: [Field]) {
    let id = dedup.ids.map { fields[$0].name }.joined(separator: ", ")
    self = .members([("id", .text(id)), ("within", dedup.withinMicroseconds.map { .duration($0) })])
  }

  init(_ plan: Plan) {
    let fields = plan.record.fields
    func kind(_ number: Int?) -> Part? {
      guard let number, let route = plan.record.route else { return nil }
      return .text(route.kinds[number].name)
    }
    let route: Part? = plan.record.route.map { Part($0, fields) }
    let checks: Part? = Part.named(plan.checks, \.name) { Part($0, kind: kind($0.kind)) }
    let tables: Part? = Part.named(plan.silverTables ?? [], \.name) { Part($0, from: kind($0.kind)) }
    let gold: Part? = Part.named(plan.gold, \.name) { Part($0, from: kind($0.kind)) }
    let state: Part? = Part.named(plan.state, \.name) { Part($0, from: kind($0.kind)) }
    let dedup: Part? = plan.dedup.map { Part($0, fields) }
    let lookups: Part? = Part.named(plan.lookups, \.name) { lookup in
      let columns: Part? = Part.named(lookup.columns, \.name) { .text($0.type.name) }
      return Part.members([("key", .text(fields[lookup.key].name)), ("columns", columns)])
    }
    let bronze: Part? = plan.bronze.map { Part.members([("partition_by", Part.partitions($0.partitionBy))]) }
    let silver: Part? = plan.silver.map {
      Part.members([("columns", Part.columns($0.columns)), ("partition_by", Part.partitions($0.partitionBy))])
    }
    self = .members([
      ("pipeline", .text(plan.pipeline)), ("source", Part(plan.source)), ("record", Part(plan.record)), ("route", route),
      ("checks", checks), ("dedup", dedup), ("lookups", lookups), ("bronze", bronze), ("silver", silver), ("silver.tables", tables),
      ("gold", gold), ("state", state),
    ])
  }

  private init(_ source: SourceSpec) {
    let live: Part? = source.live.map { live in
      Part.members([
        ("topics", .text(live.streams.joined(separator: ", "))), ("partitioner", .text(live.partitioner?.rawValue ?? "auto")),
        ("misplaced", .text(live.misplaced.rawValue)),
      ])
    }
    let deal: Part? = source.live == nil ? .text(source.deal.rawValue) : nil
    self = .members([("stream", .text(source.stream)), ("deal", deal), (source.adapter, live)])
  }

  private init(_ check: Check, kind: Part?) {
    self = .members([("kind", kind), ("that", .text(check.that.text)), ("else", .text(check.otherwise.rawValue))])
  }

  private init(_ table: SilverTable, from: Part?) {
    let explode: Part? = table.explode.map { .text("\($0.list.text) as \($0.name)") }
    let filter: Part? = table.filter.map { .text($0.text) }
    self = .members([
      ("from", from), ("explode", explode), ("where", filter), ("columns", Part.columns(table.columns)),
      ("partition_by", Part.partitions(table.partitionBy)),
    ])
  }

  private init(_ state: StateSpec, from: Part?) {
    let filter: Part? = state.filter.map { .text($0.text) }
    let ttl: Part? = state.ttlMicroseconds.map { .duration($0) }
    self = .members([
      ("from", from), ("where", filter), ("by", Part.columns(state.by)), ("measure", Part.measures(state.measures)), ("ttl", ttl),
    ])
  }

  private init(_ time: TimeSpec, _ fields: [Field]) {
    self = .members([
      ("field", .text(fields[time.field].name)), ("out_of_order", .duration(time.outOfOrderMicroseconds)),
      ("max_ahead", time.maxAheadMicroseconds.map { $0 == Int64.max ? .text("off") : .duration($0) }),
    ])
  }

  private init(_ route: RouteSpec, _ fields: [Field]) {
    let kinds: Part? = Part.named(route.kinds, \.name) { kind in
      let own: Part? = Part.named(kind.fields, \.field.name) { .text(Part.type($0.field)) }
      return Part.members([("is", .text(kind.values.joined(separator: ", "))), ("fields", own)])
    }
    self = .members([("by", .text(fields[route.by].name)), ("else", .text(route.otherwise.rawValue)), ("kinds", kinds)])
  }

  private init(_ gold: GoldSpec, from: Part?) {
    let window = gold.window
    let isTumbling = window.sizeMicroseconds == window.slideMicroseconds
    self = .members([
      ("from", from), ("where", gold.filter.map { .text($0.text) }), ("by", Part.columns(gold.by)),
      (
        "window",
        .members([
          ("size", .duration(window.sizeMicroseconds)), ("every", isTumbling ? nil : .duration(window.slideMicroseconds)),
          ("lateness", .duration(window.latenessMicroseconds)),
        ])
      ),
      ("measure", Part.measures(gold.measures)), ("partition_by", Part.partitions(gold.partitionBy)),
    ])
  }

  private static func columns(_ list: [OutputColumn]) -> Part? { named(list, \.name) { .text($0.expr.text) } }

  private static func measures(_ list: [Measure]) -> Part? {
    named(list, \.name) { .text("\($0.function.rawValue)(\($0.argument?.text ?? ""))") }
  }

  private static func partitions(_ list: [PartitionColumn]) -> Part? {
    named(list, \.name) { .text($0.transform == .identity ? $0.column : "\($0.transform.rawValue)(\($0.column))") }
  }

  private static func type(_ field: Field) -> String {
    let suffix =
      switch field.encoding {
      case .natural: ""
      case .json: " of json"
      case .rescued: " of what no other field reads"
      case .seconds: "_s"
      case .milliseconds: "_ms"
      case .microseconds: "_us"
      case .nanoseconds: "_ns"
      }
    let coerce = field.coerce.map { " " + $0.text } ?? ""
    return field.type.name + suffix + (field.required ? "!" : "") + (field.path.map { " at " + FieldPath.text($0) } ?? "") + coerce
  }

  /// Its name, and its settings where it has some.
  fileprivate static func format(_ spec: FormatSpec) -> String {
    let encoder = JSONEncoder()
    // Equal settings are equal texts.
    encoder.outputFormatting = .sortedKeys
    let text = (try? JSONValue(parsing: encoder.encode(["f": spec])))?["f"].map { $0.string ?? $0.text } ?? spec.name
    // Of long settings the beginning and what makes them unique.
    return text.utf8.count <= 400 ? text : "\(text.shortened(toBytes: 300)) (\(ContentHash(of: Array(text.utf8)).hex.prefix(12)))"
  }
}
