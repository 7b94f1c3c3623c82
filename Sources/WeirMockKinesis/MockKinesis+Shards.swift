import WeirCore

/// Requests about the shards of a stream.
extension MockKinesis {
  /// As the service describes it.
  static func shard(_ shard: MockShard) -> JSONValue {
    var numbers: [JSONValue.Member] = [.init("StartingSequenceNumber", .string(MockSequence.text(shard.first)))]
    if let closed = shard.closed { numbers.append(.init("EndingSequenceNumber", .string(MockSequence.text(closed.number)))) }
    var members: [JSONValue.Member] = [
      .init("ShardId", .string(shard.id)), .init("HashKeyRange", range(shard.range)), .init("SequenceNumberRange", .object(numbers)),
    ]
    for (name, parent) in zip(["ParentShardId", "AdjacentParentShardId"], shard.parents) { members.append(.init(name, .string(parent))) }
    return .object(members)
  }

  private static func range(_ range: HashRange) -> JSONValue {
    .members(["StartingHashKey": .string(String(range.first)), "EndingHashKey": .string(String(range.last))])
  }

  /// In the answer that ends a shard.
  func childShards(of id: String, _ stream: MockStream) -> JSONValue {
    .array(
      stream.children(of: id).map { child in
        .members([
          "ShardId": .string(child.id), "ParentShards": .array(child.parents.map { .string($0) }),
          "HashKeyRange": MockKinesis.range(child.range),
        ])
      })
  }

  // MARK: ListShards

  func listShards(_ arguments: MockArguments) throws(MockRefusal) -> JSONValue {
    let token = try arguments.text("NextToken", max: 1 << 20)
    let limit = min(settings.pageMax, Int(try arguments.number("MaxResults", 1...10_000) ?? 1000))
    if token != nil, try arguments.text("StreamName") != nil { throw .argument("NextToken and StreamName cannot be provided together.") }
    let (name, after, filter): (String, String?, MockArguments?)
    if let token {
      (name, after, filter) = try MockKinesis.listed(token)
    } else {
      let own = try arguments.object("ShardFilter")
      (name, after, filter) = (try stream(arguments), try arguments.text("ExclusiveStartShardId", max: 128), own)
    }
    guard let stream = streams[name] else { throw .missing("Stream \(name) under account \(MockKinesis.account) not found.") }
    let shards = try shards(of: stream, filter).filter { shard in after.map { shard.id > $0 } ?? true }
    let page = shards.prefix(limit)
    var members: [JSONValue.Member] = [.init("Shards", .array(page.map(MockKinesis.shard)))]
    if page.count < shards.count, let last = page.last {
      let next = JSONValue.members([
        "stream": .string(name), "after": .string(last.id), "filter": filter?.json ?? .null,
      ])
      members.append(.init("NextToken", .string(next.text)))
    }
    return .object(members)
  }

  /// What a token says: stream, the shard before the page, the filter.
  private static func listed(_ token: String) throws(MockRefusal) -> (String, String?, MockArguments?) {
    guard let json = try? JSONValue(parsing: Array(token.utf8)), let stream = json["stream"]?.string else {
      throw .argument("NextToken is invalid.")
    }
    return (stream, json["after"]?.string, json["filter"].flatMap { $0.isNull ? nil : MockArguments($0) })
  }

  private func shards(of stream: MockStream, _ filter: MockArguments?) throws(MockRefusal) -> [MockShard] {
    guard let filter else { return stream.shards }
    let moment = try filter.time("Timestamp")
    switch try filter.required("Type") {
    case "AT_LATEST": return stream.open
    case "FROM_TRIM_HORIZON": return stream.shards
    case "AT_TRIM_HORIZON": return stream.shards.filter { shard in shard.parents.allSatisfy { stream[$0] == nil } }
    case "AFTER_SHARD_ID":
      let id = try filter.required("ShardId", max: 128)
      return stream.shards.filter { $0.id > id }
    case "AT_TIMESTAMP", "FROM_TIMESTAMP":
      guard let moment else { throw .argument("ShardFilter needs a Timestamp") }
      let isFrom = try filter.required("Type") == "FROM_TIMESTAMP"
      return stream.shards.filter { shard in
        shard.closed.map { $0.at >= moment } ?? true && (isFrom || shard.created <= max(moment, stream.created))
      }
    default: throw .validation("shardFilter.type", "Member must be one of the model's types")
    }
  }

  // MARK: Split and merge

  mutating func splitShard(_ arguments: MockArguments, at now: Int64) throws(MockRefusal) {
    let name = try stream(arguments)
    let parent = try shard(try arguments.required("ShardToSplit", max: 128), of: name)
    guard let middle = try arguments.hash("NewStartingHashKey") else { throw .validation("newStartingHashKey", "Member must not be null") }
    try refuseClosed(parent)
    guard parent.range.first < middle, middle <= parent.range.last else {
      throw .argument("NewStartingHashKey \(middle) is not within the range of \(parent.id): it must leave hash keys to both children")
    }
    close(parent.id, of: name, at: now)
    for range in [HashRange(parent.range.first, middle - 1), HashRange(middle, parent.range.last)] {
      let first = nextNumber()
      streams[name]?.add(range, parents: [parent.id], first: first, at: now)
    }
  }

  mutating func mergeShards(_ arguments: MockArguments, at now: Int64) throws(MockRefusal) {
    let name = try stream(arguments)
    let one = try shard(try arguments.required("ShardToMerge", max: 128), of: name)
    let other = try shard(try arguments.required("AdjacentShardToMerge", max: 128), of: name)
    for shard in [one, other] { try refuseClosed(shard) }
    let (low, high) = one.range.first < other.range.first ? (one, other) : (other, one)
    guard low.range.last < .max, low.range.last + 1 == high.range.first else {
      throw .argument("Shards \(one.id) and \(other.id) are not adjacent.")
    }
    for id in [one.id, other.id] { close(id, of: name, at: now) }
    let first = nextNumber()
    streams[name]?.add(HashRange(low.range.first, high.range.last), parents: [one.id, other.id], first: first, at: now)
  }

  private func refuseClosed(_ shard: MockShard) throws(MockRefusal) {
    if shard.closed != nil { throw .argument("Shard \(shard.id) is closed: it was split or merged before.") }
  }

  private mutating func close(_ id: String, of name: String, at now: Int64) {
    let number = nextNumber()
    streams[name]?.change(id) { $0.close(at: number, now) }
  }
}
