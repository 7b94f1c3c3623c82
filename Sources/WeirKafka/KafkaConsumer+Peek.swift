import CKafka
import WeirCore

/// What a partition holds at an offset.
package enum KafkaPeek: Sendable {
  /// The record at this very offset, alone in its block.
  case record(KafkaBlock)
  /// No record, although the partition continues after it.
  case absent
  /// The partition begins after it.
  case trimmed(KafkaWatermarks)
  /// The partition ends at or before it.
  case ended(KafkaWatermarks)
}

extension KafkaConsumer {
  package static let peekMilliseconds: Int64 = 10_000

  /// Reads single records, one of each partition: for a consumer that does nothing else.
  ///
  /// A record that is handed out counts more than what the broker says of its partition's end, which may be too low for a while.
  /// - Parameter milliseconds: how long a broker may take to hand the records out.
  /// - Throws: a ``KafkaError``; one that may pass where a broker does not answer in time.
  package func peek(
    _ offsets: [KafkaPartition: Int64], within milliseconds: Int64 = KafkaConsumer.peekMilliseconds
  ) async throws -> [KafkaPartition: KafkaPeek] {
    try await query { [client] handle throws(KafkaError) in
      var peeks = PartitionPeeks(handle: handle.pointer, redactor: client.redactor)
      defer { peeks.end() }
      try peeks.begin(offsets)
      let endsAt = KafkaClient.now + milliseconds * 1_000_000
      var found: [KafkaPartition: KafkaPeek] = [:]
      for partition in offsets.keys.sorted() {
        if let peek = try peeks.take(partition, until: endsAt) {
          found[partition] = peek
        } else {
          found[partition] = try KafkaConsumer.peekWithoutAnswer(handle, partition, offsets[partition] ?? 0)
        }
      }
      return found
    }
  }

  /// Nothing came, and nothing was said about it: some brokers just wait where there is no such offset.
  private static func peekWithoutAnswer(
    _ handle: Handle, _ partition: KafkaPartition, _ offset: Int64
  ) throws(KafkaError) -> KafkaPeek {
    let bounds = try watermarks(handle, partition)
    if offset < bounds.low { return .trimmed(bounds) }
    if offset >= bounds.high { return .ended(bounds) }
    // The broker answers, and gives no record there in all this time. That is neither match nor mismatch: a worker must not end by it.
    return .absent
  }
}

/// Partitions that are assigned for one record each, with their queues.
private struct PartitionPeeks {
  let handle: OpaquePointer
  let redactor: Redactor
  private var queues: [KafkaPartition: (queue: OpaquePointer, offset: Int64)] = [:]
  private var isAssigned = false

  init(handle: OpaquePointer, redactor: Redactor) {
    self.handle = handle
    self.redactor = redactor
  }

  /// The queues are cut off from the common one before anything is fetched.
  mutating func begin(_ offsets: [KafkaPartition: Int64]) throws(KafkaError) {
    for (partition, offset) in offsets {
      guard let queue = rd_kafka_queue_get_partition(handle, partition.topic, partition.number) else {
        throw KafkaError(RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, "cannot read \(partition)", partition: partition)
      }
      rd_kafka_queue_forward(queue, nil)
      queues[partition] = (queue, offset)
    }
    try call("assign") { rd_kafka_incremental_assign(handle, $0) }
    isAssigned = true
  }

  mutating func end() {
    if isAssigned { try? call("release") { rd_kafka_incremental_unassign(handle, $0) } }
    for (queue, _) in queues.values { rd_kafka_queue_destroy(queue) }
    queues = [:]
  }

  private func call(
    _ action: String, _ body: (UnsafeMutablePointer<rd_kafka_topic_partition_list_t>) -> OpaquePointer?
  ) throws(KafkaError) {
    let list = PartitionList(queues.mapValues(\.offset))
    guard let error = body(list.list) else { return }
    defer { rd_kafka_error_destroy(error) }
    throw KafkaError(rd_kafka_error_code(error), "cannot \(action) partitions to look at single records")
  }

  /// - Returns: nil: nothing was said in time.
  func take(_ partition: KafkaPartition, until endsAt: Int64) throws(KafkaError) -> KafkaPeek? {
    guard let (queue, offset) = queues[partition] else { return nil }
    while true {
      let left = max(0, endsAt - KafkaClient.now) / 1_000_000
      guard let message = rd_kafka_consume_queue(queue, Int32(left)) else { return nil }
      defer { rd_kafka_message_destroy(message) }
      switch message.pointee.err {
      case RD_KAFKA_RESP_ERR_NO_ERROR:
        if message.pointee.offset < offset { continue }
        return message.pointee.offset > offset ? .absent : .record(block(message, partition))
      case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        if message.pointee.offset > offset { return .absent }
        return .ended(try KafkaConsumer.watermarks(.init(pointer: handle), partition, ends: message.pointee.offset))
      case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        let bounds = try KafkaConsumer.watermarks(.init(pointer: handle), partition)
        return offset < bounds.low ? .trimmed(bounds) : .ended(bounds)
      case let code:
        let detail = rd_kafka_message_errstr(message).map { redactor.clean(String(cString: $0)) }
        throw KafkaError(code, "cannot read \(partition) at offset \(offset)", detail: detail, partition: partition)
      }
    }
  }

  private func block(_ message: UnsafeMutablePointer<rd_kafka_message_t>, _ partition: KafkaPartition) -> KafkaBlock {
    var builder = KafkaBlockBuilder(partition: partition, bytes: 0, records: 1)
    // The first record always fits.
    _ = builder.add(message)
    return builder.finish(next: message.pointee.offset + 1)
  }
}
