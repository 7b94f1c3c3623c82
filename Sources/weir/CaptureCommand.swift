import ArgumentParser
import WeirService

/// `weir capture`.
struct Capture: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Records live Kafka topics into a directory that `weir replay` reads.",
    discussion: "Kill it anywhere, run it again: it goes on behind the last record that was captured.")

  @Argument(help: "A pipeline file: what its source.kafka names is captured.") var pipeline: String?
  @Option(help: "The directory of the capture; one that is there is gone on with.") var out: String
  @Option(help: "Kafka brokers (host:port,…), instead of the pipeline's.") var brokers: String?
  @Option(help: "A topic, instead of the pipeline's; may be repeated.") var topic: [String] = []
  @Option(help: "earliest, latest or a time: where partitions begin that are not captured yet.") var start: String?
  @Option(name: .customLong("option"), help: "name=value, a further option of the Kafka client; may be repeated.") var clientOption:
    [String] = []
  @Option(name: .customLong("for"), help: "How long, such as 10m; until SIGTERM unless said.") var duration: String?
  @Option(help: "How many records the whole capture is to hold.") var count: Int64?
  @Option(help: "A segment this large is finished.") var rollBytes = "256MiB"
  @Option(help: "A segment this old is finished.") var rollEvery = "1h"
  @Option(help: "How long records may lie in memory before they are written and synced.") var flush = "1s"
  @Option(help: "zstd's level, 1 to 19.") var level = 3
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
