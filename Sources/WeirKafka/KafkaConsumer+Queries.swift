import CKafka
import Synchronization
import WeirKafkaSettings

extension KafkaConsumer {
  /// How long a query waits for brokers.
  private static let queryMilliseconds: Int32 = 10_000

  /// The end of a question: by its answer, or by the consumer's close, whichever comes first.
  private final class Question<T: Sendable>: Sendable {
    private let waiter: Mutex<CheckedContinuation<T, any Error>?>

    init(_ waiter: CheckedContinuation<T, any Error>) { self.waiter = Mutex(waiter) }

    func end(_ result: Result<T, any Error>) {
      let waiter = waiter.withLock { waiter in
        defer { waiter = nil }
        return waiter
      }
      waiter?.resume(with: result)
    }
  }

  /// Runs a query on its own thread, unless the consumer is being closed (which frees the client).
  ///
  /// librdkafka 2.0.2 may wait for an unreachable broker for much longer than its timeout; closing the consumer does not wait
  /// for that.
  func query<T: Sendable>(_ work: @escaping @Sendable (Handle) throws(KafkaError) -> T) async throws -> T {
    let handle = handle
    return try await withCheckedThrowingContinuation { continuation in
      let question = Question(continuation)
      let closed = KafkaError.misuse("the Kafka consumer is closed")
      let id: Int? = state.withLock { state in
        guard !state.isClosing, !state.refusesQuestions else { return nil }
        state.lastQuestion += 1
        state.questions[state.lastQuestion] = { question.end(.failure(closed)) }
        return state.lastQuestion
      }
      let isQueued = queries.submit {
        if id == nil || self.state.withLock({ $0.isClosing || $0.refusesQuestions }) {
          question.end(.failure(closed))
        } else {
          do throws(KafkaError) {
            let answer = try work(handle)
            self.client.watch.answered()
            question.end(.success(answer))
          } catch { question.end(.failure(self.client.watch.explained(error))) }
        }
        if let id { self.state.withLock { $0.questions[id] = nil } }
      }
      if !isQueued { question.end(.failure(closed)) }
    }
  }

  /// Asks in steps that grow up to four seconds, and stops after the one in which the consumer begins to close.
  ///
  /// librdkafka 2.0.2 repeats a question about a group until its time is over, also while the client leaves the group. A worker that was
  /// stopped while it joined waited for that, and then left the client to itself.
  /// - Parameter ask: gets the milliseconds that it may take.
  func inSteps(_ ask: (Int32) -> rd_kafka_resp_err_t) -> rd_kafka_resp_err_t {
    let endsAt = KafkaClient.now + Int64(KafkaConsumer.queryMilliseconds) * 1_000_000
    var step = KafkaConsumer.stepMilliseconds
    while true {
      let left = Int32(clamping: (endsAt - KafkaClient.now) / 1_000_000)
      let code = ask(max(1, min(step.lowerBound, left)))
      let isOpen = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__WAIT_COORD
      guard isOpen, KafkaClient.now < endsAt, !state.withLock({ $0.isClosing || $0.refusesQuestions }) else { return code }
      step = min(step.lowerBound * 2, step.upperBound)...step.upperBound
    }
  }

  /// Asks for half a second, for one, and then as long as there is time. Not again once a broker has refused this client: librdkafka
  /// connects again and again with what was refused, which locks some accounts.
  private func untilRefused(_ ask: (Int32) -> rd_kafka_resp_err_t) -> rd_kafka_resp_err_t {
    var left = KafkaConsumer.queryMilliseconds
    for step in KafkaConsumer.refusalMilliseconds {
      let code = ask(step)
      left -= step
      let isOpen = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT
      guard isOpen, !client.watch.isRefused, !state.withLock({ $0.isClosing || $0.refusesQuestions }) else { return code }
    }
    return ask(left)
  }

  private static let refusalMilliseconds: [Int32] = [500, 1_000]

  /// The first step and the longest one, which is shorter than the time that the end of a client waits for questions.
  private static let stepMilliseconds: ClosedRange<Int32> = 500...4_000

  /// First and last offset of each partition, asked of the brokers now: two requests to each of them, however many partitions it leads.
  package func watermarks(of partitions: [KafkaPartition]) async throws -> [KafkaPartition: KafkaWatermarks] {
    guard !partitions.isEmpty else { return [:] }
    return try await query { handle throws(KafkaError) in
      let lows = try KafkaConsumer.offsets(handle, at: Int64(RD_KAFKA_OFFSET_BEGINNING), of: partitions) {
        "cannot get the offsets of \($0)"
      }
      let highs = try KafkaConsumer.offsets(handle, at: Int64(RD_KAFKA_OFFSET_END), of: partitions) {
        "cannot get the offsets of \($0)"
      }
      return lows.reduce(into: [:]) { result, low in
        result[low.key] = KafkaWatermarks(low: low.value, high: max(low.value, highs[low.key] ?? low.value))
      }
    }
  }

  /// Looks offsets up by a time, UTC milliseconds since 1970, or by a logical offset, for which the protocol has times of its own.
  private static func offsets(
    _ handle: Handle, at time: Int64, of partitions: [KafkaPartition], _ words: (KafkaPartition) -> String
  ) throws(KafkaError) -> [KafkaPartition: Int64] {
    let list = PartitionList(capacity: partitions.count)
    for partition in partitions { list.add(partition, offset: time) }
    let code = rd_kafka_offsets_for_times(handle.pointer, list.list, queryMilliseconds)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, words(partitions[0]), partition: partitions[0]) }
    var result: [KafkaPartition: Int64] = [:]
    for (partition, offset, code) in PartitionList.elements(of: list.list) {
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, words(partition), partition: partition) }
      if offset >= 0 { result[partition] = offset }
    }
    return result
  }

  /// - Parameter end: as a fetch said it; nil: the broker's.
  static func watermarks(
    _ handle: Handle, _ partition: KafkaPartition, ends end: Int64? = nil
  ) throws(KafkaError) -> KafkaWatermarks {
    var low: Int64 = 0
    var high: Int64 = 0
    let code = rd_kafka_query_watermark_offsets(
      handle.pointer, partition.topic, partition.number, &low, &high, KafkaConsumer.queryMilliseconds)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw KafkaError(code, "cannot get the offsets of \(partition)", partition: partition)
    }
    return KafkaWatermarks(low: low, high: end ?? high)
  }

  /// The last known end of a partition that is being read, from its latest fetch: for lag, without asking anybody.
  package func cachedHighWatermark(of partition: KafkaPartition) -> Int64? {
    var low: Int64 = 0
    var high: Int64 = 0
    let isOpen = state.withLock { !$0.isClosing }
    guard isOpen,
      rd_kafka_get_watermark_offsets(client.handle, partition.topic, partition.number, &low, &high)
        == RD_KAFKA_RESP_ERR_NO_ERROR, high >= 0
    else { return nil }
    return high
  }

  /// The offset of the first record at or after a time (UTC milliseconds since 1970); partitions without one are left out.
  package func offsets(
    at milliseconds: Int64, of partitions: [KafkaPartition]
  ) async throws -> [KafkaPartition: Int64] {
    guard !partitions.isEmpty else { return [:] }
    return try await query { handle throws(KafkaError) in
      try KafkaConsumer.offsets(handle, at: milliseconds, of: partitions) { "cannot get the offset of \($0) by time" }
    }
  }

  /// Where partitions begin for which there is no position yet: offsets, to be assigned.
  package func offsets(from start: KafkaStart, of partitions: [KafkaPartition]) async throws -> [KafkaPartition: Int64] {
    let bounds = try await watermarks(of: partitions)
    switch start {
    case .earliest: return bounds.mapValues(\.low)
    case .latest: return bounds.mapValues(\.high)
    case .timestamp(let milliseconds):
      // No record is that young: begin with what comes next.
      let found = try await offsets(at: milliseconds, of: partitions)
      return bounds.mapValues(\.high).merging(found) { _, found in found }
    case .offsets(let given):
      return bounds.mapValues(\.low).merging(given.filter { bounds[$0.key] != nil }) { _, given in given }
    }
  }

  /// The partitions that the settings' topics have now, each once: a topic may be named and fit a pattern as well.
  package func partitions() async throws -> [KafkaPartition] {
    var all: [KafkaPartition] = []
    var seen: Set<KafkaPartition> = []
    for topic in settings.topics {
      for partition in try await partitions(of: topic) where seen.insert(partition).inserted { all.append(partition) }
    }
    return all
  }

  /// The partitions that a topic has now, or all topics that fit a pattern (`^orders-`).
  package func partitions(of topic: String) async throws -> [KafkaPartition] {
    if topic.hasPrefix("^") { return try await partitions(matching: topic) }
    return try await query { handle throws(KafkaError) in
      guard let object = rd_kafka_topic_new(handle.pointer, topic, nil) else {
        throw .settings("\(topic) is not a valid topic name")
      }
      defer { rd_kafka_topic_destroy(object) }
      var metadata: UnsafePointer<rd_kafka_metadata>?
      let code = self.untilRefused { rd_kafka_metadata(handle.pointer, 0, object, &metadata, $0) }
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata else {
        throw KafkaError(code, "cannot get the partitions of \(topic)")
      }
      defer { rd_kafka_metadata_destroy(metadata) }
      guard metadata.pointee.topic_cnt == 1 else { return [] }
      let found = metadata.pointee.topics[0]
      guard found.err == RD_KAFKA_RESP_ERR_NO_ERROR else {
        throw KafkaError(found.err, "cannot get the partitions of \(topic)")
      }
      return (0..<Int(found.partition_cnt)).map { KafkaPartition(topic, found.partitions[$0].id) }.sorted()
    }
  }

  /// By the same regular expressions as the client's subscription goes by: POSIX, extended.
  private func partitions(matching pattern: String) async throws -> [KafkaPartition] {
    try await query { handle throws(KafkaError) in
      guard let pattern = TopicPattern(pattern) else { throw .settings("\(pattern) is not a valid topic pattern") }
      var metadata: UnsafePointer<rd_kafka_metadata>?
      let code = self.untilRefused { rd_kafka_metadata(handle.pointer, 1, nil, &metadata, $0) }
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata else { throw KafkaError(code, "cannot list the topics") }
      defer { rd_kafka_metadata_destroy(metadata) }
      var all: [KafkaPartition] = []
      for index in 0..<Int(metadata.pointee.topic_cnt) {
        let found = metadata.pointee.topics[index]
        guard found.err == RD_KAFKA_RESP_ERR_NO_ERROR, let name = found.topic.map({ String(cString: $0) }), pattern.fits(name) else {
          continue
        }
        all += (0..<Int(found.partition_cnt)).map { KafkaPartition(name, found.partitions[$0].id) }
      }
      return all.sorted()
    }
  }

  // MARK: Offsets at the broker: for tools that show lag, never read to begin anywhere

  /// Stores offsets (the next to read) at the broker, without waiting. A refusal is counted (``untold``), not reported: the
  /// next commit makes up for it.
  /// - Parameter metadata: what the broker keeps with each (some thousand bytes at most).
  package func commitBehind(_ positions: [KafkaPartition: Int64], metadata: String = "") {
    let handle = handle
    control.submit {
      if self.state.withLock({ $0.isClosing }) { return }
      let list = PartitionList(positions, metadata: metadata)
      if rd_kafka_commit(handle.pointer, list.list, 1) != RD_KAFKA_RESP_ERR_NO_ERROR {
        self.state.withLock { $0.commitFailures += 1 }
      }
    }
  }

  /// Stores offsets at the broker and waits until it has them: before partitions are handed over.
  package func commit(_ positions: [KafkaPartition: Int64]) async throws {
    try await query { handle throws(KafkaError) in
      let list = PartitionList(positions)
      let code = rd_kafka_commit(handle.pointer, list.list, 0)
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, "cannot commit offsets") }
    }
  }

  /// The offsets that the broker has for this group.
  package func committed(_ partitions: [KafkaPartition]) async throws -> [KafkaPartition: Int64] {
    try await committedWithMetadata(partitions).mapValues(\.offset)
  }

  /// The same with what is kept next to each; empty where nothing is.
  package func committedWithMetadata(
    _ partitions: [KafkaPartition]
  ) async throws -> [KafkaPartition: (offset: Int64, metadata: String)] {
    try await query { handle throws(KafkaError) in
      let list = PartitionList(partitions)
      let code = self.inSteps { rd_kafka_committed(handle.pointer, list.list, $0) }
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, "cannot get the committed offsets") }
      return zip(PartitionList.elements(of: list.list), list.metadata).reduce(into: [:]) { result, item in
        if item.0.offset >= 0 { result[item.0.partition] = (item.0.offset, item.1) }
      }
    }
  }
}
