import CKafka

extension KafkaConsumer {
  /// Begins to read partitions at the given offsets: the answer to ``KafkaGroupEvent/assigned(_:)``, with all its
  /// partitions; or, in a consumer that has not subscribed, any partitions.
  ///
  /// The order matters, as long as a record may come:
  /// 1. each partition's queue is cut off from the consumer's common one, so that no record ever takes that way;
  /// 2. its callback is set;
  /// 3. then librdkafka starts to fetch.
  package func assign(_ positions: [KafkaPartition: Int64]) async throws -> [KafkaPartitionReader] {
    let readers = try await control.run { try self.makeReaders(positions) }
    do {
      try await control.run { try self.fetch(positions) }
    } catch {
      // A reader may have been woken already, so its job is waited for like anywhere else.
      for reader in readers { await reader.stop() }
      try? await control.run { self.forget(readers) }
      throw error
    }
    return readers
  }

  private func makeReaders(_ positions: [KafkaPartition: Int64]) throws(KafkaError) -> [KafkaPartitionReader] {
    try state.withLock { state throws(KafkaError) in try state.group.assign(Set(positions.keys)) }
    var readers: [KafkaPartitionReader] = []
    for (partition, offset) in positions.sorted(by: { $0.key < $1.key }) {
      guard let queue = rd_kafka_queue_get_partition(client.handle, partition.topic, partition.number) else {
        forget(readers)
        throw KafkaError(RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, "cannot read \(partition)", partition: partition)
      }
      rd_kafka_queue_forward(queue, nil)
      readers.append(makeReader(partition, at: offset, queue: queue))
    }
    state.withLock { state in for reader in readers { state.readers[reader.partition] = reader } }
    for reader in readers { reader.start() }
    return readers
  }

  private func fetch(_ positions: [KafkaPartition: Int64]) throws(KafkaError) {
    // `close` sets this before it queues its own job after this one: so the client is still there.
    if state.withLock({ $0.isClosing }) { throw .misuse("the Kafka consumer is closed") }
    let list = PartitionList(positions)
    switch method {
    case .whole: try check(rd_kafka_assign(client.handle, list.list), "assign")
    case .incremental: try check(rd_kafka_incremental_assign(client.handle, list.list), "assign")
    }
  }

  /// Undoes `makeReaders`.
  private func forget(_ readers: [KafkaPartitionReader]) {
    state.withLock { state in
      for reader in readers { state.readers[reader.partition] = nil }
      _ = try? state.group.release(Set(readers.map(\.partition)))
    }
    for reader in readers { reader.release() }
  }

  /// Ends reading partitions: the answer to ``KafkaGroupEvent/revoked(_:isLost:)``, with all its partitions; or, in a
  /// consumer that has not subscribed, any that are assigned. Records that were not asked for yet are forgotten.
  ///
  /// 1. The reader is stopped: a caller that waits in `next()` gets `closed`, and no job touches the queue any more;
  /// 2. librdkafka stops fetching: what still comes in is of an older version, which it throws away itself;
  /// 3. the callback is removed and the queue given back.
  package func release(_ partitions: some Collection<KafkaPartition> & Sendable) async throws {
    let released = Set(partitions)
    let readers = try state.withLock { state throws(KafkaError) in
      let held = try state.group.release(released)
      return held.compactMap { state.readers.removeValue(forKey: $0) }
    }
    for reader in readers { await reader.stop() }
    try await control.run {
      defer { for reader in readers { reader.release() } }
      // After a close there is nothing to report; the consumer has left the group.
      if !self.state.withLock({ $0.isClosing }) { try self.unassign(Array(released)) }
    }
  }

  /// Gives up partitions at librdkafka; nil: all.
  func unassign(_ partitions: [KafkaPartition]?) throws(KafkaError) {
    switch method {
    case .whole: try check(rd_kafka_assign(client.handle, nil), "release")
    case .incremental:
      let list = PartitionList(partitions ?? currentAssignment())
      try check(rd_kafka_incremental_unassign(client.handle, list.list), "release")
    }
  }

  private func currentAssignment() -> [KafkaPartition] {
    var list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
    guard rd_kafka_assignment(client.handle, &list) == RD_KAFKA_RESP_ERR_NO_ERROR, let list else { return [] }
    defer { rd_kafka_topic_partition_list_destroy(list) }
    return PartitionList.elements(of: list).map(\.partition)
  }

  /// Which calls librdkafka takes now: in a group of the eager protocol the whole assignment is replaced.
  var method: GroupMachine.Method {
    guard let name = rd_kafka_rebalance_protocol(client.handle) else { return .incremental }
    return String(cString: name) == "EAGER" ? .whole : .incremental
  }

  private func check(_ code: rd_kafka_resp_err_t, _ action: String) throws(KafkaError) {
    if code != RD_KAFKA_RESP_ERR_NO_ERROR { throw KafkaError(code, "cannot \(action) partitions of group \(settings.group)") }
  }

  private func check(_ error: OpaquePointer?, _ action: String) throws(KafkaError) {
    guard let error else { return }
    defer { rd_kafka_error_destroy(error) }
    throw KafkaError(
      rd_kafka_error_code(error), "cannot \(action) partitions of group \(settings.group)",
      detail: rd_kafka_error_string(error).map { client.redactor.clean(String(cString: $0)) })
  }
}
