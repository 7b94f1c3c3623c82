import WeirCore
import WeirOperators
import WeirParquet
import WeirProtocol

/// Encodes one table's rows of one epoch: rows by (lane, position), a file a partition, rolled at the configured size.
///
/// A writer holds up to 200 KB whatever its file has, and partition values come from the data: so only ``openMax`` files are written
/// side by side. Rows of partitions that appear later wait where they are, and their files are written one after the other at the end.
struct TableEncoder {
  private let layout: TableLayout
  private let run: RunInfo
  private let workbench: ParquetWorkbench
  private var fileBytes: Int
  /// Of files with rows that are made as they are written.
  private let explodedBytes: Int
  /// Rows of a file at most. A writer holds up to 300 bytes of each row until its file is done, however small the file comes out: rows
  /// of late records differ by little but their windows.
  private static let fileRowsMax = 1 << 20
  /// Files that are written side by side, each of its partition.
  static let openMax = 64
  /// Rows that wait for their files at most: then these are written, and a partition that continues has one more.
  static let waitingRowsMax = 1 << 19
  /// The same for pieces of about ``RowBytes/pieceMax`` bytes.
  static let waitingPiecesMax = 32
  /// Names of files begin with this.
  private let stem: String
  private let pathBytesMax: Int

  private final class Partition {
    let values: [(name: String, value: String?)]
    /// nil: the rows wait.
    var writer: ParquetWriter?
    /// Stored columns, and which of their rows; nil: all.
    var waiting: [(columns: [Column], rows: [UInt32]?)] = []
    init(_ values: [(name: String, value: String?)], _ writer: ParquetWriter?) {
      self.values = values
      self.writer = writer
    }
  }

  private var partitions: [Partition] = []
  private var known: [Hash128: Int] = [:]
  private var waitingRows = 0
  /// Pieces of exploded rows that they are in, at most.
  private var waitingPieces = 0
  private enum Stage { case taking, writing(from: Int), done }
  private var stage = Stage.taking
  private var filesMade = 0
  /// Windows whose rows are being taken.
  private var windows: GoldBacklog?
  private var files: [EncodedFile] = []
  /// Files that are in memory at once, about: the caller writes them and asks for more.
  static let filesMax = 256
  /// Bytes of them, but for the last one's.
  static let filesBytesMax = 32 << 20

  /// - Parameters:
  ///   - memory: nil: files of exploded rows are as large as others.
  ///   - pathBytesMax: of a file's path in the lake.
  init(
    _ layout: TableLayout, run: RunInfo, lake: LakeSpec, memory: MemoryBudget? = nil, stem: String, pathBytesMax: Int = .max,
    perform: ParquetWorkbench.Perform? = nil
  ) {
    self.layout = layout
    self.run = run
    self.stem = stem
    self.pathBytesMax = pathBytesMax
    workbench = ParquetWorkbench(options: ParquetOptions(codec: lake.codec), perform: perform)
    fileBytes = Int(lake.fileSizeBytes)
    explodedBytes = Int(memory?.epochMax ?? .max)
  }

  /// Encodes until there are ``filesMax`` files or ``filesBytesMax`` bytes of them, or no rows are left.
  /// - Parameter next: gives the next rows; nil: there are none.
  /// - Returns: the files that are complete; nil after the last of them.
  mutating func files(_ next: () -> RowChunk?) throws(WeirError) -> [EncodedFile]? {
    while !TableEncoder.areMany(files) {
      switch stage {
      case .taking:
        if let windows {
          if let (columns, count) = try windows.next() { try appendAtOnce(columns, count) } else { self.windows = nil }
        } else if let chunk = next() {
          try append(chunk)
        } else {
          // All that are open first: their memory is needed.
          for partition in partitions { try roll(partition) }
          stage = .writing(from: 0)
        }
      case .writing(let at) where at < partitions.count:
        try writeWaiting(partitions[at])
        stage = .writing(from: at + 1)
      case .writing: stage = .done
      case .done: return files.isEmpty ? nil : takeFiles()
      }
    }
    return takeFiles()
  }

  /// They are not the last of their table, most often.
  static func areMany(_ files: [EncodedFile]) -> Bool {
    files.count >= filesMax || files.reduce(0) { $0 + ($1.bytes?.count ?? 0) } >= filesBytesMax
  }

  private mutating func takeFiles() -> [EncodedFile] {
    defer { files = [] }
    return files
  }

  private mutating func append(_ chunk: RowChunk) throws(WeirError) {
    guard chunk.count > 0 else { return }
    switch chunk.source {
    case .columns(let columns): try append(columns, rows: chunk.rows, count: chunk.count)
    case .exploded(let rows):
      // A file of these may be larger than all that the epoch was read from.
      fileBytes = min(fileBytes, explodedBytes)
      try rows.forEachColumns(chunk.rows) { (columns: [Column], count: Int) throws(WeirError) in
        try appendAtOnce(columns, count)
        guard waitingRows > 0 else { return }
        waitingPieces += 1
        if waitingPieces >= TableEncoder.waitingPiecesMax { try writeWaiting() }
      }
    case .late(let late):
      try late.forEachColumns { (columns: [Column], count: Int) throws(WeirError) in try append(columns, rows: nil, count: count) }
    // Their files may be more than are in memory at once: they are taken piece by piece.
    case .windows(let windows): self.windows = windows
    case .bronze(let block):
      let rows = chunk.rows ?? (0..<UInt32(block.count)).map { $0 }
      try append(bronze(block, rows), rows: nil, count: rows.count)
    }
  }

  /// A few rows may be as large as the pieces of a backlog are allowed to be: none waits for others.
  private mutating func appendAtOnce(_ columns: [Column], _ count: Int) throws(WeirError) {
    try append(columns, rows: nil, count: count)
    for partition in partitions { partition.writer?.encodeWaiting() }
  }

  private mutating func append(_ columns: [Column], rows: [UInt32]?, count: Int) throws(WeirError) {
    let stored = layout.storedFrom.map { columns[$0] }
    guard !layout.partitionBy.isEmpty else { return try write(partition(nil, nil), stored, rows) }
    let codes = PartitionValues.codes(layout, columns).map { code in rows.map { code.gather($0) } ?? code }
    let hashes = RowHash.hash(codes, count: count)
    var runs: [(partition: Int, rows: [UInt32])] = []
    var place: [Int: Int] = [:]
    // Neighbours mostly share their partition: the run of the row before is tried first.
    var current = 0
    for i in 0..<count {
      let row = rows.map { $0[i] } ?? UInt32(i)
      if i == 0 || hashes[i] != hashes[i - 1] {
        let partition = partition(hashes[i]) { codes.map { $0.literal(i) } }
        if let at = place[partition] {
          current = at
        } else {
          current = runs.count
          place[partition] = current
          runs.append((partition, []))
        }
      }
      runs[current].rows.append(row)
    }
    for run in runs { try write(run.partition, stored, run.rows) }
  }

  private mutating func partition(_ hash: Hash128?, _ codes: (() -> [Literal])?) -> Int {
    let hash = hash ?? Hash128(low: 0, high: 0)
    if let at = known[hash] { return at }
    let values = zip(layout.partitionBy, codes?() ?? []).map { ($0.name, PartitionValues.text($0, $1)) }
    known[hash] = partitions.count
    partitions.append(Partition(values, partitions.count < TableEncoder.openMax ? makeWriter() : nil))
    return partitions.count - 1
  }

  private func makeWriter() -> ParquetWriter { ParquetWriter(columns: layout.stored, workbench: workbench) }

  private mutating func write(_ at: Int, _ columns: [Column], _ rows: [UInt32]?) throws(WeirError) {
    let partition = partitions[at]
    guard partition.writer == nil else { return try write(partition, columns, rows) }
    partition.waiting.append((columns, rows))
    waitingRows += rows?.count ?? columns.first?.count ?? 0
    if waitingRows >= TableEncoder.waitingRowsMax { try writeWaiting() }
  }

  private mutating func write(_ partition: Partition, _ columns: [Column], _ rows: [UInt32]?) throws(WeirError) {
    partition.writer?.append(columns, rows: rows)
    guard let writer = partition.writer, writer.estimatedBytes >= fileBytes || writer.rowCount >= TableEncoder.fileRowsMax else { return }
    try roll(partition)
    partition.writer = makeWriter()
  }

  /// Ends the partition's file, if it has one with rows.
  private mutating func roll(_ partition: Partition) throws(WeirError) {
    guard var writer = partition.writer else { return }
    partition.writer = nil
    guard writer.rowCount > 0 else { return }
    let file = try writer.finish()
    let number = String(filesMade)
    let name = "part-\(stem)-\(String(repeating: "0", count: max(0, 4 - number.utf8.count)))\(number).parquet"
    let directory = partitionPath(partition.values, bytesMax: pathBytesMax - layout.table.utf8.count - name.utf8.count - 2)
    // Of the others: lists and maps have no statistics in a table, and no reader needs those of structs.
    let scalars = zip(layout.stored, file.statistics).prefix(FileStats.columnsMax).filter { !$0.0.type.isNested }
    let statistics = scalars.map {
      ColumnStats(name: $0.name, type: $0.type, nulls: $1.nullCount, nans: $1.nanCount, min: $1.min, max: $1.max)
    }
    let data = DataFile(
      path: "\(layout.table)/\(directory.isEmpty ? name : directory + "/" + name)", rows: Int64(file.rows), bytes: Int64(file.bytes.count),
      hash: ContentHash(of: file.bytes).hex, partition: partition.values.map { .init($0.name, $0.value) }, stats: .columns(statistics))
    files.append(EncodedFile(table: layout.table, data: data, bytes: file.bytes))
    filesMade += 1
  }

  private mutating func writeWaiting() throws(WeirError) {
    (waitingRows, waitingPieces) = (0, 0)
    for partition in partitions { try writeWaiting(partition) }
  }

  /// The file of rows that wait.
  private mutating func writeWaiting(_ partition: Partition) throws(WeirError) {
    guard !partition.waiting.isEmpty else { return }
    let waiting = partition.waiting
    partition.waiting = []
    partition.writer = makeWriter()
    for piece in waiting { try write(partition, piece.columns, piece.rows) }
    try roll(partition)
  }

  /// `key, value, headers` and provenance of a block's rows.
  private func bronze(_ block: ReceivedRows, _ rows: [UInt32]) -> [Column] {
    let arena = Arena()
    let text = [block.text]
    func constant(_ string: String) -> Column {
      Column(type: .string, values: .string([StringRef](repeating: arena.copy(string), count: rows.count)), owners: [arena])
    }
    let arrival = Column(type: .timestamp, values: .int64(rows.map { block.arrival[Int($0)] }))
    let sources = RunInfo.arrivalSources.map { arena.copy($0) }
    let details = block.details
    var key = block.receivedKeys(rows) ?? block.key.gather(rows)
    key.type = .binary
    var more: [Column] = []
    if run.hasSequences {
      let texts = rows.map { details?.point(Int($0)).sequence?.text }
      more = [
        Column(type: .string, values: .string(texts.map { arena.copy($0 ?? "") }), validity: texts.map { $0 != nil }, owners: [arena])
      ]
    }
    if run.hasElements { more.append(block.numbers(rows)) }
    return [
      key,
      Column(
        type: .binary, values: .string(rows.map { block.value(Int($0)) }), validity: block.hasValue(rows), owners: text),
      Column(
        type: .string, values: .string(rows.map { details?.headers(Int($0)).map { arena.copy($0) } ?? .empty }),
        validity: rows.map { details?.headers(Int($0)) != nil }, owners: [arena]),
      constant(details?.shard ?? run.shard),
      Column(type: .int64, values: .int64(rows.map { block.position(Int($0)) })),
      arrival,
      arrival,
      Column(type: .string, values: .string(rows.map { sources[Int(block.arrivalSource[Int($0)])] }), owners: [arena]),
      constant(run.runID),
    ] + more
  }
}
