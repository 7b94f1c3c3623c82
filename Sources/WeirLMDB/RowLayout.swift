import WeirCore

/// Keys of LMDB's two databases.
enum TableKey {
  static let bytesMax = 511
  /// What the tree has of a key that is too long for it; its hash follows.
  static let cutBytes = bytesMax - 16

  /// What the keys of a table's rows begin with.
  static func prefix(_ table: String) -> [UInt8] { Array(table.utf8) + [0] }

  /// `table 0x00 key`; a key that is too long for LMDB is cut and followed by its hash (the row contains the whole key).
  static func bytes(_ table: String, _ key: [UInt8]) -> [UInt8] {
    let whole = prefix(table) + key
    guard whole.count > bytesMax else { return whole }
    let hash = key.withUnsafeBytes { Hash128($0) }
    var cut = Array(whole.prefix(cutBytes))
    for half in [hash.high, hash.low] { withUnsafeBytes(of: half.bigEndian) { cut.append(contentsOf: $0) } }
    return cut
  }

  /// The table of a row's key; nil if it is not a row's key.
  static func table(of key: ArraySlice<UInt8>) -> String? {
    key.firstIndex(of: 0).map { String(decoding: key[..<$0], as: UTF8.self) }
  }
}

/// The bytes of a row: fence (16), lane, key, kind, value, checksum (8). Lane, key and value follow their 32-bit lengths.
///
/// The fence comes first, so that a writer decides by the first 16 bytes. The checksum covers all bytes before it and the table's
/// name. Rows of older versions (kind 1) have none; their lengths must still add up to the row. A tombstone has an empty value and a
/// kind of its own.
package struct RowLayout {
  private static let unchecked: UInt8 = 1
  private static let checked: UInt8 = 3
  private static let tombstone: UInt8 = 4
  static let checksumBytes = 8

  /// Fence and lane are the same in all rows of a batch.
  private let head: [UInt8]
  let fence: Fence
  let seed: UInt64

  package init(_ batch: StateBatch) {
    var out = ByteWriter()
    out.write(batch.fence.generation)
    out.write(batch.fence.position)
    out.write(batch.lane)
    head = out.bytes
    fence = batch.fence
    seed = RowLayout.seed(batch.table)
  }

  /// Makes rows of different tables different to the checksum.
  package static func seed(_ table: String) -> UInt64 { Array(table.utf8).withUnsafeBytes { Hash128($0).low } }

  package func count(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?) -> Int {
    head.count + 9 + key.count + (value?.count ?? 0) + RowLayout.checksumBytes
  }

  /// - Parameters:
  ///   - value: nil: a tombstone.
  ///   - place: ``count(_:_:)`` bytes of the table itself.
  package func write(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?, to place: UnsafeMutableRawPointer) {
    var at = place
    func put(_ bytes: UnsafeRawBufferPointer) {
      if let base = bytes.baseAddress { at.copyMemory(from: base, byteCount: bytes.count) }
      at += bytes.count
    }
    head.withUnsafeBytes(put)
    withUnsafeBytes(of: UInt32(key.count).littleEndian, put)
    put(key)
    withUnsafeBytes(of: value == nil ? RowLayout.tombstone : RowLayout.checked, put)
    withUnsafeBytes(of: UInt32(value?.count ?? 0).littleEndian, put)
    if let value { put(value) }
    let checksum = Hash128(UnsafeRawBufferPointer(start: place, count: at - place), seed: seed).low
    withUnsafeBytes(of: checksum.littleEndian, put)
  }

  /// A stored row whose lengths and checksum agree.
  package struct Stored {
    package let fence: Fence
    package let lane: UnsafeRawBufferPointer
    package let key: UnsafeRawBufferPointer
    /// nil: a tombstone.
    package let value: UnsafeRawBufferPointer?

    /// - Parameter seed: of the row's table.
    /// - Returns: nil if the bytes are not a row of the table.
    package init?(_ bytes: UnsafeRawBufferPointer, seed: UInt64) {
      var at = 16
      func field(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard bytes.count - at >= 4 else { return nil }
        let count = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
        guard bytes.count - at - 4 >= count else { return nil }
        defer { at += 4 + count }
        return UnsafeRawBufferPointer(rebasing: bytes[at + 4..<at + 4 + count])
      }
      guard bytes.count >= 16, let lane = field(bytes), let key = field(bytes), at < bytes.count else { return nil }
      let kind = bytes[at]
      at += 1
      let isRow = kind == RowLayout.checked || kind == RowLayout.unchecked || kind == RowLayout.tombstone
      guard isRow, let value = field(bytes) else { return nil }
      if kind != RowLayout.unchecked {
        guard bytes.count - at == RowLayout.checksumBytes else { return nil }
        let checksum = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
        guard Hash128(UnsafeRawBufferPointer(rebasing: bytes[..<at]), seed: seed).low == checksum else { return nil }
      } else if at != bytes.count {
        return nil
      }
      fence = Fence(
        generation: Int64(littleEndian: bytes.loadUnaligned(as: Int64.self)),
        position: Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: Int64.self)))
      if kind == RowLayout.tombstone, !value.isEmpty { return nil }
      (self.lane, self.key, self.value) = (lane, key, kind == RowLayout.tombstone ? nil : value)
    }
  }
}

/// Values of the meta database: four bytes that say so, a checksum over name and value, the value. Values of older versions are
/// plain text and have neither.
package enum MetaLayout {
  private static let magic: [UInt8] = [0, 0x57, 0x53, 0x31]
  private static let headBytes = 12

  package static func encode(_ name: [UInt8], _ value: [UInt8]) -> [UInt8] {
    var out = magic
    withUnsafeBytes(of: checksum(name, value[...]).littleEndian) { out.append(contentsOf: $0) }
    return out + value
  }

  /// - Returns: nil if the value is damaged.
  package static func decode(_ name: [UInt8], _ stored: [UInt8]) -> [UInt8]? {
    // Text has no byte 0, and one flipped bit changes either the first byte or the other three, so it is not taken for text.
    let isChecked = stored.first == 0 || (stored.count >= 4 && stored[1..<4] == magic[1...])
    guard isChecked else { return stored }
    guard stored.count >= headBytes, stored.starts(with: magic) else { return nil }
    let value = stored[headBytes...]
    let sum = stored.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 4, as: UInt64.self)) }
    return sum == checksum(name, value) ? Array(value) : nil
  }

  private static func checksum(_ name: [UInt8], _ value: ArraySlice<UInt8>) -> UInt64 {
    let seed = name.withUnsafeBytes { Hash128($0).low }
    return value.withUnsafeBytes { Hash128($0, seed: seed).low }
  }
}
