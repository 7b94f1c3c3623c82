import WeirCore
import WeirOperators
import WeirProtocol

/// How a replay ended, what it did, and the ledger after it.
public typealias ReplayResult = (end: ReplayEnd, progress: ReplayProgress, fold: LedgerFold)

/// What every replay does around its session, whatever kind of capture it reads: followers are rolled forward before it and brought up
/// after it, the state table is marked as whole, and the ledger is collected.
struct CaptureRun: Sendable {
  let compiled: CompiledPlan
  let environment: EngineEnvironment
  let ledger: Ledger
  let meter: LiveMeter
  let stop: Flag

  typealias Session = @Sendable (Followers, @escaping @Sendable () -> Bool) async throws -> (end: ReplayEnd, progress: ReplayProgress)

  /// - Parameter session: reads, commits, and returns when all that it wants to commit is in the ledger.
  func run(_ session: @escaping Session) async throws -> ReplayResult {
    let followers = Followers(
      environment: environment, ledger: ledger, ledgerID: await ledger.fold.genesis.ledgerID, plan: compiled.plan, meter: meter)
    do {
      guard let sinks = followers.sinks else { return try await run(session, followers) { [stop] in stop.isRaised } }
      var result = try await sinks.beside(until: stop) { try await run(session, followers, $0) }
      // It ended before the topics had everything: the same command publishes the rest.
      if await sinks.through < result.fold.number { result.end = .interrupted }
      return result
    } catch let refused as CommitRefused { throw refused.ofRun }
  }

  private func run(
    _ session: Session, _ followers: Followers, _ isInterrupted: @escaping @Sendable () -> Bool
  ) async throws -> ReplayResult {
    let rebuilt = try await followers.begin(compiled, environment)
    var (end, progress) = try await session(followers, isInterrupted)
    let fold = await ledger.fold
    try await followers.catchUp(to: fold.number)
    try await environment.state?.finish()
    if end != .unchanged {
      try await LedgerKeeping.collect(
        ledger, keep: compiled.plan.lake.ledgerKeepMicroseconds, appliedThrough: await followers.collectableThrough)
    }
    progress.stateRebuilt = rebuilt
    progress.ledgerNumber = fold.number
    return (end, progress, fold)
  }
}
