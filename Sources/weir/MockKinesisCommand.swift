import ArgumentParser
import WeirCommands
import WeirMockKinesis

/// `weir mock-kinesis`.
struct MockKinesis: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mock-kinesis",
    abstract: "Runs a server with the interface of Kinesis for tests and trials; keeps its records in memory.",
    discussion: """
      Prints its address, and runs until SIGTERM or, if stdin is a pipe, until stdin closes. Accepts any signature, and requests without \
      one. Has no TLS, and so no HTTP/2. Accepts commands on stdin, one per line, and answers each with a line on stdout, \
      which begins with "error:" if a command was not carried out:
        refuse OPERATION CODE COUNT   answers the next requests with an error
        refuse-records COUNT          refuses the next records of PutRecords, one by one
        expire                        expires all iterators
        trim STREAM SHARD COUNT       removes the oldest records of a shard
        silence, speak                stops and continues the events of subscriptions
        cut                           breaks the connections of subscriptions
        calls                         prints the number of requests of each operation, as JSON

      Examples:
        weir mock-kinesis --stream orders:4
        AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:4567 weir run pipeline.yaml
      """)

  @Option(
    name: .customLong("stream"), help: "A stream to create, with its number of shards: NAME:COUNT. May be repeated.",
    transform: MockKinesis.stream)
  var streams: [MockTopic] = []

  @Option(help: "Port on 127.0.0.1; 0: any free port.")
  var port: UInt16 = 0

  @Option(help: "Delay of every answer, in milliseconds.")
  var delay = 0

  @Option(help: "Region in the names of streams (ARN).")
  var region = "us-east-1"

  @Option(help: "Maximum number of shards in an answer of ListShards.")
  var page = 1000

  @Option(help: "Age in milliseconds at which records are trimmed. Default: the retention period of the stream.")
  var retention: Int64?

  @Option(help: "Age in milliseconds at which an iterator expires.")
  var iterator: Int64 = 300_000

  @Option(help: "Time in milliseconds after which a subscription (SubscribeToShard) ends.")
  var subscription: Int64 = 300_000

  @Option(help: "Time in milliseconds between two events of a subscription without records.")
  var heartbeat: Int64 = 5000

  @Flag(help: "Limit each shard as Kinesis does: 5 reads and 2 MB per second, 1000 records and 1 MB written per second.")
  var limits = false

  func validate() throws {
    for (name, value) in [("--page", Int64(page)), ("--iterator", iterator), ("--subscription", subscription), ("--heartbeat", heartbeat)]
    where value < 1 { throw ValidationError("\(name) must be at least 1") }
    if delay < 0 || retention ?? 0 < 0 { throw ValidationError("--delay and --retention must not be negative") }
  }

  func run() async throws {
    var settings = MockKinesisSettings()
    (settings.region, settings.pageMax, settings.hasLimits) = (region, page, limits)
    (settings.retentionMilliseconds, settings.iteratorMilliseconds) = (retention, iterator)
    (settings.subscriptionMilliseconds, settings.beatMilliseconds) = (subscription, heartbeat)
    let (streams, port, delay) = (streams, port, delay)
    try await exiting { [settings] in
      try MockKinesisCommand.run(streams: streams, settings: settings, port: port, delay: delay, console: $0)
    }
  }

  @Sendable private static func stream(_ text: String) throws -> MockTopic {
    guard let stream = MockTopic(text) else {
      throw ValidationError(
        "\(text) is not a stream; give its name and number of shards, from 1 to \(MockTopic.partitionsMax): orders:4")
    }
    return stream
  }
}
