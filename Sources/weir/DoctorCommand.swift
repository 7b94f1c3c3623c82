import ArgumentParser
import WeirCommands

struct Doctor: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Checks that the stores of a pipeline keep what exactly-once processing needs.",
    discussion: """
      Writes, reads and deletes objects below _weir_check/ in the lake, among them several at once under one name: a store that lets two \
      writers win would lose records, and must not be used. Looks at settings that would harm: of the bucket (lifecycle rules, versioning, \
      object lock, encryption), of a DynamoDB table, of a Redis server, of a Kinesis stream and its leases, of the Glue database and its \
      tables; and whether the lake is inside another lake or table. Prints one line per \
      check, when it is known: ok, notice or FAILED. Tables, ledger and lookups are not read.

      Exit codes: 0: all is well. 1: a check failed. 2: the command or the pipeline file is wrong.

      Examples:
        weir doctor pipeline.yaml
        weir doctor --lake s3://bucket/lake
        weir doctor --store dynamodb://table
      """)
  @Argument(help: "The pipeline file (YAML).", completion: .pipeline) var pipeline: String?
  @Option(help: "The lake's directory or s3://BUCKET/PREFIX, instead of the pipeline's.", completion: .directory) var lake: String?
  @Option(
    help: "The state table's directory or address (dynamodb://TABLE, redis://HOST:PORT), instead of the pipeline's.",
    completion: .directory) var store: String?
  @Flag(help: "Print one JSON object per check.") var json = false

  func run() async throws {
    try await looking { try await DoctorCommand.run(pipeline: pipeline, lake: lake, store: store, json: json, console: $0) }
  }
}
