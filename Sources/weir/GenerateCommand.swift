import ArgumentParser
import WeirService

extension EventStream: ExpressibleByArgument {}

/// `weir generate`.
struct Generate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes a seeded stream of events as NDJSON.", discussion: "The same options give the same bytes.")

  @Argument(help: "ad-events (the benchmark's), orders, trades, clicks, sensors.") var stream: EventStream
  @Option(help: "Lines.") var count = 1_000_000
  @Option(help: "Another seed, another stream.") var seed: UInt64 = 42
  @Option(help: "The file to make; '-' is standard output.") var out = "-"
  @Option(help: "Events a second of event time.") var rate = 10_000
  @Option(help: "Share of events that are sent again (0 to 1).") var duplicates = 0.02
  @Option(help: "Share of events that are up to --late milliseconds late.") var disorder = 0.3
  @Option(help: "How late, in milliseconds.") var late = 2_000
  @Option(help: "Share of lines that are no record.") var malformed = 0.001
  @Option(help: "Share of events that go to the hot hundredth of keys.") var skew = 0.2

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
