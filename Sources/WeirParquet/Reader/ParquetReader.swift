import WeirCore

/// Reads a Parquet file that any program may have written; its bytes are not trusted.
///
/// What it knows: nested schemas; data pages of both versions; PLAIN, dictionaries, RLE, and the three delta encodings; no
/// compression, snappy, gzip, zstd; checksums of pages, where there are any. What it does not know is refused: encryption,
/// BYTE_STREAM_SPLIT, other compressions. A column is read whole, one row group at a time.
///
/// Bounds: 2^26 values a column chunk, 256 MiB a page, 1 GiB of bytes a column chunk.
///
/// Source: https://github.com/apache/parquet-format (parquet.thrift, Encodings.md, README.md).
package struct ParquetReader: Sendable {
  /// The leaves of the schema, in its order.
  package let leaves: [ParquetLeaf]
  package let rows: Int
  private let file: ByteCursor
  private let footer: Footer

  /// Reads the footer.
  ///
  /// - Parameter name: names the file in errors.
  /// - Throws: `corrupt`, with the offset, when it is not a footer or cannot be this file's.
  package init(_ bytes: [UInt8], name: String) throws(WeirError) {
    footer = try Footer(bytes, file: name)
    file = ByteCursor(bytes, BytePlace(file: name))
    leaves = footer.leaves
    rows = footer.rows
  }

  /// One row group of a file that is read by its groups.
  fileprivate init(_ footer: Footer, _ file: ByteCursor) {
    self.footer = footer
    self.file = file
    leaves = footer.leaves
    rows = footer.rows
  }

  /// Row groups.
  package var groups: Int { footer.groups.count }

  package func rows(inGroup group: Int) -> Int { footer.groups[group].rows }

  /// The leaves at `path` and below it.
  package func leaves(below path: [String]) -> [Int] { leaves.indices.filter { leaves[$0].path.starts(with: path) } }

  /// One column of one row group.
  ///
  /// - Parameters:
  ///   - leaf: an index of ``leaves``.
  ///   - group: less than ``groups``.
  /// - Throws: `corrupt`, with the offset, when the bytes are not such a column.
  package func column(_ leaf: Int, group: Int) throws(WeirError) -> ParquetColumn {
    let group = footer.groups[group]
    return try ParquetColumn(group.chunks[leaf], rows: group.rows, file: file)
  }
}

/// The footer of a Parquet file whose row groups are read one after the other, so that no more than one is in memory.
package struct ParquetGroups: Sendable {
  /// Bytes that every Parquet file begins with.
  package static let beginning = FileMetadata.magic.count
  private let footer: Footer
  private let name: String

  /// Bytes at the end of a file that hold its footer; nil when `end`, its last bytes, is not a Parquet file's end.
  package static func footerBytes(end: [UInt8]) -> Int? { Footer.size(end: end) }

  /// - Parameters:
  ///   - beginning: the file's first ``beginning`` bytes.
  ///   - end: its last bytes, the whole footer among them; not those of `beginning`.
  ///   - size: of the file.
  ///   - name: names the file in errors.
  /// - Throws: `corrupt`, with the offset, when it is not a footer or cannot be this file's.
  package init(beginning: [UInt8], end: [UInt8], size: Int, name: String) throws(WeirError) {
    guard beginning.elementsEqual(FileMetadata.magic), size >= end.count + ParquetGroups.beginning else {
      throw BytePlace(file: name).broken(at: 0, "it does not begin like a Parquet file")
    }
    footer = try Footer(end: end[...], of: size, file: name)
    self.name = name
  }

  package var count: Int { footer.groups.count }
  package var rows: Int { footer.rows }

  /// Where in the file a group is.
  package func bytes(ofGroup group: Int) -> Range<Int> { footer.groups[group].bytes }

  /// A reader of one group, its only one.
  /// - Parameter bytes: those of ``bytes(ofGroup:)``.
  package func reader(ofGroup group: Int, _ bytes: [UInt8]) -> ParquetReader {
    ParquetReader(footer.only(group), ByteCursor(bytes, BytePlace(file: name, first: footer.groups[group].bytes.lowerBound)))
  }
}
