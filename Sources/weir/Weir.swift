import ArgumentParser
import Foundation
import WeirAdmin
import WeirCommands
import WeirCore
import WeirPlan
import WeirReport

@main
struct Start {
  static func main() async {
    await Weir.main()
  }
}

struct Weir: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "weir", abstract: "Processes live and captured streams into a Delta lake and a state table, exactly once.",
    discussion: """
      Examples:
        weir demo
        weir replay pipeline.yaml --capture orders.ndjson
        weir run pipeline.yaml
      """,
    version: weirVersion,
    subcommands: [
      Demo.self, Run.self, Replay.self, Capture.self, Load.self, Generate.self, Infer.self, Check.self, Explain.self, Schema.self,
      Doctor.self, State.self, Ledger.self,
      MockKafka.self, MockKinesis.self, Completion.self,
    ])
}

/// Runs a command that changes nothing, as ``exiting(_:)``.
func looking(_ body: (Console) async throws -> Int32) async throws {
  try await exiting { console in try await Looking.run { try await body(console) } }
}

/// Runs a command and turns its errors into words and exit codes.
func exiting(_ body: (Console) async throws -> Int32) async throws {
  let console = Console()
  let code: Int32
  do {
    code = try await body(console)
  } catch let error as ConfigurationError {
    console.talk(error.description)
    code = 2
  } catch let error as WeirError {
    if !console.reports(error) { console.talk("weir: \(error.words)") }
    code = error.code.rule.exitCode
  }
  let end = console.finish(code)
  if end != 0 { throw ExitCode(end) }
}

struct Replay: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Replays a capture through a pipeline; resumes at the ledger's position.",
    discussion: """
      You can interrupt or kill it at any time. If you run it again, it produces the same tables.

      Examples:
        weir replay pipeline.yaml --capture orders.ndjson
        weir replay pipeline.yaml --capture s3://bucket/logs/2026
        zstdcat day-*.zst | weir replay pipeline.yaml --capture -
      """)

  @Argument(help: "The pipeline file (YAML).", completion: .pipeline) var pipeline: String
  @Option(
    name: .long, parsing: .upToNextOption,
    help:
      "Files of records (plain, gzip or zstd) in order, '-' for standard input, a directory that `weir capture` wrote, or s3://BUCKET/PREFIX.",
    completion: .file())
  var capture: [String]
  @Option(help: "The lake's directory or s3://BUCKET/PREFIX, instead of the pipeline's.", completion: .directory) var lake: String?
  @Option(help: "The state table's directory or address, instead of the pipeline's.", completion: .directory) var store: String?
  @Option(help: "Number of lanes of a new ledger. Default: 4. An existing ledger keeps its number.") var lanes: Int?
  @Flag(help: "Leave windows open at the end: the capture may grow.") var keepOpen = false
  @Flag(help: "Continue a file's last line in the next file, as for the parts of split -b. An existing ledger keeps its own rule.")
  var join = false
  @Option(help: "Read records at this rate, such as 200000/s, and report the latency from arrival to visible state.", transform: Pace.parse)
  var pace: Double?
  @Option(help: "Address for metrics, probes and /drain during the replay, such as 127.0.0.1:9464. The pipeline's admin.token applies.")
  var admin: String?
  @Option(help: "The lake of a live run: repeat its cuts and decisions on a capture of the same records.", completion: .directory)
  var decisions: String?
  @Flag(help: "JSON lines on standard output.") var json = false

  func run() async throws {
    try await exiting { console in
      try await ReplayCommand.run(
        ReplayOptions(
          pipeline: pipeline, captures: capture, lake: lake, store: store, lanes: lanes, keepOpen: keepOpen, join: join,
          pace: pace, decisions: decisions, admin: admin, json: json),
        host: AdminServer(), console: console)
    }
  }
}

enum Pace {
  @Sendable static func parse(_ text: String) throws -> Double {
    guard let rate = Double(text.hasSuffix("/s") ? text.dropLast(2) : text[...]), rate > 0, rate <= 1e9 else {
      throw ValidationError("a rate is a number of records per second above 0, such as 200000/s")
    }
    return rate
  }
}

struct Check: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Checks a pipeline file.",
    discussion: """
      Reports each error with file, line, column and a suggested fix, and warns of settings that surprise. Reads the files of lookups; processes nothing.

      Exit codes: 0: valid, perhaps with warnings. 2: invalid.

      Examples:
        weir check pipeline.yaml
        weir check pipeline.yaml --json
      """)
  @Argument(help: "The pipeline file (YAML).", completion: .pipeline) var pipeline: String
  @Flag(help: "Print one JSON object per problem.") var json = false

  func run() async throws { try await looking { await PlanCommands.check(pipeline, json: json, console: $0) } }
}
