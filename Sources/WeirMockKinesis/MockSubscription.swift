import WeirCore

/// A consumer's subscription to a shard.
struct MockSubscription: Sendable {
  /// Unique in the server.
  let id: Int
  let stream: String
  /// Of the stream, which may be deleted and created again meanwhile.
  let streamCreated: Int64
  let shard: String
  let began: Int64
  /// Of the server's `cut` commands.
  let cuts: Int
  var place: Int
  var lastEvent: Int64?
  /// Where the server has limits: the next event comes no earlier.
  var notBefore: Int64 = 0
}

/// What a subscription does next.
enum MockPush: Sendable {
  case event(JSONValue)
  /// The last event of a shard that was closed; the answer ends after it.
  case lastEvent(JSONValue)
  /// An error within the answer, which ends after it.
  case exception(MockRefusal)
  case end
  /// The connection breaks.
  case cut
  /// Nothing, until this time or until something changes.
  case wait(Int64)
}

extension MockKinesis {
  private static let (eventRecords, eventBytes) = (1000, 1 << 20)
  private static let bytesPerSecond: Int64 = 2_000_000

  /// Begins a subscription.
  /// - Returns: the key of its consumer and shard, and its own number.
  mutating func subscribe(_ arguments: MockArguments, at now: Int64) throws(MockRefusal) -> (key: String, id: Int) {
    try begin("SubscribeToShard", at: now)
    let (stream, consumer) = try consumer(arguments.required("ConsumerARN"))
    let shard = try shard(try arguments.required("ShardId", max: 128), of: stream.name)
    guard let position = try arguments.object("StartingPosition") else {
      throw .validation("startingPosition", "Member must not be null")
    }
    let place = try place(
      shard, try position.required("Type"), sequence: position.sequence("SequenceNumber"), time: position.time("Timestamp"), at: now)
    if now < consumer.activeAt { throw MockRefusal("ResourceInUseException", "Consumer \(consumer.arn) is not active yet.") }
    let key = "\(consumer.arn) \(shard.id)"
    if let other = subscriptions[key], now - other.began < settings.takeOverMilliseconds {
      throw MockRefusal(
        "ResourceInUseException", "Another active subscription exists for this consumer: \(MockKinesis.account):\(stream.name):\(shard.id)")
    }
    subscriptionsMade += 1
    subscriptions[key] = MockSubscription(
      id: subscriptionsMade, stream: stream.name, streamCreated: stream.created, shard: shard.id, began: now, cuts: faults.cuts,
      place: place)
    return (key, subscriptionsMade)
  }

  mutating func push(_ key: String, _ id: Int, at now: Int64) -> MockPush {
    guard var mine = subscriptions[key], mine.id == id else {
      return .exception(MockRefusal("ResourceInUseException", "Another subscription of this consumer to the shard has replaced this one."))
    }
    if mine.cuts < faults.cuts { return .cut }
    guard let stream = streams[mine.stream], stream.created == mine.streamCreated, let shard = stream[mine.shard],
      stream.consumers.contains(where: { key.hasPrefix($0.arn + " ") })
    else { return .exception(.missing("Stream \(mine.stream), its shard \(mine.shard) or the consumer was deleted.")) }
    let end = mine.began + settings.subscriptionMilliseconds
    if now >= end { return .end }
    if faults.isSilent { return .wait(end) }
    if now < mine.notBefore { return .wait(min(end, mine.notBefore)) }
    let found = shard.records(from: mine.place, limit: MockKinesis.eventRecords, bytesMax: MockKinesis.eventBytes)
    let isLast = shard.closed != nil && found.upperBound == shard.end
    let beat = mine.lastEvent.map { $0 + settings.beatMilliseconds } ?? now
    guard !found.isEmpty || isLast || now >= beat else { return .wait(min(end, beat)) }
    (mine.place, mine.lastEvent) = (found.upperBound, now)
    if settings.hasLimits {
      mine.notBefore = now + Int64(found.reduce(0) { $0 + shard[$1].bytes }) * 1000 / MockKinesis.bytesPerSecond
    }
    subscriptions[key] = mine
    var members = MockKinesis.records(found, of: shard)
    members.append(.init("MillisBehindLatest", .int(shard.behind(found.upperBound, at: now))))
    if isLast {
      members.append(.init("ChildShards", childShards(of: mine.shard, stream)))
      return .lastEvent(.object(members))
    }
    // A shard that was read to its end has nothing up to the last number that was given out.
    let number = found.upperBound == shard.end ? lastNumber : shard[found.upperBound - 1].number
    members.append(.init("ContinuationSequenceNumber", .string(MockSequence.text(number))))
    return .event(.object(members))
  }

  /// The connection of a subscription ended. It still counts for the rule of five seconds.
  mutating func unsubscribe(_ key: String, _ id: Int) {
    if let mine = subscriptions[key], mine.id == id, streams[mine.stream] == nil { subscriptions[key] = nil }
  }
}
