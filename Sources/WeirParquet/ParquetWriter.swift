import WeirCore

/// Writes one flat table into a Parquet file in memory.
///
/// Columns are encoded as rows come in; what is held is compressed pages and the values of one open page a column.
/// The bytes depend on the options and on the rows in their order, not on how they were cut into calls.
///
/// Copies share their state: use the writer from one place at a time, as if it could not be copied.
public struct ParquetWriter: Sendable {
  private let file: FileWriter

  /// - Parameter columns: the schema; names must differ, there must be one at least.
  public init(columns: [ColumnSchema], options: ParquetOptions = ParquetOptions()) {
    precondition(!columns.isEmpty, "a Parquet file has columns")
    file = FileWriter(columns: columns, options: options)
  }

  /// Takes rows. Only reads the columns; nothing of them is needed after.
  ///
  /// - Parameters:
  ///   - columns: one for each column of the schema, of its type, all of the same length.
  ///   - rows: the rows to take, in the order to write them; nil takes all.
  public mutating func append(_ columns: [Column], rows: [UInt32]? = nil) {
    file.append(columns, rows: rows)
  }

  /// Bytes that the file would have if it were finished now, about.
  public var estimatedBytes: Int { file.estimatedBytes }

  /// Rows so far.
  public var rowCount: Int { file.rowCount }

  /// The file. The writer must not be used after.
  ///
  /// - Throws: `parquet` when a value did not fit its column: a null in a column that is not nullable, a decimal with
  ///   too many digits, a string of more than 1 GiB.
  public mutating func finish() throws(WeirError) -> ParquetFile { try file.finish() }
}

/// The state of a ``ParquetWriter``.
final class FileWriter: @unchecked Sendable {
  // Unchecked: one owner at a time, as the writer's documentation asks for.
  private let schema: [ColumnSchema]
  private let options: ParquetOptions
  private let chunks: [ChunkWriter]
  private let sliceRows: Int
  private var out = Buffer<UInt8>(capacity: 4096)
  private var groups: [RowGroupMetadata] = []
  private var groupRows = 0
  private var closedRows = 0

  init(columns: [ColumnSchema], options: ParquetOptions) {
    schema = columns
    self.options = options
    // Rows handled at a time: few enough for the caches, and for pages to close where they should.
    sliceRows = min(4096, max(16, options.pageBytes / 64))
    let compressor = Compressor(codec: options.codec, level: options.zstdLevel)
    chunks = columns.map { column in
      let leaf = Leaf(
        path: [column.name], kind: .value(column.type), maxDefinition: column.nullable ? 1 : 0, maxRepetition: 0)
      return ChunkWriter(leaf: leaf, options: options, compressor: compressor)
    }
    out.append(FileMetadata.magic)
  }

  var rowCount: Int { closedRows + groupRows }

  private var groupBytes: Int { chunks.reduce(0) { $0 + $1.estimatedBytes } }

  /// The footer takes some hundred bytes for each chunk.
  var estimatedBytes: Int { out.count + groupBytes + 200 * chunks.count * (groups.count + 1) }

  func append(_ columns: [Column], rows: [UInt32]?) {
    precondition(columns.count == chunks.count, "one column for each of the schema")
    for (column, expected) in zip(columns, schema) {
      precondition(column.type == expected.type, "the column's type is not the schema's")
    }
    if let rows {
      rows.withUnsafeBufferPointer { if let start = $0.baseAddress { append(columns, start, count: $0.count) } }
    } else {
      appendAll(columns)
    }
  }

  private func appendAll(_ columns: [Column]) {
    let count = columns[0].count
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: sliceRows) { rows in
      guard let start = rows.baseAddress else { return }
      var at = 0
      while at < count {
        let n = min(sliceRows, count - at)
        for i in 0..<n { start[i] = UInt32(at + i) }
        append(columns, start, count: n)
        at += n
      }
    }
  }

  private func append(_ columns: [Column], _ rows: UnsafePointer<UInt32>, count: Int) {
    var at = 0
    while at < count {
      let n = min(sliceRows - groupRows % sliceRows, count - at, options.rowGroupRows - groupRows)
      for i in 0..<chunks.count { chunks[i].append(columns[i], Picks(start: rows + at, count: n)) }
      at += n
      groupRows += n
      endSlice()
    }
  }

  private func endSlice() {
    if groupRows % sliceRows == 0 {
      for chunk in chunks { chunk.endSlice() }
      if groupBytes >= options.rowGroupBytes { return closeGroup() }
    }
    if groupRows >= options.rowGroupRows { closeGroup() }
  }

  private func closeGroup() {
    var closed: [ChunkMetadata] = []
    for chunk in chunks { closed.append(chunk.closeChunk(into: &out)) }
    groups.append(RowGroupMetadata(rows: groupRows, chunks: closed))
    closedRows += groupRows
    groupRows = 0
  }

  func finish() throws(WeirError) -> ParquetFile {
    if groupRows > 0 { closeGroup() }
    if let reason = chunks.compactMap(\.failure).first {
      throw WeirError("parquet", "cannot write a Parquet file: \(reason)")
    }
    let footer = FileMetadata(schema: elements, rows: closedRows, groups: groups).encoded()
    out.append(footer)
    let bytes = Array(UnsafeBufferPointer(start: out.base, count: out.count))
    return ParquetFile(bytes: bytes, rows: closedRows, statistics: chunks.map(\.statistics))
  }

  private var elements: [SchemaElement] {
    [SchemaElement(name: "schema", repetition: nil, shape: .group(children: chunks.count))]
      + chunks.map {
        let repetition: SchemaElement.Repetition = $0.leaf.maxDefinition > 0 ? .optional : .required
        return SchemaElement(name: $0.leaf.path[0], repetition: repetition, shape: .leaf($0.leaf))
      }
  }
}
