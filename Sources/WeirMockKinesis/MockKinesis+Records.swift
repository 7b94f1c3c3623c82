import WeirCore
import WeirOperators

/// Requests that write and read records.
extension MockKinesis {
  private static let recordsMax = 500
  /// Of keys and data in a request of PutRecords.
  private static let requestBytesMax = 10 << 20
  private static let answerBytesMax = 10_000_000
  private static let keyMax = 256

  // MARK: Writing

  private struct Entry {
    var key: String
    var data: String
    var bytes: Int
    var hash: UInt128
  }

  private func entry(_ arguments: MockArguments, recordKiB: Int) throws(MockRefusal) -> Entry {
    let key = try arguments.required("PartitionKey", max: MockKinesis.keyMax)
    guard let data = arguments.json["Data"]?.string, let count = MockBlob.count(data) else {
      throw MockRefusal("SerializationException", "Data is not a blob in base64")
    }
    guard count <= recordKiB << 10 else {
      throw .validation("data", "Member must have length less than or equal to \(recordKiB << 10)")
    }
    var text = key
    let hash = try arguments.hash("ExplicitHashKey") ?? text.withUTF8 { MD5.hash($0) }
    return Entry(key: key, data: data, bytes: key.utf8.count + count, hash: hash)
  }

  /// nil: too much for this second.
  private mutating func put(_ entry: Entry, into name: String, at now: Int64) -> (shard: String, sequence: String)? {
    guard let place = streams[name]?.shard(of: entry.hash) else { return nil }
    let number = nextNumber()
    let hasLimits = settings.hasLimits
    let record = MockRecord(number: number, arrival: now, key: entry.key, data: entry.data, bytes: entry.bytes)
    let shard = streams[name]?.change(place) { shard -> String? in
      guard !hasLimits || shard.limits.write(entry.bytes, at: now) else { return nil }
      shard.append(record)
      return shard.id
    }
    return (shard ?? nil).map { ($0, MockSequence.text(number)) }
  }

  mutating func putRecord(_ arguments: MockArguments, at now: Int64) throws(MockRefusal) -> JSONValue {
    let name = try stream(arguments)
    let entry = try entry(arguments, recordKiB: streams[name]?.recordKiB ?? 1024)
    guard let (shard, sequence) = put(entry, into: name, at: now) else { throw MockKinesis.tooMuch(name) }
    return .members(["ShardId": .string(shard), "SequenceNumber": .string(sequence), "EncryptionType": .string("NONE")])
  }

  mutating func putRecords(_ arguments: MockArguments, at now: Int64) throws(MockRefusal) -> JSONValue {
    let name = try stream(arguments)
    let list = try arguments.list("Records")
    guard (1...MockKinesis.recordsMax).contains(list.count) else { throw .validation("records", "Member must have from 1 to 500 elements") }
    // The whole request is refused before any record is written.
    var entries: [Entry] = []
    for item in list { entries.append(try entry(item, recordKiB: streams[name]?.recordKiB ?? 1024)) }
    guard entries.reduce(0, { $0 + $1.bytes }) <= MockKinesis.requestBytesMax else {
      throw .argument("Records size exceeds 10 MB limit")
    }
    var failed: Int64 = 0
    let results = entries.map { entry -> JSONValue in
      guard !takeRecordFault(), let (shard, sequence) = put(entry, into: name, at: now) else {
        failed += 1
        let refusal = MockKinesis.tooMuch(name)
        return .members(["ErrorCode": .string(refusal.code), "ErrorMessage": .string(refusal.message)])
      }
      return .members(["ShardId": .string(shard), "SequenceNumber": .string(sequence)])
    }
    return .members(["FailedRecordCount": .int(failed), "Records": .array(results), "EncryptionType": .string("NONE")])
  }

  private static func tooMuch(_ what: String) -> MockRefusal {
    MockRefusal("ProvisionedThroughputExceededException", "Rate exceeded for shard in stream \(what) under account \(account).")
  }

  // MARK: Places

  /// Where a reader begins, by a type of GetShardIterator or SubscribeToShard.
  func place(_ shard: MockShard, _ type: String, sequence: String?, time: Int64?, at now: Int64) throws(MockRefusal) -> Int {
    switch type {
    case "TRIM_HORIZON": return shard.start
    case "LATEST": return shard.end
    case "AT_TIMESTAMP":
      guard let time else { throw .argument("Must either specify timestamp for AT_TIMESTAMP") }
      // A second for clocks that differ a little.
      guard time <= now + 1000 else { throw .argument("The timestamp \(time) is in the future.") }
      return shard.place(from: time)
    case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
      guard let sequence, let place = shard.place(of: sequence, isAfter: type.hasPrefix("AFTER")) else {
        throw .argument("Must specify a sequence number for \(type)")
      }
      return place
    default: throw .validation("shardIteratorType", "Member must be one of the model's types")
    }
  }

  mutating func shardIterator(_ arguments: MockArguments, at now: Int64) throws(MockRefusal) -> JSONValue {
    let name = try stream(arguments)
    let shard = try shard(try arguments.required("ShardId", max: 128), of: name)
    let place = try place(
      shard, try arguments.required("ShardIteratorType"), sequence: arguments.sequence("StartingSequenceNumber"),
      time: arguments.time("Timestamp"), at: now)
    return .members(["ShardIterator": .string(iterator(name, shard.id, place, at: now))])
  }

  /// `v1:EPOCH:MADE:CREATED:PLACE:SHARD:STREAM`
  private func iterator(_ name: String, _ shard: String, _ place: Int, at now: Int64) -> String {
    "v1:\(faults.epoch):\(now):\(streams[name]?.created ?? 0):\(place):\(shard):\(name)"
  }

  // MARK: Reading

  mutating func getRecords(_ arguments: MockArguments, at now: Int64) throws(MockRefusal) -> JSONValue {
    let parts = try arguments.required("ShardIterator", max: 512).split(separator: ":")
    let limit = Int(try arguments.number("Limit", 1...10_000) ?? 10_000)
    guard parts.count == 7, parts[0] == "v1", let epoch = Int(parts[1]), let made = Int64(parts[2]), let place = Int(parts[4]) else {
      throw .argument("Invalid ShardIterator.")
    }
    let (id, name) = (String(parts[5]), String(parts[6]))
    guard let stream = streams[name], String(stream.created) == parts[3] else { throw .missing("Stream \(name) not found.") }
    let shard = try shard(id, of: name)
    if epoch < faults.epoch || now - made > settings.iteratorMilliseconds {
      throw MockRefusal("ExpiredIteratorException", "Iterator expired. The iterator was created at \(made) and is \(now - made) ms old.")
    }
    if settings.hasLimits, streams[name]?.change(id, { $0.limits.mayRead(at: now) }) == false {
      throw MockRefusal("ProvisionedThroughputExceededException", "Rate exceeded for shard \(id) in stream \(name).")
    }
    let found = shard.records(from: place, limit: limit, bytesMax: MockKinesis.answerBytesMax)
    streams[name]?.change(id) { $0.limits.read(found.reduce(0) { $0 + shard[$1].bytes }, at: now) }
    var members = MockKinesis.records(found, of: shard)
    members.append(.init("MillisBehindLatest", .int(shard.behind(found.upperBound, at: now))))
    if shard.closed != nil, found.upperBound == shard.end {
      members.append(.init("ChildShards", childShards(of: id, stream)))
    } else {
      members.append(.init("NextShardIterator", .string(iterator(name, id, found.upperBound, at: now))))
    }
    return .object(members)
  }

  static func records(_ places: Range<Int>, of shard: MockShard) -> [JSONValue.Member] {
    let records = places.map { place -> JSONValue in
      let record = shard[place]
      return .members([
        "SequenceNumber": .string(MockSequence.text(record.number)), "ApproximateArrivalTimestamp": seconds(record.arrival),
        "PartitionKey": .string(record.key), "Data": .string(record.data), "EncryptionType": .string("NONE"),
      ])
    }
    return [.init("Records", .array(records))]
  }
}
