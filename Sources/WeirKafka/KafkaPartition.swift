import CKafka
import Glibc

/// One partition of a topic: a shard in the words of the engine.
package struct KafkaPartition: Hashable, Sendable, Comparable, CustomStringConvertible {
  package var topic: String
  package var number: Int32

  package init(_ topic: String, _ number: Int32) {
    self.topic = topic
    self.number = number
  }

  /// Of a shard's name, `topic/3`; names of topics hold no "/".
  init(shard: String) throws(KafkaError) {
    let parts = shard.split(separator: "/")
    guard parts.count == 2, let number = Int32(parts[1]) else { throw .misuse("\(shard) names no Kafka partition") }
    self.init(String(parts[0]), number)
  }

  /// The name of the shard: `topic/3`.
  package var description: String { "\(topic)/\(number)" }

  package static func < (a: KafkaPartition, b: KafkaPartition) -> Bool { (a.topic, a.number) < (b.topic, b.number) }
}

/// What a partition holds, at one moment.
package struct KafkaWatermarks: Hashable, Sendable {
  /// The first offset that is still there.
  package var low: Int64
  /// The offset that the next record will get.
  package var high: Int64

  package init(low: Int64, high: Int64) {
    self.low = low
    self.high = high
  }
}

/// librdkafka's list of partitions, owned.
struct PartitionList: ~Copyable {
  let list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>

  init(capacity: Int) {
    list = rd_kafka_topic_partition_list_new(Int32(capacity))
  }

  init(_ partitions: some Collection<KafkaPartition>) {
    self.init(capacity: partitions.count)
    for partition in partitions { add(partition) }
  }

  /// - Parameter metadata: what the broker keeps with each offset.
  init(_ positions: [KafkaPartition: Int64], metadata: String = "") {
    self.init(capacity: positions.count)
    for (partition, offset) in positions.sorted(by: { $0.key < $1.key }) {
      guard let element = add(partition, offset: offset), !metadata.isEmpty else { continue }
      // librdkafka frees it with the list.
      element.pointee.metadata = UnsafeMutableRawPointer(strdup(metadata))
      element.pointee.metadata_size = metadata.utf8.count
    }
  }

  @discardableResult
  func add(_ partition: KafkaPartition, offset: Int64? = nil) -> UnsafeMutablePointer<rd_kafka_topic_partition_t>? {
    let element = rd_kafka_topic_partition_list_add(list, partition.topic, partition.number)
    if let offset, let element { element.pointee.offset = offset }
    return element
  }

  deinit { rd_kafka_topic_partition_list_destroy(list) }

  /// What a list of librdkafka's holds: (partition, offset, error).
  static func elements(
    of list: UnsafePointer<rd_kafka_topic_partition_list_t>
  ) -> [(partition: KafkaPartition, offset: Int64, error: rd_kafka_resp_err_t)] {
    (0..<Int(list.pointee.cnt)).map { index in
      let element = list.pointee.elems[index]
      return (KafkaPartition(String(cString: element.topic), element.partition), element.offset, element.err)
    }
  }

  /// What the broker keeps with each offset: texts, in the order of ``elements(of:)``.
  var metadata: [String] {
    (0..<Int(list.pointee.cnt)).map { index in
      let element = list.pointee.elems[index]
      return element.metadata.map { String(decoding: UnsafeRawBufferPointer(start: $0, count: element.metadata_size), as: UTF8.self) } ?? ""
    }
  }
}
