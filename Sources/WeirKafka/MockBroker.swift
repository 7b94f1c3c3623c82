import CKafka

/// librdkafka's mock cluster: brokers over real TCP on loopback, for tests and trials.
///
/// What it cannot do (2.0.2): it keeps about 5 MB or 100,000 batches of a partition and drops the older ones; nothing
/// survives its end; it looks no offset up by time, hides no aborted transaction, and makes no topic by request
/// (``createTopic(_:partitions:)`` does).
package final class MockBroker: @unchecked Sendable {
  // Unchecked: both are librdkafka's, whose calls are thread-safe; they are freed once, at the end of this object.
  private let client: OpaquePointer
  private let cluster: OpaquePointer

  /// Starts the brokers, on ports that the system chooses.
  /// - Parameter isTalking: logs to standard error what its groups and connections do.
  package init(brokers: Int = 1, isTalking: Bool = false) throws(KafkaError) {
    let conf = rd_kafka_conf_new()
    var text = [CChar](repeating: 0, count: 512)
    if isTalking {
      rd_kafka_conf_set(conf, "debug", "mock", &text, text.count)
    } else {
      // It would say that it knows no brokers, which is so.
      rd_kafka_conf_set_log_cb(conf, nil)
    }
    guard let client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, &text, text.count) else {
      rd_kafka_conf_destroy(conf)
      throw .settings("mock broker: \(KafkaConfiguration.string(text))")
    }
    guard let cluster = rd_kafka_mock_cluster_new(client, Int32(brokers)) else {
      rd_kafka_destroy(client)
      throw .settings("the mock broker cannot open its ports")
    }
    self.client = client
    self.cluster = cluster
  }

  deinit {
    rd_kafka_mock_cluster_destroy(cluster)
    rd_kafka_destroy(client)
  }

  /// `127.0.0.1:port`, separated by commas.
  package var bootstrap: String { String(cString: rd_kafka_mock_cluster_bootstraps(cluster)) }

  package func createTopic(_ topic: String, partitions: Int) throws(KafkaError) {
    let code = rd_kafka_mock_topic_create(cluster, topic, Int32(partitions), 1)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, "cannot create the topic \(topic)") }
  }

  /// Lets a topic be unknown from now on, as far as the mock can: metadata say so, and the next fetches. It keeps its records.
  package func deleteTopic(_ topic: String) {
    rd_kafka_mock_topic_set_error(cluster, topic, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
    fail(1, with: Array(repeating: RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, count: MockBroker.fetchesAfterDeletion))
  }

  /// A client that has heard it once asks what topics there are.
  private static let fetchesAfterDeletion = 16

  /// Cuts all connections and takes no new ones, until ``setUp()``. What was stored stays.
  package func setDown() { rd_kafka_mock_broker_set_down(cluster, -1) }

  package func setUp() { rd_kafka_mock_broker_set_up(cluster, -1) }

  /// Delays every answer.
  package func setDelay(milliseconds: Int) { rd_kafka_mock_broker_set_rtt(cluster, -1, Int32(milliseconds)) }

  /// Answers everything, but hands out no record to fetches, as a new leader that does not know its end yet: for longer than a test takes.
  func deliverNothing() { fail(1, with: Array(repeating: RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, count: 100_000)) }

  /// Lets the next requests of a kind (Kafka's number for it: 0 produce, 1 fetch) fail with the given errors.
  func fail(_ request: Int16, with errors: [rd_kafka_resp_err_t]) {
    rd_kafka_mock_push_request_errors_array(cluster, request, errors.count, errors)
  }
}
