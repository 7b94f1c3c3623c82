import Foundation
import Synchronization
import WeirConfiguration
import WeirCore
import WeirEngine
import WeirLocal
import WeirObserve
import WeirOperators
import WeirPlan
import WeirProtocol
import WeirReport
import WeirRuntime

/// `weir replay` of a capture of a live stream.
enum RecordedReplay {
  static func run(
    _ options: ReplayOptions, _ pipeline: LoadedPipeline, host: any AdminHost, console: Console
  ) async throws -> Int32 {
    let capture = try checked(options, pipeline)
    var places = try Places(pipeline, lake: options.lake, store: options.store)
    places.captures = options.captures
    let wiring = try await Wiring(places, withState: !pipeline.plan.state.isEmpty, worker: pipeline.plan.worker)
    let interrupt = Interrupt()
    interrupt.listen(console)
    let memoryWatch = MemoryWatch()
    let report = ReplayReport(console: console, json: options.json, memory: wiring.memory, peakBytes: { memoryWatch.peak })
    let log = Log.talk(console, clock: wiring.clock)
    defer { log.end() }
    if capture.tornBytes > 0 {
      console.talk("ignoring \(capture.tornBytes) bytes of an unfinished write at the end of the capture")
    }
    let beginning = try capture.firstBytes(count: identityBytes)
    let request = try LedgerRequest(
      meaning: PlanMeaning.json(pipeline.plan), planHash: PlanMeaning.hash(pipeline.plan).hex, lanes: nil,
      runID: runID(pipeline.plan, beginning.bytes[...]), describeChange: { PlanMeaning.changes(from: $0, to: $1) },
      isEarlierRunID: { id in beginning.earlier.contains { runID(pipeline.plan, beginning.bytes[..<$0]) == id } })
    let total = Double(max(1, capture.records))
    let consumed = Consumed()
    report.begin(from: 0) { Double(consumed.records) / total }
    let watch = try await ReplayCommand.watch(pipeline.plan, options, wiring, interrupt, host, log, lake: places.lake)
    var decisions: RecordedRun?
    if let lake = options.decisions { decisions = try await recorded(lake, pipeline, wiring, places) }
    let worker = Worker(
      CompiledPlan(pipeline.plan, lookups: pipeline.lookups),
      environment: ReplayCommand.environment(wiring, pipeline.plan, log, publishes: options.decisions == nil),
      request: request,
      input: .stream(
        capture, recorded: decisions, keepOpen: options.keepOpen),
      meter: watch.meter,
      observe: {
        guard case .consumed(let progress) = $0 else { return }
        watch.reads()
        consumed.set(progress.records)
        report.progress(progress)
      }, stop: interrupt.stop)
    let (end, progress, fold) = try await OtherProcess.named(pipeline.plan, wiring) { try await watch.beside { try await worker.replay() } }
    await host.stop()
    report.end(end, progress, fold, latency: nil)
    return end == .interrupted ? interrupt.exitCode : report.exitCode(pipeline.plan, fold)
  }

  private static func checked(_ options: ReplayOptions, _ pipeline: LoadedPipeline) throws -> LiveCapture {
    guard options.captures.count == 1 else {
      throw WeirError(.config, "a capture of a live stream cannot be replayed together with other captures", advice: "Name one directory.")
    }
    guard pipeline.plan.source.live != nil else {
      throw WeirError(
        .config, "\(options.pipeline) reads a plain capture, and \(options.captures[0]) is a capture of a live stream",
        advice:
          "Its partitions become lanes, as in a live run: give the pipeline source: {kafka: {…}} or {kinesis: {…}}, as the capture's; a replay does not connect to it."
      )
    }
    guard options.pace == nil, options.lanes == nil else {
      throw WeirError(
        .config, "\(options.lanes == nil ? "--pace" : "--lanes") cannot be used with a capture of a live stream",
        advice: "Each recorded partition is a lane. To send it at its own speed to a topic, use `weir load --capture`.")
    }
    guard !options.join else {
      throw WeirError(
        .config, "--join cannot be used with a capture of a live stream",
        advice: "Leave it out: such a capture does not split records across files.")
    }
    guard options.decisions == nil || !pipeline.plan.source.countsRecords else {
      throw WeirError(
        .config, "--decisions cannot repeat a live run of Kinesis: its positions are not those of a capture",
        advice: "Replay the capture \(.withoutDecisions).")
    }
    let capture = try LiveCapture(options.captures[0], blockBytes: Wiring.memory(pipeline.plan.worker).blockBytes)
    let source = pipeline.plan.source
    guard source.countsRecords == capture.countsRecords else {
      throw WeirError(
        .config,
        "the capture \(options.captures[0]) is of another kind of source than the pipeline's: one is Kafka, the other one Kinesis",
        advice: "Replay it with the pipeline whose source was captured.")
    }
    if let other = capture.shards.first(where: { !source.settings.reads($0.stream) }) {
      throw WeirError(
        .config,
        "the capture contains the topic \(other.stream), and the pipeline reads \((source.live?.streams ?? []).joined(separator: ", "))",
        advice: "Replay the capture of the pipeline's own topics.")
    }
    return capture
  }

  /// By so much of its beginning, uncompressed, a capture is known again.
  private static let identityBytes = 1 << 20

  /// A hash of the plan and of the beginning of what was captured.
  private static func runID(_ plan: Plan, _ beginning: ArraySlice<UInt8>) -> String {
    String(ContentHash(of: Array(PlanMeaning.text(plan).utf8) + beginning).hex.prefix(32))
  }

  private static func recorded(
    _ lake: String, _ pipeline: LoadedPipeline, _ wiring: Wiring, _ places: Places
  ) async throws -> RecordedRun {
    let lake = try PathText.checkedLake(lake, "--decisions")
    let store = try await AdapterRegistry.standard.lake(lake, settings: places.lakeSettings(of: lake), wiring.effects)
    let isOwn = FileIdentity.of(lake).map { $0 == FileIdentity.of(places.lake) } ?? (store.place == wiring.lake.place)
    guard !isOwn else {
      throw WeirError(
        .config, "--decisions names the lake that this replay writes",
        advice: "Give the replay a lake of its own: --lake DIR --store DIR.")
    }
    return .init(lake: store, layout: LedgerLayout(pipeline: pipeline.plan.pipeline))
  }
}

/// How many records were consumed, for a progress bar.
private final class Consumed: Sendable {
  private let value = Atomic<Int64>(0)
  var records: Int64 { value.load(ordering: .relaxed) }
  func set(_ records: Int64) { value.store(records, ordering: .relaxed) }
}

/// Which directory a path names.
private struct FileIdentity: Equatable {
  var device: UInt
  var inode: UInt

  /// nil: there is nothing.
  static func of(_ path: String) -> FileIdentity? {
    var info = stat()
    return stat(path, &info) == 0 ? FileIdentity(device: UInt(info.st_dev), inode: UInt(info.st_ino)) : nil
  }
}
