import WeirCore
import WeirOperators
import WeirProtocol

/// Replays a capture through a plan: opens the ledger, rolls followers forward, restores the lanes, reads on.
///
/// Tasks of a run, all children of ``run()``: the reader's loop (prepare in parallel, sequence, deal, cut), the committer, and
/// the state flusher. A failure of one ends all; nothing is lost by it, because the next run starts from the ledger.
public struct ReplayWorker: Sendable {
  private let compiled: CompiledPlan
  private let environment: EngineEnvironment
  private let request: LedgerRequest
  private let keepOpen: Bool
  private let meter: LatencyMeter?
  /// Makes the source that begins at a place.
  private let source: @Sendable (CaptureStart) throws -> any RecordSource
  private let observe: @Sendable (ReplayProgress) -> Void
  private let isInterrupted: @Sendable () -> Bool

  public init(
    _ compiled: CompiledPlan, environment: EngineEnvironment, request: LedgerRequest, keepOpen: Bool,
    meter: LatencyMeter? = nil,
    source: @escaping @Sendable (CaptureStart) throws -> any RecordSource,
    observe: @escaping @Sendable (ReplayProgress) -> Void, isInterrupted: @escaping @Sendable () -> Bool
  ) {
    self.compiled = compiled
    self.environment = environment
    self.request = request
    self.keepOpen = keepOpen
    self.meter = meter
    self.source = source
    self.observe = observe
    self.isInterrupted = isInterrupted
  }

  /// - Returns: how it ended, what this run did, and the ledger after it.
  public func run() async throws -> (end: ReplayEnd, progress: ReplayProgress, fold: LedgerFold) {
    let ledger = try await LedgerOpening.open(compiled.plan, request, environment)
    let followers = Followers(
      environment: environment, ledger: ledger, ledgerID: await ledger.fold.genesis.ledgerID, plan: compiled.plan)
    guard let sinks = followers.sinks else { return try await run(ledger, followers, isInterrupted) }
    var result = try await sinks.beside(isInterrupted: isInterrupted) { try await run(ledger, followers, $0) }
    // Ended before the topics had everything: the same command goes on with them.
    if await sinks.through < result.fold.number { result.end = .interrupted }
    return result
  }

  private func run(
    _ ledger: Ledger, _ followers: Followers, _ isInterrupted: @escaping @Sendable () -> Bool
  ) async throws -> (end: ReplayEnd, progress: ReplayProgress, fold: LedgerFold) {
    var compiled = self.compiled
    // Ledgers from before there was a choice count blank lines as records, to their end.
    if await ledger.fold.genesis.fileEnds == nil { compiled.keepsBlankLines = true }
    let rebuilt = try await followers.begin(compiled, environment)
    if await ledger.fold.hasEnded, !(try await refuseGrowth(await ledger.fold)) {
      return (.interrupted, ReplayProgress(), await ledger.fold)
    }
    if await ledger.fold.isFinished {
      try await environment.state?.finish()
      return (.unchanged, ReplayProgress(stateRowsRebuilt: rebuilt), await ledger.fold)
    }
    try await LookupVersions(compiled: compiled, ledger: ledger, environment: environment).decide(planHash: request.planHash)
    let fold = await ledger.fold
    let session = try await ReplaySession(
      compiled: compiled, environment: environment, ledger: ledger, fold: fold, followers: followers,
      planHash: request.planHash)
    // A pipe that was read to its end just now gives nothing a second time: what is left is to close the windows.
    let source: SourceMaker = fold.hasEnded ? { @Sendable _ in EndedSource() } : self.source
    let end = try await session.run(source, keepOpen: keepOpen, meter: meter, observe: observe, isInterrupted: isInterrupted)
    let after = await session.committer.fold
    try await followers.catchUp(to: after.number)
    try await environment.state?.finish()
    try await LedgerKeeping.collect(
      ledger, keep: compiled.plan.lake.ledgerKeepMicroseconds, appliedThrough: await followers.collectableThrough)
    var progress = await session.progress()
    progress.stateRowsRebuilt = rebuilt
    return (end, progress, after)
  }

  private typealias SourceMaker = @Sendable (CaptureStart) throws -> any RecordSource

  /// The ledger has the end of the input, whether or not its windows are closed yet: the capture must be the same, and may
  /// not have grown.
  /// - Returns: false if it was interrupted before that was known.
  private func refuseGrowth(_ fold: LedgerFold) async throws -> Bool {
    let first = fold.genesis.lanes.first.flatMap { fold[$0] }
    guard case .offset(let position)? = first?.position else {
      throw WeirError(
        "corrupt", "the ledger has no byte of a capture as its position",
        advice: "It was written for another source: use that version of Weir, or replay into a new lake (--lake DIR --store DIR).")
    }
    let source = try self.source(CaptureStart(position: position, prefix: first?.prefixHash, fileEnds: fold.genesis.capturedFileEnds))
    var grew = false
    loop: while true {
      switch try await source.next(until: isInterrupted, environment.clock) {
      case nil: return false
      case .block: grew = true; break loop
      case .cut: continue
      case .end: break loop
      }
    }
    await source.close()
    guard !grew else {
      throw WeirError(
        "capture_grew", "there is more input behind byte \(position), where the ledger recorded the end of input",
        advice:
          "Its windows are closed. Replay the whole capture into a new lake (--lake DIR --store DIR); with --keep-open the end is not recorded, and the capture may grow."
      )
    }
    return true
  }
}
