import WeirCore

/// How a Parquet file is laid out. The same options and rows give the same bytes.
public struct ParquetOptions: Sendable, Hashable {
  public var codec: Codec
  /// Level of zstd, 1...19.
  public var zstdLevel: Int
  /// A data page closes when its values take this many bytes before compression.
  public var pageBytes: Int
  /// A row group closes at this many rows, or at ``rowGroupBytes`` compressed bytes, whichever is first.
  public var rowGroupRows: Int
  public var rowGroupBytes: Int
  /// Each page carries a CRC-32. Data files need none: the ledger has their hashes.
  public var checksums: Bool

  public init(
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
public struct ColumnStatistics: Sendable, Hashable {
  public var nullCount: Int64
  /// NaNs of a `double` column. They take no part in `min` and `max`, so an engine that sorts NaN above all
  /// numbers must not use `max` when there are any.
  public var nanCount: Int64
  /// The exact smallest value; nil when there is none. Bytes of strings are compared unsigned; a zero is -0.0.
  public var min: Literal?
  /// The exact largest value; nil when there is none. A zero is +0.0.
  public var max: Literal?

  public init(nullCount: Int64, nanCount: Int64 = 0, min: Literal?, max: Literal?) {
    self.nullCount = nullCount
    self.nanCount = nanCount
    self.min = min
    self.max = max
  }
}

/// A finished file.
public struct ParquetFile: Sendable {
  public var bytes: [UInt8]
  public var rows: Int
  /// One for each column, in order of the schema.
  public var statistics: [ColumnStatistics]

  public init(bytes: [UInt8], rows: Int, statistics: [ColumnStatistics]) {
    self.bytes = bytes
    self.rows = rows
    self.statistics = statistics
  }
}
