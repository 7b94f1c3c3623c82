import ArgumentParser
import WeirCommands
import WeirCore
import WeirReport

extension RowFormat: ExpressibleByArgument {}

struct StatePlace: ParsableArguments {
  @Option(help: "The state table's directory or address.", completion: .directory) var store: String?
  @Option(
    help: "The pipeline file: names the state table and the lake. The lake's ledger shows which rows are committed.", completion: .pipeline)
  var pipeline: String?
  @Option(help: "The lake's directory or s3://BUCKET/PREFIX, instead of the pipeline's.", completion: .directory) var lake: String?
}

struct State: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Reads the state table, also while a worker writes to it; rebuilds it.",
    discussion: """
      Examples:
        weir state scan totals --store state
        weir state get totals alice --store state
      """,
    subcommands: [Get.self, Scan.self, Rebuild.self])

  struct Get: AsyncParsableCommand {
    static let negativeKeyHint = "A key that begins with - must follow --, after all options: weir state get TABLE --store DIR -- -1"
    static let configuration = CommandConfiguration(
      abstract: "Prints one row by its key.",
      discussion: """
        \(negativeKeyHint)
        Name a column whose key is null with --null, and omit it from the keys: weir state get TABLE --null country 7

        Examples:
          weir state get totals alice --store state
          weir state get totals alice --pipeline pipeline.yaml --format json
        """)
    @Argument(help: "The state table's name.") var table: String
    @Argument(help: "The key: one value for each 'by' column that is not named with --null, in their order.") var key: [String] = []
    @Option(help: ArgumentHelp("A 'by' column whose key is null; may be repeated.", valueName: "column")) var null: [String] = []
    @OptionGroup var place: StatePlace
    @Option(help: "table, csv or json.") var format: RowFormat = .table

    func run() async throws {
      try await looking {
        try await StateCommands.get(
          table: table, keys: key, nulls: null, store: place.store, pipeline: place.pipeline, lake: place.lake, format: format, console: $0)
      }
    }
  }

  struct Scan: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Prints rows in key order.",
      discussion: """
        In CSV, null is an empty field and the empty text is "", as in lookup files.

        Examples:
          weir state scan totals --store state --limit 10
          weir state scan totals --pipeline pipeline.yaml --prefix a --format csv
        """)
    @Argument(help: "The state table's name.") var table: String
    @Option(help: "Only rows whose first key column starts with this prefix.") var prefix: String?
    @Option(help: "Maximum number of rows.") var limit: Int?
    @OptionGroup var place: StatePlace
    @Option(help: "table, csv or json.") var format: RowFormat = .table

    func run() async throws {
      try await looking {
        try await StateCommands.scan(
          table: table, prefix: prefix, limit: limit, store: place.store, pipeline: place.pipeline, lake: place.lake, format: format,
          console: $0)
      }
    }
  }

  struct Rebuild: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Rebuilds the state tables from the lanes' state in the lake.",
      discussion: """
        Examples:
          weir state rebuild pipeline.yaml
          weir state rebuild pipeline.yaml --lake /data/lake --store /data/state
        """)
    @Argument(help: "The pipeline file (YAML).", completion: .pipeline) var pipeline: String
    @Option(help: "The lake's directory or s3://BUCKET/PREFIX, instead of the pipeline's.", completion: .directory) var lake: String?
    @Option(help: "The state table's directory or address, instead of the pipeline's.", completion: .directory) var store: String?

    func run() async throws {
      try await exiting { try await StateCommands.rebuild(pipeline: pipeline, lake: lake, store: store, console: $0) }
    }
  }
}
