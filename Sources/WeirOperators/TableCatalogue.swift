import WeirCore

/// What a table is to its plan. All that differs between tables depends on it, and not on their names.
package enum TableKind: Sendable, Hashable {
  /// Every record as received.
  case bronze
  /// Every accepted record.
  case silver
  /// Rows of accepted records, of the silver table with this number that has a name of its own.
  case silverTable(Int)
  /// Windows of the aggregate with this number in the plan.
  case gold(Int)
  /// Rejected records.
  case quarantine
  /// Records that came too late for their window, of the aggregate with this number.
  case late(Int)

  /// Of the aggregate whose windows it holds; nil for other tables.
  package var gold: Int? { if case .gold(let number) = self { number } else { nil } }

  /// Its rows are records, or parts of them, as they come.
  package var isOfRecords: Bool {
    switch self {
    case .bronze, .silver, .silverTable: true
    case .gold, .quarantine, .late: false
    }
  }
}

/// A table of a plan: its path, its columns, and the rows that it is made of.
package struct TableDefinition: Sendable {
  package let kind: TableKind
  /// Path under the lake's root: `gold/campaign_views`. It identifies the table in ledger entries.
  package let name: String
  /// Partition columns last.
  package let columns: [ColumnSchema]
  package let partitionBy: [PartitionColumn]
  /// The columns of the rows that lanes make for it, in their order.
  package let rowColumns: [String]

  package init(kind: TableKind, name: String, columns: [ColumnSchema], partitionBy: [PartitionColumn], rowColumns: [String]) {
    self.kind = kind
    self.name = name
    self.columns = columns
    self.partitionBy = partitionBy
    self.rowColumns = rowColumns
  }
}

extension Plan {
  /// The tables, in the order in which an entry lists their files.
  package var tables: [TableDefinition] { TableCatalogue(self).tables }

  /// A table's path under the lake's root.
  package func path(of kind: TableKind) -> String {
    TableCatalogue.path(of: kind, stream: source.stream, gold: gold.map(\.name), silver: silverTables?.map(\.name) ?? [])
  }
}

/// The one place that knows the tables and their columns.
package struct TableCatalogue {
  fileprivate private(set) var tables: [TableDefinition] = []
  private let plan: Plan

  /// A source whose positions are not dense shows them next to the ordinal, as `sequence:sub`; elements of outer records their number.
  private var provenance: [ColumnSchema] {
    [
      ColumnSchema("_shard", .string), ColumnSchema("_position", .int64), ColumnSchema("_arrival", .timestamp),
      ColumnSchema("_ingest_ts", .timestamp), ColumnSchema("_source", .string), ColumnSchema("_run_id", .string),
    ] + (plan.source.countsRecords ? [ColumnSchema("_sequence", .string)] : [])
      + (plan.record.each != nil ? [ColumnSchema("_index", .int64)] : [])
  }

  fileprivate init(_ plan: Plan) {
    self.plan = plan
    let byArrival = [PartitionColumn(transform: .day, column: "_arrival", name: "_arrival_day")]
    if let bronze = plan.bronze {
      let value = [ColumnSchema("key", .binary), ColumnSchema("value", .binary), ColumnSchema("headers", .string)]
      add(.bronze, value + provenance, bronze.partitionBy)
    }
    if let silver = plan.silver {
      add(.silver, silver.columns.map { ColumnSchema($0.name, $0.expr.type) }, silver.partitionBy)
    }
    for (number, table) in (plan.silverTables ?? []).enumerated() {
      add(.silverTable(number), table.columns.map { ColumnSchema($0.name, $0.expr.type) }, table.partitionBy)
    }
    let window = [ColumnSchema("window_start", .timestamp), ColumnSchema("window_end", .timestamp)]
    for (number, gold) in plan.gold.enumerated() {
      let by = gold.by.map { ColumnSchema($0.name, $0.expr.type) }
      let measures = gold.measures.map { ColumnSchema($0.name, $0.type) }
      add(.gold(number), by + window + measures + [ColumnSchema("revision", .int64)], gold.partitionBy)
    }
    let rejected = [
      ColumnSchema("value", .binary), ColumnSchema("key", .binary), ColumnSchema("headers", .string),
      ColumnSchema("stage", .string), ColumnSchema("reason", .string),
    ]
    add(.quarantine, rejected + provenance, byArrival)
    let late =
      [
        ColumnSchema("key", .binary), ColumnSchema("value", .binary), ColumnSchema("headers", .string),
        ColumnSchema("event_time", .timestamp),
      ] + window
    for number in plan.gold.indices { add(.late(number), late + provenance, byArrival) }
  }

  /// - Parameter columns: of the rows. A partition column that is one of them is stored in the table's paths alone.
  private mutating func add(_ kind: TableKind, _ columns: [ColumnSchema], _ partitionBy: [PartitionColumn]) {
    let names = Set(partitionBy.map(\.name))
    let last = partitionBy.map { partition in
      ColumnSchema(
        partition.name, partition.transform == .identity ? columns.first { $0.name == partition.column }?.type ?? .string : .string)
    }
    tables.append(
      TableDefinition(
        kind: kind, name: plan.path(of: kind), columns: columns.filter { !names.contains($0.name) } + last, partitionBy: partitionBy,
        rowColumns: columns.map(\.name)))
  }

  /// A table's path under the lake's root, of the stream and the names of a plan's gold and silver tables.
  package static func path(of kind: TableKind, stream: String, gold: [String] = [], silver: [String] = []) -> String {
    switch kind {
    case .bronze: "bronze/\(stream)"
    case .silver: "silver/\(stream)"
    case .silverTable(let number): "silver/\(silver[number])"
    case .quarantine: "quarantine/\(stream)"
    case .gold(let number): "gold/\(gold[number])"
    case .late(let number): "late/\(gold[number])"
    }
  }
}
