import Foundation
import WeirCapture
import WeirConfiguration
import WeirCore
import WeirLocal
import WeirOperators
import WeirPlan
import WeirReport
import WeirRuntime

/// What `weir capture` was asked.
package struct CaptureOptions: Sendable {
  /// A pipeline file whose source says what is captured; nil: brokers and topics do.
  package var pipeline: String?
  package var brokers: String?
  package var topics: [String] = []
  /// `earliest`, `latest` or a time: where partitions begin that are not in the capture yet.
  package var start: String?
  /// Further options of the client, `name=value`.
  package var clientOptions: [String] = []
  /// The capture's directory.
  package var out: String
  /// How long it runs, such as `10m`; nil: until stopped.
  package var duration: String?
  /// How many records the whole capture is to hold.
  package var count: Int64?
  package var rollBytes = "256MiB"
  package var rollEvery = "1h"
  package var flush = "1s"
  package var level = 3
  package var json = false

  package init(out: String) { self.out = out }
}

/// `weir capture`: records live topics.
package enum CaptureCommand {
  /// - Returns: the exit code.
  package static func run(_ options: CaptureOptions, console: Console) async throws -> Int32 {
    _ = try PathText.checked(options.out, "--out")
    try PlaceCheck.check(output: options.out)
    let target = try await target(options)
    if let count = options.count, count <= 0 { throw WeirError(.config, "--count must be a number of records, not \(count)") }
    guard (1...19).contains(options.level) else { throw WeirError(.config, "--level must be 1 to 19, not \(options.level)") }
    let clock = SystemClock()
    let writer = try LiveCaptureWriter(
      .init(
        directory: options.out, rollBytes: try size(options.rollBytes), rollMicroseconds: try duration(options.rollEvery, "--roll-every"),
        level: Int32(options.level)),
      random: SystemRandom())
    try checkTopics(writer, target)
    let report = CaptureReport(console: console, json: options.json, before: writer.records)
    report.begin(writer, options.out)
    let interrupt = Interrupt()
    interrupt.listen(console, saying: "writing the records read so far; press again to stop at once (captured records are kept)")
    var limits = CaptureSession.Limits()
    limits.microseconds = try options.duration.map { try duration($0, "--for") }
    limits.flushMicroseconds = try duration(options.flush, "--flush")
    let collector = CaptureCollector(writer, thread: BlockingThreads(count: 1), clock: clock, countMax: options.count)
    let log = Log.talk(console, clock: clock)
    defer { log.end() }
    limits.partitionsMicroseconds = target.refreshMicroseconds
    let session = CaptureSession(
      source: try await target.open(log: { log.kafka($0, $1, $2) }), collector: collector, writer: writer, clock: clock, limits: limits,
      talk: { console.talk($0) })
    do {
      try await session.run(
        until: interrupt.stop,
        observe: {
          log.tellOver()
          report.progress($0)
        })
    } catch {
      await session.close()
      throw error
    }
    report.end(writer, gone: session.goneShards)
    return 0
  }

  private static func target(_ options: CaptureOptions) async throws -> any CaptureTarget {
    var pipeline: LoadedPipeline?
    if let file = options.pipeline { pipeline = try await LoadedPipeline.read(file) }
    let request = CaptureRequest(
      brokers: options.brokers, streams: options.topics, start: options.start, options: try ClientOptions.parse(options.clientOptions))
    guard let target = try AdapterRegistry.standard.captured(pipeline?.plan, request) else {
      throw WeirError(
        .config, "\(options.pipeline ?? "") has no live source to capture",
        advice: "Give it source: {kafka: …} or {kinesis: …}, or name --brokers and --topic.")
    }
    try pipeline?.requireVariables { target.isNeeded($0) }
    return target
  }

  /// A capture goes on with its own topics.
  private static func checkTopics(_ writer: LiveCaptureWriter, _ target: any CaptureTarget) throws {
    let held = Set(writer.knownShards.map(\.stream)).sorted()
    guard held.isEmpty || held.allSatisfy(target.reads) else {
      throw WeirError(
        .config,
        "this directory contains a capture of \(held.joined(separator: ", ")), not of \(target.streams.joined(separator: ", "))",
        advice: "Name another directory.")
    }
  }

  static func duration(_ text: String, _ option: String) throws -> Int64 {
    guard let value = QuantityText.microseconds(text), value > 0 else {
      throw WeirError(.config, "\(option) must be a duration such as 500ms, 10s, 5m or 1h, not \(text)")
    }
    guard value <= QuantityText.durationMax else {
      throw WeirError(.config, "\(option) \(text) is more than 36500d, the longest duration")
    }
    return value
  }

  private static func size(_ text: String) throws -> Int64 {
    guard let value = QuantityText.bytes(text), value > 0, value <= QuantityText.bytesMax else {
      throw WeirError(.config, "--roll-bytes must be a size such as 64MiB, not \(text)")
    }
    return value
  }
}

/// Options of a source's client from the command line.
enum ClientOptions {
  /// Of texts `name=value`.
  static func parse(_ texts: [String]) throws(WeirError) -> [String: String] {
    var options: [String: String] = [:]
    for text in texts {
      guard let equals = text.firstIndex(of: "="), equals > text.startIndex else {
        throw WeirError(.config, "--option must be name=value, not \(text)")
      }
      options[String(text[..<equals])] = String(text[text.index(after: equals)...])
    }
    return options
  }
}
