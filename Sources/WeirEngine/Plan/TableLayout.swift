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
