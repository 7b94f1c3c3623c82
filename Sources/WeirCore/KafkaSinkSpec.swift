/// Tables whose rows go to Kafka topics too, as a plan holds it. No part of the plan's meaning: no row of a table depends on it.
public struct KafkaSinkSpec: Sendable, Hashable, Codable {
  /// One table's way to a topic.
  public struct Route: Sendable, Hashable, Codable {
    /// `gold/NAME`, `late/NAME`, `quarantine/STREAM`.
    public var table: String
    public var topic: String

    public init(table: String, topic: String) {
      self.table = table
      self.topic = topic
    }
  }

  /// Where a route begins that has published nothing yet.
  public enum Start: String, Sendable, Hashable, Codable, CaseIterable {
    /// At the oldest entry that the ledger still has.
    case earliest
    /// Behind the ledger's newest entry.
    case latest
  }

  public enum Compression: String, Sendable, Hashable, Codable, CaseIterable { case none, gzip, snappy, lz4, zstd }

  /// nil: the source's, with its identity.
  public var brokers: String?
  /// In the order of their tables.
  public var routes: [Route]
  public var start = Start.earliest
  public var compression = Compression.none
  /// Which partition a key goes to.
  public var partitioner = Partitioner.murmur2
  /// Ledger entries that the topics may be behind while workers read on; then they wait (law 5).
  public var behindMax: Int64 = KafkaSinkSpec.behindByDefault
  public var tls: KafkaSettingsSpec.TLS?
  public var sasl: KafkaSettingsSpec.SASL?
  public var options: [String: String] = [:]

  public static let behindByDefault: Int64 = 64

  public init(brokers: String?, routes: [Route]) {
    self.brokers = brokers
    self.routes = routes
  }
}
