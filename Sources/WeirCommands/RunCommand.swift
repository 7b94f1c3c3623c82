import Foundation
import WeirConfiguration
import WeirCore
import WeirEngine
import WeirLocal
import WeirObserve
import WeirPlan
import WeirProtocol
import WeirReport
import WeirRuntime

/// What `weir run` was asked.
package struct RunOptions: Sendable {
  package var pipeline: String
  package var lake: String?
  package var store: String?
  /// Instead of the pipeline's.
  package var brokers: String?
  /// Topics that were deleted and created again, to be read from their start.
  package var acceptRecreated: [String]
  package var acceptCheckpoints: [String]
  package var acceptPartitions: [String]
  /// Where the admin server listens, instead of the pipeline's `admin.listen`.
  package var admin: String?
  package var json: Bool
  package var logFormat: Log.Format
  package var logLevel: Log.Level

  package init(
    pipeline: String, lake: String?, store: String?, brokers: String?, acceptRecreated: [String] = [],
    acceptPartitions: [String] = [], acceptCheckpoints: [String] = [], admin: String? = nil, json: Bool,
    logFormat: Log.Format = .text, logLevel: Log.Level = .info
  ) {
    self.pipeline = pipeline
    self.lake = lake
    self.store = store
    self.brokers = brokers
    self.acceptRecreated = acceptRecreated
    self.acceptPartitions = acceptPartitions
    self.acceptCheckpoints = acceptCheckpoints
    self.admin = admin
    self.json = json
    self.logFormat = logFormat
    self.logLevel = logLevel
  }
}

/// `weir run`: a worker on a live source.
package enum RunCommand {
  /// - Parameter host: serves the admin endpoints, where they are asked for.
  /// - Returns: the exit code; 0 after SIGTERM, SIGINT, SIGHUP or `/drain` and an orderly end.
  package static func run(_ options: RunOptions, host: any AdminHost, console: Console) async throws -> Int32 {
    let log = Log(console, format: options.logFormat, level: options.logLevel, clock: SystemClock())
    guard options.logFormat == .json else { return try await run(options, host, log) }
    // Errors that end the command are lines like all others.
    do { return try await run(options, host, log) } catch let error as ConfigurationError {
      for diagnostic in error.diagnostics { log.error(diagnostic.text, diagnostic.logMembers) }
      return 2
    } catch let error as WeirError {
      log.error(error.words, [.init("event", .string("failed"))] + Log.members(error))
      return error.code.rule.exitCode
    }
  }

  private static func run(_ options: RunOptions, _ host: any AdminHost, _ plain: Log) async throws -> Int32 {
    let pipeline = try await LoadedPipeline.read(options.pipeline)
    var log = plain
    log.fields = [.init("pipeline", .string(pipeline.plan.pipeline))]
    for warning in pipeline.warnings { log.warning(warning.text, warning.logMembers) }
    guard let source = AdapterRegistry.standard.live(pipeline.plan) else {
      throw WeirError(
        .config, "\(options.pipeline) has no live source", advice: "Give it source: {kafka: …}, or use `weir replay` for captures.")
    }
    let overrides = SourceOverrides(brokers: options.brokers, acceptsCheckpoints: !options.acceptCheckpoints.isEmpty)
    try pipeline.requireVariables { source.isNeeded($0, overrides) }
    let named =
      options.acceptRecreated.map { ("--accept-recreated", $0) } + options.acceptPartitions.map { ("--accept-partitions", $0) }
      + options.acceptCheckpoints.map { ("--accept-checkpoints", $0) }
    for (option, topic) in named where !pipeline.plan.source.settings.reads(topic) {
      throw WeirError(
        .config, "\(option) \(topic): \(options.pipeline) does not read this topic",
        advice: "It reads \((pipeline.plan.source.live?.streams ?? []).joined(separator: ", ")).")
    }
    try await SecretService.fetch(pipeline.plan.storedSecrets.map { .stored($0.secret) })
    let clock = SystemClock()
    let watch = WorkerWatch(pipeline.plan, meter: LiveMeter(clock: clock), log: log, clock: clock)
    let interrupt = Interrupt()
    let drain = drain(interrupt, pipeline.plan.worker ?? WorkerSpec(), watch, log)
    interrupt.listen(told: drain)
    log.console.outliveReader { if interrupt.ask(SIGTERM) { drain() } }
    let admin = try WorkerAdmin(pipeline.plan, listen: options.admin ?? pipeline.plan.admin?.listen, watch: watch) {
      if interrupt.ask(SIGTERM) { drain() }
    }
    try await admin.start(host, log)
    let report = RunReport(log: log, json: options.json, isDebugging: source.isDebugging, clock: clock)
    let libraries = AdapterRegistry.standard.libraries(of: pipeline.plan.source.adapter)
    report.begin(weirVersion, libraries.map { ($0.name, $0.version) })
    defer { log.end() }
    let worker = try await worker(pipeline, source, options, watch, admin.routes, report, interrupt)
    let result = try await watch.beside { try await worker.run() }
    report.end(result.progress, result.fold)
    await host.stop()
    return 0
  }

  /// What a signal, or `/drain`, sets going.
  private static func drain(_ interrupt: Interrupt, _ spec: WorkerSpec, _ watch: WorkerWatch, _ log: Log) -> @Sendable () -> Void {
    {
      watch.drain()
      let seconds = Human.fixed(Double(spec.drainMicroseconds) / 1e6, 1)
      log.info(
        "draining (up to \(seconds) s); a second signal stops at once (nothing that was committed is lost)",
        [.init("event", .string("draining"))])
      interrupt.end(within: spec.drainMicroseconds) {
        log.error(
          "not drained within \(seconds) s (worker.drain): exiting without a final commit. Committed records are kept; other workers take over the lanes after the session timeout",
          [.init("event", .string("drain_timeout"))])
      }
    }
  }

  private static func worker(
    _ pipeline: LoadedPipeline, _ source: any LiveSource, _ options: RunOptions, _ watch: WorkerWatch, _ routes: AdminRoutes,
    _ report: RunReport, _ interrupt: Interrupt
  ) async throws -> Worker {
    let places = try Places(pipeline, lake: options.lake, store: options.store)
    let wiring = try await Wiring(places, withState: !pipeline.plan.state.isEmpty, worker: pipeline.plan.worker)
    routes.use(wiring.state)
    if let catalog = try wiring.catalog(pipeline.plan, lake: places.lake) {
      watch.register(catalog.tables, in: catalog.catalog, random: wiring.random)
    }
    let request = try LedgerRequest(
      meaning: PlanMeaning.json(pipeline.plan), planHash: PlanMeaning.hash(pipeline.plan).hex, lanes: nil, runID: nil,
      describeChange: { PlanMeaning.changes(from: $0, to: $1) })
    let overrides = SourceOverrides(brokers: options.brokers, acceptsCheckpoints: !options.acceptCheckpoints.isEmpty)
    let tell: @Sendable (WeirError) -> Void = { error in
      watch.meter.troubled(error.code.rawValue)
      report.tell(.trouble(error))
    }
    let sinks = AdapterRegistry.standard.sinks(pipeline.plan, overrides, log: { report.log($0, $1, $2) }, tell: tell)
    let registry = RegistryWiring.environment(pipeline.plan, tell: tell)
    return Worker(
      CompiledPlan(pipeline.plan, lookups: pipeline.lookups),
      environment: wiring.environment(sinks: sinks, registry: registry, lookups: pipeline.directory), request: request,
      input: .group(accepted: Set(options.acceptRecreated), grown: Set(options.acceptPartitions)) {
        try await source.group(overrides, memory: wiring.memory, log: { report.log($0, $1, $2) })
      },
      meter: watch.meter,
      observe: {
        watch.saw($0)
        report.tell($0)
      },
      stop: interrupt.stop)
  }
}
