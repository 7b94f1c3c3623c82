import WeirCore

/// Writes one flat table into a Parquet file in memory.
public struct ParquetWriter {
  public init(columns: [ColumnSchema], options: ParquetOptions = ParquetOptions()) {}

  public mutating func append(_ columns: [Column], rows: [UInt32]? = nil) {}

  public var estimatedBytes: Int { 0 }

  public var rowCount: Int { 0 }

  public mutating func finish() throws(WeirError) -> ParquetFile {
    throw WeirError("parquet", "not written yet")
  }
}
