import WeirCore
import WeirEngine
import WeirOperators
import WeirProtocol
import WeirTesting

/// A source that the engine does not know: positions of 128 bits with several records in one outer record, shards with ranges of hashes that
/// are split and merged while they are read.
struct ReshardSettings: SourceSettings {
  static let adapter = "sharded"

  var traits: LiveSourceTraits

  init(_ other: LiveSourceTraits) {
    traits = other
    (traits.countsRecords, traits.reshards) = (true, true)
  }

  var live: LiveSourceTraits? { traits }
  var meaning: ReshardSettings { self }
  func reads(_ stream: String) -> Bool { stream == SourceWorkload.stream }
}

/// A shard of such a source, as its producers made it.
struct ReshardedShard: Sendable {
  var name: String
  var parents: [String] = []
  var range: HashRange
  /// Virtual nanoseconds.
  var opensAt: Int64
  /// nil: never.
  var closesAt: Int64?
  var lag = 0

  func holds(_ user: String) -> Bool { range.contains(ReshardedShard.hash(user)) }

  static func hash(_ user: String) -> UInt128 {
    var user = user
    return user.withUTF8 { MD5.hash($0) }
  }

  /// The history of a stream: two or three shards, some splits and merges.
  static func history(_ random: inout SplitMix64) -> [ReshardedShard] {
    let count = 2 + random.below(2)
    let dealer = LaneDealer(.md5, lanes: count)
    var all: [ReshardedShard] = []
    func add(_ range: HashRange, _ at: Int64, _ parents: [String], _ random: inout SplitMix64) {
      all.append(
        ReshardedShard(
          name: "\(SourceWorkload.stream)/\(all.count)", parents: parents, range: range, opensAt: at, lag: [0, 0, 3, 8][random.below(4)]))
    }
    for number in 0..<count {
      let (first, last) = dealer.hashRange(number)
      add(HashRange(first, last), 0, [], &random)
    }
    var at: Int64 = 0
    for _ in 0..<(1 + random.below(4)) {
      at += Int64(500 + random.below(2_500)) * 1_000_000
      let open = all.indices.filter { all[$0].closesAt == nil }.sorted { all[$0].range.first < all[$1].range.first }
      let place = random.below(open.count)
      if random.chance(0.5), place + 1 < open.count {
        let (a, b) = (open[place], open[place + 1])
        let later = at + Int64(random.below(1_500)) * 1_000_000
        // Parents need not end together.
        (all[a].closesAt, all[b].closesAt) = random.chance(0.5) ? (at, later) : (later, at)
        add(HashRange(all[a].range.first, all[b].range.last), later, [all[a].name, all[b].name], &random)
        at = later
      } else {
        let parent = all[open[place]]
        all[open[place]].closesAt = at
        let middle = parent.range.first + (parent.range.last - parent.range.first) / 8 * UInt128(1 + random.below(7))
        add(HashRange(parent.range.first, middle), at, [parent.name], &random)
        add(HashRange(middle + 1, parent.range.last), at, [parent.name], &random)
      }
    }
    return all
  }
}

/// The numbers that the source gives the records of a shard, which are far apart: outer records hold those that were sent together.
enum ReshardPosition {
  private static let base: UInt128 = 49_590_338_271_490_256_608_559_692_538_361_571_095
  private static let stride: UInt128 = 7_919 << 70

  /// Which outer record each record is in, and the first record of that.
  private static func outer(_ records: [SourceRecord]) -> [Int] {
    var outer: [Int] = []
    for (i, record) in records.enumerated() {
      outer.append(i > 0 && records[i - 1].sentAt == record.sentAt ? outer[i - 1] : i)
    }
    return outer
  }

  /// Of a record.
  static func of(_ row: Int, _ records: [SourceRecord]) -> SequenceNumber {
    let first = outer(records)[row]
    return SequenceNumber(base + UInt128(first) * stride, sub: UInt64(row - first))
  }

  /// The place before record `row`, after the outer record before it.
  static func point(before row: Int, _ records: [SourceRecord]) -> ShardPoint {
    guard row > 0 else { return .start(at: SequenceNumber(base)) }
    let last = of(row - 1, records)
    return ShardPoint(ordinal: Int64(row), sequence: SequenceNumber(last.digits, sub: last.sub + 1))
  }

  /// The record before which a place is; nil: the source gave no such place.
  static func row(of place: ShardPoint) -> Int64? {
    guard let number = place.sequence, let digits = UInt128(number.digits), digits >= base, (digits - base) % stride == 0 else {
      return nil
    }
    return Int64((digits - base) / stride) + Int64(number.sub)
  }

  /// Whether a cut may be there.
  static func isBetweenOuterRecords(_ row: Int, _ records: [SourceRecord]) -> Bool {
    row == 0 || row == records.count || row < records.count && records[row].sentAt != records[row - 1].sentAt
  }

  /// Records from `row` on, about as many as wanted: to the end of an outer record.
  static func end(of count: Int, from row: Int, _ records: [SourceRecord]) -> Int {
    var end = min(row + count, records.count)
    while end > row, end < records.count, records[end].sentAt == records[end - 1].sentAt { end += 1 }
    return end
  }
}
