import WeirCore
import WeirPlan

/// What becomes of records: checks, dedup, lookups and tables.
extension KeyTable {
  static let check = KeyTable(
    "check", "A condition that each record must meet.",
    [
      Key("name", .text, "The name, which rejected records show.", required: true),
      Key("that", .text, "An expression; a record fails only if it is false.", required: true),
      Key("else", .choice(["quarantine", "drop", "fail"]), "What becomes of a record that fails.", default: "quarantine"),
    ])

  static let quarantine = KeyTable(
    "quarantine", "How many rejected records stop a run.",
    [
      Key("halt_above", .percent, "The run stops when a larger share of an epoch is rejected."),
      Key("exit_above", .percent, "A finished replay exits with 3 when a larger share of all records was rejected.", default: "50%"),
    ])

  static let dedup = KeyTable(
    "dedup", "Which records are repetitions of others.",
    [
      Key(
        "id", .texts(least: 1), "The field with the id, or several that make it; records with the same key and id are one.", required: true),
      Key("within", .duration, "Event time after which an id may come again; by default never."),
    ])

  static let lookup = KeyTable(
    "lookup", "A table from a file.",
    [
      Key("file", .text, "A path, or s3://BUCKET/KEY."),
      Key("path", .text, "The same as file."),
      Key("format", .choice(["csv", "ndjson"]), "How the file is written; by default its name says it."),
      Key("key", .text, "The field that is compared with the file's column of the same name.", required: true),
      Key("columns", .named(.text), "Types of columns: COLUMN: TYPE."),
      Key("refresh", .duration, "How often a live worker looks for another version of the file."),
    ]
  ).changed { $0.exactlyOne = [["file", "path"]] }

  // MARK: Tables

  private static let partitionBy = Key("partition_by", .texts, "Columns or transforms that name directories, such as day(event_time).")
  private static let filter = Key("where", .text, "An expression that chooses rows.")
  private static let by = Key("by", .texts, "The columns of a group.", required: true)
  private static let measure = Key("measure", .named(.text), "Aggregates: NAME: count(), NAME: sum(amount).", required: true)
  private static let columns = Key("columns", .texts, "Expressions: *, EXPR as NAME.")
  private static let explode = Key("explode", .text, "A row for each element of a list: LIST as NAME.")

  private static let from = Key("from", .text, "The kind of records that the rows are made of; by default all kinds.")

  static let bronze = KeyTable("bronze", "The table of records as they were received.", [partitionBy])

  static let silver = KeyTable(
    "silver", "The tables of checked records without duplicates.",
    [
      partitionBy, columns, filter, explode,
      Key("tables", .tables(.optional(silverTable), least: 1), "Several tables: NAME: {columns, where, explode}."),
    ]
  ).changed { $0.notTogether = ["columns", "partition_by", "where", "explode"].map { ["tables", $0] } }

  static let silverTable = KeyTable("silver.table", "One of several silver tables.", [from, partitionBy, columns, filter, explode])

  static let kindSilver = KeyTable("route.kind.silver", "The table of the records of one kind.", [partitionBy, columns, filter, explode])

  static let gold = KeyTable(
    "gold", "A table of aggregates in windows.",
    [
      from, filter, by, Key("window", .table(window), "Which event times make a window.", required: true), measure, partitionBy,
      Key("emit", .choice(["final"]), "When the row of a window is written.", default: "final"),
    ])

  static let window = KeyTable(
    "window", "Which event times make a window.",
    [
      Key("tumbling", .duration, "The length of windows that follow each other."),
      Key("hopping", .duration, "The length of windows that overlap."),
      Key("every", .duration, "How often a hopping window begins."),
      Key("lateness", .duration, "How long after its end a window still takes records.", default: "0s"),
    ]
  ).changed {
    $0.later = ["session", "sliding", "cumulative"]
    $0.exactlyOne = [["tumbling", "hopping"]]
    $0.needs = ["hopping": ["every"], "every": ["hopping"]]
  }

  static let state = KeyTable(
    "state", "A table of the newest aggregates of each key.",
    [
      from, filter, by, measure,
      Key("ttl", .duration, "Event time after which the row of a key without newer records expires; by default never."),
    ])
}
