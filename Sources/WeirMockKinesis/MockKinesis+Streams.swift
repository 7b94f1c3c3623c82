import WeirCore

/// Requests about streams, their shards and consumers.
extension MockKinesis {
  private static let onDemandShards: Int64 = 4
  private static let consumersMax = 20

  // MARK: Streams

  mutating func createStream(_ arguments: MockArguments, at now: Int64) throws(MockRefusal) {
    let name = try arguments.required("StreamName", max: 128)
    let mode = try arguments.object("StreamModeDetails")?.required("StreamMode") ?? "PROVISIONED"
    guard ["PROVISIONED", "ON_DEMAND"].contains(mode) else { throw .validation("streamMode", "Member must be PROVISIONED or ON_DEMAND") }
    let size = try arguments.number("MaxRecordSizeInKiB", 1024...10240) ?? 1024
    let asked = try arguments.number("ShardCount", 1...10_000)
    if mode == "PROVISIONED", asked == nil { throw .validation("shardCount", "Member must not be null") }
    try make(name, shards: asked ?? MockKinesis.onDemandShards, isOnDemand: mode == "ON_DEMAND", recordKiB: Int(size), at: now)
  }

  /// - Throws: `ResourceInUseException`: the name is taken.
  mutating func make(_ name: String, shards: Int64, isOnDemand: Bool, recordKiB: Int, at now: Int64) throws(MockRefusal) {
    guard name.utf8.allSatisfy(MockKinesis.isNameByte) else {
      throw .validation("streamName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
    }
    if streams[name] != nil {
      throw MockRefusal("ResourceInUseException", "Stream \(name) under account \(MockKinesis.account) already exists.")
    }
    let arn = "arn:aws:kinesis:\(settings.region):\(MockKinesis.account):stream/\(name)"
    var stream = MockStream(name: name, arn: arn, created: now, isOnDemand: isOnDemand, recordKiB: recordKiB)
    let part = UInt128.max / UInt128(shards) + (shards == 1 ? 0 : 1)
    for i in 0..<UInt128(shards) {
      let isLast = i + 1 == UInt128(shards)
      stream.add(HashRange(i * part, isLast ? .max : (i + 1) * part - 1), first: nextNumber(), at: now)
    }
    streams[name] = stream
  }

  static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): true
    default: false
    }
  }

  mutating func deleteStream(_ arguments: MockArguments) throws(MockRefusal) {
    let name = try stream(arguments)
    if streams[name]?.consumers.isEmpty == false, arguments.json["EnforceConsumerDeletion"]?.bool != true {
      throw MockRefusal("ResourceInUseException", "Stream \(name) has consumers; EnforceConsumerDeletion deletes them too.")
    }
    streams[name] = nil
  }

  func listStreams(_ arguments: MockArguments) throws(MockRefusal) -> JSONValue {
    let token = try arguments.text("NextToken")
    let first = try arguments.text("ExclusiveStartStreamName")
    let after = token ?? first
    let limit = Int(try arguments.number("Limit", 1...10_000) ?? 100)
    let names = streams.keys.sorted().filter { name in after.map { name > $0 } ?? true }
    let page = names.prefix(limit)
    let summaries = page.compactMap { streams[$0] }.map { stream in
      JSONValue.members([
        "StreamName": .string(stream.name), "StreamARN": .string(stream.arn), "StreamStatus": .string("ACTIVE"),
        "StreamModeDetails": mode(stream), "StreamCreationTimestamp": MockKinesis.seconds(stream.created),
      ])
    }
    var members: [JSONValue.Member] = [
      .init("StreamNames", .array(page.map { .string($0) })), .init("StreamSummaries", .array(summaries)),
      .init("HasMoreStreams", .bool(page.count < names.count)),
    ]
    if page.count < names.count, let last = page.last { members.append(.init("NextToken", .string(last))) }
    return .object(members)
  }

  private func mode(_ stream: MockStream) -> JSONValue {
    .members(["StreamMode": .string(stream.isOnDemand ? "ON_DEMAND" : "PROVISIONED")])
  }

  private func description(_ stream: MockStream) -> [JSONValue.Member] {
    [
      .init("StreamName", .string(stream.name)), .init("StreamARN", .string(stream.arn)), .init("StreamStatus", .string("ACTIVE")),
      .init("StreamModeDetails", mode(stream)), .init("RetentionPeriodHours", .int(stream.retentionHours)),
      .init("StreamCreationTimestamp", MockKinesis.seconds(stream.created)),
      .init("EnhancedMonitoring", .array([.members(["ShardLevelMetrics": .array([])])])), .init("EncryptionType", .string("NONE")),
    ]
  }

  func describeSummary(_ arguments: MockArguments) throws(MockRefusal) -> JSONValue {
    guard let stream = streams[try stream(arguments)] else { throw .missing("no stream") }
    let counts: [JSONValue.Member] = [
      .init("OpenShardCount", .int(Int64(stream.open.count))), .init("ConsumerCount", .int(Int64(stream.consumers.count))),
      .init("MaxRecordSizeInKiB", .int(Int64(stream.recordKiB))),
    ]
    return .members(["StreamDescriptionSummary": .object(description(stream) + counts)])
  }

  func describeStream(_ arguments: MockArguments) throws(MockRefusal) -> JSONValue {
    guard let stream = streams[try stream(arguments)] else { throw .missing("no stream") }
    let after = try arguments.text("ExclusiveStartShardId", max: 128)
    let limit = Int(try arguments.number("Limit", 1...10_000) ?? 100)
    let shards = stream.shards.filter { shard in after.map { shard.id > $0 } ?? true }
    let page: [JSONValue.Member] = [
      .init("Shards", .array(shards.prefix(limit).map(MockKinesis.shard))), .init("HasMoreShards", .bool(shards.count > limit)),
    ]
    return .members(["StreamDescription": .object(description(stream) + page)])
  }

  mutating func setRetention(_ arguments: MockArguments, grows: Bool) throws(MockRefusal) {
    let name = try stream(arguments)
    guard let hours = try arguments.number("RetentionPeriodHours", 24...8760) else {
      throw .validation("retentionPeriodHours", "Member must not be null")
    }
    let before = streams[name]?.retentionHours ?? 24
    guard grows ? hours >= before : hours <= before else {
      throw .argument("The retention of stream \(name) is \(before) hours: this request can only make it \(grows ? "longer" : "shorter")")
    }
    streams[name]?.retentionHours = hours
  }

  mutating func setRecordSize(_ arguments: MockArguments) throws(MockRefusal) {
    let name = try stream(arguments)
    guard let size = try arguments.number("MaxRecordSizeInKiB", 1024...10240) else {
      throw .validation("maxRecordSizeInKiB", "Member must not be null")
    }
    streams[name]?.recordKiB = Int(size)
  }

  // MARK: Consumers

  /// The stream of a request that names it by its ARN.
  private func streamByARN(_ arguments: MockArguments) throws(MockRefusal) -> String {
    _ = try arguments.required("StreamARN")
    return try stream(arguments)
  }

  private func consumer(_ consumer: MockConsumer, of arn: String?, at now: Int64) -> JSONValue {
    var members: [JSONValue.Member] = [
      .init("ConsumerName", .string(consumer.name)), .init("ConsumerARN", .string(consumer.arn)),
      .init("ConsumerStatus", .string(now < consumer.activeAt ? "CREATING" : "ACTIVE")),
      .init("ConsumerCreationTimestamp", MockKinesis.seconds(consumer.created)),
    ]
    if let arn { members.append(.init("StreamARN", .string(arn))) }
    return .object(members)
  }

  mutating func registerConsumer(_ arguments: MockArguments, at now: Int64) throws(MockRefusal) -> JSONValue {
    let name = try streamByARN(arguments)
    let own = try arguments.required("ConsumerName", max: 128)
    guard own.utf8.allSatisfy(MockKinesis.isNameByte) else {
      throw .validation("consumerName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
    }
    guard let stream = streams[name] else { throw .missing("no stream") }
    if stream.consumers.contains(where: { $0.name == own }) {
      throw MockRefusal("ResourceInUseException", "Consumer \(own) of stream \(name) already exists.")
    }
    if stream.consumers.count >= MockKinesis.consumersMax {
      throw MockRefusal("LimitExceededException", "Stream \(name) has \(MockKinesis.consumersMax) consumers, which is the limit.")
    }
    let made = MockConsumer(
      name: own, arn: "\(stream.arn)/consumer/\(own):\(now / 1000)", created: now, activeAt: now + settings.consumerMilliseconds)
    streams[name]?.consumers.append(made)
    return .members(["Consumer": consumer(made, of: nil, at: now)])
  }

  /// The consumer that a request names by its ARN, or by its name and the stream's ARN.
  private func named(_ arguments: MockArguments) throws(MockRefusal) -> (stream: MockStream, consumer: MockConsumer) {
    if let arn = try arguments.text("ConsumerARN") { return try consumer(arn) }
    let stream = streams[try streamByARN(arguments)]
    let name = try arguments.required("ConsumerName", max: 128)
    guard let stream, let consumer = stream.consumers.first(where: { $0.name == name }) else {
      throw .missing("Consumer \(name), account \(MockKinesis.account) not found.")
    }
    return (stream, consumer)
  }

  func consumer(_ arn: String) throws(MockRefusal) -> (stream: MockStream, consumer: MockConsumer) {
    for stream in streams.values {
      if let consumer = stream.consumers.first(where: { $0.arn == arn }) { return (stream, consumer) }
    }
    throw .missing("Consumer \(arn) not found.")
  }

  func describeConsumer(_ arguments: MockArguments, at now: Int64) throws(MockRefusal) -> JSONValue {
    let (stream, found) = try named(arguments)
    return .members(["ConsumerDescription": consumer(found, of: stream.arn, at: now)])
  }

  func listConsumers(_ arguments: MockArguments, at now: Int64) throws(MockRefusal) -> JSONValue {
    let all = streams[try streamByARN(arguments)]?.consumers ?? []
    let limit = Int(try arguments.number("MaxResults", 1...10_000) ?? 100)
    let at = try arguments.text("NextToken").map { Int($0) ?? -1 } ?? 0
    guard (0...all.count).contains(at) else { throw .argument("Invalid NextToken") }
    var members: [JSONValue.Member] = [
      .init("Consumers", .array(all[at...].prefix(limit).map { consumer($0, of: nil, at: now) }))
    ]
    if at + limit < all.count { members.append(.init("NextToken", .string(String(at + limit)))) }
    return .object(members)
  }

  mutating func deregisterConsumer(_ arguments: MockArguments) throws(MockRefusal) {
    let (stream, consumer) = try named(arguments)
    streams[stream.name]?.consumers.removeAll { $0.arn == consumer.arn }
  }
}
