import WeirCore

/// How to reach a cluster: brokers, encryption, identity. Shared by consumers and producers.
///
/// Holds no secret, only where secrets are (``Secret``): printing it is safe.
package struct KafkaConnection: Sendable, Hashable {
  /// `host:port`, separated by commas.
  package var brokers: String
  /// nil: not encrypted.
  package var tls: KafkaTLS?
  /// nil: no user.
  package var sasl: KafkaSASL?
  /// The name that brokers show in their logs and quotas.
  package var clientID = "weir"
  /// Further librdkafka options, as they are in its documentation: those of an allow-list that only tune sizes, times and logs
  /// (``KafkaOptions``).
  package var options: [String: String] = [:]

  package init(brokers: String) { self.brokers = brokers }
}

/// Encryption, with or without a certificate of the client's own (mutual TLS).
package struct KafkaTLS: Sendable, Hashable {
  /// PEM file of the authorities to trust; nil: the system's.
  package var authorities: String?
  /// PEM file of the client's certificate.
  package var certificate: String?
  /// The client's private key, PEM.
  package var key: Secret?
  /// The password of ``key``.
  package var keyPassword: Secret?
  /// Whether the broker's certificate must carry its host's name.
  package var checksHostName = true

  package init() {}

  /// The setting, and its place, that librdkafka could not use: its own words have only its own option. nil: another one.
  func place(ofFailure words: String) -> String? {
    if let authorities, words.contains("ssl.ca.location") { return "tls.ca: \(authorities)" }
    if let certificate, words.contains("ssl.certificate.location") { return "tls.certificate: \(certificate)" }
    if let key, words.contains("ssl.key.pem") || words.contains("ssl_key") { return "tls.key: the \(key)" }
    return nil
  }
}

/// How a client says who it is.
package enum KafkaSASL: Sendable, Hashable {
  package enum Hash: String, Sendable { case sha256 = "SCRAM-SHA-256", sha512 = "SCRAM-SHA-512" }

  case plain(user: Secret, password: Secret)
  case scram(Hash, user: Secret, password: Secret)
  /// A bearer token (JWT). Read again each time that it is about to expire: have something renew the file.
  case bearer(token: Secret)
  /// Bearer tokens that a function makes, each time that one is about to expire.
  case tokens(KafkaTokens)
}

/// Makes bearer tokens for a client. Two of them are equal if their words are.
package struct KafkaTokens: Sendable, Hashable, CustomStringConvertible {
  package struct Token: Sendable {
    /// The token itself: a secret.
    package var text: String
    /// Seconds since 1970.
    package var expirySeconds: Int64

    package init(_ text: String, expirySeconds: Int64) { (self.text, self.expirySeconds) = (text, expirySeconds) }
  }

  /// What is made, for errors: `IAM token`.
  package let description: String
  /// Called on a client's own thread, which it may block for some seconds.
  let make: @Sendable () throws(WeirError) -> Token

  package init(_ description: String, _ make: @escaping @Sendable () throws(WeirError) -> Token) {
    (self.description, self.make) = (description, make)
  }

  package static func == (a: KafkaTokens, b: KafkaTokens) -> Bool { a.description == b.description }
  package func hash(into hasher: inout Hasher) { hasher.combine(description) }
}

/// Where to begin a partition for which there is no position yet.
package enum KafkaStart: Sendable, Hashable {
  case earliest
  /// Records that arrive after now.
  case latest
  /// The first record whose timestamp is at or after this; UTC milliseconds since 1970.
  case timestamp(Int64)
  /// Partitions that are not named begin at the earliest.
  case offsets([KafkaPartition: Int64])
}

/// What a consumer reads, and how much of it is ready in memory.
package struct KafkaConsumerSettings: Sendable, Hashable {
  /// How partitions are spread over a group's members.
  package enum Strategy: String, Sendable {
    /// Everything is given back at each change of the group, then assigned again.
    case eager = "range,roundrobin"
    /// Only what moves is given back.
    case cooperative = "cooperative-sticky"
  }

  package enum Isolation: String, Sendable {
    /// Records of aborted transactions are left out, and those of open ones held back.
    case readCommitted = "read_committed"
    case readUncommitted = "read_uncommitted"
  }

  package var connection: KafkaConnection
  /// Names, or with a leading `^` patterns (POSIX extended). With patterns, topics that come later are taken in.
  package var topics: [String]
  package var group: String
  package var strategy = Strategy.eager
  /// `group.instance.id`: a member that comes back under the same name within the session time-out gets its
  /// partitions back without a rebalance.
  package var instance: String?
  package var isolation = Isolation.readCommitted
  /// A member not heard of for this long has lost its partitions.
  package var sessionTimeoutMilliseconds = 45_000
  /// How long the group waits for its members when it changes, and a member for the group's answer before it asks again. No
  /// less than the session time-out.
  package var rebalanceTimeoutMilliseconds = 60_000
  /// How often the client asks which topics and partitions there are.
  package var topicRefreshMilliseconds = 30_000
  /// The largest record that can be read.
  package var recordBytesMax = 10 << 20
  /// Back-pressure: fetching for a partition stops when this much of it is unread in librdkafka.
  package var queueBytesPerPartition = 16 << 20
  package var queueRecordsPerPartition = 100_000
  /// Text of one block; a larger record gets a block of its own size.
  package var blockBytes = 1 << 20
  /// Blocks made ahead of the reader of a partition.
  package var blocksAhead = 1
  /// Threads that copy records out of librdkafka into blocks.
  package var readerThreads = 1
  /// librdkafka's statistics come this often; 0: not at all.
  package var statisticsIntervalMilliseconds = 0

  package init(connection: KafkaConnection, topics: [String], group: String) {
    self.connection = connection
    self.topics = topics
    self.group = group
  }
}

/// How a producer batches. Always idempotent: a repeated request cannot repeat or reorder records.
package struct KafkaProducerSettings: Sendable, Hashable {
  package enum Compression: String, Sendable { case none, gzip, snappy, lz4, zstd }

  /// Who goes to which partition, by key.
  package enum Partitioner: String, Sendable {
    /// As Java clients do; records without a key anywhere.
    case murmur2 = "murmur2_random"
    /// librdkafka's own default.
    case crc32 = "consistent_random"
    case fnv1a = "fnv1a_random"
  }

  /// Which records librdkafka acknowledges one by one. Both are exact in numbers.
  package enum Reports: Sendable {
    /// Failures only: less work for each record.
    case failures
    case all
  }

  package var connection: KafkaConnection
  package var compression = Compression.none
  package var partitioner = Partitioner.murmur2
  /// Records without a key all go to one partition, not anywhere: who sends a record again must hit the same one.
  package var fixesKeyless = false
  package var reports = Reports.failures
  /// How long a record may wait for others to share a request with.
  package var lingerMilliseconds = 5
  package var batchBytes = 1 << 20
  package var batchRecords = 10_000
  /// The largest record that can be sent.
  package var recordBytesMax = 10 << 20
  /// Back-pressure: sending waits while this much is not yet acknowledged.
  package var queueRecords = 500_000
  package var queueBytes = 512 << 20
  /// After a record that cannot be delivered no later one is: the producer is broken for good instead.
  package var isGapless = false
  /// A record that is not acknowledged for this long has failed; 0: never.
  package var deliveryTimeoutMilliseconds = 120_000
  package var statisticsIntervalMilliseconds = 0

  package init(connection: KafkaConnection) { self.connection = connection }
}

/// Where a client's talk goes: closures that must return soon, called on the client's own thread.
package struct KafkaObserver: Sendable {
  /// A line of librdkafka's log: syslog level (0 worst, 7 debug), facility, text.
  package var log: @Sendable (_ level: Int, _ facility: String, _ text: String) -> Void
  /// librdkafka's statistics, JSON.
  package var statistics: @Sendable (String) -> Void

  package init(
    log: @escaping @Sendable (Int, String, String) -> Void = { _, _, _ in },
    statistics: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.log = log
    self.statistics = statistics
  }
}
