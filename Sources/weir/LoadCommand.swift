import ArgumentParser
import WeirService

/// `weir load`.
struct Load: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Loads a Kafka topic on a schedule that waits for nobody, and tells what a pipeline makes of it.",
    discussion:
      "With --verify it looks at the pipeline's state while it runs: latency from when a record was due; what was lost, twice, out of order."
  )

  @Option(help: "Kafka brokers (host:port,…), instead of the pipeline's.") var brokers: String?
  @Option(help: "The topic, instead of the pipeline's.") var topic: String?
  @Option(help: "ad-events, orders, trades, clicks, sensors.") var stream: EventStream = .adEvents
  @Option(help: "The directory of a capture to play instead of a stream.") var capture: String?
  @Option(help: "How much faster than it was recorded, such as 4x.", transform: Load.speed) var speed = 1.0
  @Option(help: "Records a second, such as 100000/s.", transform: Pace.parse) var rate: Double?
  @Option(
    help: "ramp:1000..100000/s,60s | burst:10000..200000/s,10s,1s,60s (base..peak, every, for, in all) | step:10000,50000/s,10s (each).")
  var plan: String?
  @Option(name: .customLong("for"), help: "How long, such as 30s (10s unless said).") var duration: String?
  @Option(help: "How many records, instead of how long.") var count: Int64?
  @Option(help: "Another seed, another stream.") var seed: UInt64 = 42
  @Option(help: "Share of records that go to the hot hundredth of keys.") var skew = 0.2
  @Option(help: "Records that are made before and sent round and round, each with an id and a time of its own.") var templates = 50_000
  @Option(help: "Milliseconds that a record may wait for others to share a request with.") var linger = 5
  @Option(name: .customLong("option"), help: "name=value, a further option of the Kafka producer; may be repeated.") var clientOption:
    [String] = []
  @Option(help: "The pipeline file of a running `weir run`: its state and gold are read back.") var verify: String?
  @Option(help: "The lake's directory, instead of the pipeline's.") var lake: String?
  @Option(help: "The state table's directory, instead of the pipeline's.") var store: String?
  @Option(help: "How long everything may take to become visible behind the last record.") var settle = "60s"
  @Option(help: "Writes a report with charts to this file.") var html: String?
  @Flag(help: "A JSON object on standard output at the end.") var json = false

  @Sendable private static func speed(_ text: String) throws -> Double {
    guard let speed = Double(text.hasSuffix("x") ? text.dropLast() : text[...]), speed > 0, speed <= 1e6 else {
      throw ValidationError("a speed is a number above 0, such as 4x")
    }
    return speed
  }

  func run() async throws {
    try await exiting { console in
      var options = LoadOptions()
      options.brokers = brokers
      options.topic = topic
      options.stream = stream
      options.capture = capture
      options.speed = speed
      options.rate = rate
      options.plan = plan
      options.duration = duration
      options.count = count
      options.seed = seed
      options.skew = skew
      options.templates = templates
      options.linger = linger
      options.clientOptions = clientOption
      options.verify = verify
      options.lake = lake
      options.store = store
      options.settle = settle
      options.html = html
      options.json = json
      return try await LoadCommand.run(options, console: console)
    }
  }
}
