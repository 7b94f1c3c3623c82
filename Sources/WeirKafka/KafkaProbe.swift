import Synchronization
import WeirCore

/// Looks at single records of partitions with a client of its own, which joins no group and disturbs no reading.
///
/// Kafka's topic ids would distinguish incarnations, but librdkafka 2.0 does not hand them out.
package final class KafkaProbe: ShardLooker {
  /// Fetched for a record, unless its batch is larger: a broker sends whole batches.
  private static let fetchBytes = 64 << 10

  private let settings: KafkaConsumerSettings
  private let state = Mutex<(consumer: KafkaConsumer?, isClosed: Bool)>((nil, false))

  /// - Parameter settings: of the consumer whose partitions are looked at.
  package init(_ settings: KafkaConsumerSettings) {
    var settings = settings
    settings.instance = nil
    settings.queueRecordsPerPartition = 1
    settings.queueBytesPerPartition = 1 << 10
    settings.statisticsIntervalMilliseconds = 0
    let name = "fetch.message.max.bytes"
    if settings.connection.options[name] == nil { settings.connection.options[name] = String(KafkaProbe.fetchBytes) }
    // The other client logs it already.
    settings.connection.options["debug"] = nil
    self.settings = settings
  }

  package func look(_ asks: [String: ShardAsk]) async throws -> [String: ShardSight] {
    var sights: [String: ShardSight] = [:]
    var offsets: [KafkaPartition: Int64] = [:]
    for (shard, ask) in asks {
      let offset =
        switch ask {
        case .at(let point): try point.offset(in: shard)
        case .before(let point): try point.offset(in: shard) &- 1
        }
      // There is nothing before the first one.
      if offset < 0 { sights[shard] = ShardSight(.absent) } else { offsets[try KafkaPartition(shard: shard)] = offset }
    }
    guard !offsets.isEmpty else { return sights }
    for (partition, peek) in try await client().peek(offsets) { sights[partition.description] = ShardSight(peek.look) }
    return sights
  }

  /// Made when it is needed first.
  private func client() throws(KafkaError) -> KafkaConsumer {
    try state.withLock { state throws(KafkaError) in
      if let consumer = state.consumer { return consumer }
      if state.isClosed { throw .misuse("the Kafka consumer is closed") }
      let made = try KafkaConsumer(settings)
      state.consumer = made
      return made
    }
  }

  /// See ``KafkaConsumer/refuseQuestions()``.
  package func refuseQuestions() {
    let consumer = state.withLock { state in
      state.isClosed = true
      return state.consumer
    }
    consumer?.refuseQuestions()
  }

  package func close() async {
    let consumer = state.withLock { state in
      state.isClosed = true
      defer { state.consumer = nil }
      return state.consumer
    }
    await consumer?.close()
  }
}

extension KafkaPeek {
  var look: ShardLook {
    switch self {
    case .record(let block): block.rawWithDetails.fingerprint(0).map { .record($0) } ?? .unknown
    case .absent: .absent
    case .trimmed(let bounds): .trimmed(low: .offset(bounds.low))
    case .ended(let bounds): .ended(high: .offset(bounds.high))
    }
  }
}
