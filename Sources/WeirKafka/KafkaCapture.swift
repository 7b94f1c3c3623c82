import WeirCore

/// Topics as a capture reads them, by a consumer that joins no group.
package final class KafkaCapture: CapturableSource {
  private let consumer: KafkaConsumer
  private let probe: KafkaProbe
  private let start: KafkaStart
  package let streams: [String]

  /// - Parameters:
  ///   - settings: its group is never joined.
  ///   - start: where partitions begin that the capture does not have.
  package init(_ settings: KafkaConsumerSettings, start: KafkaStart, observer: KafkaObserver) throws(WeirError) {
    var settings = settings
    // Never joined; a client without the name of a group gets no partitions from librdkafka.
    settings.group = "weir-capture"
    settings.instance = nil
    do { consumer = try KafkaConsumer(settings, observer: observer) } catch { throw error.weirError }
    probe = KafkaProbe(settings)
    streams = settings.topics
    self.start = start
  }

  package func shards() async throws -> [SourceShard] {
    try await KafkaGroup.translating { try await consumer.partitions().map(KafkaGroup.shard) }
  }

  package func bounds(of shards: [String]) async throws -> [String: ShardBounds] {
    try await KafkaGroup.translating {
      KafkaGroup.bounds(try await consumer.watermarks(of: try shards.map { try KafkaPartition(shard: $0) }))
    }
  }

  package func starts(of shards: [String], isLater: Bool) async throws -> [String: ShardPoint] {
    try await KafkaGroup.translating {
      let partitions = try shards.map { try KafkaPartition(shard: $0) }
      let found = try await consumer.offsets(from: isLater ? .earliest : start, of: partitions)
      return Dictionary(uniqueKeysWithValues: found.map { ($0.key.description, ShardPoint($0.value)) })
    }
  }

  package func look(_ asks: [String: ShardAsk]) async throws -> [String: ShardSight] {
    try await KafkaGroup.translating { try await probe.look(asks) }
  }

  package func assign(_ positions: [String: ShardPoint]) async throws -> [any CapturableShard] {
    try await KafkaGroup.translating {
      var wanted: [KafkaPartition: Int64] = [:]
      for (shard, position) in positions { wanted[try KafkaPartition(shard: shard)] = try position.offset(in: shard) }
      return try await consumer.assign(wanted).map(KafkaCapturedPartition.init)
    }
  }

  package func release(_ shards: [String]) async throws {
    try await KafkaGroup.translating { try await consumer.release(try shards.map { try KafkaPartition(shard: $0) }) }
  }

  package func refuseQuestions() {
    probe.refuseQuestions()
    consumer.refuseQuestions()
  }

  /// Both clients at once: one whose partition was deleted may take its whole time (see ``KafkaClient``).
  package func close() async {
    async let isProbeClosed: Void = probe.close()
    await consumer.close()
    await isProbeClosed
  }
}

private struct KafkaCapturedPartition: CapturableShard {
  let reader: KafkaPartitionReader

  var name: String { reader.partition.description }

  func next() async throws -> CapturableRead {
    switch try await KafkaGroup.translating({ try await reader.next() }) {
    case .block(let block): .block(block.recorded)
    // Offsets without records at the end of a partition came as a block before.
    case .caughtUp: .caughtUp
    case .outOfRange(let at): .outOfRange(at: ShardPoint(at))
    case .closed: .closed
    }
  }
}
