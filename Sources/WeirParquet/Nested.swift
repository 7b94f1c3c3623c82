import WeirCore

/// A field of a nested schema: what a Delta checkpoint needs of the Dremel model.
public indirect enum ParquetNode: Sendable {
  case leaf(name: String, type: ColumnType, optional: Bool)
  case group(name: String, optional: Bool, children: [ParquetNode])
  /// Three levels: the field, a repeated `list`, the element. The element's own name is not used: it is `element`.
  case list(name: String, optional: Bool, element: ParquetNode)
  /// Three levels: the field, a repeated `key_value`, `key` (required) and `value`. Their own names are not used.
  case map(name: String, optional: Bool, key: ParquetNode, value: ParquetNode)
  /// A 32-bit integer; its values come as an `int64` column.
  case int32leaf(name: String, optional: Bool)
}

/// The values of one leaf of a nested schema, with the levels that place them in their rows.
public struct LeafData: Sendable {
  /// The present values only: as many as there are definition levels equal to the leaf's maximum.
  public var values: Column
  /// One entry for each value, null or empty list: how many of the optional and repeated fields on the way are there.
  public var definitionLevels: [UInt8]
  /// 0 begins a row; as many entries as `definitionLevels`. Empty stands for all 0 (a leaf in no list or map).
  public var repetitionLevels: [UInt8]

  public init(values: Column, definitionLevels: [UInt8], repetitionLevels: [UInt8] = []) {
    self.values = values
    self.definitionLevels = definitionLevels
    self.repetitionLevels = repetitionLevels
  }
}

/// A Parquet file of one row group. `leaves` in depth-first order of the schema's leaves.
///
/// - Throws: `parquet` when the levels do not fit the schema, the rows or the values.
public func encodeNestedParquet(
  schema: [ParquetNode], rows: Int, leaves: [LeafData], codec: Codec
) throws(WeirError) -> [UInt8] {
  throw WeirError("parquet", "nested files are not written yet")
}
