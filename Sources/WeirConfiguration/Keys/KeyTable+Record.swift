import WeirCore
import WeirOperators
import WeirPlan

/// `record`, `inputs` and the pipeline as a whole.
extension KeyTable {
  static func pipeline(_ sections: PlanSections) -> KeyTable {
    KeyTable(
      "pipeline", "A pipeline of Weir.",
      [
        Key("pipeline", .tableName(dots: false), "The name of the pipeline; it names the ledger's directory.", required: true),
        Key("inputs", .named(.table(input(sections)), least: 1), "Sources with their records: the long form of source and record."),
        Key("source", .table(source(sections)), "Where records come from."),
        Key("record", .table(record(sections)), "How a record's bytes become columns."),
        Key("route", .table(route), "Several kinds of records in one stream, each with fields, checks and a table of its own."),
        Key("checks", .list(.table(check)), "Conditions that each record must meet."),
        Key("quarantine", .table(quarantine), "How many rejected records stop a run."),
        Key("dedup", .table(dedup), "Which records are repetitions of others."),
        Key("lookups", .named(.table(lookup)), "Tables from files, which records are joined with."),
        Key("bronze", .optional(bronze), "The table of records as they were received."),
        Key("silver", .optional(silver), "The tables of checked records without duplicates."),
        Key("gold", .tables(.table(gold)), "Tables of aggregates in windows of event time."),
        Key("state", .tables(.table(state)), "Tables of the newest aggregates of each key."),
        Key("lake", .table(lake(sections)), "Where tables are, and how they are written."),
        Key("store", .table(store(sections)), "Where the state table is."),
        Key("admin", .table(admin), "The server for probes, metrics and queries of a live worker."),
        Key("worker", .table(worker), "Times and memory of a worker."),
        Key("sinks", .table(sinks(sections)), "Where tables are published."),
        Key("catalog", .table(catalog), "The data catalog that the tables are registered in."),
      ]
    ).changed {
      $0.exactlyOne = [["source", "inputs"], ["record", "inputs"]]
      $0.notTogether = [["route", "inputs"]]
    }
  }

  static func input(_ sections: PlanSections) -> KeyTable {
    KeyTable(
      "input", "A source with its records.",
      [
        Key("source", .table(source(sections)), "Where records come from.", required: true),
        Key("record", .table(record(sections)), "How a record's bytes become columns.", required: true),
      ])
  }

  static func record(_ sections: PlanSections) -> KeyTable {
    KeyTable(
      "record", "How a record's bytes become columns.",
      [
        Key(
          "format", format(sections), "The format of a record's value, by its name or with its settings.",
          default: RecordFormats.byDefault.name),
        Key("registry", .table(registry), "The registry that has the schemas of the records."),
        Key(
          "key", .either([.text, .table(key)]), "The field whose value a record belongs to, or {first_of: [FIELD, FIELD]}."),
        Key("time", .table(time), "The event time."),
        Key(
          "fields", .named(.either([.fieldType, .table(field)]), least: 1), "The columns: NAME: TYPE, or NAME: {type: TYPE, path: PATH}.",
          required: true),
        Key(
          "blank_lines", .choice(RecordSpec.BlankLines.allCases.map(\.rawValue)), "What becomes of blank lines of a capture.",
          default: "skip"),
        Key("coerce", .truth, "Reads numbers, truth values and times of all fields from text.", default: "false"),
        Key(
          "unknown_fields", .choice(RecordSpec.UnknownFields.allCases.map(\.rawValue)),
          "What becomes of members that no field reads: rescue keeps them in the column _rescued.", default: "ignore"),
        Key("framing", .table(framing), "Where records are within an outer record."),
        Key(
          "envelope", .choice(RecordSpec.Envelope.allCases.map(\.rawValue)),
          "What surrounds each record: connect is schema and payload of Kafka Connect, where a record has them."),
        Key(
          "tombstones", .choice(RecordSpec.Tombstones.allCases.map(\.rawValue)),
          "What becomes of records without a value, and of JSON's null.", default: "quarantine"),
      ])
  }

  static let key = KeyTable(
    "record.key", "The key, of several fields.",
    [Key("first_of", .texts(least: 1), "Fields; the key is the first of them that is not null.", required: true)])

  static let route = KeyTable(
    "route", "Several kinds of records in one stream.",
    [
      Key("by", .text, "The field that says of each record which kind it is: one of record.fields, or its path.", required: true),
      Key("kinds", .tables(.optional(recordKind), least: 1), "The kinds: NAME: {is, fields, checks, silver}.", required: true),
      Key("else", .choice(RouteSpec.Otherwise.allCases.map(\.rawValue)), "What becomes of records of no kind.", default: "quarantine"),
    ])

  static let recordKind = KeyTable(
    "route.kind", "A kind of records.",
    [
      Key("is", .texts(least: 1), "What the field says of it; by default the kind's name."),
      Key("fields", .named(.either([.fieldType, .table(field)])), "Fields besides those of all kinds, as in record.fields."),
      Key("checks", .list(.table(check)), "Conditions that each record of the kind must meet."),
      Key("silver", .optional(kindSilver), "The table of its records, silver/NAME."),
    ])

  static let time = KeyTable(
    "record.time", "The event time.",
    [
      Key("field", .text, "The field with the time: a timestamp.", required: true),
      Key("out_of_order", .duration, "How much later than newer records a record may come.", default: "0s"),
      Key(
        "max_ahead", .either([.duration, .choice(["off", "false"])]), "How far ahead of the others a time may be before it counts as wrong."
      ),
    ])

  static let framing = KeyTable(
    "record.framing", "Where records are within an outer record.",
    [Key("each", .text, "The path of the list whose elements are the records, such as Records.", required: true)])

  static let field = KeyTable(
    "field", "A column of the records.",
    [
      Key("type", .fieldType, "The type; ! makes the field required.", required: true),
      Key("path", .text, "Where the value is: user.id, items[0].sku."),
      Key("coerce", .truth, "Reads numbers, truth values and times from text."),
      Key("zone", .text, "The zone of times without a zone, such as Europe/Berlin."),
      Key("formats", .texts, "Forms of times instead of ISO 8601, such as %Y-%m-%d %H:%M:%S."),
    ])

  static let registry = KeyTable(
    "record.registry", "A registry of schemas.",
    [
      Key("url", .variable, "Its address, such as http://host:8081.", required: true),
      Key("user", .secret, "The user's name."),
      Key("password", .secret, "The user's password."),
      Key("token", .secret, "A bearer token, instead of a user."),
      Key("tls", .table(tls), "Certificates of the connection."),
    ]
  ).changed {
    $0.notTogether = [["token", "user"]]
    $0.needs = ["user": ["password"], "password": ["user"]]
  }

  // MARK: Formats

  private static func format(_ sections: PlanSections) -> ValueShape {
    let words = sections.formats.filter { !$0.needsSettings }.map(\.name)
    let settings = sections.formats.compactMap { section in
      section.shape.map { Key(section.name, $0, "Settings of the format \(section.name).") }
    }
    let table = KeyTable("record.format", "A format with its settings.", settings).changed { $0.exactlyOne = [settings.map(\.name)] }
    return .either([.choice(words), .table(table)])
  }

  static let json = KeyTable(
    "record.format.json", "Settings of JSON.",
    [
      Key(
        "framing", .choice(["lines"] + JSONFormat.Framing.allCases.map(\.rawValue)), "Where values are in a capture.", required: true)
    ])

  static let protobuf = KeyTable(
    "record.format.protobuf", "Messages of Protobuf.",
    [
      Key(
        "descriptor", .text, "A file with a FileDescriptorSet, as protoc --include_imports --descriptor_set_out writes it.", required: true),
      Key("message", .text, "The record's message, with its package.", required: true),
      Key(
        "framing", .choice(["none"] + ProtobufFormat.Framing.allCases.map(\.rawValue)),
        "What is around a message: delimited in files, confluent with the id of a schema.", default: "none"),
    ])

  /// CSV and TSV.
  static func rows(_ format: String) -> KeyTable {
    KeyTable(
      "record.format.\(format)", "The dialect of \(format.uppercased()).",
      [
        Key("delimiter", .text, "The character between two fields."),
        Key("quote", .text, "The character around a field, or none.", default: "\""),
        Key("escape", .text, "The character before a quote within a field; by default the quote is doubled."),
        Key("header", .truth, "Lines with the names of the columns are not records.", default: "false"),
        Key("columns", .texts, "The names of the columns, in their order."),
        Key("null", .texts, "Fields without quotes that are null."),
        Key("quoted_null", .truth, "Fields in quotes are null too if they are one of null."),
        Key("comment", .text, "The character that begins a comment."),
        Key("trim", .truth, "Spaces around fields are left out."),
        Key("decimal", .text, "The character before the fraction of a number.", default: "."),
      ])
  }

  static let pattern = KeyTable(
    "record.format.text", "Lines of text.",
    [
      Key(
        "pattern", .text,
        "A regular expression with named groups, perhaps with grok in it, or a ready pattern: \(ReadyPattern.all.map(\.name).joined(separator: ", ")).",
        required: true),
      Key("null", .texts, "Parts that are null, such as -."),
    ])
}
