import WeirCore

/// One page of a column chunk, decompressed and cut into its parts.
struct Page {
  enum Kind {
    case data, dictionary
    /// An index page, or one of a kind that came after this reader: it holds no values.
    case other
  }

  /// Bytes of a page before compression at most: bounds what a few hostile bytes can ask for. Writers aim at 1 MiB.
  private static let bytesMax = 1 << 28

  private(set) var kind = Kind.other
  /// Values, nulls among them.
  private(set) var values = 0
  private(set) var encoding = 0
  /// Levels in the hybrid encoding, without their length.
  private(set) var repetitions: ByteCursor?
  private(set) var definitions: ByteCursor?
  private(set) var body: ByteCursor

  /// Reads the page that begins at the cursor, which is then after it.
  init(_ chunk: inout ByteCursor, _ leaf: ParquetLeaf, codec: Int) throws(WeirError) {
    let start = chunk
    let header = try chunk.thriftRecord()
    guard let kind = header[1]?.int, let size = header[2]?.int, let packed = header[3]?.int else {
      throw start.broken("a page has no header")
    }
    guard size >= 0, size <= Page.bytesMax else { throw start.broken("a page of \(size) bytes") }
    body = try chunk.part(packed)
    if let said = header[4]?.int, UInt32(truncatingIfNeeded: said) != body.bytes[body.at..<body.end].withUnsafeBufferPointer(pageChecksum) {
      throw start.broken("the bytes of a page do not match their checksum")
    }
    switch kind {
    case 0: try readData(header[5], start, leaf, codec, size)
    case 2: try readDictionary(header[7], start, codec, size)
    case 3: try readDataV2(header[8], start, leaf, codec, size)
    default: break
    }
  }

  /// Takes the number of values: `field` of a page's own header.
  private mutating func count(_ header: ThriftValue?, _ start: ByteCursor) throws(WeirError) {
    guard let count = header?[1]?.int, count >= 0, count <= Footer.valuesMax else {
      throw start.broken("a page has an invalid number of values")
    }
    values = count
  }

  private mutating func readDictionary(_ header: ThriftValue?, _ start: ByteCursor, _ codec: Int, _ size: Int) throws(WeirError) {
    kind = .dictionary
    try count(header, start)
    let encoding = header?[2]?.int
    guard encoding == Encoding.plain.rawValue || encoding == Encoding.plainDictionary.rawValue else {
      throw start.broken("a dictionary in an encoding that is invalid for dictionaries")
    }
    body = try decompress(body, codec: codec, size: size, page: start.place.first + start.at)
  }

  private mutating func readData(
    _ header: ThriftValue?, _ start: ByteCursor, _ leaf: ParquetLeaf, _ codec: Int, _ size: Int
  ) throws(WeirError) {
    kind = .data
    try count(header, start)
    guard let encoding = header?[2]?.int else { throw start.broken("a page has no encoding") }
    self.encoding = encoding
    body = try decompress(body, codec: codec, size: size, page: start.place.first + start.at)
    if leaf.maxRepetition > 0 { repetitions = try levels(header?[4]?.int, start) }
    if leaf.maxDefinition > 0 { definitions = try levels(header?[3]?.int, start) }
  }

  private mutating func levels(_ encoding: Int?, _ start: ByteCursor) throws(WeirError) -> ByteCursor {
    guard encoding == Encoding.rle.rawValue else { throw start.broken("levels in an encoding other than RLE") }
    return try body.part(Int(try body.littleEndian(4)))
  }

  /// Version 2: the levels are before the values, and only these are compressed.
  private mutating func readDataV2(
    _ header: ThriftValue?, _ start: ByteCursor, _ leaf: ParquetLeaf, _ codec: Int, _ size: Int
  ) throws(WeirError) {
    kind = .data
    try count(header, start)
    guard let header, let encoding = header[4]?.int, let definitionBytes = header[5]?.int, let repetitionBytes = header[6]?.int else {
      throw start.broken("a page lacks its encoding or the sizes of its levels")
    }
    self.encoding = encoding
    let repetitionPart = try body.part(repetitionBytes)
    let definitionPart = try body.part(definitionBytes)
    if leaf.maxRepetition > 0 { repetitions = repetitionPart }
    if leaf.maxDefinition > 0 { definitions = definitionPart }
    guard size >= repetitionBytes + definitionBytes else { throw start.broken("a page smaller than its levels") }
    let rest = size - repetitionBytes - definitionBytes
    body = try decompress(body, codec: header[7]?.bool ?? true ? codec : 0, size: rest, page: start.place.first + start.at)
  }
}
