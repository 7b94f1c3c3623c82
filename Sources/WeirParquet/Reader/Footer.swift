import WeirCore

/// A column chunk as the footer names it; its bytes are inside the file.
struct ChunkPlace {
  var leaf: ParquetLeaf
  /// `CompressionCodec`.
  var codec: Int
  /// Values and nulls, at most ``Footer/valuesMax``.
  var values: Int
  var bytes: Range<Int>
}

/// What the footer of a file says (`FileMetaData` of parquet.thrift).
struct Footer {
  struct Group {
    var rows: Int
    var chunks: [ChunkPlace]

    /// Where in the file its chunks are.
    var bytes: Range<Int> {
      let full = chunks.map(\.bytes).filter { !$0.isEmpty }
      guard let first = full.map(\.lowerBound).min(), let end = full.map(\.upperBound).max() else { return 4..<4 }
      return first..<end
    }
  }

  /// Values of a column chunk at most: bounds the memory that a few hostile bytes can ask for.
  static let valuesMax = 1 << 26
  /// The footer's length and the magic number that end a file.
  static let tail = 8

  private(set) var leaves: [ParquetLeaf]
  private(set) var rows: Int
  private(set) var groups: [Group] = []

  /// Of this footer's row groups only one.
  func only(_ group: Int) -> Footer {
    var one = self
    one.rows = groups[group].rows
    one.groups = [groups[group]]
    return one
  }

  init(_ bytes: [UInt8], file: String) throws(WeirError) {
    guard bytes.count >= 4 + Footer.tail, bytes.starts(with: FileMetadata.magic) else {
      throw BytePlace(file: file).broken(at: 0, "it does not begin like a Parquet file")
    }
    try self.init(end: bytes[4...], of: bytes.count, file: file)
  }

  /// Bytes of the footer with what follows it, as the end of a file states them; nil for an end that is not a Parquet file's.
  static func size(end: [UInt8]) -> Int? {
    guard end.count >= tail, end.suffix(4).elementsEqual(FileMetadata.magic) else { return nil }
    return end.suffix(tail).prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) } + tail
  }

  /// - Parameters:
  ///   - end: the file's last bytes, the whole footer among them.
  ///   - size: of the file.
  init(end: ArraySlice<UInt8>, of size: Int, file: String) throws(WeirError) {
    let bytes = Array(end)
    let place = BytePlace(file: file, first: size - bytes.count)
    guard bytes.suffix(4).elementsEqual(FileMetadata.magic) else {
      throw place.broken(at: bytes.count - 4, "it does not end like a Parquet file")
    }
    var file = ByteCursor(bytes, place)
    var tail = file
    try tail.skip(bytes.count - Footer.tail)
    let length = Int(try tail.littleEndian(4))
    guard length <= bytes.count - Footer.tail else { throw tail.broken("a footer of \(length) bytes") }
    try file.skip(bytes.count - Footer.tail - length)
    var footer = try file.part(length)
    let start = footer
    let record = try footer.thriftRecord()
    guard let elements = record[2]?.list, let rows = record[3]?.int, let groups = record[4]?.list else {
      throw start.broken("the footer has no schema, number of rows or row groups")
    }
    leaves = try SchemaWalk(elements, start).leaves
    self.rows = rows
    try add(groups, start, dataEnd: size - Footer.tail - length)
  }

  private mutating func add(_ records: [ThriftValue], _ footer: ByteCursor, dataEnd: Int) throws(WeirError) {
    var left = rows
    for record in records {
      guard let rows = record[3]?.int, rows >= 0, rows <= Footer.valuesMax, rows <= left else {
        throw footer.broken("a row group with an invalid number of rows")
      }
      left -= rows
      guard let columns = record[1]?.list, columns.count == leaves.count else {
        throw footer.broken("a row group does not have one chunk for each of the \(leaves.count) columns")
      }
      var chunks: [ChunkPlace] = []
      for (leaf, column) in zip(leaves, columns) { chunks.append(try Footer.chunk(column, leaf, rows: rows, footer, dataEnd)) }
      groups.append(Group(rows: rows, chunks: chunks))
    }
    guard left == 0 else { throw footer.broken("the row groups do not have the \(rows) rows of the file") }
  }

  /// Checks a `ColumnChunk` against the schema and the file.
  private static func chunk(
    _ column: ThriftValue, _ leaf: ParquetLeaf, rows: Int, _ footer: ByteCursor, _ dataEnd: Int
  ) throws(WeirError) -> ChunkPlace {
    func expect(_ holds: Bool, _ reason: String) throws(WeirError) {
      if !holds { throw footer.broken("the column chunk of \(leaf.name) \(reason)") }
    }
    try expect(column[1] == nil, "is in another file")
    guard let data = column[3], let codec = data[4]?.int, let values = data[5]?.int, let size = data[7]?.int, let first = data[9]?.int
    else { throw footer.broken("the column chunk of \(leaf.name) lacks metadata (encrypted files are not read)") }
    try expect(data[1]?.int == leaf.physical.rawValue, "has another type than the schema")
    try expect(data[3]?.list?.map { $0.string ?? "" } == leaf.path, "belongs to another column")
    try expect(values >= 0 && values <= valuesMax, "has \(values) values")
    try expect(leaf.maxRepetition > 0 || values == rows, "has \(values) values for \(rows) rows")
    // Chunks of no values may have no pages, and then an offset of 0.
    if values == 0 { return ChunkPlace(leaf: leaf, codec: codec, values: 0, bytes: 4..<4) }
    // parquet-mr wrote 0 for "no dictionary" once.
    let start = data[11]?.int.flatMap { $0 > 0 && $0 < first ? $0 : nil } ?? first
    try expect(start >= 4 && start <= dataEnd, "begins at byte \(start)")
    try expect(size >= 0 && size <= dataEnd - start, "has \(size) bytes")
    return ChunkPlace(leaf: leaf, codec: codec, values: values, bytes: start..<start + size)
  }
}
