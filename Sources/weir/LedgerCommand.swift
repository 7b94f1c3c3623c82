import ArgumentParser
import WeirCommands

struct Ledger: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows the ledger; verifies that everything it names is present and unchanged; restores tables to its state.",
    discussion: """
      Examples:
        weir ledger show pipeline.yaml
        weir ledger verify pipeline.yaml
      """,
    subcommands: [Show.self, Verify.self, RestoreTables.self])

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lists the entries, one per line.",
      discussion: """
        Examples:
          weir ledger show pipeline.yaml
          weir ledger show pipeline.yaml --lake /data/lake --json
        """)
    @Argument(help: "The pipeline file (YAML).", completion: .pipeline) var pipeline: String
    @Option(help: "The lake's directory or s3://BUCKET/PREFIX, instead of the pipeline's.", completion: .directory) var lake: String?
    @Option(help: "Ignored: the ledger is in the lake. Accepted so that show and verify take the same options.") var store: String?
    @Flag(help: "Print whole entries as JSON lines.") var json = false

    func run() async throws {
      try await looking { try await LedgerCommands.show(pipeline: pipeline, lake: lake, json: json, console: $0) }
    }
  }

  struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Reads all files that the ledger names, and the tables' logs, and compares their hashes.",
      discussion: """
        Exit codes: 0: nothing is damaged (notices are possible). 1: damage was found and is listed. 2: something could not be read.

        Examples:
          weir ledger verify pipeline.yaml
          weir ledger verify pipeline.yaml --lake /data/lake --store /data/state --json
        """)
    @Argument(help: "The pipeline file (YAML).", completion: .pipeline) var pipeline: String
    @Option(help: "The lake's directory or s3://BUCKET/PREFIX, instead of the pipeline's.", completion: .directory) var lake: String?
    @Option(help: "The state table's directory or address, instead of the pipeline's.", completion: .directory) var store: String?
    @Flag(help: "Print a JSON object.") var json = false

    func run() async throws {
      try await looking {
        try await LedgerCommands.verify(pipeline: pipeline, lake: lake, store: store, json: json, console: $0)
      }
    }
  }

  struct RestoreTables: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "restore-tables",
      abstract: "Restores tables that are ahead of the ledger to the ledger's state, and rewrites a missing Delta log.",
      discussion: """
        For a lake that was restored from a copy (`table_ahead`, `table_missing`). Writes a new version of each table; deletes no files. \
        Stop all workers first.

        Exit codes: 0: the tables match the ledger, or were restored. 1: a table cannot be restored, or the ledger has lost entries. 2: the \
        command or the pipeline file is wrong, or there is no ledger.

        Examples:
          weir ledger restore-tables pipeline.yaml --dry-run
          weir ledger restore-tables pipeline.yaml
        """)
    @Argument(help: "The pipeline file (YAML).", completion: .pipeline) var pipeline: String
    @Option(help: "The lake's directory or s3://BUCKET/PREFIX, instead of the pipeline's.", completion: .directory) var lake: String?
    @Option(help: "The state table's directory or address, instead of the pipeline's. It is only read.", completion: .directory) var store:
      String?
    @Flag(help: "Only list the changes.") var dryRun = false
    @Flag(help: "Print one JSON object per table.") var json = false

    func run() async throws {
      try await exiting {
        try await LedgerCommands.restoreTables(pipeline: pipeline, lake: lake, store: store, isDry: dryRun, json: json, console: $0)
      }
    }
  }
}
