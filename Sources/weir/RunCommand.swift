import ArgumentParser
import WeirAdmin
import WeirCommands
import WeirReport

/// `weir run`.
struct Run: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a pipeline on its live source until SIGTERM; shares the work with other workers of its group.",
    discussion: """
      Positions come from the ledger. You can kill and restart a worker at any time, and add more workers.

      Examples:
        weir run pipeline.yaml
        weir run pipeline.yaml --brokers localhost:9092 --admin 127.0.0.1:9464
        weir run pipeline.yaml --log-format json --log-level warning
      """)

  @Argument(help: "The pipeline file (YAML).", completion: .pipeline) var pipeline: String
  @Option(help: "The lake's directory or s3://BUCKET/PREFIX, instead of the pipeline's.", completion: .directory) var lake: String?
  @Option(help: "The state table's directory or address, instead of the pipeline's.", completion: .directory) var store: String?
  @Option(help: "Kafka brokers (host:port,…), instead of the pipeline's.") var brokers: String?
  @Option(
    help:
      "Address of the admin server for probes, metrics and state (HOST:PORT; port 0: any free port), instead of the pipeline's admin.listen."
  )
  var admin: String?
  @Option(
    name: .customLong("accept-recreated"),
    help: ArgumentHelp(
      "A topic that was deleted and created again: read the new one from its start. May be repeated.",
      discussion: "Needed once, after the error `recreated` or `truncated`. Unread records of the old topic are recorded as lost.",
      valueName: "topic"))
  var acceptRecreated: [String] = []
  @Option(
    name: .customLong("accept-partitions"),
    help: ArgumentHelp(
      "A topic that got more partitions: merge its tables by key from now on. May be repeated.",
      discussion: "Needed once, after the error `shards_changed`. Tables, state and dedup are kept.", valueName: "topic"))
  var acceptPartitions: [String] = []
  @Option(
    name: .customLong("accept-checkpoints"),
    help: ArgumentHelp(
      "A Kinesis stream that another program (KCL) has read: continue at its checkpoints. May be repeated.",
      discussion:
        "Needed once, after the error that names such a checkpoint. The ledger records a gap: what was processed elsewhere is in none of its tables.",
      valueName: "stream"))
  var acceptCheckpoints: [String] = []
  @Flag(help: "JSON lines on standard output.") var json = false
  @Option(help: "Format of the log on standard error: text or json.") var logFormat = Log.Format.text
  @Option(help: "Minimum log level: debug, info, warning or error.") var logLevel = Log.Level.info

  func run() async throws {
    try await exiting { console in
      try await RunCommand.run(
        RunOptions(
          pipeline: pipeline, lake: lake, store: store, brokers: brokers, acceptRecreated: acceptRecreated,
          acceptPartitions: acceptPartitions, acceptCheckpoints: acceptCheckpoints, admin: admin, json: json, logFormat: logFormat,
          logLevel: logLevel),
        host: AdminServer(), console: console)
    }
  }
}

extension Log.Format: ExpressibleByArgument {}
extension Log.Level: ExpressibleByArgument {}
