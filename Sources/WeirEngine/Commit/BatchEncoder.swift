import WeirCore
import WeirDelta
import WeirOperators
import WeirParquet
import WeirProtocol

/// Turns a batch into files on the blocking threads, a table at a time.
struct BatchEncoder: Sendable {
  let layouts: [TableLayout]
  let plan: Plan
  let run: RunInfo
  let threads: any BlockingRunner

  /// - Parameters:
  ///   - merged: windows that the merge lane finished, by gold table number.
  ///   - stem: names of files begin with it; holds the attempt's id.
  func encode(_ batch: EpochBatch, merged: [Int: [WindowResult]], stem: String) async throws -> [EncodedFile] {
    try await withThrowingTaskGroup(of: (Int, [EncodedFile]).self) { group in
      for (number, layout) in layouts.enumerated() {
        let chunks = try chunks(layout.table, batch, merged)
        guard !chunks.isEmpty else { continue }
        group.addTask {
          let files = try await threads.run {
            var encoder = TableEncoder(layout, run: run, lake: plan.lake, stem: stem)
            for chunk in chunks { try encoder.append(chunk) }
            return try encoder.finish()
          }
          return (number, files)
        }
      }
      var byTable: [Int: [EncodedFile]] = [:]
      for try await (number, files) in group { byTable[number] = files }
      return layouts.indices.flatMap { byTable[$0] ?? [] }
    }
  }

  /// The rows of one table, lane by lane in position order.
  private func chunks(_ table: String, _ batch: EpochBatch, _ merged: [Int: [WindowResult]]) throws -> [RowChunk] {
    func columns(_ columns: [Column]?) -> [RowChunk] {
      columns.map { [RowChunk(source: .columns($0), rows: nil, count: $0.first?.count ?? 0)] } ?? []
    }
    switch table.prefix(while: { $0 != "/" }) {
    case "bronze": return batch.epochs.flatMap(\.tables.bronze)
    case "silver": return batch.epochs.flatMap(\.tables.silver)
    case "quarantine": return batch.epochs.flatMap { columns($0.tables.quarantine) }
    case "late":
      guard let number = plan.gold.firstIndex(where: { table == "late/\($0.name)" }) else { return [] }
      return batch.epochs.flatMap { columns($0.tables.late[number]) }
    default:
      guard let number = plan.gold.firstIndex(where: { table == "gold/\($0.name)" }) else { return [] }
      let results = batch.epochs.flatMap { $0.tables.gold[number] ?? [] } + (merged[number] ?? [])
      guard !results.isEmpty else { return [] }
      let gold = plan.gold[number]
      return columns(
        try GoldRows.columns(results, byTypes: gold.by.map(\.expr.type), measureTypes: gold.measures.map(\.type)))
    }
  }

  /// The ledger's form of encoded files.
  static func commits(_ files: [EncodedFile]) -> [TableCommit] {
    var tables: [TableCommit] = []
    for file in files {
      let stats = DeltaStats.json(
        rows: Int64(file.rows), columns: zip(file.stored, file.statistics).map { ($0.name, $1.nullCount, $1.min, $1.max) })
      let data = DataFile(
        path: file.table + "/" + file.path, rows: Int64(file.rows), bytes: Int64(file.bytes.count),
        hash: ContentHash(of: file.bytes).hex, partition: file.partition.map { .init($0.name, $0.value) }, stats: stats)
      if tables.last?.table == file.table {
        tables[tables.count - 1].files.append(data)
      } else {
        tables.append(TableCommit(table: file.table, files: [data]))
      }
    }
    return tables
  }
}
