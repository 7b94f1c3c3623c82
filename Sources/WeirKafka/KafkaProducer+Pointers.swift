import CKafka
import Glibc

/// Records for one partition as pointers to memory of the caller's, which librdkafka copies when they are sent: the way of a load
/// driver, without anything of ours between its text and librdkafka.
package final class KafkaPointers: @unchecked Sendable {
  // Unchecked: one thread fills and sends it.
  private(set) var messages: UnsafeMutablePointer<rd_kafka_message_t>
  package private(set) var count = 0
  package let capacity: Int

  package init(capacity: Int) {
    self.capacity = capacity
    messages = .allocate(capacity: capacity)
    messages.initialize(repeating: rd_kafka_message_t(), count: capacity)
  }

  deinit { messages.deallocate() }

  /// - Precondition: there is room.
  @inline(__always)
  package func append(key: UnsafeMutableRawPointer, keyLength: Int, value: UnsafeMutableRawPointer, valueLength: Int) {
    precondition(count < capacity, "there is room")
    messages[count].key = key
    messages[count].key_len = keyLength
    messages[count].payload = value
    messages[count].len = valueLength
    count += 1
  }

  package func removeAll() { count = 0 }
}

extension KafkaProducer {
  /// Sends records to one partition, in order, on the calling thread, which it may block: it waits for room in librdkafka's buffer
  /// first, so that none of them is refused for want of it and their order stays.
  ///
  /// With an explicit partition librdkafka looks it up once a call, and asks no partitioner.
  package func sendBlocking(_ batch: KafkaPointers, to topic: String, partition: Int32) throws(KafkaError) {
    guard batch.count > 0 else { return }
    let object = try self.topic(topic)
    while Int(rd_kafka_outq_len(client.handle)) + batch.count > settings.queueRecords {
      try checkOpen()
      // On the caller's own thread (see the name): librdkafka has no call that waits for room.
      usleep(KafkaProducer.fullMicroseconds)
    }
    try checkOpen()
    let taken = Int(rd_kafka_produce_batch(object.pointer, partition, RD_KAFKA_MSG_F_COPY, batch.messages, Int32(batch.count)))
    state.withLock { $0.sent += taken }
    guard taken == batch.count else {
      let first = (0..<batch.count).first { batch.messages[$0].err != RD_KAFKA_RESP_ERR_NO_ERROR } ?? 0
      throw KafkaError(batch.messages[first].err, "cannot send to \(topic)/\(partition)")
    }
  }

  private func checkOpen() throws(KafkaError) {
    if let fatal = state.withLock({ $0.isClosing ? .misuse("the Kafka producer is closed") : $0.fatal }) { throw fatal }
  }
}
