import ArgumentParser
import WeirService

struct Ledger: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows the ledger; proves that everything it names is there and unchanged.",
    subcommands: [Show.self, Verify.self])

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The entries, a line each.")
    @Argument(help: "The pipeline file (YAML).") var pipeline: String
    @Option(help: "The lake's directory, instead of the pipeline's.") var lake: String?
    @Option(help: "Taken for symmetry with verify; the ledger lies in the lake.") var store: String?
    @Flag(help: "Whole entries as JSON lines.") var json = false

    func run() async throws {
      try await exiting { try await LedgerCommands.show(pipeline: pipeline, lake: lake, json: json, console: $0) }
    }
  }

  struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Reads all files that the ledger names and the tables' logs again; exits 1 naming what does not agree.")
    @Argument(help: "The pipeline file (YAML).") var pipeline: String
    @Option(help: "The lake's directory, instead of the pipeline's.") var lake: String?
    @Option(help: "The state table's directory, instead of the pipeline's.") var store: String?
    @Flag(help: "A JSON object.") var json = false

    func run() async throws {
      try await exiting {
        try await LedgerCommands.verify(pipeline: pipeline, lake: lake, store: store, json: json, console: $0)
      }
    }
  }
}
