import CKafka
import Synchronization
import WeirCore

/// A member of a consumer group, or a reader of given partitions; one ``KafkaPartitionReader`` for each partition.
///
/// ```
/// let consumer = try KafkaConsumer(settings)
/// try await consumer.subscribe()
/// while true {
///   switch await consumer.nextEvent() {
///   case .assigned(let partitions):    // restore lanes, then
///     let readers = try await consumer.assign(positions)
///   case .revoked(let partitions, let isLost):    // stop, cut, commit unless lost, then
///     try await consumer.release(partitions)
///   ...
/// ```
/// Positions are the owner's (the ledger's): nothing here begins at an offset that the broker stored.
///
/// Only librdkafka's queue calls for single messages are used: its batch call, pause and seek skip offsets now and then in
/// 2.0.2, and since gaps are legal in Kafka, no check would notice.
package final class KafkaConsumer: Sendable {
  struct State {
    var group = GroupMachine()
    var readers: [KafkaPartition: KafkaPartitionReader] = [:]
    var events: [KafkaGroupEvent] = []
    var waiter: CheckedContinuation<KafkaGroupEvent, Never>?
    var failuresLeftOut = 0
    var commitFailures = 0
    /// A revocation that came while the consumer closes: answered by its own thread.
    var isClosing = false
    /// Questions are refused.
    var refusesQuestions = false
    /// Ends each question that is being asked; closing does.
    var questions: [Int: @Sendable () -> Void] = [:]
    var lastQuestion = 0
  }

  package let settings: KafkaConsumerSettings
  let client: KafkaClient
  let state = Mutex(State())
  /// Calls that change the assignment, one after the other.
  let control = BlockingThreads.kafka(1, "kafka-control")
  /// Calls that wait for brokers.
  let queries = BlockingThreads.kafka(1, "kafka-query")
  private let copying: BlockingThreads
  private let wakes = BlockingThreads.kafka(1, "kafka-wake")

  /// Failures that may wait for the owner; more are counted only (each is in the log as well).
  private static let failuresMax = 64

  /// Makes the client; nothing is connected before ``subscribe()``, ``assign(_:)`` or a query.
  package init(_ settings: KafkaConsumerSettings, observer: KafkaObserver = KafkaObserver()) throws(KafkaError) {
    self.settings = settings
    client = try KafkaClient(
      RD_KAFKA_CONSUMER, settings.configuration(), connection: settings.connection, observer: observer)
    copying = BlockingThreads.kafka(settings.readerThreads, "kafka-read")
    // What has no queue of its own comes by the consumer's: rebalances, errors, commits, log, statistics.
    rd_kafka_poll_set_consumer(client.handle)
    guard let queue = rd_kafka_queue_get_consumer(client.handle) else {
      throw .settings("Kafka: the consumer has no group", advice: "Configure a group.")
    }
    client.sendLog(to: queue)
    client.tellStrays { [weak self] error in self?.tell(.failed(error)) }
    // While closing, the thread runs until the consumer has left the group.
    let handle = Handle(pointer: client.handle)
    client.serve(queue: queue, name: "kafka-group", isDone: { rd_kafka_consumer_closed(handle.pointer) != 0 }) {
      [weak self] event in self?.handle(event)
    }
  }

  /// librdkafka's client, for closures: its calls are thread-safe.
  struct Handle: @unchecked Sendable { let pointer: OpaquePointer }

  var handle: Handle { Handle(pointer: client.handle) }

  // MARK: The group

  /// Joins the group; partitions come as ``KafkaGroupEvent/assigned(_:)``.
  package func subscribe() async throws {
    let handle = handle
    let topics = settings.topics
    guard !topics.isEmpty else { throw KafkaError.settings("no Kafka topics are configured") }
    try await control.run {
      let list = PartitionList(topics.map { KafkaPartition($0, -1) })
      let code = rd_kafka_subscribe(handle.pointer, list.list)
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
        throw KafkaError(code, "cannot subscribe to \(topics.joined(separator: ", "))")
      }
    }
  }

  /// The next event of the group; waits for one. Called by one task at a time.
  package func nextEvent() async -> KafkaGroupEvent {
    await withCheckedContinuation { continuation in
      let event: KafkaGroupEvent? = state.withLock { state in
        if !state.events.isEmpty { return state.events.removeFirst() }
        if state.group.isClosed { return .closed }
        precondition(state.waiter == nil, "a consumer has one owner")
        state.waiter = continuation
        return nil
      }
      if let event { continuation.resume(returning: event) }
    }
  }

  /// On the group's thread.
  private func handle(_ event: OpaquePointer) {
    switch rd_kafka_event_type(event) {
    case RD_KAFKA_EVENT_REBALANCE: rebalance(event)
    case RD_KAFKA_EVENT_OFFSET_COMMIT:
      let code = rd_kafka_event_error(event)
      if code != RD_KAFKA_RESP_ERR_NO_ERROR, code != RD_KAFKA_RESP_ERR__NO_OFFSET {
        state.withLock { $0.commitFailures += 1 }
      }
    case RD_KAFKA_EVENT_ERROR: tell(.failed(client.error(of: event, "Kafka consumer of group \(settings.group)")))
    default: break
    }
  }

  private func rebalance(_ event: OpaquePointer) {
    let partitions = rd_kafka_event_topic_partition_list(event).map { PartitionList.elements(of: $0).map(\.partition) } ?? []
    switch rd_kafka_event_error(event) {
    case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:
      let method = method
      let replaced = state.withLock { $0.group.assigned(partitions, by: method) }
      // The member joined again without giving them up: others may own them already.
      if !replaced.isEmpty { tell(.revoked(replaced.sorted(), isLost: true)) }
      tell(.assigned(partitions))
    case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
      let isClosing = state.withLock { state in
        if !state.isClosing { state.group.revoked(partitions) }
        return state.isClosing
      }
      if isClosing {
        try? unassign(partitions)
      } else {
        tell(.revoked(partitions, isLost: rd_kafka_assignment_lost(client.handle) != 0))
      }
    case let code:
      tell(.failed(KafkaError(code, "rebalance of group \(settings.group)")))
      rd_kafka_assign(client.handle, nil)
    }
  }

  func tell(_ event: KafkaGroupEvent) {
    let waiter: CheckedContinuation<KafkaGroupEvent, Never>? = state.withLock { state in
      if let waiter = state.waiter {
        state.waiter = nil
        return waiter
      }
      if case .failed = event, state.events.count >= KafkaConsumer.failuresMax {
        state.failuresLeftOut += 1
      } else {
        state.events.append(event)
      }
      return nil
    }
    waiter?.resume(returning: event)
  }

  // MARK: The end

  /// Ends the questions that are under way, and refuses later ones.
  package func refuseQuestions() {
    let questions = state.withLock { state in
      state.refusesQuestions = true
      defer { state.questions = [:] }
      return Array(state.questions.values)
    }
    for end in questions { end() }
  }

  /// Stops all readers, leaves the group (so that others take over at once) and frees the client. A consumer that is not
  /// closed stays a member of its group.
  ///
  /// Release partitions before, if they are to be committed before: here they are just dropped.
  /// - Parameter nanoseconds: how long leaving may take; after that the group has to find out by the session time-out.
  package func close(within nanoseconds: Int64 = 5_000_000_000) async {
    let held: (readers: [KafkaPartitionReader], questions: [@Sendable () -> Void])? = state.withLock { state in
      guard !state.isClosing else { return nil }
      state.isClosing = true
      _ = state.group.closed()
      defer { (state.readers, state.questions) = ([:], [:]) }
      return (Array(state.readers.values), Array(state.questions.values))
    }
    guard let held else { return }
    for end in held.questions { end() }
    for reader in held.readers { await reader.stop() }
    let canLeave = (try? await control.run { self.leave(held.readers) }) ?? false
    await client.end(on: control, within: canLeave ? nanoseconds : 0) {
      // Requests that began before `isClosing` was set end here; later ones see it and do not begin.
      self.queries.drain()
      self.wakes.drain()
    }
    control.stop()
    queries.stop()
    wakes.stop()
    copying.stop()
    tell(.closed)
  }

  /// Begins to leave the group. False: librdkafka will not (after a fatal error).
  private func leave(_ readers: [KafkaPartitionReader]) -> Bool {
    for reader in readers { reader.release() }
    guard let queue = rd_kafka_queue_get_consumer(client.handle) else { return false }
    defer { rd_kafka_queue_destroy(queue) }
    // A revocation that was reported and never answered would hold up the leaving.
    try? unassign(nil)
    guard let error = rd_kafka_consumer_close_queue(client.handle, queue) else { return true }
    rd_kafka_error_destroy(error)
    return false
  }

  func makeReader(_ partition: KafkaPartition, at offset: Int64, queue: OpaquePointer) -> KafkaPartitionReader {
    KafkaPartitionReader(
      partition: partition, from: offset, queue: queue, settings: settings, threads: copying,
      redactor: client.redactor, refill: { [weak self] partition in self?.refill(partition) })
  }

  /// Wakes the thread of the partition's broker by a request that costs next to nothing (see `QueueBound`).
  private func refill(_ partition: KafkaPartition) {
    wakes.submit {
      if self.state.withLock({ $0.isClosing }) { return }
      var (low, high): (Int64, Int64) = (0, 0)
      rd_kafka_query_watermark_offsets(
        self.client.handle, partition.topic, partition.number, &low, &high, KafkaConsumer.wakeMilliseconds)
    }
  }

  /// An unreachable broker does not fetch either.
  private static let wakeMilliseconds: Int32 = 500

  /// Failures that were not reported because too many waited, and commits that brokers refused.
  package var untold: (failures: Int, commits: Int) { state.withLock { ($0.failuresLeftOut, $0.commitFailures) } }
}
