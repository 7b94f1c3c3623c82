import WeirCore
import WeirOperators

/// How the rows that lanes make become the columns of one table's files: which are stored, which are partition values.
struct TableLayout: Sendable {
  /// `gold/campaign_views`
  let table: String
  /// The Delta table's columns, partition columns last.
  let schema: [ColumnSchema]
  let partitionBy: [PartitionColumn]
  /// Columns of the files, and where each stands among the columns of a ``RowChunk``.
  let stored: [ColumnSchema]
  let storedFrom: [Int]
  /// Where each partition column is taken from among the columns of a ``RowChunk``.
  let partitionFrom: [Int]

  /// - Parameter names: the columns of the table's row chunks, in order.
  init(table: String, schema: [ColumnSchema], partitionBy: [PartitionColumn], names: [String]) {
    self.table = table
    self.schema = schema
    self.partitionBy = partitionBy
    let partitions = Set(partitionBy.map(\.name))
    stored = schema.filter { !partitions.contains($0.name) }
    func place(_ name: String) -> Int {
      guard let at = names.firstIndex(of: name) else { preconditionFailure("table \(table) has no source for column \(name)") }
      return at
    }
    storedFrom = stored.map { place($0.name) }
    partitionFrom = partitionBy.map { place($0.column) }
  }

  /// The tables of a plan, in the order of their files in an entry.
  static func all(_ plan: Plan) -> [TableLayout] {
    let provenance = ["_shard", "_position", "_arrival", "_ingest_ts", "_source", "_run_id"]
    return tableSchemas(plan).map { table, columns, partitionBy in
      let kind = table.prefix { $0 != "/" }
      let name = table.drop { $0 != "/" }.dropFirst()
      let names: [String] =
        switch kind {
        case "bronze": ["key", "value", "headers"] + provenance
        case "silver": plan.silver?.columns.map(\.name) ?? []
        case "quarantine": ["value", "key", "headers", "stage", "reason"] + provenance
        case "late": ["key", "value", "headers", "event_time", "window_start", "window_end"] + provenance
        default:
          plan.gold.first { $0.name == name }.map { gold in
            gold.by.map(\.name) + ["window_start", "window_end"] + gold.measures.map(\.name) + ["revision"]
          } ?? []
        }
      return TableLayout(table: table, schema: columns, partitionBy: partitionBy, names: names)
    }
  }
}

/// Partition values of rows.
enum PartitionValues {
  /// What rows of one partition share: the unit of time, or the value itself.
  static func codes(_ layout: TableLayout, _ columns: [Column]) -> [Column] {
    zip(layout.partitionBy, layout.partitionFrom).map { partition, from in
      let column = columns[from]
      guard partition.transform != .identity, case .int64(let times) = column.values else { return column }
      return Column(type: .int64, values: .int64(times.map { unit(partition.transform, $0) }), validity: column.validity)
    }
  }

  private static func unit(_ transform: PartitionColumn.Transform, _ t: Int64) -> Int64 {
    switch transform {
    case .hour: return CivilTime.floorDivide(t, 3_600_000_000)
    case .day, .identity: return CivilTime.day(ofMicroseconds: t)
    case .month, .year:
      let date = CivilTime.date(ofDay: CivilTime.day(ofMicroseconds: t))
      return transform == .year ? date.year : date.year * 12 + date.month - 1
    }
  }

  /// The value as Delta writes it; nil is null.
  static func text(_ partition: PartitionColumn, _ code: Literal) -> String? {
    switch (partition.transform, code) {
    case (_, .null): return nil
    case (.hour, .int64(let hours)):
      let day = CivilTime.floorDivide(hours, 24)
      let hour = hours - day * 24
      return CivilTime.dateText(ofDay: day) + "-" + (hour < 10 ? "0" : "") + String(hour)
    case (.day, .int64(let day)): return CivilTime.dateText(ofDay: day)
    case (.month, .int64(let months)):
      let year = CivilTime.floorDivide(months, 12)
      let month = months - year * 12 + 1
      return padYear(year) + "-" + (month < 10 ? "0" : "") + String(month)
    case (.year, .int64(let year)): return padYear(year)
    case (_, let value): return identity(value)
    }
  }

  private static func padYear(_ year: Int64) -> String {
    let text = String(year)
    return String(repeating: "0", count: max(0, 4 - text.utf8.count)) + text
  }

  private static func identity(_ value: Literal) -> String? {
    switch value {
    case .null: nil
    case .bool(let v): v ? "true" : "false"
    case .int64(let v): String(v)
    case .double(let v): String(v)
    case .decimal(let v, _, let scale): DecimalText.text(v, scale: scale)
    case .string(let v): v
    case .binary(let v): String(decoding: v, as: UTF8.self)
    case .timestamp(let t):
      // Delta: "{year}-{month}-{day} {hour}:{minute}:{second}" or ISO 8601 with Z; the latter says which zone.
      CivilTime.text(ofMicroseconds: t)
    }
  }
}
