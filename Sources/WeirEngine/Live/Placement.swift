import WeirCore
import WeirOperators

/// Checks record by record that keys lie where the producers' rule puts them (DESIGN section 5): only then is a table that a
/// lane finishes by itself right.
struct Placement: Sendable {
  private let rule: Partitioner
  private let shards: Int
  private let shard: SourceShard

  /// - Parameter shards: how many the shard's stream has.
  init(_ rule: Partitioner, shard: SourceShard, shards: Int) {
    self.rule = rule
    self.shard = shard
    self.shards = shards
  }

  /// Of a plan that keeps state by key in its lanes; nil if nothing depends on the place.
  init?(_ compiled: CompiledPlan, shard: SourceShard, of all: [SourceShard]) {
    guard let live = compiled.plan.source.kafka, live.misplaced == .halt, compiled.plan.record.key != nil else { return nil }
    let dependsOnPlace = compiled.plan.dedup != nil || compiled.aggregates.contains { $0.isFinishedInLane }
    let count = all.count { $0.stream == shard.stream }
    guard dependsOnPlace, count > 1 else { return nil }
    self.init(live.partitioner, shard: shard, shards: count)
  }

  /// - Throws: `misplaced` for the first record whose key belongs elsewhere.
  func check(_ block: PreparedBlock) throws(WeirError) {
    guard case .string(let keys) = block.key.values else { return }
    for row in 0..<block.count where block.verdict[row] == PreparedBlock.Verdict.proceeds {
      let number = block.key.isValid(row) ? rule.shard(of: keys[row].bytes, count: shards) : nil
      if number != shard.number { throw misplaced(block, row, number) }
    }
  }

  private func misplaced(_ block: PreparedBlock, _ row: Int, _ number: Int?) -> WeirError {
    let key = number == nil ? "no key" : "the key \(block.key.literal(row))"
    return WeirError(
      "misplaced",
      "the record at position \(block.position(row)) of \(shard.name) has \(key), which \(rule.rawValue) does not put there"
        + (number.map { " but into \(shard.stream)/\($0)" } ?? ""),
      advice:
        "Nothing of it was committed. Name the producers' rule (source.kafka.partitioner), key the records by record.key, or let such tables be merged (source.kafka.misplaced: merge; then duplicates are found within a partition only).")
  }
}

extension Partitioner {
  /// The number of the shard that a producer with this rule sends a key to.
  func shard(of key: UnsafeBufferPointer<UInt8>, count: Int) -> Int {
    switch self {
    case .murmur2: Int(WeirOperators.murmur2(key) & 0x7FFF_FFFF) % count
    case .crc32: Int(CRC32.checksum(key)) % count
    case .fnv1a: Int(FNV1a.hash(key)) % count
    }
  }
}

/// CRC-32 (IEEE 802.3), as librdkafka's `consistent` partitioner uses it.
enum CRC32 {
  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
  }

  static func checksum(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt32 {
    var value: UInt32 = 0xFFFF_FFFF
    for byte in bytes { value = table[Int((value ^ UInt32(byte)) & 0xFF)] ^ (value >> 8) }
    return value ^ 0xFFFF_FFFF
  }
}

/// FNV-1a, 32 bit, as librdkafka and Sarama use it: the absolute value of the signed result.
enum FNV1a {
  static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt32 {
    var value: UInt32 = 0x811C_9DC5
    for byte in bytes { value = (value ^ UInt32(byte)) &* 0x0100_0193 }
    return Int32(bitPattern: value).magnitude
  }
}
