import WeirCore

/// Writes one flat table into a Parquet file in memory.
///
/// Columns are encoded a slice of some thousand rows at a time, side by side where the workbench allows; what is held is
/// compressed pages, the values of one open page a column, and the rows of the open slice.
/// The bytes depend on the options and on the rows in their order, not on how they were cut into calls.
///
/// Copies share their state: use the writer from one place at a time, as if it could not be copied.
public struct ParquetWriter: Sendable {
  private let file: FileWriter

  /// - Parameter columns: the schema; names must differ, there must be one at least.
  public init(columns: [ColumnSchema], options: ParquetOptions = ParquetOptions()) {
    self.init(columns: columns, workbench: ParquetWorkbench(options: options))
  }

  public init(columns: [ColumnSchema], workbench: ParquetWorkbench) {
    precondition(!columns.isEmpty, "a Parquet file has columns")
    file = FileWriter(columns: columns, workbench: workbench)
  }

  /// Takes rows. Only reads the columns, and holds on to them until their slice is full.
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
  private let workbench: ParquetWorkbench
  private let options: ParquetOptions
  private let chunks: [ChunkWriter]
  private let sliceRows: Int
  private var out: [UInt8] = []
  private var groups: [RowGroupMetadata] = []
  /// The open slice.
  private var pieces: [Piece] = []
  private var pieceRows = 0
  /// Rows of the open group that are encoded.
  private var groupRows = 0
  private var closedRows = 0

  /// Rows of the open slice that came in one call.
  private struct Piece {
    var columns: [Column]
    var rows: [UInt32]
    var range: Range<Int>
  }

  init(columns: [ColumnSchema], workbench: ParquetWorkbench) {
    schema = columns
    self.workbench = workbench
    options = workbench.options
    // Rows handled at a time: few enough for the caches, and for pages to close where they should.
    sliceRows = min(4096, max(16, options.pageBytes / 64))
    chunks = columns.map { column in
      let leaf = Leaf(
        path: [column.name], kind: .value(column.type), maxDefinition: column.nullable ? 1 : 0, maxRepetition: 0)
      return ChunkWriter(leaf: leaf, workbench: workbench)
    }
    out += FileMetadata.magic
  }

  var rowCount: Int { closedRows + groupRows + pieceRows }

  private var groupBytes: Int { chunks.reduce(0) { $0 + $1.estimatedBytes } }

  /// The footer takes some hundred bytes for each chunk.
  var estimatedBytes: Int { out.count + groupBytes + 200 * chunks.count * (groups.count + 1) }

  func append(_ columns: [Column], rows: [UInt32]?) {
    precondition(columns.count == chunks.count, "one column for each of the schema")
    for (column, expected) in zip(columns, schema) {
      precondition(column.type == expected.type, "the column's type is not the schema's")
    }
    let total = rows?.count ?? columns[0].count
    var at = 0
    while at < total {
      let open = groupRows + pieceRows
      let n = min(sliceRows - open % sliceRows, total - at, options.rowGroupRows - open)
      if let rows {
        pieces.append(Piece(columns: columns, rows: rows, range: at..<at + n))
      } else {
        pieces.append(Piece(columns: columns, rows: Array(UInt32(at)..<UInt32(at + n)), range: 0..<n))
      }
      pieceRows += n
      at += n
      if (open + n) % sliceRows == 0 || open + n == options.rowGroupRows { endSlice() }
    }
  }

  /// Encodes the open slice, columns side by side.
  private func endSlice() {
    let isWhole = (groupRows + pieceRows) % sliceRows == 0
    workbench.forEach(chunks.count, isWorthIt: pieceRows >= 1024) { [chunks, pieces] i in
      for piece in pieces {
        piece.rows.withUnsafeBufferPointer { rows in
          guard let start = rows.baseAddress else { return }
          chunks[i].append(piece.columns[i], Picks(start: start + piece.range.lowerBound, count: piece.range.count))
        }
      }
      if isWhole { chunks[i].endSlice() }
    }
    groupRows += pieceRows
    pieces.removeAll(keepingCapacity: true)
    pieceRows = 0
    if groupRows == options.rowGroupRows || isWhole && groupBytes >= options.rowGroupBytes { closeGroup() }
  }

  private func closeGroup() {
    workbench.forEach(chunks.count, isWorthIt: groupRows >= 1024) { [chunks] in chunks[$0].settle() }
    var closed: [ChunkMetadata] = []
    // The footer too, which follows at once unless the group was full.
    out.reserveCapacity(out.count + chunks.reduce(0) { $0 + $1.settledBytes } + chunks.count << 9)
    for chunk in chunks { closed.append(chunk.closeChunk(into: &out)) }
    groups.append(RowGroupMetadata(rows: groupRows, chunks: closed))
    closedRows += groupRows
    groupRows = 0
  }

  func finish() throws(WeirError) -> ParquetFile {
    if pieceRows > 0 { endSlice() }
    if groupRows > 0 { closeGroup() }
    if let reason = chunks.compactMap(\.failure).first {
      throw WeirError(.parquet, "cannot write a Parquet file: \(reason)")
    }
    let footer = FileMetadata(schema: elements, rows: closedRows, groups: groups).encoded()
    out += footer
    defer { out = [] }
    return ParquetFile(bytes: out, rows: closedRows, statistics: chunks.map(\.statistics))
  }

  private var elements: [SchemaElement] {
    [SchemaElement(name: "schema", repetition: nil, shape: .group(children: chunks.count))]
      + chunks.map {
        let repetition: SchemaElement.Repetition = $0.leaf.maxDefinition > 0 ? .optional : .required
        return SchemaElement(name: $0.leaf.path[0], repetition: repetition, shape: .leaf($0.leaf))
      }
  }
}
