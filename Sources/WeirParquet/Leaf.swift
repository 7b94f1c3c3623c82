import WeirCore

/// Physical types of parquet.thrift.
enum PhysicalType: Int {
  case boolean = 0
  case int32 = 1
  case int64 = 2
  /// Only read over.
  case int96 = 3
  case float = 4
  case double = 5
  case byteArray = 6
  case fixedLengthByteArray = 7
}

/// One leaf column of a file: where it is in the schema and how its values are stored.
struct Leaf {
  enum Kind: Equatable {
    case value(ColumnType)
    /// Comes as `int64`.
    case int32
  }

  var path: [String]
  var kind: Kind
  /// Levels of a present value.
  var maxDefinition: Int
  var maxRepetition: Int

  var type: ColumnType {
    switch kind {
    case .value(let type): type
    case .int32: .int64
    }
  }

  var physical: PhysicalType {
    switch kind {
    case .int32: .int32
    case .value(let type):
      switch type {
      case .bool: .boolean
      case .int64, .timestamp: .int64
      case .double: .double
      case .string, .binary: .byteArray
      case .decimal(let precision, _): precision <= 9 ? .int32 : precision <= 18 ? .int64 : .fixedLengthByteArray
      case .list, .structure, .map: preconditionFailure("a nested type has leaves of its own")
      }
    }
  }

  /// Bytes of a PLAIN value; 0 for bits and byte arrays.
  var width: Int {
    switch physical {
    case .boolean, .byteArray: 0
    case .int32, .float: 4
    case .int64, .double: 8
    case .int96: 12
    case .fixedLengthByteArray:
      if case .decimal(let precision, _) = type { decimalBytes(precision: precision) } else { 0 }
    }
  }

  /// The encoder for the leaf's values.
  func makeEncoder() -> any ValueEncoder {
    switch type {
    case .bool: BoolEncoder()
    case .double: FixedEncoder<Double>(leaf: self)
    case .string, .binary: BytesEncoder(leaf: self)
    case .decimal(let precision, _) where precision > 18: FixedEncoder<Int128>(leaf: self)
    case .int64, .timestamp, .decimal: FixedEncoder<Int64>(leaf: self)
    case .list, .structure, .map: preconditionFailure("a nested type has leaves of its own")
    }
  }
}

/// Which rows of a column to take.
struct Picks {
  var start: UnsafePointer<UInt32>
  var count: Int

  var halves: (Picks, Picks) {
    let half = count / 2
    return (Picks(start: start, count: half), Picks(start: start + half, count: count - half))
  }
}

/// Encodes the values (not the levels) of one leaf: the open page, and what the chunk shares among its pages.
protocol ValueEncoder: AnyObject {
  /// Takes values that are not null.
  func append(_ values: Column.Values, _ picks: Picks)
  /// Bytes that `append` would add to `openBytes` where values differ in size; 0 where they do not.
  func weight(_ values: Column.Values, _ picks: Picks) -> Int
  /// Bytes of the open page's values, PLAIN: what bounds a page, whatever its encoding.
  var openBytes: Int { get }
  /// Bytes of the open page's values and the dictionary, encoded but not compressed, about.
  var estimatedBytes: Int { get }
  /// Called at a fixed interval of rows in the file: a dictionary that does not pay is given up then and when a page closes,
  /// so that the bytes of the file do not depend on how the rows were cut into calls.
  func endSlice()
  /// Writes the open page's values after its levels and begins a new one.
  func closePage(into page: inout Buffer<UInt8>) -> (Encoding, EncodedStatistics)
  /// Called before the last page of a chunk is closed: the last chance to go without a dictionary.
  func settle()
  /// The PLAIN dictionary page, if pages refer to one. Returns its number of values.
  func writeDictionary(into page: inout Buffer<UInt8>) -> Int?
  /// The chunk's bounds; begins a new chunk.
  func closeChunk() -> EncodedStatistics
  /// Bounds over all closed chunks. The null count is not known here.
  func fileStatistics() -> ColumnStatistics
  /// Why the values cannot be stored: the file must not be used.
  var failure: String? { get }
}

extension ValueEncoder {
  func weight(_ values: Column.Values, _ picks: Picks) -> Int { 0 }
  func endSlice() {}
  func settle() {}
  func writeDictionary(into page: inout Buffer<UInt8>) -> Int? { nil }
}
