import WeirCore
import WeirKafkaSettings
import WeirOperators
import WeirPlan

/// Sources and sinks, and how a worker proves who it is.
extension KeyTable {
  static func source(_ sections: PlanSections) -> KeyTable {
    KeyTable("source", "Where records come from.", sections.sources.map { Key($0.name, $0.shape, "A source of the kind \($0.name).") })
      .changed {
        $0.later = ["lake"]
        $0.exactlyOne = [sections.sources.map(\.name)]
      }
  }

  static let capture = KeyTable(
    "source.capture", "Files of records, which weir replay names.",
    [
      Key("stream", .tableName(dots: true), "The name of the tables of its records.", required: true),
      Key("deal", .choice(["murmur2", "md5"]), "How keys are spread over lanes.", default: "murmur2"),
    ])

  private static let misplaced = Key(
    "misplaced", .choice(Misplaced.allCases.map(\.rawValue)), "What happens when a key is in another place than its rule says.",
    default: "halt")
  private static let options = Key("options", .named(.text), "Further options of librdkafka, by their names.")

  static let kafka = KeyTable(
    "source.kafka", "Topics of Kafka, whose partitions are lanes.",
    [
      Key("brokers", .variable, "HOST:PORT, separated by commas.", required: true),
      Key("topic", .texts(least: 1), "The topic."),
      Key("topics", .texts(least: 1), "Topics, or patterns such as ^ads-.*."),
      Key("stream", .tableName(dots: true), "The name of the tables; by default that of the only topic."),
      Key("group", .text, "The name of the consumer group: another one for each pipeline.", required: true),
      Key(
        "start", .either([.text, .named(.text)]), "earliest, latest, a time with its zone, or offsets by partition: {orders/0: 120}.",
        default: "earliest"),
      Key("partitioner", .choice(["auto"] + Partitioner.allCases.map(\.rawValue)), "The producers' rule for keys.", default: "auto"),
      misplaced,
      Key("assignment", .choice(["eager", "cooperative"]), "How the group hands partitions over.", default: "eager"),
      Key("instance", .variable, "The name of a static member, another one for each worker."),
      Key("isolation", .choice(["read_committed", "read_uncommitted"]), "Whether open transactions are read.", default: "read_committed"),
      Key("session", .duration(LiveBounds.session), "Time without a heartbeat after which a worker loses its partitions.", default: "45s"),
      Key("handover", .duration(LiveBounds.handOver), "Maximum time for handing partitions over; by default half of session."),
      Key("silence", .duration(LiveBounds.silence), "Time without an answer from the group after which a worker joins again."),
      Key(
        "idle", .duration(LiveBounds.idle), "Time without records after which a partition no longer holds back the watermark.",
        default: "30s"),
      Key("refresh", .duration(LiveBounds.refresh), "How often a worker lists the topics.", default: "30s"),
      Key("queue", .size(LiveBounds.queue), "Maximum bytes of unread messages in the client.", default: "256MiB"),
      Key("tls", .table(tls), "Certificates of the connection; {} uses the system's authorities."),
      Key("sasl", .table(sasl), "The identity of the worker."),
      options,
    ]
  ).changed { $0.exactlyOne = [["topic", "topics"]] }

  static let kinesis = KeyTable(
    "source.kinesis", "A stream of Kinesis, whose shards are lanes.",
    [
      Key("stream", .variable, "The name or the ARN of the stream.", required: true),
      Key("app", .variable, "The name of the table with the leases: another one for each pipeline.", required: true),
      Key("start", .text, "trim_horizon, latest, or a time with its zone.", default: "trim_horizon"),
      Key("read", .choice(["polling", "fan_out"]), "How shards are read.", default: "polling"),
      Key("consumer_arn", .variable, "The consumer for read: fan_out."),
      misplaced,
      Key("region", .variable, "The region, such as eu-central-1."),
      Key("endpoint", .variable, "Another address of Kinesis."),
      Key("lease_endpoint", .variable, "Another address of DynamoDB, for the leases."),
      Key("lease", .duration(LiveBounds.lease), "Time after which the shards of a worker that died are free."),
      Key("poll", .duration(LiveBounds.poll), "How often a shard is read."),
      Key("handover", .duration(LiveBounds.handOver), "Maximum time for handing shards over."),
      Key("idle", .duration(LiveBounds.idle), "Time without records after which a shard no longer holds back the watermark."),
      Key("refresh", .duration(LiveBounds.refresh), "How often a worker lists the shards."),
      Key("create", .truth, "Creates the table with the leases where it is missing.", default: "true"),
    ])

  static func sinks(_ sections: PlanSections) -> KeyTable {
    KeyTable("sinks", "Where tables are published.", sections.sinks.map { Key($0.name, $0.shape, "A sink of the kind \($0.name).") })
      .changed { $0.exactlyOne = [sections.sinks.map(\.name)] }
  }

  static let kafkaSink = KeyTable(
    "sinks.kafka", "Topics that tables are published to.",
    [
      Key("brokers", .variable, "HOST:PORT, separated by commas; by default those of the source."),
      Key("topics", .named(.text), "TABLE: TOPIC, where a table is gold/NAME, late/NAME or quarantine.", required: true),
      Key("start", .choice(SinkSpec.Start.allCases.map(\.rawValue)), "Which entries of an existing ledger are published."),
      Key("compression", .choice(KafkaSinkSpec.Compression.allCases.map(\.rawValue)), "How batches are compressed.", default: "none"),
      Key("partitioner", .choice(Partitioner.allCases.map(\.rawValue)), "The rule for keys.", default: "murmur2"),
      Key("behind", .text, "How far a topic may be from the ledger before the reading waits."),
      Key("tls", .table(tls), "Certificates of the connection."),
      Key("sasl", .table(sasl), "The identity of the worker."),
      options,
    ])

  // MARK: Identity

  static let tls = KeyTable(
    "tls", "Certificates of a connection.",
    [
      Key("ca", .text, "The file of the authorities; by default the system's."),
      Key("certificate", .text, "The file of the worker's certificate."),
      Key("key", .secret, "The key of the certificate."),
      Key("key_password", .secret, "The password of the key."),
      Key("verify_host", .truth, "Compares the name of the host with its certificate.", default: "true"),
    ]
  ).changed { $0.needs = ["certificate": ["key"], "key": ["certificate"]] }

  static let sasl = KeyTable(
    "sasl", "The identity of a client of Kafka.",
    [
      Key(
        "mechanism", .choice(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"]), "How it is proved.", required: true
      ),
      Key("user", .secret, "The user's name."),
      Key("password", .secret, "The user's password."),
      Key("token", .secret, "The token of OAUTHBEARER."),
      Key("region", .text, "The region of AWS_MSK_IAM."),
    ])

  static let variable = KeyTable(
    "variable", "A text from the environment.", [Key("env", .text, "The name of the variable.", required: true)])

  /// Where a secret is; the first ones are its places.
  static let secret = KeyTable(
    "secret", "Where a secret is: the file never has it.",
    [
      Key("env", .text, "A variable of the environment."),
      Key("file", .text, "A file; its last line end is left out."),
    ]
      + StoredSecret.Store.allCases.map { Key($0.rawValue, .text, "The name of a secret of AWS (\($0.rawValue)).") }
      + [
        Key("key", .text, "The member of the secret, which is a JSON object."),
        Key("refresh", .duration(LiveBounds.secretRefresh), "How often the secret is read again."),
      ]
  ).changed { $0.exactlyOne = [secretPlaces] }

  static let secretPlaces = ["env", "file"] + StoredSecret.Store.allCases.map(\.rawValue)
}
