import WeirCore

/// A consumer of enhanced fan-out.
struct MockConsumer: Sendable {
  let name: String
  let arn: String
  /// UTC milliseconds since 1970.
  let created: Int64
  /// It is `CREATING` until then.
  let activeAt: Int64
}

/// A stream with its shards and consumers.
struct MockStream: Sendable {
  let name: String
  let arn: String
  /// UTC milliseconds since 1970.
  let created: Int64
  var isOnDemand: Bool
  var retentionHours: Int64 = 24
  /// Of a record's key and data.
  var recordKiB: Int
  /// In the order of their ids.
  private(set) var shards: [MockShard] = []
  private var places: [String: Int] = [:]
  /// A number for each shard that there ever was.
  private var shardsMade = 0
  var consumers: [MockConsumer] = []

  init(name: String, arn: String, created: Int64, isOnDemand: Bool, recordKiB: Int) {
    (self.name, self.arn, self.created, self.isOnDemand, self.recordKiB) = (name, arn, created, isOnDemand, recordKiB)
  }

  var open: [MockShard] { shards.filter { $0.closed == nil } }

  subscript(id: String) -> MockShard? { places[id].map { shards[$0] } }

  func children(of id: String) -> [MockShard] { shards.filter { $0.parents.contains(id) } }

  func shard(of hash: UInt128) -> Int? { shards.firstIndex { $0.closed == nil && $0.range.contains(hash) } }

  mutating func change<Result>(_ place: Int, _ body: (inout MockShard) -> Result) -> Result { body(&shards[place]) }

  mutating func change<Result>(_ id: String, _ body: (inout MockShard) -> Result) -> Result? { places[id].map { body(&shards[$0]) } }

  mutating func add(_ range: HashRange, parents: [String] = [], first: UInt64, at now: Int64) {
    let digits = String(shardsMade)
    let id = "shardId-" + String(repeating: "0", count: max(0, 12 - digits.utf8.count)) + digits
    shardsMade += 1
    places[id] = shards.count
    shards.append(MockShard(id: id, range: range, parents: parents, first: first, created: now))
  }

  /// Drops records, and closed shards, that are older than the retention.
  /// - Parameter milliseconds: the retention.
  mutating func trim(_ milliseconds: Int64, at now: Int64) {
    for place in shards.indices { shards[place].trim(before: now - milliseconds) }
    guard shards.contains(where: { MockStream.isGone($0, now - milliseconds) }) else { return }
    shards.removeAll { MockStream.isGone($0, now - milliseconds) }
    places = Dictionary(shards.enumerated().map { ($1.id, $0) }) { $1 }
  }

  private static func isGone(_ shard: MockShard, _ moment: Int64) -> Bool { shard.closed.map { $0.at < moment } ?? false }
}
