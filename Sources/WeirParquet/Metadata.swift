import WeirCore

// The structs of parquet.thrift (apache/parquet-format) that a writer needs, with their field ids.

/// `PageType`.
enum PageKind: Int {
  case data = 0
  case dictionary = 2
}

/// `PageHeader` of a v1 data page or a dictionary page.
struct PageHeader {
  enum Kind {
    case data(EncodedStatistics)
    case dictionary

    var page: PageKind { if case .data = self { .data } else { .dictionary } }
  }

  var kind: Kind
  var encoding: Encoding
  var values: Int
  var uncompressedBytes: Int
  var compressedBytes: Int
  var checksum: UInt32?

  func encoded() -> [UInt8] {
    var thrift = ThriftWriter()
    thrift.beginElement()
    thrift.i32(1, kind.page.rawValue)
    thrift.i32(2, uncompressedBytes)
    thrift.i32(3, compressedBytes)
    if let checksum { thrift.i32(4, Int(Int32(bitPattern: checksum))) }
    switch kind {
    case .data(let statistics):
      thrift.begin(5)
      thrift.i32(1, values)
      thrift.i32(2, encoding.rawValue)
      thrift.i32(3, Encoding.rle.rawValue)
      thrift.i32(4, Encoding.rle.rawValue)
      statistics.write(to: &thrift, field: 5)
    case .dictionary:
      thrift.begin(7)
      thrift.i32(1, values)
      thrift.i32(2, encoding.rawValue)
    }
    thrift.end()
    thrift.end()
    return thrift.bytes
  }
}

/// `SchemaElement`.
struct SchemaElement {
  /// `FieldRepetitionType`.
  enum Repetition: Int { case required = 0, optional, repeated }
  enum Shape {
    case group(children: Int)
    case list
    case map
    case leaf(Leaf)
  }

  var name: String
  /// Nil for the root.
  var repetition: Repetition?
  var shape: Shape

  func write(to thrift: inout ThriftWriter) {
    thrift.beginElement()
    if case .leaf(let leaf) = shape {
      thrift.i32(1, leaf.physical.rawValue)
      if leaf.physical == .fixedLengthByteArray { thrift.i32(2, leaf.width) }
    }
    if let repetition { thrift.i32(3, repetition.rawValue) }
    thrift.string(4, name)
    switch shape {
    case .group(let children): thrift.i32(5, children)
    case .list: annotate(children: 1, converted: 3, logical: 3, &thrift)
    case .map: annotate(children: 1, converted: 1, logical: 2, &thrift)
    case .leaf(let leaf): annotate(leaf, &thrift)
    }
    thrift.end()
  }

  private func annotate(children: Int, converted: Int, logical: Int, _ thrift: inout ThriftWriter) {
    thrift.i32(5, children)
    thrift.i32(6, converted)
    thrift.begin(10)
    thrift.begin(logical)
    thrift.end()
    thrift.end()
  }

  /// `ConvertedType` for old readers and `LogicalType` for the others.
  private func annotate(_ leaf: Leaf, _ thrift: inout ThriftWriter) {
    guard case .value(let type) = leaf.kind else { return }
    switch type {
    case .bool, .double, .binary, .list, .structure, .map: return
    case .string:
      thrift.i32(6, 0)
      logical(1, &thrift) { _ in }
    case .int64:
      thrift.i32(6, 18)
      logical(10, &thrift) {
        $0.byte(1, 64)
        $0.bool(2, true)
      }
    case .timestamp:
      thrift.i32(6, 10)
      logical(8, &thrift) {
        $0.bool(1, true)
        $0.begin(2)
        $0.begin(2)
        $0.end()
        $0.end()
      }
    case .decimal(let precision, let scale):
      thrift.i32(6, 5)
      thrift.i32(7, scale)
      thrift.i32(8, precision)
      logical(5, &thrift) {
        $0.i32(1, scale)
        $0.i32(2, precision)
      }
    }
  }

  private func logical(_ kind: Int, _ thrift: inout ThriftWriter, _ body: (inout ThriftWriter) -> Void) {
    thrift.begin(10)
    thrift.begin(kind)
    body(&thrift)
    thrift.end()
    thrift.end()
  }
}

/// `RowGroup`.
struct RowGroupMetadata {
  var rows: Int
  var chunks: [ChunkMetadata]

  func write(to thrift: inout ThriftWriter, ordinal: Int) {
    thrift.beginElement()
    thrift.list(1, .record, count: chunks.count)
    for chunk in chunks { chunk.write(to: &thrift) }
    thrift.i64(2, Int64(chunks.reduce(0) { $0 + $1.uncompressedBytes }))
    thrift.i64(3, Int64(rows))
    if let first = chunks.first { thrift.i64(5, Int64(first.start)) }
    thrift.i64(6, Int64(chunks.reduce(0) { $0 + $1.compressedBytes }))
    // 16 bits there; optional.
    if ordinal <= Int(Int16.max) { thrift.i16(7, ordinal) }
    thrift.end()
  }
}

extension ChunkMetadata {
  var start: Int { dictionaryOffset ?? dataOffset }

  /// `ColumnChunk` with its `ColumnMetaData`.
  fileprivate func write(to thrift: inout ThriftWriter) {
    thrift.beginElement()
    thrift.i64(2, Int64(start))
    thrift.begin(3)
    thrift.i32(1, leaf.physical.rawValue)
    var distinct: [Encoding] = [.rle]
    for used in encodings where !distinct.contains(used.encoding) { distinct.append(used.encoding) }
    thrift.list(2, .i32, count: distinct.count)
    for encoding in distinct { thrift.element(encoding.rawValue) }
    thrift.list(3, .binary, count: leaf.path.count)
    for name in leaf.path { thrift.element(Array(name.utf8)) }
    thrift.i32(4, codec.thriftNumber)
    thrift.i64(5, Int64(values))
    thrift.i64(6, Int64(uncompressedBytes))
    thrift.i64(7, Int64(compressedBytes))
    thrift.i64(9, Int64(dataOffset))
    if let dictionaryOffset { thrift.i64(11, Int64(dictionaryOffset)) }
    statistics.write(to: &thrift, field: 12)
    thrift.list(13, .record, count: encodings.count)
    for used in encodings {
      thrift.beginElement()
      thrift.i32(1, used.page.rawValue)
      thrift.i32(2, used.encoding.rawValue)
      thrift.i32(3, used.count)
      thrift.end()
    }
    thrift.end()
    thrift.end()
  }
}

extension Codec {
  /// `CompressionCodec`.
  var thriftNumber: Int {
    switch self {
    case .none: 0
    case .snappy: 1
    case .zstd: 6
    }
  }
}

/// `FileMetaData`.
struct FileMetadata {
  var schema: [SchemaElement]
  var rows: Int
  var groups: [RowGroupMetadata]

  /// The footer: the metadata, its length and the magic.
  func encoded() -> [UInt8] {
    var thrift = ThriftWriter()
    thrift.beginElement()
    thrift.i32(1, 2)
    thrift.list(2, .record, count: schema.count)
    for element in schema { element.write(to: &thrift) }
    thrift.i64(3, Int64(rows))
    thrift.list(4, .record, count: groups.count)
    for (ordinal, group) in groups.enumerated() { group.write(to: &thrift, ordinal: ordinal) }
    thrift.string(6, "weir")
    writeOrders(&thrift)
    thrift.end()
    var bytes = thrift.bytes
    let length = UInt32(bytes.count)
    for shift in [0, 8, 16, 24] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: length >> shift)) }
    bytes.append(contentsOf: FileMetadata.magic)
    return bytes
  }

  static let magic: [UInt8] = Array("PAR1".utf8)

  /// `TypeDefinedOrder` for every leaf: without it readers must not use `min_value` and `max_value`.
  private func writeOrders(_ thrift: inout ThriftWriter) {
    let leaves = schema.count { if case .leaf = $0.shape { true } else { false } }
    thrift.list(7, .record, count: leaves)
    for _ in 0..<leaves {
      thrift.beginElement()
      thrift.begin(1)
      thrift.end()
      thrift.end()
    }
  }
}
