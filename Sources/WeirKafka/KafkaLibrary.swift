import CKafka

/// The Kafka client library that this process runs with, which may be newer than the one it was built with.
package enum KafkaLibrary {
  package static var version: String { String(cString: rd_kafka_version_str()) }
}
