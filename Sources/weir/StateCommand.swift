import ArgumentParser
import WeirCore
import WeirService

extension RowFormat: ExpressibleByArgument {}

struct StatePlace: ParsableArguments {
  @Option(help: "The state table's directory.") var store: String?
  @Option(help: "The pipeline file that names it.") var pipeline: String?
}

struct State: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Reads the state table, also while a worker writes; makes it again.",
    subcommands: [Get.self, Scan.self, Rebuild.self])

  struct Get: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "One row by its key.")
    @Argument(help: "The state table's name.") var table: String
    @Argument(help: "The key: one text a 'by' column.") var key: [String]
    @OptionGroup var place: StatePlace
    @Option(help: "table, csv or json.") var format: RowFormat = .table

    func run() async throws {
      try await exiting {
        try await StateCommands.get(
          table: table, keys: key, store: place.store, pipeline: place.pipeline, format: format, console: $0)
      }
    }
  }

  struct Scan: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Rows in the order of their keys.")
    @Argument(help: "The state table's name.") var table: String
    @Option(help: "Only keys whose first column begins so.") var prefix: String?
    @Option(help: "At most so many rows.") var limit: Int?
    @OptionGroup var place: StatePlace
    @Option(help: "table, csv or json.") var format: RowFormat = .table

    func run() async throws {
      try await exiting {
        try await StateCommands.scan(
          table: table, prefix: prefix, limit: limit, store: place.store, pipeline: place.pipeline, format: format, console: $0)
      }
    }
  }

  struct Rebuild: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Makes the state tables again from the lanes' state in the lake.")
    @Argument(help: "The pipeline file (YAML).") var pipeline: String
    @Option(help: "The lake's directory, instead of the pipeline's.") var lake: String?
    @Option(help: "The state table's directory, instead of the pipeline's.") var store: String?

    func run() async throws {
      try await exiting { try await StateCommands.rebuild(pipeline: pipeline, lake: lake, store: store, console: $0) }
    }
  }
}
