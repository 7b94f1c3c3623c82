import WeirCore
import WeirOperators
import WeirParquet
import WeirProtocol

/// Chunks on their way to one table's encoder. The queue is their only holder: a block is freed once all its tables have it.
private final class ChunkQueue: @unchecked Sendable {
  // Unchecked: made by one task, emptied by one job.
  private var left: [RowChunk]

  init(_ chunks: [RowChunk]) { left = chunks.reversed() }

  var isEmpty: Bool { left.isEmpty }
  func next() -> RowChunk? { left.popLast() }
}

/// Turns a batch into files on the blocking threads, a table at a time.
///
/// It is a stage of its own between the lanes and the committer: while one epoch is written and committed, which is mostly
/// waiting for the disk, the next is encoded, which is all work, and the lanes fill the one after.
struct BatchEncoder: Sendable {
  private let layouts: [TableLayout]
  private let compiled: CompiledPlan
  private let run: RunInfo
  private let threads: any BlockingRunner

  init(_ compiled: CompiledPlan, run: RunInfo, threads: any BlockingRunner) {
    layouts = TableLayout.all(compiled.plan)
    self.compiled = compiled
    self.run = run
    self.threads = threads
  }

  /// Encodes all rows that the lanes finished.
  /// - Parameter number: of the ledger entry that it will be if nobody comes between; shown in the files' names only.
  func encode(_ batch: EpochBatch, number: Int64, attempt: String) async throws -> EncodedBatch {
    let stem = BatchEncoder.stem(number: number, attempt: attempt)
    var queues: [Int: ChunkQueue] = [:]
    for (number, layout) in layouts.enumerated() { queues[number] = ChunkQueue(try chunks(layout.kind, batch)) }
    for epoch in batch.epochs { epoch.tables.removeAll() }
    return EncodedBatch(batch: batch, attempt: attempt, stem: stem, files: try await files(queues, stem))
  }

  /// What names of files begin with.
  static func stem(number: Int64, attempt: String) -> String {
    let text = String(number)
    return "\(String(repeating: "0", count: max(0, 8 - text.utf8.count)))\(text)-\(attempt)"
  }

  /// Encodes the windows that the merge lane finished, by gold table number.
  func encode(merged: [Int: WindowResults], stem: String) async throws -> [Int: [EncodedFile]] {
    var queues: [Int: ChunkQueue] = [:]
    for (gold, results) in merged {
      guard let number = layouts.firstIndex(where: { $0.kind == .gold(gold) }) else { continue }
      queues[number] = ChunkQueue(try rows([results], gold))
    }
    return try await files(queues, stem)
  }

  private func files(_ queues: [Int: ChunkQueue], _ stem: String) async throws -> [Int: [EncodedFile]] {
    try await withThrowingTaskGroup(of: (Int, [EncodedFile]).self) { group in
      for (number, queue) in queues.sorted(by: { $0.key < $1.key }) where !queue.isEmpty {
        group.addTask { [layouts, run, threads, lake = compiled.plan.lake] in
          let files = try await threads.run {
            var encoder = TableEncoder(
              layouts[number], run: run, lake: lake, stem: stem, perform: { threads.forEach($0, $1) })
            while let chunk = queue.next() { try encoder.append(chunk) }
            return try encoder.finish()
          }
          return (number, files)
        }
      }
      var byTable: [Int: [EncodedFile]] = [:]
      for try await (number, files) in group { byTable[number] = files }
      return byTable
    }
  }

  /// The rows of one table by position; rows that were collected into columns lane by lane.
  private func chunks(_ kind: TableKind, _ batch: EpochBatch) throws -> [RowChunk] {
    switch kind {
    case .bronze: batch.inShardOrder(\.bronze)
    case .silver: batch.inShardOrder(\.silver)
    case .quarantine: batch.epochs.flatMap { chunk($0.tables.quarantine) }
    case .late(let number): batch.epochs.compactMap { $0.tables.late[number].map { RowChunk($0) } }
    case .gold(let number): try rows(batch.epochs.compactMap { $0.tables.gold[number] }, number)
    }
  }

  private func chunk(_ columns: [Column]?) -> [RowChunk] {
    columns.map { [RowChunk($0)] } ?? []
  }

  /// Rows of a gold table, lane by lane: some columns of all together, but for those that are too many to be in memory at once.
  private func rows(_ all: [WindowResults], _ number: Int) throws -> [RowChunk] {
    let gold = compiled.plan.gold[number]
    let (byTypes, measureTypes) = (gold.by.map(\.expr.type), gold.measures.map(\.type))
    var chunks: [RowChunk] = []
    var open = WindowResults(measures: gold.measures.count)
    func close() throws {
      guard !open.isEmpty else { return }
      chunks.append(RowChunk(try GoldRows.columns(open, byTypes: byTypes, measureTypes: measureTypes)))
      open = WindowResults(measures: gold.measures.count)
    }
    for results in all {
      open.append(results)
      guard let backlog = results.backlog else { continue }
      try close()
      chunks.append(RowChunk(GoldBacklog(rows: backlog, byTypes: byTypes, measureTypes: measureTypes)))
    }
    try close()
    return chunks
  }

  /// The ledger's form of encoded files.
  static func commits(_ files: [EncodedFile]) -> [TableCommit] {
    var tables: [TableCommit] = []
    for file in files {
      let columns = zip(file.stored, file.statistics).prefix(FileStats.columnsMax).map {
        ColumnStats(name: $0.name, type: $0.type, nulls: $1.nullCount, nans: $1.nanCount, min: $1.min, max: $1.max)
      }
      let data = DataFile(
        path: file.table + "/" + file.path, rows: Int64(file.rows), bytes: Int64(file.bytes.count),
        hash: ContentHash(of: file.bytes).hex, partition: file.partition.map { .init($0.name, $0.value) },
        stats: .columns(columns))
      if tables.last?.table == file.table {
        tables[tables.count - 1].files.append(data)
      } else {
        tables.append(TableCommit(table: file.table, files: [data]))
      }
    }
    return tables
  }
}
