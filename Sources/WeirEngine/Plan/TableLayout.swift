import WeirCore
import WeirOperators
import WeirProtocol

/// How the rows that lanes make become the columns of one table's files: which are stored, which are partition values.
struct TableLayout: Sendable {
  let definition: TableDefinition
  /// `gold/campaign_views`
  var table: String { definition.name }
  var kind: TableKind { definition.kind }
  /// The table's columns, partition columns last.
  var schema: [ColumnSchema] { definition.columns }
  var partitionBy: [PartitionColumn] { definition.partitionBy }
  /// Columns of the files, and where each is among the columns of a ``RowChunk``.
  let stored: [ColumnSchema]
  let storedFrom: [Int]
  /// Where each partition column is taken from among the columns of a ``RowChunk``.
  let partitionFrom: [Int]

  init(_ definition: TableDefinition) {
    self.definition = definition
    let partitions = Set(definition.partitionBy.map(\.name))
    stored = definition.columns.filter { !partitions.contains($0.name) }
    func place(_ name: String) -> Int {
      guard let at = definition.rowColumns.firstIndex(of: name) else {
        preconditionFailure("table \(definition.name) has no source for column \(name)")
      }
      return at
    }
    storedFrom = stored.map { place($0.name) }
    partitionFrom = definition.partitionBy.map { place($0.column) }
  }

  /// The tables of a plan, in the order of their files in an entry.
  static func all(_ plan: Plan) -> [TableLayout] { plan.tables.map { TableLayout($0) } }
}

extension TableDefinition {
  /// As its format sees it.
  func followed(_ windows: FollowedWindows?) -> FollowedTable {
    FollowedTable(path: name, columns: columns, partitionColumns: partitionBy.map(\.name), windows: windows)
  }
}

extension CompiledPlan {
  /// The tables that follow the ledger.
  var followedTables: [FollowedTable] { plan.tables.map { $0.followed($0.kind.gold.flatMap { windows(ofGold: $0) }) } }

  private func windows(ofGold number: Int) -> FollowedWindows? {
    let table = aggregates[number]
    let isByShard = table.isFinishedInLane && plan.source.live != nil && table.origins.contains(.system(.shard))
    return table.window.map { window in
      FollowedWindows(
        place: isByShard ? .lanesByShard : table.isFinishedInLane ? .lanesByKey : .mergeLane,
        latenessMicroseconds: window.latenessMicroseconds)
    }
  }
}
