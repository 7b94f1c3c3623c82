import ArgumentParser
import WeirService

struct Ledger: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows the ledger; proves that everything it names is there and unchanged.",
    subcommands: [Show.self, Verify.self, RestoreTables.self])

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
      abstract: "Reads all files that the ledger names and the tables' logs again.",
      discussion: "Exits 0 if nothing is damaged (notices are possible), 1 naming what is damaged, 2 if something could not be read.")
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

  struct RestoreTables: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "restore-tables",
      abstract: "Takes tables that are ahead of the ledger back to its entries, and rewrites a Delta log that is gone.",
      discussion:
        "For a lake that was restored from a copy (`table_ahead`, `table_missing`). Writes a new version of each table; deletes no files. Stop all workers first."
    )
    @Argument(help: "The pipeline file (YAML).") var pipeline: String
    @Option(help: "The lake's directory, instead of the pipeline's.") var lake: String?
    @Option(help: "The state table's directory, instead of the pipeline's: it is only looked at.") var store: String?
    @Flag(help: "Only list what would be done.") var dryRun = false
    @Flag(help: "A JSON object per table.") var json = false

    func run() async throws {
      try await exiting {
        try await LedgerCommands.restoreTables(pipeline: pipeline, lake: lake, store: store, isDry: dryRun, json: json, console: $0)
      }
    }
  }
}
