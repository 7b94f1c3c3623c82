import WeirCore

/// The Delta tables of a plan with their columns, partition columns last: the one place that knows them.
///
/// In the order in which an entry lists their files.
public func tableSchemas(_ plan: Plan) -> [(table: String, columns: [ColumnSchema], partitionBy: [PartitionColumn])] {
  let provenance = [
    ColumnSchema("_shard", .string), ColumnSchema("_position", .int64), ColumnSchema("_arrival", .timestamp),
    ColumnSchema("_ingest_ts", .timestamp), ColumnSchema("_source", .string), ColumnSchema("_run_id", .string),
  ]
  let byArrival = [PartitionColumn(transform: .day, column: "_arrival", name: "_arrival_day")]
  let stream = plan.source.stream
  var tables: [(table: String, columns: [ColumnSchema], partitionBy: [PartitionColumn])] = []
  func add(_ table: String, _ columns: [ColumnSchema], _ partitionBy: [PartitionColumn]) {
    let names = Set(partitionBy.map(\.name))
    let last = partitionBy.map { partition in
      ColumnSchema(
        partition.name, partition.transform == .identity ? columns.first { $0.name == partition.column }?.type ?? .string : .string)
    }
    tables.append((table, columns.filter { !names.contains($0.name) } + last, partitionBy))
  }
  if let bronze = plan.bronze {
    let value = [ColumnSchema("key", .binary), ColumnSchema("value", .binary), ColumnSchema("headers", .string)]
    add("bronze/\(stream)", value + provenance, bronze.partitionBy)
  }
  if let silver = plan.silver {
    add("silver/\(stream)", silver.columns.map { ColumnSchema($0.name, $0.expr.type) }, silver.partitionBy)
  }
  for gold in plan.gold {
    let columns =
      gold.by.map { ColumnSchema($0.name, $0.expr.type) } + [
        ColumnSchema("window_start", .timestamp), ColumnSchema("window_end", .timestamp),
      ]
      + gold.measures.map { ColumnSchema($0.name, $0.type) } + [ColumnSchema("revision", .int64)]
    add("gold/\(gold.name)", columns, gold.partitionBy)
  }
  let rejected = [
    ColumnSchema("value", .binary), ColumnSchema("key", .binary), ColumnSchema("headers", .string),
    ColumnSchema("stage", .string), ColumnSchema("reason", .string),
  ]
  add("quarantine/\(stream)", rejected + provenance, byArrival)
  for gold in plan.gold {
    let late = [
      ColumnSchema("key", .binary), ColumnSchema("value", .binary), ColumnSchema("headers", .string),
      ColumnSchema("event_time", .timestamp),
      ColumnSchema("window_start", .timestamp), ColumnSchema("window_end", .timestamp),
    ]
    add("late/\(gold.name)", late + provenance, byArrival)
  }
  return tables
}
