import CKafka
import WeirCore

extension KafkaProducer {
  /// Makes a topic; one that is there already is left as it is. (The mock cluster does not answer this request.)
  package func createTopic(_ topic: String, partitions: Int, replicas: Int = -1) async throws {
    let handle = Handle(pointer: client.handle)
    let queries = BlockingThreads.kafka(1, "kafka-admin")
    defer { queries.stop() }
    try await queries.run { try KafkaProducer.create(handle, topic, partitions, replicas) }
  }

  private static let adminMilliseconds: Int32 = 30_000

  private static func create(_ handle: Handle, _ topic: String, _ partitions: Int, _ replicas: Int) throws(KafkaError) {
    var text = [CChar](repeating: 0, count: 512)
    guard let wish = rd_kafka_NewTopic_new(topic, Int32(partitions), Int32(replicas), &text, text.count) else {
      throw .settings("cannot create the topic \(topic): \(KafkaConfiguration.string(text))")
    }
    defer { rd_kafka_NewTopic_destroy(wish) }
    let queue = rd_kafka_queue_new(handle.pointer)
    defer { rd_kafka_queue_destroy(queue) }
    var wishes: [OpaquePointer?] = [wish]
    rd_kafka_CreateTopics(handle.pointer, &wishes, 1, nil, queue)
    guard let event = rd_kafka_queue_poll(queue, adminMilliseconds) else {
      throw KafkaError(RD_KAFKA_RESP_ERR__TIMED_OUT, "cannot create the topic \(topic)")
    }
    defer { rd_kafka_event_destroy(event) }
    let code = rd_kafka_event_error(event)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, "cannot create the topic \(topic)") }
    var count = 0
    guard let results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count) else { return }
    for index in 0..<count {
      let code = rd_kafka_topic_result_error(results[index])
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS else {
        throw KafkaError(code, "cannot create the topic \(topic)")
      }
    }
  }
}
