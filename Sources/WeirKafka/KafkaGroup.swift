import WeirCore

/// A Kafka consumer group as the engine sees it.
package final class KafkaGroup: ShardGroup {
  private let consumer: KafkaConsumer
  private let probe: KafkaProbe
  private let start: KafkaStart

  /// - Parameter start: where a partition begins for which the ledger has no position.
  package init(
    _ settings: KafkaConsumerSettings, start: KafkaStart, observer: KafkaObserver = KafkaObserver()
  ) throws(WeirError) {
    do { consumer = try KafkaConsumer(settings, observer: observer) } catch { throw error.weirError }
    self.start = start
    probe = KafkaProbe(settings)
  }

  package func shards() async throws -> [SourceShard] {
    try await KafkaGroup.translating {
      try await consumer.partitions().map(KafkaGroup.shard)
    }
  }

  package func join() async throws { try await KafkaGroup.translating { try await consumer.subscribe() } }

  package func nextEvent() async -> ShardGroupEvent {
    switch await consumer.nextEvent() {
    case .assigned(let partitions): .assigned(partitions.map(\.description))
    case .revoked(let partitions, let isLost): .revoked(partitions.map(\.description), isLost: isLost)
    case .failed(let error): .failed(error.weirError)
    case .closed: .closed
    }
  }

  package func bounds(of shards: [String]) async throws -> [String: ShardBounds] {
    try await KafkaGroup.translating {
      KafkaGroup.bounds(try await consumer.watermarks(of: try shards.map(KafkaGroup.partition)))
    }
  }

  package func starts(of shards: [String]) async throws -> [String: ShardPoint] {
    try await KafkaGroup.translating {
      KafkaGroup.named(try await consumer.offsets(from: start, of: try shards.map(KafkaGroup.partition))).mapValues { ShardPoint($0) }
    }
  }

  package func look(_ asks: [String: ShardAsk]) async throws -> [String: ShardSight] {
    try await KafkaGroup.translating { try await probe.look(asks) }
  }

  package func assign(_ positions: [String: ShardPoint]) async throws -> [String: any RecordSource] {
    try await KafkaGroup.translating {
      var wanted: [KafkaPartition: Int64] = [:]
      for (shard, position) in positions { wanted[try KafkaGroup.partition(shard)] = try position.offset(in: shard) }
      var readers: [String: any RecordSource] = [:]
      for reader in try await consumer.assign(wanted) { readers[reader.partition.description] = KafkaShard(reader: reader) }
      return readers
    }
  }

  package func release(_ shards: [String]) async throws {
    try await KafkaGroup.translating { try await consumer.release(try shards.map(KafkaGroup.partition)) }
  }

  package func followed(_ shards: [String]) async throws -> [String: FollowedPosition] {
    try await KafkaGroup.translating {
      let found = try await consumer.committedWithMetadata(try shards.map(KafkaGroup.partition))
      return KafkaGroup.named(found.mapValues { FollowedPosition(position: .offset($0.offset), owner: $0.metadata) })
    }
  }

  package func follow(_ positions: [String: ShardPoint], as owner: String) async {
    var offsets: [KafkaPartition: Int64] = [:]
    for (shard, position) in positions {
      // What this group was not assigned has no lag here.
      if let partition = try? KafkaGroup.partition(shard), let offset = try? position.offset(in: shard) { offsets[partition] = offset }
    }
    if !offsets.isEmpty { consumer.commitBehind(offsets, metadata: owner) }
  }

  package func refuseQuestions() {
    consumer.refuseQuestions()
    probe.refuseQuestions()
  }

  package func close() async {
    async let isProbeClosed: Void = probe.close()
    await consumer.close()
    await isProbeClosed
  }

  static func shard(_ partition: KafkaPartition) -> SourceShard {
    SourceShard(name: partition.description, stream: partition.topic, number: Int(partition.number))
  }

  static func bounds(_ found: [KafkaPartition: KafkaWatermarks]) -> [String: ShardBounds] {
    named(found.mapValues { ShardBounds(low: .offset($0.low), high: .offset($0.high)) })
  }

  private static func named<T>(_ values: [KafkaPartition: T]) -> [String: T] {
    Dictionary(uniqueKeysWithValues: values.map { ($0.key.description, $0.value) })
  }

  private static func partition(_ shard: String) throws(KafkaError) -> KafkaPartition { try KafkaPartition(shard: shard) }

  /// Runs calls of the adapter; their errors become the engine's.
  package static func translating<T>(_ body: () async throws -> T) async throws -> T {
    do { return try await body() } catch let error as KafkaError { throw error.weirError }
  }
}

/// One partition as the engine sees it.
struct KafkaShard: RecordSource {
  let reader: KafkaPartitionReader

  func next() async throws -> SourceEvent {
    switch try await KafkaGroup.translating({ try await reader.next() }) {
    case .block(let block):
      // Only gaps: there is nothing to decode.
      block.count == 0 ? .caughtUp(next: ShardPoint(block.next)) : .block(block.rawWithDetails, next: ShardPoint(block.next))
    case .caughtUp(let next): .caughtUp(next: ShardPoint(next))
    case .outOfRange(let at): .outOfRange(at: ShardPoint(at))
    case .closed: .end
    }
  }

  func close() async { await reader.stop() }
}

extension KafkaBlock {
  /// What the engine decodes, with what it has to know of each record.
  var rawWithDetails: RawBlock {
    var block = raw
    block.details = RecordDetails(
      shard: partition.description, positions: offsets,
      arrivals: timestamps.map(RecordDetails.arrival),
      isAppendTime: timestampKind == .appended, keyOffset: keyOffset, keyLength: keyLength,
      headers: headers.isEmpty ? [] : (0..<count).map { RecordHeaders.text(headers($0)) },
      tombstones: tombstones)
    return block
  }

  /// What a capture keeps of it.
  package var recorded: RecordedBlock {
    var block = RecordedBlock(shard: partition.description, first: raw.position, next: next)
    guard case .spans(_, let length) = raw.framing else { return block }
    block.positions = offsets
    block.timestamps = timestamps
    block.timeKind = RecordedBlock.TimeKind(rawValue: UInt8(timestampKind.rawValue)) ?? .none
    block.keyLength = keyLength
    block.valueLength = length.map { Int32(truncatingIfNeeded: $0) }
    for row in tombstones { block.valueLength[Int(row)] = -1 }
    block.headerCount =
      headerStart.isEmpty
      ? [UInt32](repeating: 0, count: count) : (0..<count).map { headerStart[$0 + 1] - headerStart[$0] }
    block.headers = headers.map { RecordedBlock.Header(nameLength: $0.nameLength, valueLength: $0.valueLength) }
    // The builder puts key, value and headers of each record one after another, as a capture has them.
    block.text = withExtendedLifetime(raw) { Array(UnsafeBufferPointer(start: raw.text.base, count: raw.count)) }
    return block
  }
}
