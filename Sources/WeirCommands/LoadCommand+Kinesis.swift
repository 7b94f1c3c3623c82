import WeirCore
import WeirEngine
import WeirLoad
import WeirLocal
import WeirPlan
import WeirReport
import WeirRuntime

extension LoadCommand {
  /// Loads a Kinesis stream. What comes of the records is not read back: a stream has no offsets that show it.
  static func run(_ options: LoadOptions, intoStream stream: String, console: Console) async throws -> Int32 {
    try check(options)
    let (plan, limits) = (try plan(options), try limits(options))
    let earlier = try options.compare.map(earlier)
    if let path = options.html {
      _ = try PathText.checked(path, "--html")
      try write("", to: path)
    }
    let clock = SystemClock()
    let putter = try await KinesisWiring.putter(stream, aggregates: options.aggregate, clock: clock)
    var settings = GeneratorSettings(options.stream)
    (settings.seed, settings.skew) = (options.seed, options.skew)
    let templates = try LoadTemplates(
      settings, count: options.templates, run: UInt32(truncatingIfNeeded: SystemRandom().next()), partitions: 1, partitioner: .murmur2)
    let load = StreamLoad(
      plan: plan, templates: templates, putter: putter, spreads: options.explicitHashKeys, linger: options.linger, clock: clock)
    let interrupt = Interrupt()
    interrupt.listen(console, saying: "stopped sending; press again to exit at once")
    let report = LoadReport(console: console, json: options.json)
    let session = LoadSession(
      sender: load, outlet: load, verification: nil, meter: LatencyMeter(shards: 1), bases: [0], clock: clock, report: report)
    let facts = LoadRun.facts(options, startedMicroseconds: clock.wallMicroseconds)
    let rate = options.plan ?? "at \(Int(options.rate ?? 10_000))/s"
    var result = try await session.run(
      title: "\(options.stream.rawValue) \(rate) to the Kinesis stream \(stream)", isInterrupted: { interrupt.isAsked })
    (result.limits, result.facts) = (limits, facts)
    let comparison = earlier.map { LoadComparison(result, earlier: $0) }
    report.end(result, comparedWith: comparison)
    if let path = options.html {
      try write(LoadPage.html(result, comparedWith: comparison), to: path)
      console.talk("the report is in \(path)")
    }
    return result.isGood ? 0 : 1
  }

  /// - Throws: `config` for what a load of a stream cannot have.
  private static func check(_ options: LoadOptions) throws(WeirError) {
    let others = [
      ("--brokers", options.brokers != nil), ("--topic", options.topic != nil), ("--option", !options.clientOptions.isEmpty),
      ("--capture", options.capture != nil), ("--verify", options.verify != nil),
    ]
    if let (option, _) = others.first(where: \.1) {
      throw WeirError(.config, "\(option) is for Kafka, and --kinesis names a stream", advice: "Leave one of them out.")
    }
    guard (1...templatesMax).contains(options.templates) else {
      throw WeirError(.config, "--templates must be 1 to \(templatesMax), not \(options.templates)")
    }
    guard (0...1).contains(options.skew) else { throw WeirError(.config, "--skew must be from 0 to 1, not \(options.skew)") }
  }
}
