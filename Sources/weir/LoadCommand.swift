import ArgumentParser
import WeirCommands
import WeirLoad

/// `weir load`.
struct Load: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Open-loop load test for a Kafka topic or a Kinesis stream; with --verify, checks the pipeline's results.",
    discussion: """
      With --verify it reads the pipeline's state during the run and reports the latency from scheduled send to visible state, and \
      lost, duplicated and reordered records. The first word of the report is PASS or FAIL; the exit code is 0 for PASS and 1 for FAIL.

      Examples:
        weir load --brokers localhost:9092 --topic orders --stream orders --for 1m
        weir load --verify pipeline.yaml --stream orders --max-p99 250ms
        weir load --kinesis orders --stream orders --rate 2000/s --for 1m
      """)

  @Option(help: "Kafka brokers (host:port,…), instead of the pipeline's.") var brokers: String?
  @Option(help: "The topic, instead of the pipeline's.") var topic: String?
  @Option(help: "A Kinesis stream instead of a topic: its name or ARN. Region and endpoint come from the environment.") var kinesis: String?
  @Flag(help: "Pack records of a shard into aggregates of about 50 KiB, as the Kinesis Producer Library does. Needs --kinesis.")
  var aggregate = false
  @Flag(
    name: .customLong("explicit-hash-keys"),
    help: "Give each record an explicit hash key, which spreads them evenly over the shards, whatever their keys are. Needs --kinesis.")
  var explicitHashKeys = false
  @Option(help: "ad-events, orders, trades, clicks, sensors.") var stream: EventStream = .adEvents
  @Option(help: "Directory of a capture to play instead of a generated stream.", completion: .directory) var capture: String?
  @Option(help: "Playback speed relative to the recording, such as 4x.", transform: Load.speed) var speed = 1.0
  @Option(help: "Records per second, such as 100000/s.", transform: Pace.parse) var rate: Double?
  @Option(
    help: "ramp:1000..100000/s,60s | burst:10000..200000/s,10s,1s,60s (base..peak, period, burst, total) | step:10000,50000/s,10s (each).")
  var plan: String?
  @Option(name: .customLong("for"), help: "Duration, such as 30s. Default: 10s.") var duration: String?
  @Option(help: "Number of records, instead of a duration.") var count: Int64?
  @Option(help: "Random seed.") var seed: UInt64 = 42
  @Option(help: "Fraction of records that go to the hottest 1% of keys.") var skew = 0.2
  @Option(help: "Number of prepared records, which are sent repeatedly, each time with a new id and time.") var templates = 50_000
  @Option(help: "Maximum time in milliseconds that a record waits to be sent in one request with others.") var linger = 5
  @Option(name: .customLong("option"), help: "name=value, a further option of the Kafka producer; may be repeated.") var clientOption:
    [String] = []
  @Option(help: "The pipeline file of a running `weir run`. Its state and gold tables are read and checked.", completion: .pipeline)
  var verify: String?
  @Option(help: "The lake's directory or s3://BUCKET/PREFIX, instead of the pipeline's.", completion: .directory) var lake: String?
  @Option(help: "The state table's directory or address, instead of the pipeline's.", completion: .directory) var store: String?
  @Option(help: "Maximum time after the last record until all results are visible.") var settle = "60s"
  @Option(help: "Write a report with charts to this file.", completion: .file(extensions: ["html"])) var html: String?
  @Option(name: .customLong("max-p99"), help: "Fail if the p99 of the latency exceeds this duration, such as 250ms. Needs --verify.")
  var maxP99: String?
  @Option(help: "Fail if a check finds more lost records than this.") var maxLost: Int64 = 0
  @Option(help: "A report of an earlier run (--json or --html): show its figures next to the new ones.", completion: .file())
  var compare: String?
  @Flag(help: "Print a JSON object on standard output at the end.") var json = false

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
      options.kinesis = kinesis
      options.aggregate = aggregate
      options.explicitHashKeys = explicitHashKeys
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
      options.compare = compare
      options.maxP99 = maxP99
      options.maxLost = maxLost
      options.commandLine = Array(CommandLine.arguments.dropFirst())
      options.json = json
      return try await LoadCommand.run(options, console: console)
    }
  }
}
