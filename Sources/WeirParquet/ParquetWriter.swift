import WeirCore

/// Writes one table into a Parquet file in memory.
///
/// Columns are encoded a slice of some thousand rows at a time, side by side where the workbench allows; what is held is
/// compressed pages, the values of one open page a column, and the rows of the open slice.
/// The bytes depend on the options and on the rows in their order, not on how they were cut into calls.
///
/// Copies share their state: use the writer from one place at a time, as if it could not be copied.
package struct ParquetWriter: Sendable {
  private let file: FileWriter

  /// - Parameter columns: the schema; names must differ, there must be one at least.
  package init(columns: [ColumnSchema], options: ParquetOptions = ParquetOptions()) {
    self.init(columns: columns, workbench: ParquetWorkbench(options: options))
  }

  package init(columns: [ColumnSchema], workbench: ParquetWorkbench) {
    precondition(!columns.isEmpty, "a Parquet file has columns")
    file = FileWriter(columns: columns, workbench: workbench)
  }

  /// Takes rows. Only reads the columns, and holds on to them until their slice is full.
  ///
  /// - Parameters:
  ///   - columns: one for each column of the schema, of its type, all of the same length.
  ///   - rows: the rows to take, in the order to write them; nil takes all.
  package mutating func append(_ columns: [Column], rows: [UInt32]? = nil) {
    file.append(columns, rows: rows)
  }

  /// Encodes the rows that wait until their slice is full, and lets go of their columns. The bytes of the file do not depend on it.
  package mutating func encodeWaiting() { file.encodeWaiting() }

  /// Bytes that the file would have if it were finished now, about.
  package var estimatedBytes: Int { file.estimatedBytes }

  /// Rows so far.
  package var rowCount: Int { file.rowCount }

  /// The file. The writer must not be used after.
  ///
  /// - Throws: `parquet` when a value did not fit its column: a null in a column that is not nullable, a decimal with
  ///   too many digits, a string of more than 1 GiB.
  package mutating func finish() throws(WeirError) -> ParquetFile { try file.finish() }
}

/// The state of a ``ParquetWriter``.
final class FileWriter: @unchecked Sendable {
  // Unchecked: one owner at a time, as the writer's documentation asks for.
  private let schema: [ColumnSchema]
  private let workbench: ParquetWorkbench
  private let options: ParquetOptions
  private let columns: [ColumnWriter]
  private let elements: [SchemaElement]
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
    let shape = NestedShape(columns.map { ParquetNode($0) })
    elements = shape.elements
    var leaves = shape.leaves[...]
    self.columns = columns.map { column in
      let own = leaves.prefix(column.type.leafCount)
      leaves = leaves.dropFirst(own.count)
      return ColumnWriter(column, leaves: own, workbench: workbench)
    }
    out += FileMetadata.magic
  }

  var rowCount: Int { closedRows + groupRows + pieceRows }

  private var groupBytes: Int { columns.reduce(0) { $0 + $1.estimatedBytes } }
  private var chunkCount: Int { columns.reduce(0) { $0 + $1.chunks.count } }

  /// The footer takes some hundred bytes for each chunk.
  var estimatedBytes: Int { out.count + groupBytes + 200 * chunkCount * (groups.count + 1) }

  func append(_ columns: [Column], rows: [UInt32]?) {
    precondition(columns.count == schema.count, "one column for each of the schema")
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

  func encodeWaiting() { if pieceRows > 0 { endSlice() } }

  /// Encodes the open slice, columns side by side.
  private func endSlice() {
    let isWhole = (groupRows + pieceRows) % sliceRows == 0
    workbench.forEach(columns.count, isWorthIt: pieceRows >= 1024) { [columns, pieces] i in
      for piece in pieces {
        piece.rows.withUnsafeBufferPointer { rows in
          guard let start = rows.baseAddress else { return }
          columns[i].append(piece.columns[i], Picks(start: start + piece.range.lowerBound, count: piece.range.count))
        }
      }
      if isWhole { columns[i].endSlice() }
    }
    groupRows += pieceRows
    pieces.removeAll(keepingCapacity: true)
    pieceRows = 0
    if groupRows == options.rowGroupRows || isWhole && groupBytes >= options.rowGroupBytes { closeGroup() }
  }

  private func closeGroup() {
    workbench.forEach(columns.count, isWorthIt: groupRows >= 1024) { [columns] in columns[$0].settle() }
    var closed: [ChunkMetadata] = []
    // The footer too, which follows at once unless the group was full.
    out.reserveCapacity(out.count + columns.reduce(0) { $0 + $1.settledBytes } + chunkCount << 9)
    for column in columns { for chunk in column.chunks { closed.append(chunk.closeChunk(into: &out)) } }
    groups.append(RowGroupMetadata(rows: groupRows, chunks: closed))
    closedRows += groupRows
    groupRows = 0
  }

  func finish() throws(WeirError) -> ParquetFile {
    if pieceRows > 0 { endSlice() }
    if groupRows > 0 { closeGroup() }
    if let reason = columns.compactMap(\.failure).first {
      throw WeirError(.parquet, "cannot write a Parquet file: \(reason)")
    }
    let footer = FileMetadata(schema: elements, rows: closedRows, groups: groups).encoded()
    out += footer
    defer { out = [] }
    return ParquetFile(bytes: out, rows: closedRows, statistics: columns.map(\.statistics))
  }
}
