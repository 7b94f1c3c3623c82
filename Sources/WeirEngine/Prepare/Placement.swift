import WeirCore
import WeirOperators

/// Checks record by record that keys are where the producers' rule puts them (DESIGN section 5): only then is a table that a
/// lane finishes by itself right.
struct Placement: Sendable {
  static let advice: Wording =
    "The record was not committed. Set the producers' partitioner (\(.setting(.partitioner))), key the records by \(.setting(.recordKey)), or let such tables be merged (\(.setting(.misplaced)): merge) or be kept per partition (per_shard); then duplicates are found within a partition only."

  /// Of a key in a message.
  private static let keyBytesMax = 200

  /// nil: the shard has a range of hashes.
  private let rules: KeyRules?
  private let shards: Int
  private let shard: SourceShard

  /// Of a shard that has a range of hashes.
  init(shard: SourceShard) { (rules, shards, self.shard) = (nil, 1, shard) }

  /// - Parameter shards: how many the shard's stream has.
  init(_ rules: KeyRules, shard: SourceShard, shards: Int) {
    self.rules = rules
    self.shard = shard
    self.shards = shards
  }

  /// How many shards the keys of the shard's stream are spread over; nil if nothing depends on it.
  static func spread(_ compiled: CompiledPlan, _ shard: SourceShard, of all: [SourceShard]) -> Int? {
    let count = all.count { $0.stream == shard.stream }
    return dependsOnPlace(compiled) && count > 1 ? count : nil
  }

  static func dependsOnPlace(_ compiled: CompiledPlan) -> Bool {
    if compiled.mergesKeys { return false }
    guard let live = compiled.plan.source.live, live.misplaced == .halt, compiled.plan.record.key != nil else { return false }
    return compiled.plan.dedup != nil || compiled.plan.record.soleKey.map(compiled.hasTableFinished) ?? false
  }

  /// - Throws: `misplaced` for the first record whose key belongs elsewhere.
  func check(_ block: PreparedBlock) throws(WeirError) {
    guard let rules else { return try checkRange(block) }
    guard case .string(let keys) = block.key.values else { return }
    let known = rules.current
    var fitting = known
    for row in 0..<block.count where block.columns.verdict[row] == PreparedBlock.Verdict.proceeds {
      guard block.key.isValid(row) else { throw misplaced(block, row, fitting) }
      let key = keys[row].bytes
      if fitting.count == 1 {
        if fitting[0].shard(of: key, count: shards) != shard.number { throw misplaced(block, row, fitting) }
      } else {
        let left = fitting.filter { $0.shard(of: key, count: shards) == shard.number }
        if left.isEmpty { throw misplaced(block, row, fitting) }
        fitting = left
      }
    }
    guard fitting.count < known.count else { return }
    if rules.narrow(to: fitting).isEmpty { throw KeyRules.contradiction(shard.stream, rules.current, fitting) }
  }

  private func checkRange(_ block: PreparedBlock) throws(WeirError) {
    guard let range = shard.hashRange else { return }
    for row in 0..<block.count where block.columns.verdict[row] == PreparedBlock.Verdict.proceeds {
      guard !block.key.isValid(row) || !range.contains(KeyHash.of(block.key, row)) else { continue }
      throw WeirError(
        .misplaced, "the record at position \(block.point(row)) of \(shard.name) has a key whose hash is not in the shard's range",
        advice: Placement.advice)
    }
  }

  private func misplaced(_ block: PreparedBlock, _ row: Int, _ rules: [Partitioner]) -> WeirError {
    var (key, place, sent) = ("no key", "", "")
    if block.key.isValid(row), case .string(let keys) = block.key.values {
      key = "the key '\(String(decoding: keys[row].bytes, as: UTF8.self).shortened(toBytes: Placement.keyBytesMax))'"
      if rules.count == 1 { place = "; its partition is \(shard.stream)/\(rules[0].shard(of: keys[row].bytes, count: shards))" }
      // The key is a field's value, and the producer goes by the record's own key.
      let raw = block.decoded.raw
      if let details = block.decoded.details, details.key(row, in: raw.text) == nil {
        sent = ". The record was sent without a key of its own, so the producer did not place it by one"
      }
    }
    return WeirError(
      .misplaced,
      "the record at position \(block.point(row)) of \(shard.name) has \(key), which does not belong there by \(KeyRules.text(rules))\(place)\(sent)",
      advice: Placement.advice)
  }
}

extension Partitioner {
  /// The number of the shard that a producer with this rule sends a key to.
  package func shard(of key: UnsafeBufferPointer<UInt8>, count: Int) -> Int {
    switch self {
    case .murmur2: Int(WeirOperators.murmur2(key) & 0x7FFF_FFFF) % count
    case .crc32: Int(CRC32.checksum(key)) % count
    case .fnv1a: Int(FNV1a.hash(key)) % count
    }
  }
}
