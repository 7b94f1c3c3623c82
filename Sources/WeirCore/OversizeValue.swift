import Synchronization

/// What a state table has in the place of a row's value that it does not take because of its size: how large the value is, and the digest
/// of the row, by which it can be compared with the value itself.
///
/// 25 bytes: 2 (where a value begins with the version 1), the number of bytes (64 bits) and the digest (128 bits), both little-endian.
public struct OversizeValue: Sendable, Hashable {
  private static let marker: UInt8 = 2
  private static let bytesCount = 25

  /// Of the value.
  public let bytes: Int64
  /// ``StateRow/digest(_:_:)`` of the row with the value.
  public let digest: UInt128

  /// In the place of the value of a row.
  public init(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
    (bytes, digest) = (Int64(value.count), StateRow.digest(key, value))
  }

  /// - Returns: nil: it is a value of a row.
  public init?(_ value: UnsafeRawBufferPointer) {
    guard value.count == OversizeValue.bytesCount, value.first == OversizeValue.marker else { return nil }
    bytes = Int64(littleEndian: value.loadUnaligned(fromByteOffset: 1, as: Int64.self))
    digest = UInt128(littleEndian: value.loadUnaligned(fromByteOffset: 9, as: UInt128.self))
  }

  public init?(_ value: [UInt8]) {
    guard let found = value.withUnsafeBytes({ OversizeValue($0) }) else { return nil }
    self = found
  }

  public var encoded: [UInt8] {
    var out = [OversizeValue.marker]
    withUnsafeBytes(of: bytes.littleEndian) { out.append(contentsOf: $0) }
    withUnsafeBytes(of: digest.littleEndian) { out.append(contentsOf: $0) }
    return out
  }
}

extension StateRow {
  /// Of key and value; of a row whose value was too large the one that it would have. No order of rows is in a sum of digests.
  public static func digest(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> UInt128 {
    if let oversize = OversizeValue(value) { return oversize.digest }
    let hash = Hash128(key)
    let both = Hash128(value, seed: hash.low)
    return UInt128(both.high ^ hash.high) << 64 | UInt128(both.low)
  }
}

/// The rows that a state table wrote without their values because these are too large for it: how many, and which.
public final class OversizeRows: Sendable {
  /// Rows that are named; more are only counted.
  public static let namedMax = 100

  private let state = Mutex<(count: Int64, named: Set<Hash128>)>((0, []))
  private let bound: String
  private let notice: @Sendable (String) -> Void

  /// - Parameters:
  ///   - bound: what the table takes, with its unit and where it is from.
  ///   - notice: receives one line for each row, the first time that it is written, and one where no more are named.
  public init(bound: String, notice: @escaping @Sendable (String) -> Void) { (self.bound, self.notice) = (bound, notice) }

  /// Writes of such rows so far.
  public var count: Int64 { state.withLock { $0.count } }

  /// - Parameter bytes: of the row as the table would keep it.
  public func note(table: String, key: [UInt8], bytes: Int) {
    let row = key.withUnsafeBytes { Hash128($0, seed: UInt64(truncatingIfNeeded: table.utf8.count)) }
    let named = state.withLock { state in
      state.count += 1
      guard state.named.count <= OversizeRows.namedMax, state.named.insert(row).inserted else { return 0 }
      return state.named.count
    }
    if named > OversizeRows.namedMax {
      notice("more than \(OversizeRows.namedMax) rows are too large for it: further ones are only counted")
    } else if named > 0 {
      notice(
        "the row \(StateKey.shown(key)) of \(table) has \(bytes) bytes, and the table takes \(bound): it is written without its values, which stay in the lake"
      )
    }
  }
}
