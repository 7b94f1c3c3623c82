import Foundation
import Synchronization
import WeirCore
import WeirEngine
import WeirReport

/// Looks at a worker once a second, and knows what probes, metrics and people ask for.
package final class WorkerWatch: Sendable {
  private static let lookNanoseconds: Int64 = 1_000_000_000

  struct Standing {
    var health: WorkerHealth
    var stall: StallWatch
    var ratios = ActivityRatios()
    /// nil: the plan does not ask for it.
    var cloudWatch: EmbeddedMetrics?
  }

  let pipeline: String
  package let meter: LiveMeter
  private let log: Log
  private let clock: any Clock
  private let standing: Mutex<Standing>
  private let startSeconds: Double
  private let keeper = Mutex<CatalogKeeper?>(nil)

  package init(_ plan: Plan, meter: LiveMeter, log: Log, clock: any Clock) {
    pipeline = plan.pipeline
    self.meter = meter
    self.log = log
    self.clock = clock
    startSeconds = Double(clock.wallMicroseconds) / 1e6
    standing = Mutex(
      Standing(
        health: WorkerHealth(now: clock.monotonicNanoseconds),
        stall: StallWatch(plan.worker ?? WorkerSpec(), flushEveryMicroseconds: plan.lake.flushEveryMicroseconds),
        cloudWatch: (plan.worker?.cloudWatch).map {
          EmbeddedMetrics($0, pipeline: plan.pipeline, now: clock.monotonicNanoseconds)
        }))
  }

  /// The worker's tables are registered in a catalogue while it runs.
  package func register(_ tables: [CatalogTable], in catalog: any TableCatalog, random: any RandomSource) {
    keeper.withLock { $0 = CatalogKeeper(catalog, tables: tables, meter: meter, log: log, clock: clock, random: random) }
  }

  /// nil: the plan names no catalogue.
  var catalog: CatalogKeeper.Standing? { keeper.withLock { $0 }?.standing }

  var now: Standing { standing.withLock { $0 } }

  package func saw(_ event: WorkerEvent) {
    if case .trouble(let error) = event { meter.troubled(error.code.rawValue) }
    standing.withLock { $0.health.saw(event, now: clock.monotonicNanoseconds) }
  }

  /// See ``WorkerHealth/reads(now:)``.
  package func reads() { standing.withLock { $0.health.reads(now: clock.monotonicNanoseconds) } }

  package func drain() { standing.withLock { $0.health.drain(now: clock.monotonicNanoseconds) } }

  /// Looks while `body` runs.
  package func beside<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await self.run() }
      defer {
        group.cancelAll()
        cloudWatch(isLast: true)
      }
      guard let keeper = keeper.withLock({ $0 }) else { return try await body() }
      return try await keeper.beside(body)
    }
  }

  /// Looks until the task is cancelled.
  private func run() async {
    while !Task.isCancelled {
      for word in look() { tell(word) }
      log.tellOver()
      cloudWatch()
      await clock.sleep(nanoseconds: WorkerWatch.lookNanoseconds)
    }
  }

  /// Writes the metrics for CloudWatch if they are due.
  /// - Parameter isLast: the worker ends: what happened since the line before counts too.
  package func cloudWatch(isLast: Bool = false) {
    let now = clock.monotonicNanoseconds
    guard standing.withLock({ $0.cloudWatch.map { isLast || $0.isDue(at: now) } ?? false }) else { return }
    let (snapshot, process) = (meter.snapshot(), ProcessReading.now(startSeconds: startSeconds))
    let line = standing.withLock { $0.cloudWatch?.line(snapshot, stalled: $0.stall.findings, process: process) }
    // A line of its own: a prefix would hide it from CloudWatch.
    if let line { log.console.talk(line) }
  }

  private func look() -> [StallWatch.Word] {
    let snapshot = meter.snapshot()
    return standing.withLock { standing in
      standing.ratios.look(snapshot)
      let joining = standing.health.phase == .joining ? snapshot.monotonicNanoseconds - standing.health.since : nil
      return standing.stall.look(snapshot, joining: joining)
    }
  }

  private func tell(_ word: StallWatch.Word) {
    switch word {
    case .stalled(let lane, let seconds, let waitsFor):
      log.warning(
        "stalled: \(lane.map { "lane \($0)" } ?? "the worker") has made no progress for \(seconds) s; it is waiting for \(waitsFor)",
        [
          .init("event", .string("stalled")), .init("shard", lane.map { .string($0) } ?? .null), .init("seconds", .int(seconds)),
          .init("waits_for", .string(waitsFor)),
        ])
    case .goesOn(let lane):
      log.info(
        "\(lane.map { "lane \($0)" } ?? "the worker") makes progress again",
        [.init("event", .string("stall_ended")), .init("shard", lane.map { .string($0) } ?? .null)])
    }
  }

  func metrics(_ names: Metric.Names = .current) -> [UInt8] {
    let now = self.now
    return WorkerMetrics(
      snapshot: meter.snapshot(), health: now.health, ratios: now.ratios.ratios, stalled: now.stall.findings, versions: .running,
      pipeline: pipeline, heldLines: log.held, catalog: catalog, process: ProcessReading.now(startSeconds: startSeconds)
    ).text(names)
  }
}
