import Foundation
import WeirCore
import WeirEngine
import WeirLMDB
import WeirLocal
import WeirOperators
import WeirProtocol

/// `weir state get | scan | rebuild`.
public enum StateCommands {
  /// - Parameters:
  ///   - store: the directory; else the pipeline's.
  ///   - keys: one text a `by` column that is not among `nulls`.
  ///   - nulls: names of `by` columns whose key is null.
  ///   - lake: instead of the pipeline's. With a lake the ledger itself says what is committed.
  /// - Returns: 0, or 1 when there is no such row.
  public static func get(
    table: String, keys: [String], nulls: [String] = [], store: String?, pipeline: String?, lake: String?, format: RowFormat,
    console: Console
  ) async throws -> Int32 {
    let reader = try await reader(table, store, pipeline, lake, console)
    let values = try KeyArgument.values(keys, nulls: nulls, reader.by, table: table)
    guard let row = try await reader.table.read(table: table, key: StateKey.encode(values)), row.value != nil else {
      console.talk("no such row in \(table)")
      return 1
    }
    let shower = try await reader.shower(format)
    var writer = RowWriter(shower.columns, format: format, console: console)
    try writer.add(try shower.values(row))
    try writer.finish()
    return 0
  }

  public static func scan(
    table: String, prefix: String?, limit: Int?, store: String?, pipeline: String?, lake: String?, format: RowFormat, console: Console
  ) async throws -> Int32 {
    if let limit, limit < 0 {
      throw WeirError(.config, "--limit \(limit): a number of rows cannot be negative", advice: "Leave --limit out for all rows.")
    }
    let reader = try await reader(table, store, pipeline, lake, console)
    if prefix != nil, reader.by.first?.type != .string {
      throw WeirError(
        .config, "--prefix needs a table whose first key column is a string; that of \(table) is \(reader.by.first?.type.name ?? "none")",
        advice: "Leave --prefix out, or read one row with `weir state get`.")
    }
    try await reader.show(prefix: prefix.map(StateKey.prefix) ?? [], limit: limit, format: format, console: console)
    return 0
  }

  private static func reader(
    _ table: String, _ store: String?, _ pipeline: String?, _ lake: String?, _ console: Console
  ) async throws -> StateReader {
    var reader = try await StateReader(table: table, store: try directory(store, pipeline))
    guard let pipeline else {
      guard lake == nil else {
        throw WeirError(
          .config, "--lake needs --pipeline: a lake holds the ledgers of several pipelines",
          advice: "Name the pipeline file with --pipeline.")
      }
      return reader
    }
    let file = try loadPipeline(file: pipeline)
    let wiring = try Wiring(try Places(file, lake: lake, store: store), withState: false)
    let layout = LedgerLayout(pipeline: file.plan.pipeline)
    do {
      if lake != nil {
        try await reader.prove(by: try await Ledger.required(layout, store: wiring.lake, clock: wiring.clock, random: wiring.random))
      } else if let ledger = try await Ledger.open(layout, store: wiring.lake, clock: wiring.clock, random: wiring.random) {
        try await reader.prove(by: ledger)
      }
    } catch let error as WeirError where lake == nil {
      console.talk("no row can be shown as committed: \(error.message)")
      reader.distrust()
    }
    return reader
  }

  private static func directory(_ store: String?, _ pipeline: String?) throws -> String {
    if let store { return Paths.normal(try PathText.checked(store, "--store")) }
    guard let pipeline else {
      throw WeirError(
        .config, "the state table's directory is not given",
        advice: "Give its directory with --store, or the pipeline file with --pipeline.")
    }
    return try Places(try loadPipeline(file: pipeline), lake: nil, store: nil).store
  }

  /// Writes the state tables again from lane state. A damaged file is not read: a new one is written and put in its place.
  public static func rebuild(pipeline file: String, lake: String?, store: String?, console: Console) async throws -> Int32 {
    let pipeline = try loadPipeline(file: file)
    var places = try Places(pipeline, lake: lake, store: store)
    let damage = try await LMDBStateTable.damage(in: places.store, thread: BlockingThreads(count: 1))
    var replacement: StateReplacement?
    if let damage {
      console.talk("\(damage.message): a new file replaces it; other pipelines' tables in it are rebuilt by their workers")
      replacement = try StateReplacement(store: places.store)
      places.store = replacement?.path ?? places.store
    }
    let wiring = try Wiring(places, withState: true)
    let rows = try await StateRebuild.run(
      CompiledPlan(pipeline.plan, lookups: pipeline.lookups), environment: wiring.environment())
    try await wiring.state?.finish()
    try await wiring.state?.close()
    try replacement?.publish()
    console.data("\(Human.count(Int64(rows))) rows written from the ledger's lane state")
    return 0
  }
}

/// A key from the command line.
enum KeyArgument {
  /// - Parameters:
  ///   - keys: a text for each `by` column that is not among `nulls`, in their order.
  ///   - nulls: names of `by` columns whose value is null.
  static func values(_ keys: [String], nulls: [String], _ by: [ColumnSchema], table: String) throws(WeirError) -> [Literal] {
    let names = by.map(\.name)
    for name in nulls where !names.contains(name) {
      throw WeirError(
        .config, "--null \(name): no column of the key of \(table) has this name",
        advice: "Its columns: \(names.joined(separator: ", ")).")
    }
    let given = by.filter { !nulls.contains($0.name) }
    guard keys.count == given.count else {
      let count = given.count == 1 ? "1 text is" : "\(given.count) texts are"
      throw WeirError(
        .config, "the key of \(table) is made of \(names.joined(separator: ", ")): \(count) needed, not \(keys.count)",
        advice: "Give a text for each column in this order; a column whose key is null is named with --null COLUMN instead.")
    }
    var rest = keys[...]
    return try by.map { column throws(WeirError) -> Literal in
      guard !nulls.contains(column.name), let text = rest.popFirst() else { return .null }
      guard let value = literal(text, column.type) else {
        throw WeirError(
          .config, "the key column \(column.name) of \(table) is \(column.type.name), and '\(text)' is not",
          advice: "Write it as a cast from text reads it: \(example(column.type)); for null give --null \(column.name) instead.")
      }
      return value
    }
  }

  private static func example(_ type: ColumnType) -> String {
    switch type {
    case .bool: "true"
    case .int64: "42"
    case .double: "4.5"
    case .decimal(_, let scale): scale == 0 ? "42" : "4." + String(repeating: "5", count: scale)
    case .string, .binary: "abc"
    case .timestamp: "2026-01-31T23:59:59Z"
    }
  }

  /// A `by` value; nil if the text is none of the type. The empty text is null where the type has no empty value.
  static func literal(_ text: String, _ type: ColumnType) -> Literal? {
    if type == .string { return .string(text) }
    if text.isEmpty { return .null }
    let inner = Expr(node: .literal(.string(text)), type: .string, text: "")
    let result = ExprEvaluator(Expr(node: .cast(inner, orNull: true), type: type, text: "")).evaluate([], count: 1)
    let value = result.column.literal(0)
    return value == .null ? nil : value
  }
}

/// One state table opened for reading.
struct StateReader {
  /// What stands behind a row's own columns when it is shown.
  static let ownColumns = ["_fence", "_committed"]
  let table: LMDBStateTable
  let by: [ColumnSchema]
  let measures: [String]
  private let name: String
  /// By lane, what the ledger itself has; nil: it was not asked, and the store's own marks count.
  private var proven: [String: LedgerMark]?

  init(table name: String, store: String) async throws {
    try await self.init(
      table: name, in: try LMDBStateTable(path: store, readOnly: true, thread: BlockingThreads(count: 1)), place: store)
  }

  /// - Parameters:
  ///   - table: open already: a process opens an LMDB directory once.
  ///   - place: where that is, for messages.
  init(table name: String, in table: LMDBStateTable, place: String) async throws {
    self.name = name
    self.table = table
    guard let bytes = try await table.readMeta("schema/\(name)"),
      let schema = StateSchema.decode(bytes, type: { FieldType.parse("", $0)?.type ?? ($0 == "binary" ? .binary : nil) })
    else {
      let known = try await table.listMeta(prefix: "schema/").map { String($0.name.dropFirst(7)) }
      let nearest = nearestName(name, in: known).map { " (did you mean \($0)?)" } ?? ""
      throw WeirError(
        .config, "there is no state table \(name) in \(place)\(nearest)",
        advice: known.isEmpty
          ? "There are no tables yet: a pipeline with a section `state` creates them at its first commit."
          : "There are: \(known.joined(separator: ", ")).")
    }
    (by, measures) = schema
  }

  /// From now on the ledger says what is committed: the store's marks may come from a history that it does not have.
  /// - Throws: `foreign_table`.
  mutating func prove(by ledger: Ledger) async throws {
    proven = try await StateProof.committed(table, table: name, ledger)
    guard proven == nil else { return }
    throw WeirError(
      .foreignTable, "the state table \(name) belongs to another ledger than \(ledger.layout.prefix) in this lake",
      advice: "Name the lake and the store that belong together (--lake DIR --store DIR).")
  }

  /// The ledger cannot be read: nothing is known to be committed.
  mutating func distrust() { proven = [:] }

  /// What the ledger has of each lane.
  private func committed() async throws -> [String: LedgerMark] {
    if let proven { return proven }
    var committed: [String: LedgerMark] = [:]
    for (name, value) in try await table.listMeta(prefix: LedgerMark.prefix) {
      committed[String(name.dropFirst(LedgerMark.prefix.count))] = LedgerMark(value)
    }
    return committed
  }

  /// A row with its fence, and whether the ledger has reached it; nil: there is none.
  func row(_ key: [Literal]) async throws -> JSONValue? {
    guard let row = try await table.read(table: name, key: StateKey.encode(key)), let bytes = row.value else { return nil }
    let values = zip(measures, try StateValue.decode(bytes)).map { JSONValue.Member($0, ValueText.json($1)) }
    let reached = try await committed()[row.lane]?.covers(row.fence) ?? false
    return .members([
      "table": .string(name), "key": .object(zip(by, key).map { JSONValue.Member($0.name, ValueText.json($1)) }),
      "row": .object(values), "lane": .string(row.lane),
      "fence": .members(["generation": .int(row.fence.generation), "position": .int(row.fence.position)]),
      "committed": .bool(reached),
    ])
  }

  /// Shows the rows whose key begins with `prefix`, as one moment has them.
  func show(prefix: [UInt8], limit: Int?, format: RowFormat, console: Console) async throws {
    let shower = try await shower(format)
    try await table.withRows(table: name, prefix: prefix, limit: limit ?? -1) { (rows) throws(WeirError) in
      var writer = RowWriter(shower.columns, format: format, console: console)
      try rows.forEach { (row) throws(WeirError) in try writer.add(try shower.values(row)) }
      try writer.finish()
    }
  }

  func shower(_ format: RowFormat) async throws -> RowShower {
    RowShower(by: by, measures: measures, committed: try await committed(), isPlain: format == .csv)
  }
}

/// What is shown of a state row.
struct RowShower: Sendable {
  private let types: [ColumnType]
  private let committed: [String: LedgerMark]
  /// Without the row's fence.
  private let isPlain: Bool
  let columns: [String]

  /// - Parameter committed: how far the ledger is, by lane.
  init(by: [ColumnSchema], measures: [String], committed: [String: LedgerMark], isPlain: Bool) {
    types = by.map(\.type)
    self.committed = committed
    self.isPlain = isPlain
    columns = by.map(\.name) + measures + (isPlain ? [] : StateReader.ownColumns)
  }

  func values(_ row: StateRow) throws(WeirError) -> [Literal] {
    var values = try StateKey.decode(row.key, types: types)
    values += try StateValue.decode(row.value ?? [])
    if !isPlain {
      let isCommitted = committed[row.lane]?.covers(row.fence) ?? false
      values += [.string("\(row.fence.generation):\(row.fence.position)"), .bool(isCommitted)]
    }
    return values
  }
}
