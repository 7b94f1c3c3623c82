/// Appends little-endian values to bytes: blobs of lane state and partials. Read back by ``ByteReader``.
///
/// Large blobs are written in pieces: one array that grows by doubling is in memory up to three times.
public struct ByteWriter: Sendable {
  /// A piece is closed at the first ``closePiece()`` from this many bytes on.
  private static let pieceBytes = 1 << 20

  /// What was written; of a blob in pieces, the last one.
  public private(set) var bytes: [UInt8] = []
  private var closed: [[UInt8]] = []
  private var closedCount = 0

  public init() {}

  /// Empties it; the memory stays.
  public mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

  /// Bytes written, in all pieces.
  public var count: Int { closedCount + bytes.count }

  /// Everything that was written, in order.
  public var pieces: [[UInt8]] { bytes.isEmpty ? closed : closed + [bytes] }

  /// Called between two items of a blob: what was written is put aside when it is large enough to be a piece.
  @inline(__always)
  public mutating func closePiece() { if bytes.count >= ByteWriter.pieceBytes { putAside() } }

  private mutating func putAside() {
    closedCount += bytes.count
    closed.append(bytes)
    bytes = []
    bytes.reserveCapacity(ByteWriter.pieceBytes + ByteWriter.pieceBytes / 8)
  }

  public mutating func reserve(_ more: Int) { bytes.reserveCapacity(bytes.count + more) }

  public mutating func write(_ value: UInt8) { bytes.append(value) }

  public mutating func write<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  public mutating func write(_ hash: Hash128) {
    write(hash.low)
    write(hash.high)
  }

  /// LEB128.
  public mutating func write(varint: UInt64) {
    var rest = varint
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  public mutating func write(raw: UnsafeRawBufferPointer) { bytes.append(contentsOf: raw) }

  /// A length (32 bit) and the bytes.
  public mutating func write(counted: some Collection<UInt8>) {
    write(UInt32(counted.count))
    bytes.append(contentsOf: counted)
  }

  public mutating func write(_ string: String) { write(counted: Array(string.utf8)) }
}

/// Reads what ``ByteWriter`` wrote; running out of bytes is an error, never a trap.
public struct ByteReader: Sendable {
  private let bytes: ArraySlice<UInt8>
  private var at: Int
  private let what: String

  /// `what` names the blob in errors.
  public init(_ bytes: ArraySlice<UInt8>, what: String) {
    self.bytes = bytes
    self.what = what
    at = bytes.startIndex
  }

  public var isAtEnd: Bool { at == bytes.endIndex }
  /// Bytes that were not read yet.
  public var left: Int { bytes.endIndex - at }

  private func check(_ count: Int) throws(WeirError) {
    guard count >= 0, bytes.endIndex - at >= count else { throw corrupt("it is too short") }
  }

  public func corrupt(_ why: String) -> WeirError {
    WeirError(.corrupt, "\(what) cannot be read: \(why)", advice: "Restore it from a copy, or run \(.verifyLedger).")
  }

  public mutating func read<T: FixedWidthInteger>(_ type: T.Type) throws(WeirError) -> T {
    let size = MemoryLayout<T>.size
    try check(size)
    let value = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at - bytes.startIndex, as: T.self) }
    at += size
    return T(littleEndian: value)
  }

  /// LEB128 of up to 64 bits.
  public mutating func readVarint() throws(WeirError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while shift < 64 {
      try check(1)
      let byte = bytes[at]
      at += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    throw corrupt("a number is longer than 64 bits")
  }

  public mutating func readHash() throws(WeirError) -> Hash128 {
    let low = try read(UInt64.self)
    return Hash128(low: low, high: try read(UInt64.self))
  }

  public mutating func readCounted() throws(WeirError) -> ArraySlice<UInt8> {
    let count = Int(try read(UInt32.self))
    try check(count)
    defer { at += count }
    return bytes[at..<at + count]
  }

  public mutating func readString() throws(WeirError) -> String { String(decoding: try readCounted(), as: UTF8.self) }

  /// A count that must leave at least `each` bytes an item, so that a broken one cannot ask for all memory.
  public mutating func readCount(each: Int) throws(WeirError) -> Int {
    let count = Int(try read(UInt32.self))
    try check(count * each)
    return count
  }
}
