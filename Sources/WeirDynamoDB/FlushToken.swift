import WeirCore

/// Names one write of one process: the process's own random number, and which write of it.
struct FlushToken: Sendable, Hashable {
  static let bytesCount = 16

  /// 16 hexadecimal digits.
  var session: String
  var number: Int64

  init(session: String, number: Int64) { (self.session, self.number) = (session, number) }

  /// - Returns: nil: not a token.
  init?(_ bytes: [UInt8]?) {
    guard let bytes, bytes.count == FlushToken.bytesCount else { return nil }
    session = RecordHeaders.hex(bytes.prefix(8))
    number = Int64(bitPattern: bytes[8...].reduce(0) { $0 << 8 | UInt64($1) })
  }

  /// Session and number, big-endian.
  var bytes: [UInt8] {
    let first = UInt64(session, radix: 16) ?? 0
    return BigEndian.bytes(first) + BigEndian.bytes(UInt64(bitPattern: number))
  }

  /// The attribute of an item that says from which of the session's writes on it may be written: see ``FlushLog``.
  var barName: String { "barred-\(session)" }
}

enum BigEndian {
  static func bytes(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
}

extension Fence {
  /// 16 bytes whose order is the fences' order: generation and position, big-endian, each with its sign bit flipped, so that a negative
  /// number comes first.
  var bytes: [UInt8] {
    BigEndian.bytes(UInt64(bitPattern: generation) ^ 1 << 63) + BigEndian.bytes(UInt64(bitPattern: position) ^ 1 << 63)
  }

  /// - Returns: nil: not a fence.
  init?(_ bytes: [UInt8]?) {
    guard let bytes, bytes.count == 16 else { return nil }
    func number(_ bytes: ArraySlice<UInt8>) -> Int64 { Int64(bitPattern: bytes.reduce(0) { $0 << 8 | UInt64($1) } ^ 1 << 63) }
    self.init(generation: number(bytes[..<8]), position: number(bytes[8...]))
  }
}
