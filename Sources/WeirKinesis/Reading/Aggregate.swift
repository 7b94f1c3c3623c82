import WeirCore
import WeirOperators

/// Records that a producer's library (KPL) packed into one (amazon-kinesis-producer, aggregation-format.md):
///
/// ```
/// F3 89 9A C2 | AggregatedRecord | MD5 of it, 16 bytes
/// AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2; repeated Record records = 3; }
/// Record { required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2; required bytes data = 3; repeated Tag tags = 4; }
/// ```
/// Bytes that are not exactly this are one plain record, and never an error: any producer may write the first four.
struct Aggregate: Sendable, Equatable {
  struct Record: Sendable, Equatable {
    var key: String
    /// Decimal in the aggregate; nil: none.
    var explicitHash: UInt128?
    /// Where its bytes are in the outer record's.
    var data: Range<Int>

    /// What decides which shard has it.
    var hash: UInt128 { explicitHash ?? Aggregate.hash(ofKey: key) }
  }

  static func hash(ofKey key: String) -> UInt128 {
    var text = key
    return text.withUTF8 { MD5.hash($0) }
  }

  static let magic: [UInt8] = [0xF3, 0x89, 0x9A, 0xC2]
  static let digestBytes = 16

  var records: [Record]

  /// nil: a plain record.
  init?(_ bytes: [UInt8]) {
    guard bytes.count > Aggregate.magic.count + Aggregate.digestBytes, bytes.starts(with: Aggregate.magic) else { return nil }
    let body = Aggregate.magic.count..<bytes.count - Aggregate.digestBytes
    let digest = bytes[body.upperBound...].reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
    let isWhole = bytes[body].withUnsafeBufferPointer { MD5.hash($0) == digest }
    guard isWhole, let records = Aggregate.read(bytes, body), !records.isEmpty else { return nil }
    self.records = records
  }

  private struct Packed {
    var key: UInt64?
    var explicitHash: UInt64?
    var data: Range<Int>?
  }

  private static func read(_ bytes: [UInt8], _ body: Range<Int>) -> [Record]? {
    var (keys, hashes): ([String], [UInt128?]) = ([], [])
    var packed: [Packed] = []
    var reader = WireReader(bytes, body)
    while !reader.isAtEnd {
      guard let field = reader.field() else { return nil }
      switch (field.number, field.value) {
      case (1, .bytes(let range)):
        guard let text = String(validating: bytes[range], as: UTF8.self) else { return nil }
        keys.append(text)
      case (2, .bytes(let range)):
        guard let text = String(validating: bytes[range], as: UTF8.self) else { return nil }
        hashes.append(UInt128(text))
      case (3, .bytes(let range)):
        guard let record = Aggregate.record(bytes, range) else { return nil }
        packed.append(record)
      case (1...3, _): return nil
      default: continue
      }
    }
    var records: [Record] = []
    records.reserveCapacity(packed.count)
    for record in packed {
      guard let number = record.key, let data = record.data, number < UInt64(keys.count) else { return nil }
      var hash: UInt128?
      if let place = record.explicitHash {
        guard place < UInt64(hashes.count), let known = hashes[Int(place)] else { return nil }
        hash = known
      }
      records.append(Record(key: keys[Int(number)], explicitHash: hash, data: data))
    }
    return records
  }

  private static func record(_ bytes: [UInt8], _ range: Range<Int>) -> Packed? {
    var record = Packed()
    var reader = WireReader(bytes, range)
    while !reader.isAtEnd {
      guard let field = reader.field() else { return nil }
      switch (field.number, field.value) {
      case (1, .number(let number)): record.key = number
      case (2, .number(let number)): record.explicitHash = number
      case (3, .bytes(let data)): record.data = data
      case (1...3, _): return nil
      default: continue
      }
    }
    return record
  }
}

/// Fields of a message in protobuf's wire format.
private struct WireReader {
  enum Value {
    case number(UInt64)
    case bytes(Range<Int>)
    /// Of 4 or 8 bytes.
    case fixed
  }

  private let bytes: [UInt8]
  private var at: Int
  private let end: Int

  init(_ bytes: [UInt8], _ range: Range<Int>) {
    self.bytes = bytes
    (at, end) = (range.lowerBound, range.upperBound)
  }

  var isAtEnd: Bool { at == end }

  /// nil: damaged.
  mutating func field() -> (number: UInt64, value: Value)? {
    guard let tag = varint(), tag >> 3 > 0 else { return nil }
    switch tag & 7 {
    case 0: return varint().map { (tag >> 3, .number($0)) }
    case 1: return skip(8) ? (tag >> 3, .fixed) : nil
    case 2:
      guard let count = varint(), count <= UInt64(end - at) else { return nil }
      let start = at
      at += Int(count)
      return (tag >> 3, .bytes(start..<at))
    case 5: return skip(4) ? (tag >> 3, .fixed) : nil
    default: return nil
    }
  }

  private mutating func skip(_ count: Int) -> Bool {
    guard end - at >= count else { return false }
    at += count
    return true
  }

  private mutating func varint() -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard at < end else { return nil }
      let byte = bytes[at]
      at += 1
      guard shift < 63 || byte < 2 else { return nil }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }
}
