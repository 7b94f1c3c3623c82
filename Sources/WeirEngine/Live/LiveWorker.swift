import WeirCore
import WeirOperators
import WeirProtocol

/// Runs a plan on a live source until it is told to stop: opens the ledger, rolls followers forward, shares the shards with
/// other workers, goes on from the ledger.
public struct LiveWorker: Sendable {
  /// Sessions in a row that may end fenced, or in doubt, without a commit of their own.
  static let vainSessionsMax = 5
  private static let restNanoseconds: Int64 = 500_000_000
  /// Errors that end a session and not the worker: it goes on from the ledger with a new member of the group.
  private static let passing: Set<String> = ["fenced", "unknown", "out_of_range", "group_silent", "handover_late"]
  /// Those of them that say nothing against this worker, however often they come.
  private static let innocent: Set<String> = ["out_of_range", "group_silent"]

  private let compiled: CompiledPlan
  private let environment: EngineEnvironment
  private let request: LedgerRequest
  private let makeGroup: @Sendable () throws -> any ShardGroup
  private let observe: @Sendable (LiveEvent) -> Void
  private let isInterrupted: @Sendable () -> Bool
  private let meter: LiveMeter

  /// - Parameters:
  ///   - request: its shards are asked of the source.
  ///   - group: makes a member of the group; called again after a session ended by a fence.
  public init(
    _ compiled: CompiledPlan, environment: EngineEnvironment, request: LedgerRequest,
    group: @escaping @Sendable () throws -> any ShardGroup, observe: @escaping @Sendable (LiveEvent) -> Void,
    isInterrupted: @escaping @Sendable () -> Bool, meter: LiveMeter? = nil
  ) {
    self.compiled = compiled
    self.environment = environment
    self.request = request
    makeGroup = group
    self.observe = observe
    self.isInterrupted = isInterrupted
    self.meter = meter ?? LiveMeter(clock: environment.clock)
  }

  /// - Returns: what this run did, and the ledger after it.
  public func run() async throws -> (progress: LiveProgress, fold: LedgerFold) {
    defer { meter.releasedAll() }
    let counts = LiveCounts()
    let worker = String(environment.random.next(), radix: 16)
    var vain = 0
    var isFirst = true
    var entries: Int64 = 0
    while true {
      guard let session = try await reopen(counts, worker, isFirst: isFirst) else { continue }
      isFirst = false
      let before = await session.ledger.fold.number
      do {
        entries += try await session.run(isInterrupted: isInterrupted)
        return try await end(session, counts, entries)
      } catch let error as WeirError where LiveWorker.passing.contains(error.code) {
        let own = await session.committer.entries
        entries += own
        vain = own > 0 || LiveWorker.innocent.contains(error.code) ? 0 : vain + 1
        guard vain < LiveWorker.vainSessionsMax, !isInterrupted() else { throw error }
        meter.releasedAll()
        observe(.trouble(error))
        await environment.clock.sleep(nanoseconds: LiveWorker.restNanoseconds + before % 7 * 50_000_000)
      }
    }
  }

  /// Opens a session. A source that was there before and is away now is waited for: nil, after a rest.
  private func reopen(_ counts: LiveCounts, _ worker: String, isFirst: Bool) async throws -> LiveSession? {
    do { return try await open(counts, worker) } catch let error as WeirError where error.code == "kafka" && error.isRetriable {
      guard !isFirst, !isInterrupted() else { throw error }
      observe(.trouble(error))
      await environment.clock.sleep(nanoseconds: LiveWorker.restNanoseconds)
      return nil
    }
  }

  /// Everything before the first record: the ledger, whose state table it is, followers, lookups.
  private func open(_ counts: LiveCounts, _ worker: String) async throws -> LiveSession {
    let group = try makeGroup()
    do {
      let shards = try await group.shards()
      guard !shards.isEmpty else {
        throw WeirError("kafka", "the source has no shards", advice: "Make the topic, or name another.")
      }
      var request = self.request
      request.shards = shards.map(\.name)
      let ledger = try await LedgerOpening.open(compiled.plan, request, environment)
      let genesis = await ledger.fold.genesis
      try LiveSession.check(shards, compiled, await ledger.fold)
      _ = try await StateRebuild.ifMissing(compiled, environment: environment, fold: await ledger.fold)
      let followers = Followers(environment: environment, ledger: ledger, ledgerID: genesis.ledgerID, plan: compiled.plan, meter: meter)
      try await followers.catchUp(to: await ledger.fold.number)
      try await LookupVersions(compiled: compiled, ledger: ledger, environment: environment)
        .decide(planHash: request.planHash, carrier: [.merge])
      return LiveSession(
        compiled: compiled, environment: environment, ledger: ledger, followers: followers, group: group, shards: shards,
        planHash: request.planHash, worker: worker, counts: counts,
        run: RunInfo(shard: compiled.plan.source.stream, runID: genesis.runID), meter: meter, observe: observe)
    } catch {
      await group.close()
      throw error
    }
  }

  private func end(
    _ session: LiveSession, _ counts: LiveCounts, _ entries: Int64
  ) async throws -> (progress: LiveProgress, fold: LedgerFold) {
    try await environment.state?.finish()
    let fold = try await session.ledger.refresh()
    try await LedgerKeeping.collect(
      session.ledger, keep: compiled.plan.lake.ledgerKeepMicroseconds,
      appliedThrough: min(await session.followers.collectableThrough, LiveWorker.position(fold.mergeLane)))
    var progress = LiveProgress()
    progress.records = counts.records
    progress.entries = entries
    progress.ledgerNumber = fold.number
    progress.mergedWatermark = fold.mergedWatermark
    return (progress, fold)
  }

  private static func position(_ lane: LaneFold) -> Int64 {
    if case .offset(let position)? = lane.position { position } else { 0 }
  }
}
