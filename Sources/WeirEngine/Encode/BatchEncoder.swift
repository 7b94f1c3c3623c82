import WeirCore
import WeirOperators
import WeirParquet
import WeirProtocol

/// One table's encoder and the chunks on their way to it. The queue is their only holder: a block is freed once all its tables have it.
private final class TableJob: @unchecked Sendable {
  // Unchecked: made by one task, used by one job at a time.
  private var encoder: TableEncoder
  private var left: [RowChunk]

  init(_ encoder: TableEncoder, _ chunks: [RowChunk]) { (self.encoder, left) = (encoder, chunks.reversed()) }

  var isEmpty: Bool { left.isEmpty }

  /// See ``TableEncoder/files(_:)``.
  func files() throws(WeirError) -> [EncodedFile]? { try encoder.files { left.popLast() } }
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
  private let store: any ObjectStore
  private let memory: MemoryBudget

  init(_ compiled: CompiledPlan, run: RunInfo, _ environment: EngineEnvironment) {
    layouts = TableLayout.all(compiled.plan)
    self.compiled = compiled
    self.run = run
    (threads, store, memory) = (environment.threads, environment.lake, environment.memory)
  }

  /// Encodes all rows that the lanes finished.
  /// - Parameter number: of the ledger entry that it will be if no other worker commits in between; shown in the files' names only.
  func encode(_ batch: EpochBatch, number: Int64, attempt: String) async throws -> EncodedBatch {
    let stem = BatchEncoder.stem(number: number, attempt: attempt)
    var jobs: [Int: TableJob] = [:]
    for (number, layout) in layouts.enumerated() { jobs[number] = job(number, stem, try chunks(layout.kind, batch)) }
    for epoch in batch.epochs { epoch.tables.removeAll() }
    return EncodedBatch(batch: batch, attempt: attempt, stem: stem, files: try await files(jobs))
  }

  /// What names of files begin with.
  static func stem(number: Int64, attempt: String) -> String {
    let text = String(number)
    return "\(String(repeating: "0", count: max(0, 8 - text.utf8.count)))\(text)-\(attempt)"
  }

  /// Encodes the windows that the merge lane finished, by gold table number.
  func encode(merged: [Int: WindowResults], stem: String) async throws -> [Int: [EncodedFile]] {
    var jobs: [Int: TableJob] = [:]
    for (gold, results) in merged {
      guard let number = layouts.firstIndex(where: { $0.kind == .gold(gold) }) else { continue }
      jobs[number] = job(number, stem, try rows([results], gold))
    }
    return try await files(jobs)
  }

  private func job(_ number: Int, _ stem: String, _ chunks: [RowChunk]) -> TableJob {
    let encoder = TableEncoder(
      layouts[number], run: run, lake: compiled.plan.lake, memory: memory, stem: stem, pathBytesMax: store.pathBytesMax,
      perform: { [threads] in threads.forEach($0, $1) })
    return TableJob(encoder, chunks)
  }

  private func files(_ jobs: [Int: TableJob]) async throws -> [Int: [EncodedFile]] {
    try await withThrowingTaskGroup(of: (Int, [EncodedFile]).self) { group in
      for (number, job) in jobs.sorted(by: { $0.key < $1.key }) where !job.isEmpty {
        group.addTask { (number, try await files(job)) }
      }
      var byTable: [Int: [EncodedFile]] = [:]
      for try await (number, files) in group { byTable[number] = files }
      return byTable
    }
  }

  /// The files of one table. Where partition values from the data make very many, they are written as they are encoded: their names hold
  /// the attempt's id, and nothing names them before the entry. A few files are written with the other files of their epoch.
  private func files(_ job: TableJob) async throws -> [EncodedFile] {
    var done: [EncodedFile] = []
    while var files = try await threads.run({ try job.files() }) {
      if TableEncoder.areMany(files) {
        try await store.write(BatchEncoder.objects(files))
        for i in files.indices { files[i].bytes = nil }
      }
      done += files
    }
    return done
  }

  /// Those of the files that are not written yet.
  static func objects(_ files: [EncodedFile]) -> [NewObject] {
    files.compactMap { file in file.bytes.map { NewObject(path: file.data.path, bytes: $0) } }
  }

  /// The rows of one table by position; rows that were collected into columns lane by lane.
  private func chunks(_ kind: TableKind, _ batch: EpochBatch) throws -> [RowChunk] {
    switch kind {
    case .bronze: batch.inShardOrder(\.bronze)
    case .silver: batch.inShardOrder(\.silver)
    case .silverTable(let number): batch.inShardOrder { $0.silverTables.indices.contains(number) ? $0.silverTables[number] : [] }
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
      if tables.last?.table == file.table {
        tables[tables.count - 1].files.append(file.data)
      } else {
        tables.append(TableCommit(table: file.table, files: [file.data]))
      }
    }
    return tables
  }
}
