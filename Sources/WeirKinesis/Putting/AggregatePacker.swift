import WeirCore
import WeirOperators

/// Packs records into aggregates as the Kinesis Producer Library does (see ``Aggregate`` for the format): each of records of one shard, so that
/// the service, which sees only the outer record, puts all of them where their own keys belong.
struct AggregatePacker: Sendable {
  /// Of an aggregate, about: the library's default ("AggregationMaxSize").
  static let bytesMax = 51_200
  /// What a record takes beside its data and keys, at most.
  private static let recordBytes = 32

  /// Hashes of the keys of the open shards, each with the shard's id.
  var shards: [(id: String, range: HashRange)]

  init(_ shards: [(id: String, range: HashRange)]) { self.shards = shards }

  /// The shard that gets a record of this hash; nil: no shard that is known.
  func shard(of hash: UInt128) -> String? { shards.first { $0.range.contains(hash) }?.id }

  /// - Returns: aggregates, and records that are alone in theirs as they are. Records of a shard stay in order.
  func pack(_ entries: [KinesisPutter.Entry]) -> [KinesisPutter.Entry] {
    var packed: [KinesisPutter.Entry] = []
    var open: [String: (entries: [KinesisPutter.Entry], bytes: Int)] = [:]
    func close(_ shard: String) {
      guard let (entries, _) = open.removeValue(forKey: shard) else { return }
      packed.append(AggregatePacker.whole(entries, in: shard))
    }
    for entry in entries {
      let shard = shard(of: entry.hash) ?? ""
      let bytes = entry.data.count + entry.key.utf8.count + AggregatePacker.recordBytes
      if let known = open[shard]?.bytes, known + bytes > AggregatePacker.bytesMax { close(shard) }
      open[shard, default: ([], 0)].entries.append(entry)
      open[shard]?.bytes += bytes
    }
    for shard in open.keys.sorted() { close(shard) }
    return packed
  }

  private static func whole(_ entries: [KinesisPutter.Entry], in shard: String) -> KinesisPutter.Entry {
    guard entries.count > 1, let first = entries.first else { return entries[0] }
    // The outer record goes where the first of the inner ones belongs.
    var outer = KinesisPutter.Entry(key: first.key, data: Aggregate.encode(entries), explicitHash: first.hash)
    outer.packed = KinesisPutter.Packed(entries: entries, shard: shard)
    return outer
  }
}

extension Aggregate {
  /// The bytes of an aggregate.
  static func encode(_ entries: [KinesisPutter.Entry]) -> [UInt8] {
    var (keys, hashes): ([String: Int], [UInt128: Int]) = ([:], [:])
    var tables: [UInt8] = []
    var records: [UInt8] = []
    for entry in entries {
      let key = keys[entry.key] ?? keys.count
      if keys.updateValue(key, forKey: entry.key) == nil { append(&tables, field: 1, Array(entry.key.utf8)) }
      var record: [UInt8] = [1 << 3]
      append(&record, varint: UInt64(key))
      if let explicit = entry.explicitHash {
        let place = hashes[explicit] ?? hashes.count
        if hashes.updateValue(place, forKey: explicit) == nil { append(&tables, field: 2, Array(String(explicit).utf8)) }
        record.append(2 << 3)
        append(&record, varint: UInt64(place))
      }
      append(&record, field: 3, entry.data)
      append(&records, field: 3, record)
    }
    let body = tables + records
    let digest = body.withUnsafeBufferPointer { MD5.hash($0) }
    return magic + body + (0..<digestBytes).map { UInt8(truncatingIfNeeded: digest >> UInt128(8 * (digestBytes - 1 - $0))) }
  }

  /// A field of bytes.
  private static func append(_ out: inout [UInt8], field: UInt8, _ bytes: [UInt8]) {
    out.append(field << 3 | 2)
    append(&out, varint: UInt64(bytes.count))
    out += bytes
  }

  private static func append(_ out: inout [UInt8], varint value: UInt64) {
    var value = value
    while value >= 0x80 {
      out.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    out.append(UInt8(value))
  }
}
