import WeirCore

/// How a Parquet file is laid out. The same options and rows give the same bytes.
package struct ParquetOptions: Sendable, Hashable {
  package var codec: Codec
  /// Level of zstd, 1...19.
  package var zstdLevel: Int
  /// A data page closes when its values take this many bytes before compression.
  package var pageBytes: Int
  /// A row group closes at this many rows, or at ``rowGroupBytes`` compressed bytes, whichever is first.
  package var rowGroupRows: Int
  package var rowGroupBytes: Int
  /// Each page carries a CRC-32. Data files need none: the ledger has their hashes.
  package var checksums: Bool

  package init(
    codec: Codec = .zstd, zstdLevel: Int = 1, pageBytes: Int = 1 << 20, rowGroupRows: Int = 1 << 20,
    rowGroupBytes: Int = 128 << 20, checksums: Bool = false
  ) {
    self.codec = codec
    self.zstdLevel = zstdLevel
    self.pageBytes = max(1, pageBytes)
    self.rowGroupRows = max(1, rowGroupRows)
    self.rowGroupBytes = max(1, rowGroupBytes)
    self.checksums = checksums
  }
}

/// What one column of a file holds, over all its rows.
package struct ColumnStatistics: Sendable, Hashable {
  package var nullCount: Int64
  /// NaNs of a `double` column. They take no part in `min` and `max`, so an engine that sorts NaN above all
  /// numbers must not use `max` when there are any.
  package var nanCount: Int64
  /// The exact smallest value; nil when there is none. Bytes of strings are compared unsigned; a zero is -0.0.
  package var min: Literal?
  /// The exact largest value; nil when there is none. A zero is +0.0.
  package var max: Literal?

  package init(nullCount: Int64, nanCount: Int64 = 0, min: Literal?, max: Literal?) {
    self.nullCount = nullCount
    self.nanCount = nanCount
    self.min = min
    self.max = max
  }
}

/// A finished file.
package struct ParquetFile: Sendable {
  package var bytes: [UInt8]
  package var rows: Int
  /// One for each column, in order of the schema.
  package var statistics: [ColumnStatistics]

  package init(bytes: [UInt8], rows: Int, statistics: [ColumnStatistics]) {
    self.bytes = bytes
    self.rows = rows
    self.statistics = statistics
  }
}
