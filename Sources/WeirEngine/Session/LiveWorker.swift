import WeirCore
import WeirOperators
import WeirProtocol

/// Runs a plan on a live source until it is told to stop: opens the ledger, rolls followers forward, shares the shards with
/// other workers, goes on from the ledger.
public struct LiveWorker: Sendable {
  /// Sessions in a row that may end fenced, or in doubt, without a commit of their own.
  static let vainSessionsMax = 5
  /// Attempts to begin the first session with a source that does not answer.
  static let firstAttemptsMax = 3
  private static let restNanoseconds: Int64 = 500_000_000
  /// Errors that end a session and not the worker: it goes on from the ledger with a new member of the group.
  private static let passing: Set<WeirError.Code> = [
    .fenced, .stateFenced, .abandoned, .outOfRange, .groupSilent, .handoverLate, .stateReplaced,
  ]
  /// Those of them that say nothing against this worker, however often they come.
  private static let innocent: Set<WeirError.Code> = [.outOfRange, .groupSilent]

  private let compiled: CompiledPlan
  private let environment: EngineEnvironment
  private let request: LedgerRequest
  private let makeGroup: @Sendable () async throws -> any ShardGroup
  private let observe: @Sendable (LiveEvent) -> Void
  private let stop: Flag
  private let meter: LiveMeter
  private let accepted: Set<String>

  /// - Parameters:
  ///   - request: its shards are asked of the source.
  ///   - accepted: streams (topics) of which another incarnation than the ledger's is read from its start, by a recorded decision.
  ///   - stop: raised when the worker is to end in an orderly way.
  ///   - group: makes a member of the group; called again after a session ended by a fence.
  public init(
    _ compiled: CompiledPlan, environment: EngineEnvironment, request: LedgerRequest, accepted: Set<String> = [],
    group: @escaping @Sendable () async throws -> any ShardGroup, observe: @escaping @Sendable (LiveEvent) -> Void,
    stop: Flag, meter: LiveMeter? = nil
  ) {
    self.compiled = compiled
    self.environment = environment
    self.request = request
    self.accepted = accepted
    makeGroup = group
    self.observe = observe
    self.stop = stop
    self.meter = meter ?? LiveMeter(clock: environment.clock)
  }

  /// - Returns: what this run did, and the ledger as it was last seen; nil if a drain ended the run before there was one.
  public func run() async throws -> (progress: LiveProgress, fold: LedgerFold?) {
    do {
      return try await runSessions()
    } catch let error as WeirError where error.code == .topicMissing {
      throw await advised(error)
    }
  }

  /// A topic that the ledger has records of is missing because it was deleted: says how the worker continues once it is there again.
  private func advised(_ error: WeirError) async -> WeirError {
    guard let ledger = try? await LedgerOpening.existing(compiled.plan, environment), await ledger.fold.counts.input > 0 else {
      return error
    }
    let topic = compiled.plan.source.live?.onlyStream ?? "TOPIC"
    var advised = error
    advised.advice = "The ledger has records of this source: was a topic deleted? Create it again. " + LiveSession.advice(topic)
    return advised
  }

  private func runSessions() async throws -> (progress: LiveProgress, fold: LedgerFold?) {
    defer { meter.releasedAll() }
    let counts = LiveCounts()
    let worker = String(environment.random.next(), radix: 16)
    var vain = 0
    /// Sessions that the source did not let begin, before there was one; nil: there was.
    var unanswered: Int? = 0
    var entries: Int64 = 0
    var last: LedgerFold?
    while true {
      var session: LiveSession?
      do {
        let opened = try await open(counts, worker, known: last?.genesis.ledgerID)
        (session, unanswered) = (opened, nil)
        last = await opened.ledger.fold
        let own = try await opened.run(until: stop)
        return try await end(opened, counts, entries + own)
      } catch let thrown where ends(thrown, unanswered) != .worker {
        let error = LiveWorker.reported(thrown)
        unanswered = unanswered.map { $0 + 1 }
        let own = await session?.committer.entries ?? 0
        let before = last?.number ?? 0
        entries += own
        if let session { last = await session.ledger.fold }
        vain = own > 0 || LiveWorker.isInnocent(error) ? 0 : vain + 1
        guard vain < LiveWorker.vainSessionsMax || stop.isRaised else { throw error }
        // Whatever the error ends elsewhere, here it ended a session: nobody reads until there is another. A worker that is to end begins
        // none.
        var told = error
        told.fatalTo = stop.isRaised ? .operation : .worker
        observe(.trouble(told))
        meter.releasedAll()
        if stop.isRaised { return try await drained(counts, entries, last) }
        let rest = LiveWorker.restNanoseconds + before % 7 * 50_000_000
        await stop.wait(until: environment.clock.monotonicNanoseconds + rest, environment.clock)
      }
    }
  }

  // MARK: What an error ends

  private enum Ended { case session, worker }

  /// Errors that end a session and not the worker: it goes on from the ledger with a new member of the group. Beside those that say
  /// so, a source that does not answer. Before there was a session it has some attempts: a worker that sleeps or starves while it asks
  /// for the first time says nothing against the source; but a wrong address must be told some time.
  ///
  /// Once the worker was asked to end, whatever passes by itself is no failure: what it could not commit is read again by whoever
  /// takes its lanes, from the ledger's positions.
  private func ends(_ thrown: any Error, _ unanswered: Int?) -> Ended {
    if thrown is CommitRefused { return .session }
    guard let error = thrown as? WeirError else { return .worker }
    if stop.isRaised, error.isRetriable { return .session }
    if LiveWorker.passing.contains(error.code) { return .session }
    guard LiveWorker.isSourceAway(error) else { return .worker }
    return (unanswered ?? 0) + 1 < LiveWorker.firstAttemptsMax ? .session : .worker
  }

  private static func reported(_ thrown: any Error) -> WeirError {
    switch thrown {
    case let refused as CommitRefused: refused.ofSession
    case let error as WeirError: error
    default: WeirError(.internal, "\(thrown)")
    }
  }

  /// Errors that say nothing against this worker, however often they come.
  private static func isInnocent(_ error: WeirError) -> Bool { innocent.contains(error.code) || isSourceAway(error) }

  private static func isSourceAway(_ error: WeirError) -> Bool { error.code == .unavailable }

  /// Everything before the first record: the ledger, whose state table it is, followers, lookups.
  ///
  /// - Parameter known: the ledger of the session before.
  private func open(_ counts: LiveCounts, _ worker: String, known: String?) async throws -> LiveSession {
    let group = try await makeGroup()
    do {
      let shards = try await group.shards()
      guard !shards.isEmpty else {
        throw WeirError(.topicMissing, "the source has no shards", advice: "Make the topic, or name another.")
      }
      var request = self.request
      request.shards = shards.map(\.name)
      request.ledgerID = known
      let ledger = try await LedgerOpening.open(compiled.plan, request, environment)
      let genesis = await ledger.fold.genesis
      try LiveSession.check(shards, compiled, await ledger.fold, accepted)
      try await environment.state?.reopen()
      let followers = Followers(environment: environment, ledger: ledger, ledgerID: genesis.ledgerID, plan: compiled.plan, meter: meter)
      _ = try await followers.begin(compiled, environment)
      try await LookupVersions(compiled: compiled, ledger: ledger, environment: environment)
        .decide(planHash: request.planHash, carrier: [.merge])
      return LiveSession(
        compiled: compiled, environment: environment, ledger: ledger, followers: followers, group: group, shards: shards,
        planHash: request.planHash, worker: worker, counts: counts,
        run: RunInfo(compiled.plan.source, runID: await ledger.fold.runID), ledgerID: genesis.ledgerID, meter: meter,
        accepted: accepted,
        observe: observe)
    } catch {
      await group.close()
      throw error
    }
  }

  /// The end behind a session that committed everything.
  private func end(
    _ session: LiveSession, _ counts: LiveCounts, _ entries: Int64
  ) async throws -> (progress: LiveProgress, fold: LedgerFold?) {
    let fold = try await session.ledger.refresh()
    try await LedgerKeeping.collect(
      session.ledger, keep: compiled.plan.lake.ledgerKeepMicroseconds,
      appliedThrough: min(await session.followers.collectableThrough, LiveWorker.position(fold.mergeLane)))
    return try await drained(counts, entries, fold)
  }

  /// Nothing more comes from this worker.
  private func drained(
    _ counts: LiveCounts, _ entries: Int64, _ fold: LedgerFold?
  ) async throws -> (progress: LiveProgress, fold: LedgerFold?) {
    try await environment.state?.finish()
    var progress = LiveProgress()
    progress.records = counts.records
    progress.entries = entries
    progress.ledgerNumber = fold?.number ?? 0
    progress.mergedWatermark = fold?.mergedWatermark ?? Watermark.minimum
    (progress.memoryBudget, progress.memoryPeak) = (environment.memory.total, environment.governor.peak)
    return (progress, fold)
  }

  private static func position(_ lane: LaneFold) -> Int64 {
    lane.position?.ordinal ?? 0
  }
}
