import ArgumentParser
import WeirCommands

/// `weir capture`.
struct Capture: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Records live Kafka topics or a Kinesis stream into a directory that `weir replay` reads.",
    discussion: """
      It can be killed at any time. The same command resumes after the last captured record.

      Examples:
        weir capture pipeline.yaml --out captured
        weir capture --brokers localhost:9092 --topic orders --out captured --for 10m
      """)

  @Argument(help: "A pipeline file whose source is captured.", completion: .pipeline) var pipeline: String?
  @Option(help: "The directory of the capture. An existing capture is resumed.", completion: .directory) var out: String
  @Option(help: "Kafka brokers (host:port,…), instead of the pipeline's.") var brokers: String?
  @Option(help: "A topic, instead of the pipeline's; may be repeated.") var topic: [String] = []
  @Option(help: "Where new partitions start: earliest (Kinesis: trim_horizon), latest or a time.") var start: String?
  @Option(name: .customLong("option"), help: "name=value, a further option of the Kafka client; may be repeated.") var clientOption:
    [String] = []
  @Option(name: .customLong("for"), help: "Duration, such as 10m. Default: until SIGTERM.") var duration: String?
  @Option(help: "Number of records in the whole capture.") var count: Int64?
  @Option(help: "Maximum size of a segment.") var rollBytes = "256MiB"
  @Option(help: "Maximum age of a segment.") var rollEvery = "1h"
  @Option(help: "Maximum time that records stay in memory before they are written and synced.") var flush = "1s"
  @Option(help: "zstd compression level, 1 to 19.") var level = 3
  @Flag(help: "JSON lines on standard output.") var json = false

  func run() async throws {
    try await exiting { console in
      var options = CaptureOptions(out: out)
      options.pipeline = pipeline
      options.brokers = brokers
      options.topics = topic
      options.start = start
      options.clientOptions = clientOption
      options.duration = duration
      options.count = count
      options.rollBytes = rollBytes
      options.rollEvery = rollEvery
      options.flush = flush
      options.level = level
      options.json = json
      return try await CaptureCommand.run(options, console: console)
    }
  }
}
