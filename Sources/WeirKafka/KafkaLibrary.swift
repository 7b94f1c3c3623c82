import CKafka

/// The Kafka client library that this process runs with, which may be newer than the one it was built with.
package enum KafkaLibrary {
  package static var version: String { String(cString: rd_kafka_version_str()) }

  /// 2.3.0, as `rd_kafka_version` gives it. Older ones end the process with an assertion when a client is closed while its group joins by
  /// the cooperative protocol (librdkafka's issue 4312).
  static let cooperativeSince: Int32 = 0x0203_00FF

  /// Why a strategy cannot be used with the library of this version; nil: it can.
  static func refusal(of strategy: KafkaConsumerSettings.Strategy, version number: Int32 = rd_kafka_version()) -> String? {
    guard strategy == .cooperative, number < cooperativeSince else { return nil }
    return
      "assignment: cooperative needs librdkafka 2.3.0 or newer, and this is \(version): it can abort the process when a worker stops while its group is joining"
  }
}
