import ArgumentParser
import WeirAdmin
import WeirService

/// `weir run`.
struct Run: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a pipeline on its live source until SIGTERM; shares the work with others of its group.",
    discussion: "Positions come from the ledger: kill it, start it again, start a second one beside it.")

  @Argument(help: "The pipeline file (YAML).") var pipeline: String
  @Option(help: "The lake's directory, instead of the pipeline's.") var lake: String?
  @Option(help: "The state table's directory, instead of the pipeline's.") var store: String?
  @Option(help: "Kafka brokers (host:port,…), instead of the pipeline's.") var brokers: String?
  @Option(help: "Where probes, metrics and questions are answered (HOST:PORT; port 0: a free one), instead of the pipeline's admin.listen.")
  var admin: String?
  @Option(
    name: .customLong("accept-recreated"),
    help: ArgumentHelp(
      "A topic that was deleted and created again: read the new one from its start. May be repeated.",
      discussion: "Needed once, after the error `recreated` or `truncated`. What the old topic still held is recorded as lost.",
      valueName: "topic"))
  var acceptRecreated: [String] = []
  @Flag(help: "JSON lines on standard output.") var json = false
  @Option(help: "Lines on standard error: text or json.") var logFormat = Log.Format.text
  @Option(help: "The least that is told there: debug, info, warning or error.") var logLevel = Log.Level.info

  func run() async throws {
    try await exiting { console in
      try await RunCommand.run(
        RunOptions(
          pipeline: pipeline, lake: lake, store: store, brokers: brokers, acceptRecreated: acceptRecreated, admin: admin, json: json,
          logFormat: logFormat,
          logLevel: logLevel),
        host: AdminServer(), console: console)
    }
  }
}

extension Log.Format: ExpressibleByArgument {}
extension Log.Level: ExpressibleByArgument {}
