import WeirCore
import WeirGlueSettings
import WeirPlan
import WeirS3Settings

/// Lake, state table, catalog, admin server and worker.
extension KeyTable {
  static func lake(_ sections: PlanSections) -> KeyTable {
    KeyTable(
      "lake", "Where tables are, and how they are written.",
      [
        Key("path", .text, "A directory, or s3://BUCKET/PREFIX.", default: "./lake"),
        Key("s3", .table(s3), "Settings of the bucket."),
        Key("flush", .table(flush), "When records are committed."),
        Key("file_size", .size, "Size at which a data file is closed.", default: "128MiB"),
        Key("codec", .choice(["zstd", "snappy", "none"]), "Compression of data files.", default: "zstd"),
        Key("format", tableFormat(sections), "The format of tables.", default: sections.tableFormats.first?.name),
        Key("ledger_keep", .duration, "The age at which ledger entries are deleted.", default: "7d"),
      ])
  }

  static let flush = KeyTable(
    "lake.flush", "When records are committed.",
    [
      Key("every", .duration, "Age of the records at which a live worker commits.", default: "10s"),
      Key("bytes", .size, "Input between two commits."),
    ])

  private static func tableFormat(_ sections: PlanSections) -> ValueShape {
    let names = ValueShape.choice(sections.tableFormats.map(\.name))
    let settings = sections.tableFormats.compactMap { section in
      section.shape.map { Key(section.name, $0, "Settings of the format \(section.name).") }
    }
    guard !settings.isEmpty else { return names }
    let table = KeyTable("lake.format", "A format of tables with its settings.", settings).changed {
      $0.exactlyOne = [settings.map(\.name)]
    }
    return .either([names, .table(table)])
  }

  static let s3 = KeyTable("lake.s3", "Settings of a bucket.", S3Settings.Option.allCases.map(key))

  private static func key(_ option: S3Settings.Option) -> Key {
    func key(_ value: ValueShape, _ about: String, default: String? = nil) -> Key { Key(option.rawValue, value, about, default: `default`) }
    return switch option {
    case .region: key(.text, "The region, such as eu-central-1.")
    case .endpoint: key(.text, "Another address than the service's own: https://HOST:PORT.")
    case .sse: key(.choice(["none", "AES256", "aws:kms"]), "Encryption of objects.")
    case .kmsKey: key(.text, "The key of KMS, for sse: aws:kms.")
    case .bucketKey: key(.truth, "Uses a key of the bucket, for sse: aws:kms.")
    case .pathStyle: key(.truth, "Names the bucket in the path, and not in the host.")
    case .checksum: key(.choice(["sha256", "none"]), "The checksum that is sent with each object.")
    }
  }

  // MARK: State tables

  static func store(_ sections: PlanSections) -> KeyTable {
    let names = sections.stateTables.map(\.name)
    let kinds = sections.stateTables.map { Key($0.name, $0.shape, "A state table of the kind \($0.name).") }
    let times = [
      Key("flush", .duration, "Interval at which changed rows are written.", default: "100ms"),
      Key("share", .percent, "Largest share of the time that writing may take.", default: "10%"),
    ]
    return KeyTable("store", "Where the state table is.", kinds + times).changed { table in
      table.notTogether = names.indices.flatMap { i in names[..<i].map { [$0, names[i]] } }
    }
  }

  static let redis = KeyTable(
    "store.redis", "A state table in Redis.",
    [
      Key("url", .variable, "redis://HOST:PORT/N, or rediss:// for TLS.", required: true),
      Key("user", .secret, "The user's name."),
      Key("password", .secret, "The user's password."),
      Key("prefix", .text, "What all keys begin with."),
      Key("timeout", .duration, "How long an answer may take."),
      Key("tls", .table(tls), "Certificates of the connection."),
    ])

  static let dynamoDB = KeyTable(
    "store.dynamodb", "A state table in DynamoDB.",
    [
      Key("table", .text, "The name of the table.", required: true),
      Key("region", .text, "The region, such as eu-central-1."),
      Key("endpoint", .text, "Another address than the service's own."),
      Key("create", .truth, "Creates the table where it is missing."),
    ])

  // MARK: Catalog

  static let catalog = KeyTable(
    "catalog", "The data catalog that the tables are registered in.",
    [Key(GlueSettings.adapter, .either([.text, .table(glue)]), "The Glue Data Catalog: a database, or settings.", required: true)])

  static let glue = KeyTable("catalog.glue", "Settings of the Glue Data Catalog.", GlueSettings.Option.allCases.map(key))

  private static func key(_ option: GlueSettings.Option) -> Key {
    func key(_ value: ValueShape, _ about: String, required: Bool = false, default: String? = nil) -> Key {
      Key(option.rawValue, value, about, required: required, default: `default`)
    }
    return switch option {
    case .database: key(.text, "The name of the database.", required: true)
    case .prefix: key(.text, "What the names of all tables begin with.")
    case .create: key(.truth, "Creates the database where it is missing.", default: "true")
    case .region: key(.text, "The region, such as eu-central-1.")
    case .endpoint: key(.text, "Another address than the service's own.")
    }
  }

  // MARK: Worker

  static let admin = KeyTable(
    "admin", "The server for probes, metrics and queries of a live worker.",
    [
      Key("listen", .text, "HOST:PORT.", default: "127.0.0.1:9464"),
      Key("hosts", .texts, "Names that a request may use for the server."),
      Key("token", .secret, "The token that requests must have."),
      Key("metrics_token", .truth, "Metrics need the token, too."),
      Key("insecure", .truth, "Allows an address that is not a loopback address without a token."),
    ])

  static let worker = KeyTable(
    "worker", "Times and memory of a worker.",
    [
      Key("drain", .duration(LiveBounds.drain), "Maximum time from SIGTERM to exit.", default: "25s"),
      Key("stall", .duration(LiveBounds.stall), "Time without progress until the log reports it.", default: "60s"),
      Key("dead", .duration(LiveBounds.dead), "Time without progress until /live fails.", default: "5m"),
      Key("memory", .size, "The memory budget; by default three quarters of the memory of the container or the machine."),
      Key("cloudwatch", .table(cloudWatch), "Metrics for CloudWatch as lines of the log."),
    ])

  static let cloudWatch = KeyTable(
    "worker.cloudwatch", "Metrics for CloudWatch.",
    [
      Key("namespace", .text, "The namespace of the metrics."),
      Key("every", .duration(LiveBounds.cloudWatch), "How often they are written.", default: "1m"),
    ])
}
