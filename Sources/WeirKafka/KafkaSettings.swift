import WeirCore

/// How to reach a cluster: brokers, encryption, identity. Shared by consumers and producers.
///
/// Holds no secret, only where secrets are (``Secret``): printing it is safe.
public struct KafkaConnection: Sendable, Hashable {
  /// `host:port`, separated by commas.
  public var brokers: String
  /// nil: not encrypted.
  public var tls: KafkaTLS?
  /// nil: no user.
  public var sasl: KafkaSASL?
  /// The name that brokers show in their logs and quotas.
  public var clientID = "weir"
  /// Further librdkafka options, as they are in its documentation: those of an allow-list that only tune sizes, times and logs
  /// (``KafkaOptions``).
  public var options: [String: String] = [:]

  public init(brokers: String) { self.brokers = brokers }
}

/// Encryption, with or without a certificate of the client's own (mutual TLS).
public struct KafkaTLS: Sendable, Hashable {
  /// PEM file of the authorities to trust; nil: the system's.
  public var authorities: String?
  /// PEM file of the client's certificate.
  public var certificate: String?
  /// The client's private key, PEM.
  public var key: Secret?
  /// The password of ``key``.
  public var keyPassword: Secret?
  /// Whether the broker's certificate must carry its host's name.
  public var checksHostName = true

  public init() {}

  /// The setting, and its place, that librdkafka could not use: its own words have only its own option. nil: another one.
  func place(ofFailure words: String) -> String? {
    if let authorities, words.contains("ssl.ca.location") { return "tls.ca: \(authorities)" }
    if let certificate, words.contains("ssl.certificate.location") { return "tls.certificate: \(certificate)" }
    if let key, words.contains("ssl.key.pem") || words.contains("ssl_key") { return "tls.key: the \(key)" }
    return nil
  }
}

/// How a client says who it is.
public enum KafkaSASL: Sendable, Hashable {
  public enum Hash: String, Sendable { case sha256 = "SCRAM-SHA-256", sha512 = "SCRAM-SHA-512" }

  case plain(user: Secret, password: Secret)
  case scram(Hash, user: Secret, password: Secret)
  /// A bearer token (JWT). Read again each time that it is about to expire: have something renew the file.
  case bearer(token: Secret)
}

/// Where to begin a partition for which there is no position yet.
public enum KafkaStart: Sendable, Hashable {
  case earliest
  /// Records that arrive after now.
  case latest
  /// The first record whose timestamp is at or after this; UTC milliseconds since 1970.
  case timestamp(Int64)
  /// Partitions that are not named begin at the earliest.
  case offsets([KafkaPartition: Int64])
}

/// What a consumer reads, and how much of it is ready in memory.
public struct KafkaConsumerSettings: Sendable, Hashable {
  /// How partitions are spread over a group's members.
  public enum Strategy: String, Sendable {
    /// Everything is given back at each change of the group, then assigned again.
    case eager = "range,roundrobin"
    /// Only what moves is given back.
    case cooperative = "cooperative-sticky"
  }

  public enum Isolation: String, Sendable {
    /// Records of aborted transactions are left out, and those of open ones held back.
    case readCommitted = "read_committed"
    case readUncommitted = "read_uncommitted"
  }

  public var connection: KafkaConnection
  /// Names, or with a leading `^` patterns (POSIX extended). With patterns, topics that come later are taken in.
  public var topics: [String]
  public var group: String
  public var strategy = Strategy.eager
  /// `group.instance.id`: a member that comes back under the same name within the session time-out gets its
  /// partitions back without a rebalance.
  public var instance: String?
  public var isolation = Isolation.readCommitted
  /// A member not heard of for this long has lost its partitions.
  public var sessionTimeoutMilliseconds = 45_000
  /// How long the group waits for its members when it changes, and a member for the group's answer before it asks again. No
  /// less than the session time-out.
  public var rebalanceTimeoutMilliseconds = 60_000
  /// How often the client asks which topics and partitions there are.
  public var topicRefreshMilliseconds = 30_000
  /// The largest record that can be read.
  public var recordBytesMax = 10 << 20
  /// Back-pressure: fetching for a partition stops when this much of it is unread in librdkafka.
  public var queueBytesPerPartition = 16 << 20
  public var queueRecordsPerPartition = 100_000
  /// Text of one block; a larger record gets a block of its own size.
  public var blockBytes = 1 << 20
  /// Blocks made ahead of the reader of a partition.
  public var blocksAhead = 1
  /// Threads that copy records out of librdkafka into blocks.
  public var readerThreads = 1
  /// librdkafka's statistics come this often; 0: not at all.
  public var statisticsIntervalMilliseconds = 0

  public init(connection: KafkaConnection, topics: [String], group: String) {
    self.connection = connection
    self.topics = topics
    self.group = group
  }
}

/// How a producer batches. Always idempotent: a repeated request cannot repeat or reorder records.
public struct KafkaProducerSettings: Sendable, Hashable {
  public enum Compression: String, Sendable { case none, gzip, snappy, lz4, zstd }

  /// Who goes to which partition, by key.
  public enum Partitioner: String, Sendable {
    /// As Java clients do; records without a key anywhere.
    case murmur2 = "murmur2_random"
    /// librdkafka's own default.
    case crc32 = "consistent_random"
    case fnv1a = "fnv1a_random"
  }

  /// Which records librdkafka acknowledges one by one. Both are exact in numbers.
  public enum Reports: Sendable {
    /// Failures only: less work for each record.
    case failures
    case all
  }

  public var connection: KafkaConnection
  public var compression = Compression.none
  public var partitioner = Partitioner.murmur2
  /// Records without a key all go to one partition, not anywhere: who sends a record again must hit the same one.
  public var fixesKeyless = false
  public var reports = Reports.failures
  /// How long a record may wait for others to share a request with.
  public var lingerMilliseconds = 5
  public var batchBytes = 1 << 20
  public var batchRecords = 10_000
  /// The largest record that can be sent.
  public var recordBytesMax = 10 << 20
  /// Back-pressure: sending waits while this much is not yet acknowledged.
  public var queueRecords = 500_000
  public var queueBytes = 512 << 20
  /// After a record that cannot be delivered no later one is: the producer is broken for good instead.
  public var isGapless = false
  /// A record that is not acknowledged for this long has failed; 0: never.
  public var deliveryTimeoutMilliseconds = 120_000
  public var statisticsIntervalMilliseconds = 0

  public init(connection: KafkaConnection) { self.connection = connection }
}

/// Where a client's talk goes: closures that must return soon, called on the client's own thread.
public struct KafkaObserver: Sendable {
  /// A line of librdkafka's log: syslog level (0 worst, 7 debug), facility, text.
  public var log: @Sendable (_ level: Int, _ facility: String, _ text: String) -> Void
  /// librdkafka's statistics, JSON.
  public var statistics: @Sendable (String) -> Void

  public init(
    log: @escaping @Sendable (Int, String, String) -> Void = { _, _, _ in },
    statistics: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.log = log
    self.statistics = statistics
  }
}
