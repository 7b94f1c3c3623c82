import WeirCore
import WeirOperators

/// Bytes that a plan's rows hold until their epoch is committed, estimated: of a row that proceeds, one that is rejected, one that is late.
struct RowWeights: Sendable {
  /// Sizes of what ``RowChunk``s, builders and indexes hold of a row.
  private enum Size {
    /// Offset, length, key, arrival, row number; the writer's share.
    static let bronze: Int64 = 80
    static let dedup: Int64 = 40
    static let window: Int64 = 32
    /// Each row may be a new group: its key, cells, and places in tables and lists.
    static let keyed: Int64 = 128
    /// Ten columns of a builder, without the record's own bytes; the writer's share.
    static let rejected: Int64 = 360
    static let late: Int64 = 240
    /// Times that a partition's value is held: by its rows, in the path, in the entry and the table's log, as values and as bytes.
    static let partitionText: Int64 = 8
  }

  /// Every record.
  private let row: Int64
  /// One that proceeds, besides.
  private let proceeding: Int64
  /// Blocks keep their text.
  private let keepsText: Bool
  /// A column of a silver table is a list, struct or map.
  private let hasNested: Bool
  /// A row of each silver table that has a name of its own.
  private let tableRows: [Int64]
  /// Of gold tables.
  private let windows: [any WindowKind]
  private let latenessLeast: Int64
  private let census: PartitionCensus

  init(_ compiled: CompiledPlan) {
    let plan = compiled.plan
    row = 16 + (plan.bronze == nil ? 0 : Size.bronze)
    func width(_ columns: [OutputColumn]) -> Int64 { columns.reduce(Int64(16)) { $0 + RowWeights.width($1.expr.type) } }
    let silver = plan.silver.map { width($0.columns) } ?? 0
    tableRows = (plan.silverTables ?? []).map { width($0.columns) }
    proceeding = silver + (plan.dedup == nil ? 0 : Size.dedup) + Size.window * Int64(plan.gold.count) + Size.keyed * Int64(plan.state.count)
    hasNested = plan.silverExpressions.contains { $0.type.isNested }
    keepsText = plan.bronze != nil || plan.hasSilver
    windows = plan.gold.map { WindowKinds.kind(of: $0.window) }
    latenessLeast = plan.gold.map(\.window.latenessMicroseconds).min() ?? 0
    census = PartitionCensus(plan)
  }

  /// In a column and in the writer's page.
  private static func width(_ type: ColumnType) -> Int64 {
    switch type {
    case .bool: 4
    case .int64, .timestamp, .double: 18
    case .decimal: 34
    case .string, .binary, .list, .structure, .map: 34
    }
  }

  /// The weight of a block that was sequenced.
  func weight(of block: PreparedBlock) -> BlockWeight {
    let rejected = block.rejections.count
    var bytes = row * Int64(block.count) + proceeding * Int64(block.count - rejected) + Size.rejected * Int64(rejected)
    if keepsText { bytes += Int64(block.decoded.raw.count) }
    for (table, width) in zip(block.tables, tableRows) { bytes += width * Int64(table.count) }
    if hasNested { bytes += nested(block) }
    if rejected > 0 { bytes += copied(block) }
    if !windows.isEmpty { bytes += late(block) }
    bytes += Size.partitionText * block.partitionTextBytes
    return BlockWeight(bytes: bytes, partitions: block.partitions + census.received(block))
  }

  /// Values of nested types have bytes of their own, and levels and values in the writer.
  private func nested(_ block: PreparedBlock) -> Int64 {
    let bytes = TableRows.nestedBytes(block.silver) + block.tables.reduce(0) { $0 + $1.nestedBytes }
    return 3 * Int64(bytes)
  }

  /// What rejected rows copy of their records, and their reasons.
  private func copied(_ block: PreparedBlock) -> Int64 {
    var bytes = 0
    for (row, rejection) in block.rejections { bytes += Int(block.decoded.length[row]) + rejection.byteCount }
    return Int64(bytes)
  }

  /// A record that is late for a table is copied for it, however many windows it misses.
  private func late(_ block: PreparedBlock) -> Int64 {
    var (rows, bytes) = (0, 0)
    block.columns.time.withUnsafeBufferPointer { times in
      block.columns.watermark.withUnsafeBufferPointer { watermarks in
        // A window ends after its records: so most need no second look.
        for row in 0..<block.count where times[row] &+ latenessLeast < watermarks[row] {
          let tables = windows.count { $0.isLate(times[row], watermark: watermarks[row]) }
          rows += tables
          bytes += tables * Int(block.decoded.length[row])
        }
      }
    }
    return Size.late * Int64(rows) + Int64(bytes)
  }
}
