import WeirCore
import WeirOperators

/// How the server behaves.
package struct MockKinesisSettings: Sendable {
  package var region = "us-east-1"
  /// Shards that an answer of ListShards has at most.
  package var pageMax = 1000
  /// Age after which records are trimmed; nil: each stream's own retention.
  package var retentionMilliseconds: Int64?
  /// Age after which an iterator has expired.
  package var iteratorMilliseconds: Int64 = 300_000
  /// After which a subscription ends.
  package var subscriptionMilliseconds: Int64 = 300_000
  /// Between two events of a subscription that has no records.
  package var beatMilliseconds: Int64 = 5000
  /// For so long a consumer is being made.
  package var consumerMilliseconds: Int64 = 300
  /// A second subscription of a consumer to a shard within this time is refused; later it replaces the first.
  package var takeOverMilliseconds: Int64 = 5000
  /// Whether reads and writes are limited as a shard's are.
  package var hasLimits = false

  package init() {}
}

/// The interface of Kinesis Data Streams (API version 2013-12-02), in memory. Pure: the caller has clock, network and locks.
///
/// Written from the API reference and the service's model in botocore.
struct MockKinesis: Sendable {
  static let account = "123456789012"

  let settings: MockKinesisSettings
  var streams: [String: MockStream] = [:]
  /// Of the last record; grows by a step that leaves gaps, as the service's numbers do.
  private var number: UInt64 = 1_000_000
  private static let step: UInt64 = 7919
  private(set) var faults = MockFaults()
  private(set) var calls: [String: Int] = [:]
  /// By consumer and shard.
  var subscriptions: [String: MockSubscription] = [:]
  var subscriptionsMade = 0

  init(_ settings: MockKinesisSettings) { self.settings = settings }

  mutating func nextNumber() -> UInt64 {
    number += MockKinesis.step
    return number
  }

  /// A number after which nothing was written yet.
  var lastNumber: UInt64 { number }

  mutating func change(_ body: (inout MockFaults) -> Void) { body(&faults) }

  mutating func takeRecordFault() -> Bool { faults.takeRecord() }

  // MARK: Requests

  /// The answer to a request; SubscribeToShard is answered by ``subscribe(_:at:)``.
  /// - Parameter now: UTC milliseconds since 1970.
  mutating func answer(_ operation: String, _ arguments: MockArguments, at now: Int64) throws(MockRefusal) -> JSONValue? {
    try begin(operation, at: now)
    switch operation {
    case "CreateStream": try createStream(arguments, at: now)
    case "DeleteStream": try deleteStream(arguments)
    case "ListStreams": return try listStreams(arguments)
    case "DescribeStream": return try describeStream(arguments)
    case "DescribeStreamSummary": return try describeSummary(arguments)
    case "IncreaseStreamRetentionPeriod": try setRetention(arguments, grows: true)
    case "DecreaseStreamRetentionPeriod": try setRetention(arguments, grows: false)
    case "UpdateMaxRecordSize": try setRecordSize(arguments)
    case "ListShards": return try listShards(arguments)
    case "SplitShard": try splitShard(arguments, at: now)
    case "MergeShards": try mergeShards(arguments, at: now)
    case "PutRecord": return try putRecord(arguments, at: now)
    case "PutRecords": return try putRecords(arguments, at: now)
    case "GetShardIterator": return try shardIterator(arguments, at: now)
    case "GetRecords": return try getRecords(arguments, at: now)
    case "RegisterStreamConsumer": return try registerConsumer(arguments, at: now)
    case "DescribeStreamConsumer": return try describeConsumer(arguments, at: now)
    case "ListStreamConsumers": return try listConsumers(arguments, at: now)
    case "DeregisterStreamConsumer": try deregisterConsumer(arguments)
    default: throw MockRefusal("UnknownOperationException", "\(operation) is not an operation of this server")
    }
    return nil
  }

  /// Counts a request, trims what is too old, and refuses what it was asked to refuse.
  mutating func begin(_ operation: String, at now: Int64) throws(MockRefusal) {
    calls[operation, default: 0] += 1
    for name in streams.keys { trim(name, at: now) }
    if let code = faults.take(operation) { throw MockRefusal(code, "the server was asked to refuse this request") }
  }

  private mutating func trim(_ name: String, at now: Int64) {
    guard let hours = streams[name]?.retentionHours else { return }
    streams[name]?.trim(settings.retentionMilliseconds ?? hours * 3_600_000, at: now)
  }

  // MARK: Names

  /// The name of the stream that a request is about, which exists.
  func stream(_ arguments: MockArguments) throws(MockRefusal) -> String {
    let named = try arguments.text("StreamName", max: 128)
    let arn = try arguments.text("StreamARN")
    guard let name = named ?? arn.flatMap({ $0.split(separator: "/", maxSplits: 1).dropFirst().first.map(String.init) }) else {
      throw .argument("Either StreamName or StreamARN must be given")
    }
    guard let stream = streams[name], arn.map({ $0 == stream.arn }) ?? true else {
      throw .missing("Stream \(name) under account \(MockKinesis.account) not found.")
    }
    return name
  }

  func shard(_ id: String, of name: String) throws(MockRefusal) -> MockShard {
    guard let shard = streams[name]?[id] else {
      throw .missing("Shard \(id) in stream \(name) under account \(MockKinesis.account) does not exist")
    }
    return shard
  }

  static func seconds(_ milliseconds: Int64) -> JSONValue {
    let (whole, rest) = milliseconds.quotientAndRemainder(dividingBy: 1000)
    return .number("\(whole).\(String(1000 + rest).dropFirst())")
  }
}

/// What the server was asked to do wrong.
struct MockFaults: Sendable {
  /// By operation, codes of errors for its next requests.
  private var refusals: [String: [String]] = [:]
  private var records = 0
  /// Iterators of an earlier one have expired.
  private(set) var epoch = 0
  /// Subscriptions get no events.
  var isSilent = false
  /// Subscriptions of an earlier one are cut off.
  private(set) var cuts = 0

  mutating func refuse(_ operation: String, _ code: String, _ count: Int) {
    refusals[operation, default: []] += Array(repeating: code, count: count)
  }

  mutating func take(_ operation: String) -> String? {
    guard let code = refusals[operation]?.first else { return nil }
    refusals[operation]?.removeFirst()
    return code
  }

  /// Of PutRecords, the next ones.
  mutating func refuseRecords(_ count: Int) { records = min(records + count, MockKinesis.countMax) }

  mutating func takeRecord() -> Bool {
    guard records > 0 else { return false }
    records -= 1
    return true
  }

  mutating func expireIterators() { epoch += 1 }
  mutating func cut() { cuts += 1 }
}
