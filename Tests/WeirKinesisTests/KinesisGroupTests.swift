import Synchronization
import Testing
import WeirAWS
import WeirCore
import WeirKinesisSettings
import WeirOperators
import WeirTesting

@testable import WeirKinesis

/// A stream of one shard that was split, in memory, behind the service's interface.
private final class Stream: AWSSender {
  struct State {
    var created = "1700000000.5"
    /// By shard: sequence numbers and data.
    var records: [String: [(number: Int, data: [UInt8])]] = ["shardId-000000000000": [], "shardId-000000000001": []]
    var isSplit = false
    var refusals: [AWSFailure] = []
    /// Within subscriptions.
    var exceptions: [String] = []
    var asked: [String] = []
  }

  let endpoint = "https://kinesis.test"
  let state = Mutex(State())

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    let body = (try? JSONValue(parsing: request.body)) ?? .null
    let answer: Result<JSONValue, AWSFailure> = state.withLock { state in
      state.asked.append(request.operation)
      if !state.refusals.isEmpty { return .failure(state.refusals.removeFirst()) }
      return .success(Stream.answer(request.operation, body, state))
    }
    return AWSResponse(status: 200, body: try answer.get().bytes)
  }

  /// A subscription with one event, which says what GetRecords would, or with an exception.
  func open(_ request: AWSRequest, _ limits: AWSStreamLimits) async throws(AWSFailure) -> AWSStream {
    let body = (try? JSONValue(parsing: request.body)) ?? .null
    let answer: Result<[UInt8], AWSFailure> = state.withLock { state in
      state.asked.append(request.operation)
      if !state.refusals.isEmpty { return .failure(state.refusals.removeFirst()) }
      if let code = state.exceptions.popLast() {
        return .success(Stream.message([":message-type": "exception", ":exception-type": code], Array("{}".utf8)))
      }
      let start = body["StartingPosition"]
      let iterator = "\(body["ShardId"]?.string ?? "") \(start?["Type"]?.string ?? "") \(start?["SequenceNumber"]?.string ?? "0")"
      let found = Stream.records(.members(["ShardIterator": .string(iterator)]), state)
      let last = found["Records"]?.array?.last?["SequenceNumber"] ?? .string("1")
      let event = JSONValue.members([
        "Records": found["Records"] ?? .null, "MillisBehindLatest": .int(0),
        "ContinuationSequenceNumber": found["NextShardIterator"]?.isNull == true ? .null : last,
      ])
      let first = Stream.message([":message-type": "event", ":event-type": "initial-response"], Array("{}".utf8))
      return .success(first + Stream.message([":message-type": "event", ":event-type": "SubscribeToShardEvent"], event.bytes))
    }
    return AWSStream(whole: try answer.get(), limits)
  }

  /// In the event stream's framing.
  private static func message(_ headers: KeyValuePairs<String, String>, _ payload: [UInt8]) -> [UInt8] {
    func number(_ value: Int, _ bytes: Int = 4) -> [UInt8] {
      (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * (bytes - 1 - $0))) }
    }
    func sum(_ bytes: [UInt8]) -> [UInt8] { number(Int(bytes.withUnsafeBufferPointer { CRC32.checksum($0) })) }
    let head = headers.flatMap { number($0.utf8.count, 1) + $0.utf8 + [7] + number($1.utf8.count, 2) + $1.utf8 }
    let prelude = number(16 + head.count + payload.count) + number(head.count)
    let whole = prelude + sum(prelude) + head + payload
    return whole + sum(whole)
  }

  private static func answer(_ operation: String, _ body: JSONValue, _ state: State) -> JSONValue {
    switch operation {
    case "DescribeStreamConsumer":
      return .members(["ConsumerDescription": .members(["ConsumerARN": .string("arn:c"), "ConsumerStatus": .string("ACTIVE")])])
    case "DescribeStreamSummary":
      return .members([
        "StreamDescriptionSummary": .members([
          "StreamCreationTimestamp": .number(state.created), "RetentionPeriodHours": .int(24), "StreamARN": .string("arn:s"),
        ])
      ])
    case "ListShards": return list(body, state)
    case "GetShardIterator":
      let number = body["StartingSequenceNumber"]?.string ?? "0"
      return .members(["ShardIterator": .string("\(body["ShardId"]?.string ?? "") \(body["ShardIteratorType"]?.string ?? "") \(number)")])
    default: return records(body, state)
    }
  }

  /// Two pages.
  private static func list(_ body: JSONValue, _ state: State) -> JSONValue {
    func shard(_ number: Int, _ first: UInt128, _ last: UInt128, parent: Int? = nil) -> JSONValue {
      var members: [JSONValue.Member] = [
        .init("ShardId", .string("shardId-00000000000\(number)")),
        .init("HashKeyRange", .members(["StartingHashKey": .string("\(first)"), "EndingHashKey": .string("\(last)")])),
        .init("SequenceNumberRange", .members(["StartingSequenceNumber": .string("1")])),
      ]
      if let parent { members.append(.init("ParentShardId", .string("shardId-00000000000\(parent)"))) }
      return .object(members)
    }
    let half = UInt128.max / 2
    if body["NextToken"] == nil {
      return .members(["Shards": .array([shard(0, 0, half)]), "NextToken": .string("t")])
    }
    let children = state.isSplit ? [shard(2, 0, half / 2, parent: 0), shard(3, half / 2 + 1, half, parent: 0)] : []
    return .members(["Shards": .array([shard(1, half + 1, .max)] + children), "NextToken": .null])
  }

  private static func records(_ body: JSONValue, _ state: State) -> JSONValue {
    let parts = (body["ShardIterator"]?.string ?? "").split(separator: " ")
    let (shard, number) = (String(parts[0]), Int(parts[2]) ?? 0)
    let found = (state.records[shard] ?? []).filter { parts[1].hasPrefix("AFTER") ? $0.number > number : $0.number >= number }
    var members: [JSONValue.Member] = [
      .init(
        "Records",
        .array(
          found.map { record in
            .members([
              "SequenceNumber": .string("\(record.number)"), "PartitionKey": .string("k"), "Data": .string(Base64.encode(record.data)),
              "ApproximateArrivalTimestamp": .number("1700000001.25"),
            ])
          })), .init("MillisBehindLatest", .int(0)),
    ]
    let isOver = state.isSplit && shard.hasSuffix("0")
    members.append(.init("NextShardIterator", isOver ? .null : .string("\(shard) AFTER \(found.last?.number ?? number)")))
    return .object(members)
  }
}

private struct Fixed: RandomSource {
  func next() -> UInt64 { 7 }
}

struct KinesisGroupTests {
  private func group(
    _ stream: Stream, _ start: KinesisSettingsSpec.Start = .trimHorizon, _ memory: KinesisMemory = .init(), fansOut: Bool = false
  ) -> KinesisGroup {
    var spec = KinesisSourceSpec(stream: "s")
    if fansOut { spec.settings.fanOut = KinesisSettingsSpec.FanOut() }
    (spec.settings.app, spec.settings.start) = ("app", start)
    let clock = ManualClock(.moves, now: 1_700_000_000_000_000_000)
    let parts = KinesisParts(
      requests: KinesisRequests(stream, stream: "s"), shardRequests: { KinesisRequests(stream, stream: "s") },
      table: LeaseTable(stream, name: "app"), clock: clock, random: Fixed(), memory: memory, log: { _ in })
    return KinesisGroup(spec, parts, blockBytes: 1 << 20)
  }

  private func put(_ stream: Stream, _ number: Int, _ data: [UInt8], shard: Int = 0) {
    stream.state.withLock { $0.records["shardId-00000000000\(shard)", default: []].append((number, data)) }
  }

  private func read(_ group: KinesisGroup, _ position: String, shard: String = "s/shardId-000000000000") async throws -> any RecordSource {
    let sources = try await group.assign([shard: place(position)])
    return try #require(sources[shard])
  }

  @Test func `shards of all pages are known, with their hashes and parents`() async throws {
    let stream = Stream()
    stream.state.withLock { $0.isSplit = true }
    let shards = try await group(stream).shards()
    #expect(shards.map(\.name) == (0..<4).map { "s/shardId-00000000000\($0)" })
    #expect(shards.map(\.number) == [0, 1, 2, 3] && shards[2].parents == ["s/shardId-000000000000"])
    #expect(shards[1].hashRange == HashRange(UInt128.max / 2 + 1, .max))
  }

  @Test func `with latest a shard begins at this moment, and a child of one that is there at its beginning`() async throws {
    let stream = Stream()
    stream.state.withLock { $0.isSplit = true }
    let names = ["s/shardId-000000000001", "s/shardId-000000000002"]
    for (start, wanted) in [
      (KinesisSettingsSpec.Start.trimHorizon, ["0@0:0", "0@0:0"]), (.latest, ["0@0:1700000000000", "0@0:0"]),
      (.time(1_600_000_000_123_000), ["0@0:1600000000123", "0@0:1600000000123"]),
    ] {
      let group = group(stream, start)
      _ = try await group.shards()
      let found = try await group.starts(of: names)
      #expect(names.map { found[$0]?.text } == wanted)
    }
  }

  @Test func `a record is found again by its place, also in an aggregate`() async throws {
    let stream = Stream()
    put(stream, 5, Packer.of([("a", "one"), ("c", "two")]))
    let group = group(stream)
    _ = try await group.shards()
    guard case .block(let block, let next) = try await read(group, "0@0:0").next() else {
      Issue.record("no block")
      return
    }
    let shard = "s/shardId-000000000000"
    #expect(next.text == "2@5:2")
    let mark = try #require(block.fingerprint(1))
    let sights = try await group.look([shard: .at(mark.position)])
    #expect(sights[shard] == ShardSight(.record(mark), incarnation: "created 1700000000500"))
    #expect(try await group.look([shard: .before(next)])[shard]?.look == .record(mark))
    #expect(try await group.look([shard: .before(ShardPoint.start(at: number("0")))])[shard]?.look == .absent)
    stream.state.withLock { $0.records[shard.replacing("s/", with: "")] = [(9, [1])] }
    #expect(try await group.look([shard: .at(mark.position)])[shard]?.look == .trimmed(low: .sequence(number("9"))))
  }

  @Test(arguments: [false, true])
  func `what was trimmed before it was read is said, also to the session after this one`(_ fansOut: Bool) async throws {
    let (stream, memory) = (Stream(), KinesisMemory())
    put(stream, 9, [1])
    let group = group(stream, .trimHorizon, memory, fansOut: fansOut)
    guard case .outOfRange(let at) = try await read(group, "3@5:1").next() else {
      Issue.record("the loss was not noticed")
      return
    }
    #expect(at.text == "3@5:1")
    let bounds = try await self.group(stream, .trimHorizon, memory).bounds(of: ["s/shardId-000000000000"])
    #expect(bounds["s/shardId-000000000000"]?.low == .sequence(number("9")))
  }

  @Test(arguments: [false, true])
  func `a shard that was split ends with its children, after its last record`(_ fansOut: Bool) async throws {
    let stream = Stream()
    put(stream, 5, [1])
    stream.state.withLock { $0.isSplit = true }
    let group = group(stream, fansOut: fansOut)
    let source = try await read(group, "0@0:0")
    guard case .block(_, let next) = try await source.next(), case .closed(let at, let children) = try await source.next() else {
      Issue.record("it did not end")
      return
    }
    #expect(at == next && at.text == "1@5:1")
    #expect(children.map(\.name) == ["s/shardId-000000000002", "s/shardId-000000000003"])
    await group.close()
  }

  @Test func `by enhanced fan-out each subscription continues after the last record, and records are not polled`() async throws {
    let stream = Stream()
    put(stream, 5, Packer.of([("a", "one"), ("c", "two")]))
    let group = group(stream, fansOut: true)
    let source = try await read(group, "1@5:1")
    var (texts, blocks): ([String], Int) = ([], 0)
    while blocks < 2 {
      switch try await source.next() {
      case .block(let block, let next):
        (texts, blocks) = (texts + [next.text], blocks + 1)
        // Bytes of keys and values: of what was not consumed before.
        #expect(block.count == (blocks == 1 ? 4 : 2))
        if blocks == 1 { put(stream, 8, [7]) }
      case .caughtUp: continue
      default: Issue.record("it ended")
      }
    }
    #expect(texts == ["2@5:2", "3@8:1"])
    let asked = stream.state.withLock { $0.asked }
    #expect(!asked.contains("GetRecords") && asked.count { $0 == "SubscribeToShard" } >= 2)
    await group.close()
  }

  @Test func `a subscription that is refused, replaced or throttled is asked for again, and other failures are handed on`() async throws {
    let stream = Stream()
    let group = group(stream, fansOut: true)
    _ = try await group.shards()
    let source = try await read(group, "0@0:0")
    // The consumer is known after it.
    guard case .caughtUp = try await source.next() else {
      Issue.record("the shard is not empty")
      return
    }
    put(stream, 5, [1])
    stream.state.withLock {
      $0.refusals = ["LimitExceededException", "ResourceInUseException"].map { AWSFailure(.fatal, code: $0, message: "m", status: 400) }
      $0.exceptions = ["ResourceInUseException"]
    }
    guard case .block = try await source.next() else {
      Issue.record("no block")
      return
    }
    for (code, wanted) in [("AccessDeniedException", WeirError.Code.refused), ("InternalFailureException", .unavailable)] {
      stream.state.withLock { $0.exceptions = [code] }
      var found: WeirError?
      do { while true { _ = try await source.next() } } catch let error as WeirError { found = error }
      #expect(found?.code == wanted)
    }
    await source.close()
    guard case .end = try await source.next() else {
      Issue.record("it is closed and reads on")
      return
    }
  }

  @Test func `a reader waits out throttling and expired iterators, and hands other failures on`() async throws {
    let stream = Stream()
    put(stream, 5, [1])
    let group = group(stream)
    _ = try await group.shards()
    let source = try await read(group, "0@0:0")
    stream.state.withLock {
      $0.refusals = ["ProvisionedThroughputExceededException", "ExpiredIteratorException"].map {
        AWSFailure(.retriable, code: $0, message: "m")
      }
    }
    guard case .block = try await source.next() else {
      Issue.record("no block")
      return
    }
    for (code, kind, wanted) in [
      ("Timeout", AWSFailure.Kind.retriable, WeirError.Code.unavailable), ("AccessDeniedException", .fatal, .refused),
      ("ResourceNotFoundException", .fatal, .topicMissing),
    ] {
      _ = try await source.next()
      stream.state.withLock { $0.refusals = [AWSFailure(kind, code: code, message: "m", status: 400)] }
      var found: WeirError?
      do { while true { _ = try await source.next() } } catch let error as WeirError { found = error }
      #expect(found?.code == wanted)
    }
    await source.close()
    guard case .end = try await source.next() else {
      Issue.record("it is closed and reads on")
      return
    }
  }
}
