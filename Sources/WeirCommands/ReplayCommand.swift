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

/// What `weir replay` was asked.
package struct ReplayOptions: Sendable {
  package var pipeline: String
  package var captures: [String]
  package var lake: String?
  package var store: String?
  package var lanes: Int?
  package var keepOpen: Bool
  /// The last line of a file continues in the next file; else the end of a file ends a record.
  package var join: Bool
  /// Records a second at which the records arrive; nil: as fast as they are read.
  package var pace: Double?
  /// The lake of a live run whose cuts and decisions are repeated; nil: by the capture alone.
  package var decisions: String?
  /// Where the admin server listens; nil: there is none.
  package var admin: String?
  package var json: Bool

  package init(
    pipeline: String, captures: [String], lake: String?, store: String?, lanes: Int?, keepOpen: Bool, join: Bool = false,
    pace: Double?, decisions: String? = nil, admin: String? = nil, json: Bool
  ) {
    self.join = join
    self.pipeline = pipeline
    self.captures = captures
    self.lake = lake
    self.store = store
    self.lanes = lanes
    self.keepOpen = keepOpen
    self.pace = pace
    self.decisions = decisions
    self.admin = admin
    self.json = json
  }
}

package enum ReplayCommand {
  /// - Parameter host: serves the admin endpoints, where they are asked for.
  /// - Returns: the exit code.
  package static func run(_ options: ReplayOptions, host: any AdminHost, console: Console) async throws -> Int32 {
    let pipeline = try await LoadedPipeline.read(options.pipeline)
    for warning in pipeline.warnings { console.talk(warning.text) }
    try pipeline.requireVariables {
      $0 == "record.registry.url" || $0.hasPrefix("store.") && options.store == nil
        || options.decisions == nil && AdapterRegistry.standard.isNeededToPublish($0, pipeline.plan)
    }
    for path in options.captures where path != "-" {
      _ = try PathText.checkedLake(path, "--capture")
    }
    if options.captures.contains(where: LiveCapture.isOne) {
      return try await RecordedReplay.run(options, pipeline, host: host, console: console)
    }
    guard pipeline.plan.source.live == nil else {
      if let path = options.captures.first, !CapturedFiles.isRemote(path), access(path, F_OK) != 0 {
        throw WeirError(
          .config, "--capture \(path): \(Paths.whyUnreadable(path))", advice: "Name the directory that `weir capture --out` wrote.")
      }
      throw WeirError(
        .config,
        "\(options.pipeline) reads a live source, and \(options.captures.first ?? "the capture") is not a capture of a live stream",
        advice: "Run it with `weir run`, name the directory that `weir capture` wrote, or give it source: {capture: …} to replay NDJSON.")
    }
    guard options.decisions == nil else {
      throw WeirError(
        .config, "--decisions repeats a live run, and these files are a plain capture",
        advice: "Name the directory that `weir capture` wrote; the cuts of a plain capture depend on its bytes alone.")
    }
    if let lanes = options.lanes, !(1...1024).contains(lanes) {
      throw WeirError(
        .config, "--lanes must be 1 to 1024, not \(lanes)",
        advice: "Choose a number in this range, or leave it out. The rows do not depend on it.")
    }
    var places = try Places(pipeline, lake: options.lake, store: options.store)
    places.captures = options.captures
    // Before anything is made, and before files of the lake itself are taken for a capture.
    try await places.check(.own())
    let files = try await CapturedFiles.find(
      options.captures, content: pipeline.plan.record.recordFormat.captureContent,
      settings: places.lakeSettings(of: options.captures.first ?? ""), .own())
    let wiring = try await Wiring(places, withState: !pipeline.plan.state.isEmpty, worker: pipeline.plan.worker, isLooking: true)
    let interrupt = Interrupt()
    interrupt.listen(console)
    let meter = options.pace.map { _ in LatencyMeter() }
    let memoryWatch = MemoryWatch()
    let report = ReplayReport(console: console, json: options.json, memory: wiring.memory, peakBytes: { memoryWatch.peak })
    let log = Log.talk(console, clock: wiring.clock)
    defer { log.end() }
    let flushBytes = pipeline.plan.lake.flushBytes
    // Before the capture is read: a pipe may let its first bytes wait.
    let watch = try await watch(pipeline.plan, options, wiring, interrupt, host, log, lake: places.lake)
    guard let runID = try await interrupt.unlessAsked({ [plan = pipeline.plan] in try runID(plan, files) }) else {
      await host.stop()
      return interrupt.exitCode
    }
    var request = try LedgerRequest(
      meaning: PlanMeaning.json(pipeline.plan), planHash: PlanMeaning.hash(pipeline.plan).hex, lanes: options.lanes,
      runID: runID, describeChange: { PlanMeaning.changes(from: $0, to: $1) })
    if options.join { request.fileEnds = .join }
    let worker = Worker(
      CompiledPlan(pipeline.plan, lookups: pipeline.lookups), environment: environment(wiring, pipeline.plan, log), request: request,
      input: .capture(keepOpen: options.keepOpen, latency: meter) { start in
        watch.reads()
        let source = CaptureSource(
          files: files.items, in: files.store, startAt: start.position, expectedPrefix: start.prefix, cutBytes: flushBytes,
          blockBytes: blockBytes(options.pace, wiring.memory),
          recordBytes: min(CaptureSource.recordBytes, wiring.memory.recordBytes), keepOpen: options.keepOpen, fileEnds: start.fileEnds,
          framing: pipeline.plan.record.recordFormat.captureFraming, content: files.content, tell: { console.talk($0.words) })
        let total = source.totalFileBytes
        report.begin(from: start.position) { total.map { $0 > 0 ? Double(source.progress.fileBytes) / Double($0) : 1 } }
        guard let pace = options.pace, let meter else { return source }
        return PacedSource(source, rate: pace, clock: wiring.clock, meter: meter, stop: interrupt.stop)
      },
      meter: watch.meter, observe: { if case .consumed(let progress) = $0 { report.progress(progress) } }, stop: interrupt.stop)
    let (end, progress, fold) = try await OtherProcess.named(pipeline.plan, wiring) { try await watch.beside { try await worker.replay() } }
    await host.stop()
    report.end(end, progress, fold, latency: meter?.summary)
    return end == .interrupted ? interrupt.exitCode : report.exitCode(pipeline.plan, fold)
  }

  /// The watch over a replay, with its admin server where one is asked for.
  static func watch(
    _ plan: Plan, _ options: ReplayOptions, _ wiring: Wiring, _ interrupt: Interrupt, _ host: any AdminHost, _ log: Log,
    lake: String
  ) async throws -> WorkerWatch {
    if options.admin != nil { try await SecretService.fetch([plan.admin?.token].compactMap { $0 }) }
    let watch = WorkerWatch(plan, meter: LiveMeter(clock: wiring.clock, readsCapture: true), log: log, clock: wiring.clock)
    let admin = try WorkerAdmin(plan, listen: options.admin, watch: watch) {
      if interrupt.ask(SIGTERM) { log.info("stopping after the next commit (/drain); nothing that was committed is lost") }
    }
    admin.routes.use(wiring.state)
    if let catalog = try wiring.catalog(plan, lake: lake) { watch.register(catalog.tables, in: catalog.catalog, random: wiring.random) }
    try await admin.start(host, log)
    return watch
  }

  /// What a replay works on.
  /// - Parameter publishes: to the plan's topics.
  static func environment(_ wiring: Wiring, _ plan: Plan, _ log: Log, publishes: Bool = true) -> EngineEnvironment {
    let sinks = AdapterRegistry.standard.sinks(plan, log: { log.kafka($0, $1, $2) }, tell: { log.trouble($0) })
    return wiring.environment(
      sinks: publishes ? sinks : nil, registry: RegistryWiring.environment(plan, tell: { log.trouble($0) }))
  }

  /// A block waits for its last record: with a pace it holds as many bytes as records come a
  /// second, which is what comes in 5 ms if records have 200 bytes.
  private static func blockBytes(_ pace: Double?, _ memory: MemoryBudget) -> Int {
    guard let pace else { return memory.blockBytes }
    return min(memory.blockBytes, max(4096, Int(pace)))
  }

  /// A hash of the plan and the capture's first MiB, uncompressed: the same for every replay of it, in whatever files.
  private static func runID(_ plan: Plan, _ files: CapturedFiles) throws -> String {
    let bytes = Array(PlanMeaning.text(plan).utf8) + (try files.firstBytes(count: 1 << 20))
    return String(ContentHash(of: bytes).hex.prefix(32))
  }
}
