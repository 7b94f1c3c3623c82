import Foundation
import WeirCore
import WeirEngine
import WeirLMDB
import WeirLocal
import WeirOperators

/// `weir state get | scan | rebuild`.
public enum StateCommands {
  /// - Parameters:
  ///   - store: the directory; else the pipeline's.
  ///   - keys: one text a `by` column.
  /// - Returns: 0, or 1 when there is no such row.
  public static func get(
    table: String, keys: [String], store: String?, pipeline: String?, format: RowFormat, console: Console
  ) async throws -> Int32 {
    let reader = try await StateReader(table: table, store: try directory(store, pipeline))
    guard keys.count == reader.by.count else {
      throw WeirError(
        "config", "the key of \(table) has \(reader.by.count) parts (\(reader.by.map(\.name).joined(separator: ", "))), \(keys.count) were given")
    }
    let values = try zip(keys, reader.by).map { text, column in
      guard let value = KeyArgument.literal(text, column.type) else {
        throw WeirError("config", "\(column.name): \(text) is no \(column.type.name)")
      }
      return value
    }
    guard let row = try await reader.table.read(table: table, key: StateKey.encode(values)), row.value != nil else {
      console.talk("no such row in \(table)")
      return 1
    }
    try await reader.show([row], format: format, console: console)
    return 0
  }

  public static func scan(
    table: String, prefix: String?, limit: Int?, store: String?, pipeline: String?, format: RowFormat, console: Console
  ) async throws -> Int32 {
    let reader = try await StateReader(table: table, store: try directory(store, pipeline))
    if prefix != nil, reader.by.first?.type != .string {
      throw WeirError("config", "--prefix needs a table whose first key column is a string")
    }
    let rows = try await reader.table.scan(table: table, prefix: prefix.map(StateKey.prefix) ?? [], limit: limit ?? -1)
    try await reader.show(rows, format: format, console: console)
    return 0
  }

  private static func directory(_ store: String?, _ pipeline: String?) throws -> String {
    if let store { return store }
    guard let pipeline else { throw WeirError("config", "name the state table's directory with --store, or the pipeline with --pipeline") }
    return Places(try loadPipeline(file: pipeline), lake: nil, store: nil).store
  }

  /// Makes the state tables again from lane state.
  public static func rebuild(pipeline file: String, lake: String?, store: String?, console: Console) async throws -> Int32 {
    let pipeline = try loadPipeline(file: file)
    let wiring = try Wiring(Places(pipeline, lake: lake, store: store), withState: true)
    let rows = try await StateRebuild.run(
      CompiledPlan(pipeline.plan, lookups: pipeline.lookups), environment: wiring.environment)
    try await wiring.state?.finish()
    console.data("\(Human.count(Int64(rows))) rows written from the ledger's lane state")
    return 0
  }
}

/// A `by` value from the command line.
enum KeyArgument {
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
  let table: LMDBStateTable
  let by: [ColumnSchema]
  let measures: [String]
  private let name: String

  init(table name: String, store: String) async throws {
    self.name = name
    table = try LMDBStateTable(path: store, readOnly: true, thread: BlockingThreads(count: 1))
    guard let bytes = try await table.readMeta("schema/\(name)"),
      let schema = StateSchema.decode(bytes, type: { FieldType.parse("", $0)?.type ?? ($0 == "binary" ? .binary : nil) })
    else {
      let known = try await table.listMeta(prefix: "schema/").map { String($0.name.dropFirst(7)) }
      let nearest = nearestName(name, in: known).map { " (did you mean \($0)?)" } ?? ""
      throw WeirError("config", "there is no state table \(name) in \(store)\(nearest); there are: \(known.joined(separator: ", "))")
    }
    (by, measures) = schema
  }

  func show(_ rows: [StateRow], format: RowFormat, console: Console) async throws {
    var committed: [String: Fence] = [:]
    for (name, value) in try await table.listMeta(prefix: "committed/") {
      let parts = String(decoding: value, as: UTF8.self).split(separator: " ").compactMap { Int64($0) }
      if parts.count == 2 { committed[String(name.dropFirst(10))] = Fence(generation: parts[0], position: parts[1]) }
    }
    let lines: [[JSONValue]] = try rows.map { row in
      let key = try StateKey.decode(row.key, types: by.map(\.type))
      let values = try StateValue.decode(row.value ?? [])
      let isCommitted = committed[row.lane].map { row.fence <= $0 } ?? false
      return (key + values).map(ValueText.json) + [.string("\(row.fence.generation):\(row.fence.position)"), .bool(isCommitted)]
    }
    var columns = by.map(\.name) + measures
    var shown = lines
    if format == .csv {
      shown = lines.map { Array($0.dropLast(2)) }
    } else {
      columns += ["_fence", "_committed"]
    }
    RowPrinter(format: format, console: console).print(columns: columns, rows: shown)
  }
}
