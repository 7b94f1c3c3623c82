import WeirCore
import WeirEngine
import WeirTesting

/// One record that a producer sent, as the oracle knows it.
struct SourceRecord: Sendable {
  var position: Int64
  var id: Int
  var user: String
  var kind: String
  /// Event time, seconds since 1970.
  var at: Int
  var amount: Int
  /// The text is no JSON.
  var isBad: Bool
  /// Virtual nanoseconds from which on the topic has it.
  var sentAt: Int64

  var text: [UInt8] {
    if isBad { return Array("{\"user\":\"\(user)\",\"id\":".utf8) }
    return Array("{\"user\":\"\(user)\",\"id\":\(id),\"kind\":\"\(kind)\",\"at\":\(at),\"amount\":\(amount)}".utf8)
  }
}

/// What the producers send, made before anything runs: the one thing that topic and oracle share.
struct SourceWorkload: Sendable {
  static let stream = "t"
  /// As the plan has them, seconds.
  static let windowSize = 4
  static let outOfOrder = 2
  /// Many: a row that is missing in the state table must not be written again soon by chance.
  static let kinds = (0..<16).map { "k\($0)" }
  static let base = Int(SimulatedClock.epochMicroseconds / 1_000_000)

  /// By shard, in the order of their positions, which have gaps.
  private(set) var records: [String: [SourceRecord]]
  let shards: [String]
  /// When the last record is sent, virtual nanoseconds.
  private(set) var endsAt: Int64
  /// Of a source whose shards are split and merged; else empty.
  var history: [String: ReshardedShard] = [:]
  var reshards: Bool { !history.isEmpty }
  /// Of a topic that gets more partitions; else nil.
  var growth: TopicGrowth?

  /// About one record in six is sent twice by its producer, one in twenty is broken, one in fifteen comes late.
  init(random: inout SplitMix64) {
    let count = 3 + random.below(3)
    let perShard = 15 + random.below(30)
    shards = (0..<count).map { "\(SourceWorkload.stream)/\($0)" }
    let users = SourceWorkload.users(count)
    var all: [String: [SourceRecord]] = [:]
    var endsAt: Int64 = 0
    for (number, shard) in shards.enumerated() {
      var list: [SourceRecord] = []
      var position = Int64(random.below(3) * 10)
      var sentAt: Int64 = 0
      // A shard whose events are old holds the merged watermark back until it is idle; when it wakes, its floor is above its own watermark.
      let lag = [0, 0, 3, 8][random.below(4)]
      for i in 0..<perShard {
        // Pauses now and then let the lane become idle.
        sentAt += random.chance(0.08) ? Int64(1_200 + random.below(1_200)) * 1_000_000 : Int64(random.below(250)) * 1_000_000
        let time = SourceWorkload.base + Int(sentAt / 1_000_000_000) * 2 + random.below(3) - (random.chance(0.07) ? 8 : 0) - lag
        var record = SourceRecord(
          position: position, id: number * 1000 + i, user: users[number][random.below(users[number].count)],
          kind: SourceWorkload.kinds[random.below(SourceWorkload.kinds.count)], at: time, amount: 1 + random.below(9),
          isBad: random.chance(0.05), sentAt: sentAt)
        if !list.isEmpty, random.chance(0.15) {
          record = list[random.below(list.count)]
          (record.position, record.sentAt) = (position, sentAt)
        }
        list.append(record)
        position += random.chance(0.1) ? 3 : 1
      }
      all[shard] = list
      endsAt = max(endsAt, sentAt)
    }
    records = all
    self.endsAt = endsAt
  }

  /// The same of a source that splits and merges its shards: a record's position is its number in the shard.
  init(resharding random: inout SplitMix64) {
    let history: [ReshardedShard] = ReshardedShard.history(&random)
    let users = SourceWorkload.reshardedUsers
    var all: [String: [SourceRecord]] = [:]
    var last: Int64 = 0
    for (number, shard) in history.enumerated() {
      let own = users.filter(shard.holds)
      // Ids of a parent come again in its children.
      var sent: [SourceRecord] = []
      for parent in shard.parents { sent += (all[parent] ?? []).filter { shard.holds($0.user) } }
      var list: [SourceRecord] = []
      var sentAt = shard.opensAt + Int64(random.below(300)) * 1_000_000
      let end = shard.closesAt ?? shard.opensAt + Int64(2_000 + random.below(2_500)) * 1_000_000
      while sentAt < end, !own.isEmpty {
        let seconds = Int(sentAt / 1_000_000_000) * 2 + random.below(3)
        let late = (random.chance(0.07) ? 8 : 0) + shard.lag
        let time: Int = SourceWorkload.base + seconds - late
        var record = SourceRecord(
          position: Int64(list.count), id: number * 1000 + list.count, user: own[random.below(own.count)],
          kind: SourceWorkload.kinds[random.below(SourceWorkload.kinds.count)], at: time, amount: 1 + random.below(9),
          isBad: random.chance(0.05), sentAt: sentAt)
        if !sent.isEmpty, random.chance(0.2) {
          record = sent[random.below(sent.count)]
          (record.position, record.sentAt) = (Int64(list.count), sentAt)
        }
        list.append(record)
        sent.append(record)
        // Records that are sent together are one outer record.
        guard random.chance(0.7) else { continue }
        let milliseconds: Int = random.chance(0.08) ? 1_200 + random.below(1_200) : 1 + random.below(250)
        sentAt += Int64(milliseconds) * 1_000_000
      }
      all[shard.name] = list
      last = max(last, max(list.last?.sentAt ?? 0, max(shard.opensAt, shard.closesAt ?? 0)))
    }
    records = all
    endsAt = last
    shards = history.map { $0.name }
    self.history = Dictionary(uniqueKeysWithValues: history.map { ($0.name, $0) })
  }

  init(_ records: [String: [SourceRecord]], shards: [String], endsAt: Int64, growth: TopicGrowth? = nil) {
    (self.records, self.shards, self.endsAt, self.growth) = (records, shards, endsAt, growth)
  }

  /// Keys of a stream whose shards are split and merged.
  static let reshardedUsers: [String] = (0..<24).map { "u\($0)" }

  /// Keys by shard: where the producers' rule puts them.
  private static func users(_ shards: Int) -> [[String]] {
    var users = [[String]](repeating: [], count: shards)
    var number = 0
    while users.contains(where: { $0.count < 4 }) {
      var name = "u\(number)"
      let shard = name.withUTF8 { Partitioner.murmur2.shard(of: $0, count: shards) }
      if users[shard].count < 4 { users[shard].append(name) }
      number += 1
    }
    return users
  }

  /// What a shard gets from some time on is of another incarnation.
  /// - Returns: where that begins.
  mutating func recreate(_ shard: String, after time: Int64) -> Int64 {
    let all = records[shard] ?? []
    if reshards { return recreate(resharding: shard, after: time) }
    let start = ((all.last?.position ?? 0) / 1000 + 1) * 1000
    let first = all.firstIndex { $0.sentAt > time } ?? all.endIndex
    for i in first..<all.endIndex { records[shard]?[i].position = start + Int64(i - first) }
    return start
  }

  /// The same where positions are numbers of records: an unreadable one is between the two.
  private mutating func recreate(resharding shard: String, after time: Int64) -> Int64 {
    var list = records[shard] ?? []
    let first = list.firstIndex { $0.sentAt > time } ?? list.endIndex
    // Nothing comes after the end of a shard.
    if let end = history[shard]?.closesAt, end <= time { return Int64(first) }
    let gone = SourceRecord(position: Int64(first), id: -1, user: "", kind: "", at: 0, amount: 0, isBad: true, sentAt: time)
    list.insert(gone, at: first)
    for i in first..<list.endIndex { list[i].position = Int64(i) }
    records[shard] = list
    return Int64(first + 1)
  }

  /// How long the tail of a workload takes, see ``delayTail()``.
  static let tailNanoseconds: Int64 = 1_000_000_000

  /// The last records of one shard come when all others have been silent for a while, and their lanes are idle.
  mutating func delayTail() {
    guard !reshards, growth == nil, let shard = shards.last, var list = records[shard], list.count > 4 else { return }
    for i in list.indices.suffix(4) { list[i].sentAt = endsAt + 2_500_000_000 + Int64(i - list.count + 4) * 300_000_000 }
    records[shard] = list
    endsAt = list.last?.sentAt ?? endsAt
  }

  static func window(of time: Int) -> Int { time / windowSize * windowSize }
}
