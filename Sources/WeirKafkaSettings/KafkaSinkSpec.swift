import WeirCore

/// The settings of `sinks: {kafka: …}`, as a plan holds them.
public struct KafkaSinkSpec: SinkSettings {
  public static let adapter = "kafka"

  public enum Compression: String, Sendable, Hashable, Codable, CaseIterable { case none, gzip, snappy, lz4, zstd }

  /// nil: the source's, with its identity.
  public var brokers: String?
  public var compression = Compression.none
  /// Which partition a key goes to.
  public var partitioner = Partitioner.murmur2
  public var tls: TLSSpec?
  public var sasl: KafkaSettingsSpec.SASL?
  public var options: [String: String] = [:]

  public init(brokers: String?) { self.brokers = brokers }

  public var place: String? { brokers }

  /// The source's brokers are used where the sink has none of its own.
  public func missing(with source: any SourceSettings) -> String? { brokers == nil && !(source is KafkaSourceSpec) ? "brokers" : nil }

  public func isTopic(_ name: String) -> Bool { KafkaNames.isTopic(name) }
}
