import Foundation
import WeirConfiguration
import WeirCore
import WeirEngine
import WeirKafka
import WeirKafkaSettings
import WeirLoad
import WeirLocal
import WeirPlan
import WeirProtocol
import WeirReport
import WeirRuntime

/// What `weir load` was asked.
package struct LoadOptions: Sendable {
  package var brokers: String?
  package var topic: String?
  /// A Kinesis stream instead of a topic: its name or its ARN.
  package var kinesis: String?
  package var aggregate = false
  package var explicitHashKeys = false
  package var stream = EventStream.adEvents
  /// A capture of a live stream to be played instead of a generated stream, and how much faster than it was.
  package var capture: String?
  package var speed = 1.0
  /// Records a second; with a plan: not.
  package var rate: Double?
  package var plan: String?
  package var duration: String?
  package var count: Int64?
  package var seed: UInt64 = 42
  package var skew = 0.2
  package var templates = 50_000
  package var linger = 5
  package var clientOptions: [String] = []
  /// The pipeline file whose state and gold are read back.
  package var verify: String?
  package var lake: String?
  package var store: String?
  package var settle = "60s"
  package var html: String?
  /// A report of an earlier load, whose figures are shown next to this one's.
  package var compare: String?
  /// A duration; nil: any latency passes.
  package var maxP99: String?
  package var maxLost: Int64 = 0
  /// The words of the command line, for the report.
  package var commandLine: [String] = []
  package var json = false

  package init() {}
}

/// `weir load`: an open-loop load for Kafka or Kinesis, and what a pipeline makes of it.
package enum LoadCommand {
  static let templatesMax = 1_000_000
  private static let partitionsExpected = 64
  /// How often it is looked whether the worker has made its state table, and how long at most.
  private static let storeLookNanoseconds: Int64 = 100_000_000
  private static let storeLooksMax = 300

  /// - Returns: 0; 1 if something was lost, came twice or too late (FAIL).
  package static func run(_ options: LoadOptions, console: Console) async throws -> Int32 {
    if let stream = options.kinesis { return try await run(options, intoStream: stream, console: console) }
    for (option, isSet) in [("--aggregate", options.aggregate), ("--explicit-hash-keys", options.explicitHashKeys)] where isSet {
      throw WeirError(.config, "\(option) is for Kinesis", advice: "Give it with --kinesis STREAM, or leave it out.")
    }
    var pipeline: LoadedPipeline?
    if let file = options.verify { pipeline = try await LoadedPipeline.read(file) }
    let target = try target(options, pipeline)
    try await SecretService.fetch((pipeline?.plan.storedSecrets ?? []).filter { $0.place.hasSuffix(".kafka") }.map { .stored($0.secret) })
    if options.capture != nil, options.rate != nil || options.plan != nil || options.duration != nil || options.count != nil {
      throw WeirError(
        .config, "a capture is sent at its recorded times", advice: "Leave --rate, --plan, --for and --count out; --speed makes it faster.")
    }
    guard options.speed == 1 || options.capture != nil else {
      throw WeirError(.config, "--speed needs --capture", advice: "Without a capture, --rate or --plan sets the speed.")
    }
    let plan = options.capture == nil ? try self.plan(options) : nil
    for (path, option) in [(options.html, "--html"), (options.capture, "--capture")] {
      if let path { _ = try PathText.checked(path, option) }
    }
    guard (1...templatesMax).contains(options.templates) else {
      throw WeirError(.config, "--templates must be 1 to \(templatesMax), not \(options.templates)")
    }
    guard (0...1).contains(options.skew) else { throw WeirError(.config, "--skew must be from 0 to 1, not \(options.skew)") }
    // What would be found wrong after the load only.
    _ = try CaptureCommand.duration(options.settle, "--settle")
    let limits = try limits(options)
    let earlier = try options.compare.map(earlier)
    if let path = options.html { try write("", to: path) }
    let clock = SystemClock()
    let consumer: KafkaConsumer
    let log = Log.talk(console, clock: clock)
    defer { log.end() }
    // Why brokers do not answer is told once: the producer would say the same.
    let observer = KafkaObserver(log: { log.kafka($0, $1, $2) })
    do { consumer = try KafkaConsumer(target.consumer, observer: observer) } catch { throw error.weirError }
    let producer: KafkaProducer
    do { producer = try KafkaProducer(target.producer) } catch {
      await consumer.close()
      throw error.weirError
    }
    do {
      let facts = LoadRun.facts(options, startedMicroseconds: clock.wallMicroseconds)
      var result = try await KafkaGroup.translating {
        try await carryOut(options, pipeline, target, plan, consumer, producer, clock, console)
      }
      (result.limits, result.facts) = (limits, facts)
      let comparison = earlier.map { LoadComparison(result, earlier: $0) }
      await producer.close()
      await consumer.close()
      let report = LoadReport(console: console, json: options.json)
      report.end(result, comparedWith: comparison)
      if let path = options.html {
        try write(LoadPage.html(result, comparedWith: comparison), to: path)
        console.talk("the report is in \(path)")
      }
      return result.isGood ? 0 : 1
    } catch {
      await producer.close()
      await consumer.close()
      throw error
    }
  }

  static func limits(_ options: LoadOptions) throws -> LoadLimits {
    guard options.maxLost >= 0 else { throw WeirError(.config, "--max-lost must be a number of records, not \(options.maxLost)") }
    guard let text = options.maxP99 else { return LoadLimits(lost: options.maxLost) }
    guard options.verify != nil else {
      throw WeirError(
        .config, "--max-p99 needs --verify", advice: "Latency is measured to the state of a pipeline: name its file with --verify.")
    }
    return LoadLimits(p99Nanoseconds: try CaptureCommand.duration(text, "--max-p99") * 1000, lost: options.maxLost)
  }

  static func earlier(_ file: String) throws -> JSONValue {
    let path = try PathText.checked(file, "--compare")
    guard let data = FileManager.default.contents(atPath: path) else {
      throw WeirError(.config, "--compare \(file): \(Paths.whyUnreadable(path))", advice: "Name a report of an earlier `weir load`.")
    }
    return try LoadComparison.earlier(String(decoding: data, as: UTF8.self), file: file)
  }

  /// The brokers and the topic that are loaded.
  private struct Target {
    var topic: String
    var partitioner: Partitioner
    var consumer: KafkaConsumerSettings
    var producer: KafkaProducerSettings
  }

  private static func target(_ options: LoadOptions, _ pipeline: LoadedPipeline?) throws -> Target {
    let source = pipeline.flatMap { KafkaSourceSpec.of($0.plan) }
    if let pipeline, source == nil {
      throw WeirError(
        .config, "\(pipeline.file) has no live source", advice: "--verify needs the pipeline file of the running `weir run`.")
    }
    try pipeline?.requireVariables {
      $0.hasPrefix("source.kafka.") && $0 != "source.kafka.instance" && ($0 != "source.kafka.brokers" || options.brokers == nil)
    }
    var spec = source ?? KafkaSourceSpec(topics: [])
    if let topic = options.topic { spec.topics = [topic] }
    guard spec.topics.count == 1, let topic = spec.topics.first, options.brokers != nil || !spec.settings.brokers.isEmpty else {
      throw WeirError(
        .config, "no target topic", advice: "Set --brokers HOST:PORT and --topic NAME, or name a pipeline with --verify.")
    }
    var consumer = KafkaWiring.settings(spec, brokers: options.brokers, shards: partitionsExpected)
    (consumer.group, consumer.instance) = ("weir-load", nil)
    var connection = consumer.connection
    // The options of a pipeline's source are a consumer's.
    connection.options = try ClientOptions.parse(options.clientOptions)
    var producer = KafkaProducerSettings(connection: connection)
    producer.lingerMilliseconds = options.linger
    producer.queueRecords = 2_000_000
    return Target(topic: topic, partitioner: spec.partitioner ?? .murmur2, consumer: consumer, producer: producer)
  }

  static func plan(_ options: LoadOptions) throws -> LoadPlan {
    if let text = options.plan {
      guard options.rate == nil, options.duration == nil, options.count == nil else {
        throw WeirError(.config, "--plan already sets rate and time", advice: "Leave --rate, --for and --count out.")
      }
      return try LoadPlan(text)
    }
    let rate = options.rate ?? 10_000
    guard options.duration == nil || options.count == nil else { throw WeirError(.config, "either --for or --count, not both") }
    if let count = options.count {
      guard count > 0 else { throw WeirError(.config, "--count must be a number of records, not \(count)") }
      return try LoadPlan(rate: rate, seconds: Double(count) / rate + 1e-9)
    }
    let seconds = try Double(CaptureCommand.duration(options.duration ?? "10s", "--for")) / 1e6
    return try LoadPlan(rate: rate, seconds: seconds)
  }

  private static func carryOut(
    _ options: LoadOptions, _ pipeline: LoadedPipeline?, _ target: Target, _ plan: LoadPlan?, _ consumer: KafkaConsumer,
    _ producer: KafkaProducer, _ clock: SystemClock, _ console: Console
  ) async throws -> LoadResult {
    let partitions = try await consumer.partitions(of: target.topic)
    guard !partitions.isEmpty else {
      throw WeirError(.topicMissing, "the topic \(target.topic) has no partitions", advice: "Create the topic, or name another.")
    }
    let bounds = try await consumer.watermarks(of: partitions)
    let bases = partitions.map { bounds[$0]?.high ?? 0 }
    let meter = LatencyMeter(shards: partitions.count)
    let watched = options.verify == nil ? nil : meter
    let runID = UInt32(truncatingIfNeeded: SystemRandom().next())
    let sender: any LoadSender
    var templates: LoadTemplates?
    if let plan {
      var settings = GeneratorSettings(options.stream)
      (settings.seed, settings.skew) = (options.seed, options.skew)
      let made = try LoadTemplates(
        settings, count: options.templates, run: runID, partitions: partitions.count, partitioner: target.partitioner)
      templates = made
      sender = LoadDriver(plan: plan, templates: made, producer: producer, topic: target.topic, bases: bases, meter: watched, clock: clock)
    } else {
      guard options.speed > 0, let path = options.capture, LiveCapture.isOne(path) else {
        throw WeirError(
          .config, "\(options.capture ?? "") is not a capture of a live stream, or --speed \(options.speed) is not above 0",
          advice: "--capture needs a directory that `weir capture` wrote, --speed a number such as 4x.")
      }
      sender = try LoadPlayback(
        try LiveCapture(path), speed: options.speed, producer: producer, topic: target.topic, bases: bases, meter: watched, clock: clock)
    }
    var verification: LoadVerification?
    if let pipeline { verification = try await self.verification(options, pipeline, target, templates, bases, meter, clock) }
    let interrupt = Interrupt()
    interrupt.listen(console, saying: "stopped sending; press again to exit at once")
    let session = LoadSession(
      sender: sender, outlet: producer, verification: verification, meter: meter, bases: bases, clock: clock,
      report: LoadReport(console: console, json: options.json))
    let what =
      options.capture.map { "\($0) at \(options.speed) times its speed" }
      ?? "\(options.stream.rawValue) \(options.plan ?? "at \(Int(options.rate ?? 10_000))/s")"
    var result = try await session.run(title: "\(what) to \(target.topic)", isInterrupted: { interrupt.isAsked })
    if verification != nil, let templates {
      result.findings.append(
        try await TopicCheck(consumer: consumer, templates: templates, run: runID, clock: clock).check(
          topic: target.topic, bases: bases, sentTo: sender.sentTo))
    }
    return result
  }

  private static func verification(
    _ options: LoadOptions, _ pipeline: LoadedPipeline, _ target: Target, _ templates: LoadTemplates?, _ bases: [Int64],
    _ meter: LatencyMeter, _ clock: SystemClock
  ) async throws -> LoadVerification {
    let places = try Places(pipeline, lake: options.lake, store: options.store)
    guard !pipeline.plan.state.isEmpty else {
      throw WeirError(
        .config, "\(pipeline.file) has no state table",
        advice: "Latency is measured to visible state: add a section `state` to the pipeline.")
    }
    let wiring = try await Wiring(places, withState: false, isLooking: true)
    let ledger = try await opened(LedgerLayout(pipeline: pipeline.plan.pipeline), wiring, places, clock)
    let table = try AdapterRegistry.standard.stateTable(at: places.store)
    var check = templates == nil ? nil : StateCheck(pipeline.plan)
    try await check?.remember(table)
    let compiled = CompiledPlan(pipeline.plan, lookups: pipeline.lookups)
    let shards = Dictionary(uniqueKeysWithValues: bases.indices.map { ("\(target.topic)/\($0)", $0) })
    let watch = try LoadWatch(
      store: places.store, hasLaneState: compiled.hasLaneState, check: compiled.hasLaneState ? check : nil, templates: templates,
      shards: shards,
      bases: bases, meter: meter, clock: clock)
    return LoadVerification(
      plan: pipeline.plan, store: places.store, watch: watch, check: check, ledger: ledger, lake: wiring.lake,
      before: await ledger.fold.number, settleMicroseconds: try CaptureCommand.duration(options.settle, "--settle"))
  }

  /// Waits for a worker that was started just now to make its ledger and its state table.
  private static func opened(_ layout: LedgerLayout, _ wiring: Wiring, _ places: Places, _ clock: SystemClock) async throws -> Ledger {
    for _ in 0..<storeLooksMax {
      if let ledger = try await Ledger.open(layout, store: wiring.lake, clock: clock, random: wiring.random), await ledger.fold.number > 0,
        (try? await AdapterRegistry.standard.stateTable(at: places.store).listMeta(prefix: "schema/")) != nil
      {
        return ledger
      }
      await clock.sleep(nanoseconds: storeLookNanoseconds)
    }
    throw WeirError(
      .config, "there is no ledger \(layout.prefix) in \(places.lake), or no state table in \(places.store)",
      advice: "Start `weir run` on the pipeline first, with the same --lake and --store.")
  }

  static func write(_ page: String, to path: String) throws {
    guard FileManager.default.createFile(atPath: path, contents: Data(page.utf8)) else {
      throw WeirError(.storageRefused, "cannot write the report \(path)", advice: "Check its directory.")
    }
  }
}
