import WeirCore

/// The settings of `sinks: {kafka: …}`, as a plan holds them.
package struct KafkaSinkSpec: SinkSettings {
  package static let adapter = "kafka"

  package enum Compression: String, Sendable, Hashable, Codable, CaseIterable { case none, gzip, snappy, lz4, zstd }

  /// nil: the source's, with its identity.
  package var brokers: String?
  package var compression = Compression.none
  /// Which partition a key goes to.
  package var partitioner = Partitioner.murmur2
  package var tls: TLSSpec?
  package var sasl: KafkaSettingsSpec.SASL?
  package var options: [String: String] = [:]

  package init(brokers: String?) { self.brokers = brokers }

  package var place: String? { brokers }

  /// The source's brokers are used where the sink has none of its own.
  package func missing(with source: any SourceSettings) -> String? { brokers == nil && !(source is KafkaSourceSpec) ? "brokers" : nil }

  package func isTopic(_ name: String) -> Bool { KafkaNames.isTopic(name) }
}
