import WeirCore
import WeirEngine
import WeirTesting

/// A topic that gets more partitions while it is read.
struct TopicGrowth: Sendable {
  /// Virtual nanoseconds.
  var at: Int64
  var before: Int
  var after: Int

  /// Where the producers' rule puts a key.
  static func place(_ user: String, of count: Int, _ rule: Partitioner = .murmur2) -> Int {
    var user = user
    return user.withUTF8 { rule.shard(of: $0, count: count) }
  }
}

extension SourceWorkload {
  /// Each key has a producer, which sees the new partitions some time after they are there: until then its records come to the old place.
  init(growing random: inout SplitMix64) {
    let before = 1 + random.below(3)
    let growth = TopicGrowth(
      at: Int64(1_000 + random.below(3_000)) * 1_000_000, before: before,
      after: random.chance(0.5) ? before * 2 : before + 1 + random.below(3))
    let shards = (0..<growth.after).map { "\(SourceWorkload.stream)/\($0)" }
    let users = (0..<12).map { "u\($0)" }
    let sees = users.map { _ in growth.at + Int64(random.below(1_500)) * 1_000_000 }
    let lags = shards.map { _ in [0, 0, 3, 8][random.below(4)] }
    let ends = growth.at + Int64(2_500 + random.below(2_000)) * 1_000_000
    var all: [String: [SourceRecord]] = Dictionary(uniqueKeysWithValues: shards.map { ($0, []) })
    var positions = shards.map { _ in Int64(random.below(3) * 10) }
    var sent: [[SourceRecord]] = users.map { _ in [] }
    var (sentAt, id): (Int64, Int) = (0, 0)
    while sentAt < ends {
      sentAt += random.chance(0.04) ? Int64(1_200 + random.below(1_200)) * 1_000_000 : Int64(random.below(90)) * 1_000_000
      let user = random.below(users.count)
      let place = TopicGrowth.place(users[user], of: sentAt < sees[user] ? growth.before : growth.after)
      let time = SourceWorkload.base + Int(sentAt / 1_000_000_000) * 2 + random.below(3) - (random.chance(0.07) ? 8 : 0) - lags[place]
      var record = SourceRecord(
        position: positions[place], id: id, user: users[user], kind: SourceWorkload.kinds[random.below(SourceWorkload.kinds.count)],
        at: time, amount: 1 + random.below(9), isBad: random.chance(0.05), sentAt: sentAt)
      if !sent[user].isEmpty, random.chance(0.2) {
        // Sent again, wherever the key is now.
        record = sent[user][random.below(sent[user].count)]
        (record.position, record.sentAt) = (positions[place], sentAt)
      }
      all[shards[place]]?.append(record)
      sent[user].append(record)
      positions[place] += random.chance(0.1) ? 3 : 1
      id += 1
    }
    self.init(all, shards: shards, endsAt: sentAt, growth: growth)
  }
}
