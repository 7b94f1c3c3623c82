import CKafka
import Glibc
import Synchronization
import WeirCore

/// Sends records, idempotently and in batches.
///
/// ``send(_:)`` copies a batch into librdkafka's buffer and returns; it waits while the buffer is full, and drops nothing.
/// ``flush(within:)`` returns when brokers have acknowledged everything that was sent before.
package final class KafkaProducer: Sendable {
  /// What became of the records that were sent: `sent = delivered + failed + waiting`.
  package struct Counts: Sendable, Hashable {
    /// Taken by ``send(_:)``.
    package var sent = 0
    /// Acknowledged by all in-sync replicas.
    package var delivered = 0
    /// Given up: the brokers refused the record, or the delivery time-out passed.
    package var failed = 0
    package var waiting: Int { sent - delivered - failed }
  }

  struct State {
    var sent = 0
    /// Acknowledgements that were reported one by one.
    var reported = 0
    var failed = 0
    var firstFailures: [KafkaError] = []
    var fatal: KafkaError?
    var isClosing = false
    var topics: [String: Topic] = [:]
  }

  /// librdkafka's object of a topic; thread-safe.
  struct Topic: @unchecked Sendable { let pointer: OpaquePointer }

  package let settings: KafkaProducerSettings
  let client: KafkaClient
  let state = Mutex(State())
  private let sending = BlockingThreads.kafka(1, "kafka-send")

  /// Failures that are kept with their text; more are counted only.
  private static let failuresMax = 16

  package init(_ settings: KafkaProducerSettings, observer: KafkaObserver = KafkaObserver()) throws(KafkaError) {
    self.settings = settings
    client = try KafkaClient(
      RD_KAFKA_PRODUCER, settings.configuration(), connection: settings.connection, observer: observer)
    guard let queue = rd_kafka_queue_get_main(client.handle) else { preconditionFailure("a client has a main queue") }
    client.sendLog(to: queue)
    client.serve(queue: queue, name: "kafka-reports") { [weak self] event in self?.handle(event) }
  }

  struct Handle: @unchecked Sendable { let pointer: OpaquePointer }

  // MARK: Sending

  /// Hands a batch over, in order, after those of earlier calls.
  ///
  /// - Throws: a ``KafkaError`` if the producer is broken for good, or a record cannot be taken (too large, no such
  ///   partition). Others of the batch may have been taken: ``counts`` says how many.
  package func send(_ batch: KafkaBatch) async throws {
    if batch.records.isEmpty { return }
    try await sending.run { try self.sendNow(batch) }
  }

  /// The same on the calling thread, which it may block: for a driver with a thread of its own.
  package func sendBlocking(_ batch: KafkaBatch) throws(KafkaError) {
    try sendNow(batch)
  }

  private func sendNow(_ batch: KafkaBatch) throws(KafkaError) {
    let topic = try topic(batch.topic)
    var rest = 0..<batch.records.count
    while !rest.isEmpty {
      if let fatal = state.withLock({ $0.isClosing ? .misuse("the Kafka producer is closed") : $0.fatal }) { throw fatal }
      let (taken, code) = batch.isRich ? sendRich(batch, rest, topic) : sendPlain(batch, rest, topic)
      state.withLock { $0.sent += taken }
      rest = (rest.lowerBound + taken)..<rest.upperBound
      switch code {
      case RD_KAFKA_RESP_ERR_NO_ERROR: break
      // On the producer's own thread: librdkafka has no call that waits for room.
      case RD_KAFKA_RESP_ERR__QUEUE_FULL: usleep(KafkaProducer.fullMicroseconds)
      default: throw KafkaError(code, "cannot send to \(batch.topic)")
      }
    }
  }

  /// How long a full buffer is left alone. At a million records a second a thousand fit in again.
  static let fullMicroseconds: UInt32 = 1_000

  func topic(_ name: String) throws(KafkaError) -> Topic {
    if let topic = state.withLock({ $0.topics[name] }) { return topic }
    // Two threads may both make it: librdkafka gives both the same object, and each reference is counted.
    guard let pointer = rd_kafka_topic_new(client.handle, name, nil) else {
      throw KafkaError(rd_kafka_last_error(), "cannot send to \(name)")
    }
    let topic = Topic(pointer: pointer)
    let old = state.withLock { $0.topics.updateValue(topic, forKey: name) }
    if let old { rd_kafka_topic_destroy(old.pointer) }
    return topic
  }

  // MARK: Reports

  /// On the producer's own thread.
  private func handle(_ event: OpaquePointer) {
    switch rd_kafka_event_type(event) {
    case RD_KAFKA_EVENT_DR: reports(event)
    case RD_KAFKA_EVENT_ERROR:
      let error = client.error(of: event, "Kafka producer")
      if error.fatalTo != .operation, !error.isRetriable { state.withLock { $0.fatal = $0.fatal ?? error } }
    default: break
    }
  }

  private func reports(_ event: OpaquePointer) {
    var delivered = 0
    var failures: [KafkaError] = []
    var failed = 0
    while let message = rd_kafka_event_message_next(event) {
      if message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR {
        delivered += 1
        continue
      }
      failed += 1
      if failures.count < KafkaProducer.failuresMax { failures.append(failure(message)) }
    }
    state.withLock { state in
      state.reported += delivered
      state.failed += failed
      state.firstFailures += failures.prefix(KafkaProducer.failuresMax - state.firstFailures.count)
    }
  }

  private func failure(_ message: UnsafePointer<rd_kafka_message_t>) -> KafkaError {
    let partition = message.pointee.rkt.map {
      KafkaPartition(String(cString: rd_kafka_topic_name($0)), message.pointee.partition)
    }
    // Repeating is harmless only if it is certain that the broker did not store the record.
    return KafkaError(
      message.pointee.err, "a record for \(partition.map(\.description) ?? "?") was not delivered", partition: partition,
      repeats: rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
  }

  /// What became of the records so far. With ``KafkaProducerSettings/Reports/failures`` the delivered ones are those that
  /// neither failed nor wait any more.
  package var counts: Counts {
    state.withLock { state in
      var counts = Counts(sent: state.sent, delivered: state.reported, failed: state.failed)
      if settings.reports == .failures, !state.isClosing {
        counts.delivered = max(0, state.sent - state.failed - Int(rd_kafka_outq_len(client.handle)))
      }
      return counts
    }
  }

  /// The first failures, with their reasons.
  package var failures: [KafkaError] { state.withLock { $0.firstFailures } }

  // MARK: The end

  /// Waits until everything that was sent is delivered.
  /// - Throws: if something was not within the time (retriable: it may be later), or if any record failed since the
  ///   producer was made: then what was sent is not complete, and no later flush can say that it is.
  package func flush(within nanoseconds: Int64) async throws {
    let handle = Handle(pointer: client.handle)
    let ends = KafkaClient.now + nanoseconds
    try await sending.run {
      rd_kafka_flush(handle.pointer, Int32(clamping: nanoseconds / 1_000_000))
      // librdkafka is done with the records before the last reports are read by our thread. This one is the producer's own too.
      while self.counts.waiting > 0, KafkaClient.now < ends { usleep(KafkaProducer.fullMicroseconds) }
    }
    let (counts, first) = (counts, state.withLock { $0.fatal ?? $0.firstFailures.first })
    if let first { throw first }
    guard counts.waiting == 0 else {
      throw KafkaError(
        RD_KAFKA_RESP_ERR__TIMED_OUT, "\(counts.waiting) of \(counts.sent) records are not acknowledged yet", repeats: false)
    }
  }

  /// Frees the producer. What is not delivered then is given up: ``flush(within:)`` before.
  package func close() async {
    let final = counts
    let topics: [Topic]? = state.withLock { state in
      guard !state.isClosing else { return nil }
      state.isClosing = true
      state.reported = final.delivered
      defer { state.topics = [:] }
      return Array(state.topics.values)
    }
    guard let topics else { return }
    // Behind a batch that is being sent, which sees `isClosing` and ends.
    let handle = Handle(pointer: client.handle)
    try? await sending.run {
      for topic in topics { rd_kafka_topic_destroy(topic.pointer) }
      rd_kafka_purge(handle.pointer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
    }
    await client.end(on: sending, within: 0)
    sending.stop()
  }
}
