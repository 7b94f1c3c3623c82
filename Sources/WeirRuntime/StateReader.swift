import WeirCore
import WeirEngine
import WeirLocal
import WeirOperators
import WeirPlan
import WeirProtocol
import WeirReport

/// One state table opened for reading.
package struct StateReader {
  package let table: any StateTableReader
  package let by: [ColumnSchema]
  let measures: [String]
  private let name: String
  /// By lane, what the ledger itself has; nil: it was not asked, and the store's own marks count.
  private var proven: [String: LedgerMark]?

  package init(table name: String, store: String) async throws {
    try await self.init(
      table: name, in: try AdapterRegistry.standard.stateTable(at: store), place: store)
  }

  /// - Parameters:
  ///   - table: open already: a process opens a table once.
  ///   - place: where that is, for messages.
  package init(table name: String, in table: any StateTableReader, place: String) async throws {
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
  package mutating func prove(by ledger: Ledger) async throws {
    proven = try await StateProof.committed(table, table: name, ledger)
    guard proven == nil else { return }
    throw WeirError(
      .foreignTable, "the state table \(name) belongs to another ledger than \(ledger.layout.prefix) in this lake",
      advice: "Name the lake and the store that belong together (--lake DIR --store DIR).")
  }

  /// The ledger cannot be read: nothing is known to be committed.
  package mutating func distrust() { proven = [:] }

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
  package func row(_ key: [Literal]) async throws -> JSONValue? {
    guard let row = try await table.read(table: name, key: StateKey.encode(key)), let bytes = row.value else { return nil }
    let oversize = OversizeValue(bytes)
    let decoded = oversize == nil ? try StateValue.decode(bytes) : measures.map { _ in .null }
    let values = zip(measures, decoded).map { JSONValue.Member($0, ValueText.json($1)) }
    let reached = try await committed()[row.lane]?.covers(row.fence) ?? false
    return .object(
      [
        .init("table", .string(name)), .init("key", .object(zip(by, key).map { JSONValue.Member($0.name, ValueText.json($1)) })),
        .init("row", .object(values)), .init("lane", .string(row.lane)),
        .init("fence", .members(["generation": .int(row.fence.generation), "position": .int(row.fence.position)])),
        .init("committed", .bool(reached)),
      ] + (oversize.map { [.init("oversize", .bool(true)), .init("bytes", .int($0.bytes))] } ?? []))
  }

  /// Shows the rows whose key begins with `prefix`. Each page of them is of one moment.
  package func show(prefix: [UInt8], limit: Int?, format: RowFormat, console: Console) async throws {
    let shower = try await shower(format)
    var writer = RowWriter(shower.columns, format: format, console: console)
    var oversize = 0
    try await table.forEachRow(of: name, prefix: prefix, limit: limit) { row in
      let isOversize = row.isOversize
      oversize += isOversize ? 1 : 0
      try writer.add(try shower.values(row), json: isOversize ? [RowShower.oversizeMark] : [])
    }
    try writer.finish()
    if oversize > 0 { console.talk(RowShower.notice(oversize)) }
  }

  /// Shows one row.
  package func show(_ row: StateRow, format: RowFormat, console: Console) async throws {
    let shower = try await shower(format)
    var writer = RowWriter(shower.columns, format: format, console: console)
    try writer.add(try shower.values(row), json: row.isOversize ? [RowShower.oversizeMark] : [])
    try writer.finish()
    if row.isOversize { console.talk(RowShower.notice(1)) }
  }

  private func shower(_ format: RowFormat) async throws -> RowShower {
    RowShower(by: by, measures: measures, committed: try await committed(), isPlain: format == .csv)
  }
}

extension StateRow {
  /// Without its values, which are too large for the table.
  fileprivate var isOversize: Bool { value.flatMap { OversizeValue($0) } != nil }
}

/// What is shown of a state row.
package struct RowShower: Sendable {
  /// Only rows whose values are too large for the table have it.
  static let oversizeMark = JSONValue.Member("_oversize", .bool(true))

  static func notice(_ rows: Int) -> String {
    rows == 1
      ? "notice: 1 row has no values here (_oversize): they are too large for the state table, and are in the lake"
      : "notice: \(rows) rows have no values here (_oversize): they are too large for the state table, and are in the lake"
  }

  private let types: [ColumnType]
  private let measures: Int
  private let committed: [String: LedgerMark]
  /// Without the row's fence.
  private let isPlain: Bool
  package let columns: [String]

  /// - Parameter committed: how far the ledger is, by lane.
  init(by: [ColumnSchema], measures: [String], committed: [String: LedgerMark], isPlain: Bool) {
    types = by.map(\.type)
    self.measures = measures.count
    self.committed = committed
    self.isPlain = isPlain
    columns = by.map(\.name) + measures + (isPlain ? [] : StateSpec.ownColumns)
  }

  package func values(_ row: StateRow) throws(WeirError) -> [Literal] {
    var values: [Literal]
    if row.isOversize {
      // The beginning of a key that was too large, too, may end within a column.
      values =
        (try? StateKey.decode(row.key, types: types))
        ?? types.enumerated().map { i, type in
          i == 0 && type == .string ? .string(StateKey.shown(row.key)) : .null
        }
      values += [Literal](repeating: .null, count: measures)
    } else {
      values = try StateKey.decode(row.key, types: types) + StateValue.decode(row.value ?? [])
    }
    if !isPlain {
      let isCommitted = committed[row.lane]?.covers(row.fence) ?? false
      values += [.string("\(row.fence.generation):\(row.fence.position)"), .bool(isCommitted)]
    }
    return values
  }
}
