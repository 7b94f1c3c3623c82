import WeirCore

/// The settings of `source: {kafka: …}`, as a plan holds them.
package struct KafkaSourceSpec: SourceSettings {
  package static let adapter = "kafka"

  /// Names of topics, or patterns of names: POSIX extended regular expressions that begin with `^`.
  package var topics: [String]
  /// The producers' rule for keys; nil: recognised from the records, and kept in the ledger.
  package var partitioner: Partitioner?
  /// What becomes of a pipeline whose keys are not where the rule puts them.
  package var misplaced: Misplaced
  /// How to reach it: no part of the plan's meaning.
  package var settings: KafkaSettingsSpec

  package init(
    topics: [String], partitioner: Partitioner? = nil, misplaced: Misplaced = .halt, settings: KafkaSettingsSpec = .init()
  ) {
    self.topics = topics
    self.partitioner = partitioner
    self.misplaced = misplaced
    self.settings = settings
  }

  package static func isPattern(_ topic: String) -> Bool { topic.hasPrefix("^") }

  package var live: LiveSourceTraits? {
    var traits = LiveSourceTraits()
    traits.streams = topics
    traits.onlyStream = topics.count == 1 && !KafkaSourceSpec.isPattern(topics[0]) ? topics[0] : nil
    (traits.partitioner, traits.misplaced, traits.readsSeveralStreams) = (partitioner, misplaced, readsSeveralTopics)
    traits.group = settings.group
    (traits.handOver, traits.silence, traits.refresh) = (settings.handOver, settings.silence, settings.refresh)
    traits.idleMicroseconds = settings.idleMicroseconds
    return traits
  }

  package var meaning: KafkaSourceSpec { KafkaSourceSpec(topics: topics, partitioner: partitioner, misplaced: misplaced) }

  /// Whether the topic is one of those named, or fits one of the patterns.
  package func reads(_ topic: String) -> Bool { topics.contains { $0 == topic || TopicPattern($0)?.fits(topic) == true } }

  package func summary(of plan: Plan) -> String { "Kafka topics \(topics.joined(separator: ", ")), one lane per partition" }

  /// A plan's Kafka source; nil: it has another.
  package static func of(_ plan: Plan) -> KafkaSourceSpec? { plan.source.settings as? KafkaSourceSpec }

  /// A key may then be in one partition of each topic, so no lane has all records of a key.
  package var readsSeveralTopics: Bool { topics.count > 1 || topics.contains(where: KafkaSourceSpec.isPattern) }
}

/// Settings of a Kafka source: none changes a row. Secrets are named, never held.
package struct KafkaSettingsSpec: Sendable, Hashable, Codable {
  package enum Start: Sendable, Hashable, Codable {
    case earliest
    case latest
    /// The first record at or after it, UTC microseconds.
    case time(Int64)
    /// By shard (`topic/3`); others begin at the earliest.
    case offsets([String: Int64])
  }

  package enum SASL: Sendable, Hashable, Codable {
    /// `mechanism`: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512.
    case password(mechanism: String, user: SecretSpec, password: SecretSpec)
    case token(SecretSpec)
    /// `mechanism`: AWS_MSK_IAM. Tokens are signed with the keys of AWS that the worker has.
    /// - Parameter region: of the cluster; nil: the one that is configured for AWS.
    case awsIAM(region: String?)
  }

  package var brokers = ""
  package var group = ""
  package var start = Start.earliest
  package var isCooperative = false
  package var instance: String?
  package var readsUncommitted = false
  package var sessionMicroseconds: Int64 = 45_000_000
  /// How long handing partitions over may take; nil: half of ``sessionMicroseconds``.
  package var handOverMicroseconds: Int64?
  /// The group's silence after which a worker joins again; nil: see ``silence``.
  package var silenceMicroseconds: Int64?
  /// A shard without records for this long leaves the merged watermark by a decision.
  package var idleMicroseconds: Int64 = 30_000_000
  /// How often a worker asks which topics there are, and whether they are still those that it reads; nil: see ``refresh``.
  package var refreshMicroseconds: Int64?
  /// Of all shards together: what may be unread in the client.
  package var queueBytes: Int64 = 256 << 20
  package var tls: TLSSpec?
  package var sasl: SASL?
  package var options: [String: String] = [:]

  package init() {}

  /// Microseconds between two looks at the topics.
  package var refresh: Int64 { refreshMicroseconds ?? 30_000_000 }

  /// Microseconds that handing partitions over may take.
  package var handOver: Int64 { handOverMicroseconds ?? sessionMicroseconds / 2 }

  /// Microseconds that the group waits for a member to give its partitions back, and a member for the group's answer before
  /// it asks again: twice what a hand-over may take, and no less than a session.
  package var rebalance: Int64 { max(sessionMicroseconds, handOver * 2) }

  /// Microseconds of the group's silence after which a worker joins again: three rebalances, half a minute at least.
  package var silence: Int64 { silenceMicroseconds ?? max(30_000_000, rebalance * 3) }
}
