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
public struct ParquetReader: Sendable {
  /// The leaves of the schema, in its order.
  public let leaves: [ParquetLeaf]
  public let rows: Int
  private let file: ByteCursor
  private let footer: Footer

  /// Reads the footer.
  ///
  /// - Parameter name: names the file in errors.
  /// - Throws: `corrupt`, with the offset, when it is no footer or cannot be this file's.
  public init(_ bytes: [UInt8], name: String) throws(WeirError) {
    footer = try Footer(bytes, file: name)
    file = ByteCursor(bytes, BytePlace(file: name))
    leaves = footer.leaves
    rows = footer.rows
  }

  /// Row groups.
  public var groups: Int { footer.groups.count }

  public func rows(inGroup group: Int) -> Int { footer.groups[group].rows }

  /// The leaves at `path` and below it.
  public func leaves(below path: [String]) -> [Int] { leaves.indices.filter { leaves[$0].path.starts(with: path) } }

  /// One column of one row group.
  ///
  /// - Parameters:
  ///   - leaf: an index of ``leaves``.
  ///   - group: less than ``groups``.
  /// - Throws: `corrupt`, with the offset, when the bytes are not such a column.
  public func column(_ leaf: Int, group: Int) throws(WeirError) -> ParquetColumn {
    let group = footer.groups[group]
    return try ParquetColumn(group.chunks[leaf], rows: group.rows, file: file)
  }
}
