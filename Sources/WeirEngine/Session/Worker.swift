import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// Runs a plan: opens the ledger, rolls followers forward, restores lanes, and reads on from the ledger's positions.
///
/// A session is one way through this, up to the first error. What an error means is said by ``SessionFailures``: a worker that shares its
/// ledger with others begins a new session, any other ends. Nothing is lost by it, because the next session starts from the ledger.
package struct Worker: Sendable {
  /// How the run ended, what it did, and the ledger after it; nil if the worker was stopped before it had opened one.
  package typealias Result = (end: WorkerEnd, progress: WorkerProgress, fold: LedgerFold?)

  private let compiled: CompiledPlan
  private let environment: EngineEnvironment
  private let request: LedgerRequest
  private let input: WorkerInput
  private let meter: LiveMeter
  private let observe: @Sendable (WorkerEvent) -> Void
  private let stop: Flag

  /// - Parameters:
  ///   - request: what the input knows of it is filled in here.
  ///   - stop: raised when the worker is to end in an orderly way.
  package init(
    _ compiled: CompiledPlan, environment: EngineEnvironment, request: LedgerRequest, input: WorkerInput, meter: LiveMeter? = nil,
    observe: @escaping @Sendable (WorkerEvent) -> Void, stop: Flag
  ) {
    (self.compiled, self.environment, self.request, self.input) = (compiled, environment, request, input)
    self.meter = meter ?? LiveMeter(clock: environment.clock)
    (self.observe, self.stop) = (observe, stop)
  }

  package func run() async throws -> Result {
    do { return try await runSessions() } catch let error as WeirError where error.code == .topicMissing {
      throw await advised(error)
    }
  }

  /// Of a capture, which no error lets a worker give up before it has opened a ledger.
  package func replay() async throws -> (end: WorkerEnd, progress: WorkerProgress, fold: LedgerFold) {
    let (end, progress, fold) = try await run()
    guard let fold else { throw WeirError(.internal, "a replay ended without a ledger") }
    return (end, progress, fold)
  }

  /// A topic that the ledger has records of is missing because it was deleted: says how the worker continues once it is there again.
  private func advised(_ error: WeirError) async -> WeirError {
    guard let ledger = try? await LedgerOpening.existing(compiled.plan, environment), await ledger.fold.counts.input > 0 else {
      return error
    }
    let topic = compiled.plan.source.live?.onlyStream ?? "TOPIC"
    var advised = error
    let first: Wording = error.advice.map { "\($0) " } ?? ""
    advised.advice =
      "\(first)The ledger has records of this source: if it was deleted, create it again. \(GroupConductor.advice(topic))"
    return advised
  }

  // MARK: Sessions

  /// What is known of a session when it ends, in whatever way.
  private final class Attempt: Sendable {
    let opened = Mutex<OpenedLedger?>(nil)
    let conductor = Mutex<(any Conductor)?>(nil)
    var entries: Int64 { get async { await conductor.withLock { $0 }?.entries ?? 0 } }
  }

  private func runSessions() async throws -> Result {
    defer { meter.releasedAll() }
    let counts = WorkerCounts()
    let name = String(environment.random.next(), radix: 16)
    var failures = SessionFailures(isShared: input.isShared)
    var entries: Int64 = 0
    var last: LedgerFold?
    while true {
      let attempt = Attempt()
      do {
        let (end, fold) = try await session(attempt, name, counts, known: last?.genesis.ledgerID)
        return (end, progress(counts, entries + (await attempt.entries), fold), fold)
      } catch {
        let (own, before) = (await attempt.entries, last?.number ?? 0)
        entries += own
        if attempt.conductor.withLock({ $0 != nil }) {
          failures.began()
          last = await attempt.opened.withLock { $0 }?.ledger.fold
        }
        let (reported, rest) = try failures.ended(with: error, entries: own, after: before, isStopping: stop.isRaised)
        observe(.trouble(reported))
        meter.releasedAll()
        if stop.isRaised {
          try await environment.state?.finish()
          return (.interrupted, progress(counts, entries, last), last)
        }
        await stop.wait(until: environment.clock.monotonicNanoseconds + rest, environment.clock)
      }
    }
  }

  private func progress(_ counts: WorkerCounts, _ entries: Int64, _ fold: LedgerFold?) -> WorkerProgress {
    var progress = counts.progress
    progress.entries = entries
    progress.ledgerNumber = fold?.number ?? 0
    progress.mergedWatermark = fold?.mergedWatermark ?? Watermark.minimum
    (progress.memoryBudget, progress.memoryPeak) = (environment.memory.total, environment.governor.peak)
    return progress
  }

  /// - Parameter known: the ledger of the session before.
  private func session(
    _ attempt: Attempt, _ name: String, _ counts: WorkerCounts, known: String?
  ) async throws -> (WorkerEnd, LedgerFold) {
    let input = try await self.input.connect(environment, observe)
    do {
      var request = self.request
      request.ledgerID = known
      try input.complete(&request)
      let ledger = try await LedgerOpening.open(compiled.plan, request, environment)
      var opened = await OpenedLedger(compiled, environment, ledger, request: request, worker: name, meter: meter)
      try await input.check(&opened)
      attempt.opened.withLock { $0 = opened }
      // Where other workers share the ledger, the one that leads publishes, within its session.
      guard !input.isShared, let sinks = opened.followers.sinks else {
        return try await session(attempt, input, opened, counts, stop)
      }
      var (end, fold) = try await sinks.beside(until: stop) { [opened] in try await session(attempt, input, opened, counts, $0) }
      // It ended before the topics had everything: the same command publishes the rest.
      if await sinks.through < fold.number { end = .interrupted }
      return (end, fold)
    } catch {
      await input.close()
      throw error
    }
  }

  private func session(
    _ attempt: Attempt, _ input: any SessionInput, _ opened: OpenedLedger, _ counts: WorkerCounts, _ interruption: Flag
  ) async throws -> (WorkerEnd, LedgerFold) {
    let rebuilt = try await opened.followers.begin(opened.compiled, environment)
    counts.update { $0.stateRebuilt = rebuilt }
    let conductor = try await input.begin(opened, counts)
    attempt.conductor.withLock { $0 = conductor }
    let end = try await conductor.run(until: stop, interruption: interruption)
    // A worker among others has done that while no lane was handed over.
    if !input.isShared { try await opened.followers.catchUp(to: await opened.ledger.fold.number) }
    try await environment.state?.finish()
    let fold = input.isShared ? try await opened.ledger.refresh() : await opened.ledger.fold
    if end != .unchanged, input.mayCollect { try await opened.collect() }
    return (end, fold)
  }
}
