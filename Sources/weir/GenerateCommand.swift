import ArgumentParser
import WeirCommands
import WeirLoad

extension EventStream: ExpressibleByArgument {}

/// `weir generate`.
struct Generate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Generates a seeded stream of events as NDJSON.",
    discussion: """
      The same options give the same bytes.

      Examples:
        weir generate orders --count 1000
        weir generate clicks --count 100000 --duplicates 0.1 --out clicks.ndjson
      """)

  @Argument(help: "ad-events (the benchmark's), orders, trades, clicks, sensors.") var stream: EventStream
  @Option(help: "Number of lines.") var count = 1_000_000
  @Option(help: "Random seed.") var seed: UInt64 = 42
  @Option(help: "Output file; '-' is standard output.", completion: .file()) var out = "-"
  @Option(help: "Events per second of event time.") var rate = 10_000
  @Option(help: "Fraction of events that are sent again (0 to 1), up to 50,000 lines later; those after the last line are left out.")
  var duplicates = 0.02
  @Option(help: "Fraction of events that are delayed by up to --late milliseconds; the others by up to 50.") var disorder = 0.3
  @Option(help: "Maximum lateness in milliseconds.") var late = 2_000
  @Option(
    help: "Fraction of damaged lines: cut off, another text, or (a fifth of them) a fraction at the last number, which a time may have.")
  var malformed = 0.001
  @Option(help: "Fraction of events that go to the hottest 1% of keys.") var skew = 0.2

  func run() async throws {
    try await exiting { console in
      var settings = GeneratorSettings(stream)
      settings.seed = seed
      settings.rate = rate
      settings.duplicates = duplicates
      settings.disorder = disorder
      settings.lateMilliseconds = late
      settings.malformed = malformed
      settings.skew = skew
      return try GenerateCommand.run(settings, count: count, out: out, console: console)
    }
  }
}
