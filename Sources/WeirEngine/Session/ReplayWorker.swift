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
  private let latency: LatencyMeter?
  private let meter: LiveMeter
  /// Makes the source that begins at a place.
  private let source: @Sendable (CaptureStart) throws -> any RecordSource
  private let observe: @Sendable (ReplayProgress) -> Void
  private let stop: Flag

  public init(
    _ compiled: CompiledPlan, environment: EngineEnvironment, request: LedgerRequest, keepOpen: Bool,
    latency: LatencyMeter? = nil, meter: LiveMeter? = nil,
    source: @escaping @Sendable (CaptureStart) throws -> any RecordSource,
    observe: @escaping @Sendable (ReplayProgress) -> Void, stop: Flag
  ) {
    self.compiled = compiled
    self.environment = environment
    self.request = request
    self.keepOpen = keepOpen
    self.latency = latency
    self.meter = meter ?? LiveMeter(clock: environment.clock)
    self.source = source
    self.observe = observe
    self.stop = stop
  }

  public func run() async throws -> ReplayResult {
    let ledger = try await LedgerOpening.open(compiled.plan, request, environment)
    var compiled = self.compiled
    // Ledgers from before there was a choice count blank lines as records, to their end.
    if await ledger.fold.genesis.fileEnds == nil { compiled.keepsBlankLines = true }
    return try await CaptureRun(compiled: compiled, environment: environment, ledger: ledger, meter: meter, stop: stop)
      .run { [compiled] in try await run(compiled, ledger, $0, $1) }
  }

  private func run(
    _ compiled: CompiledPlan, _ ledger: Ledger, _ followers: Followers, _ isInterrupted: @escaping @Sendable () -> Bool
  ) async throws -> (end: ReplayEnd, progress: ReplayProgress) {
    if await ledger.fold.hasEnded, !(try await refuseGrowth(await ledger.fold)) { return (.interrupted, ReplayProgress()) }
    if await ledger.fold.isFinished { return (.unchanged, ReplayProgress()) }
    try await LookupVersions(compiled: compiled, ledger: ledger, environment: environment).decide(planHash: request.planHash)
    let fold = await ledger.fold
    let session = try await ReplaySession(
      compiled: compiled, environment: environment, ledger: ledger, fold: fold, followers: followers,
      planHash: request.planHash, meter: meter)
    // A pipe that was read to its end just now gives nothing a second time: what is left is to close the windows.
    let source: SourceMaker = fold.hasEnded ? { @Sendable _ in EndedSource() } : self.source
    do {
      let end = try await session.run(source, keepOpen: keepOpen, latency: latency, observe: observe, isInterrupted: isInterrupted)
      return (end, await session.progress())
    } catch {
      await MemoryRelief.leave(error, environment.lake, ledger.layout, at: await ledger.fold.number)
      throw error
    }
  }

  private typealias SourceMaker = @Sendable (CaptureStart) throws -> any RecordSource

  /// The ledger has the end of the input, whether or not its windows are closed yet: the capture must be the same, and may
  /// not have grown.
  /// - Returns: false if it was interrupted before that was known.
  private func refuseGrowth(_ fold: LedgerFold) async throws -> Bool {
    let first = fold.genesis.lanes.first.flatMap { fold[$0] }
    guard let position = try first?.position?.offset(in: compiled.plan.source.stream) else {
      throw WeirError(
        .corrupt, "the ledger has no byte of a capture as its position",
        advice: "It was written for another source: use that version of Weir, or replay into a new lake (--lake DIR --store DIR).")
    }
    let source = try self.source(CaptureStart(position: position, prefix: first?.prefixHash, fileEnds: fold.genesis.capturedFileEnds))
    var grew = false
    loop: while true {
      switch try await source.next(until: stop) {
      case nil: return false
      case .block: grew = true; break loop
      case .cut, .caughtUp: continue
      case .end, .outOfRange: break loop
      }
    }
    await source.close()
    guard !grew else {
      throw WeirError(
        .captureGrew, "there is more input after byte \(position), where the ledger recorded the end of input",
        advice:
          "Its windows are closed. Replay the whole capture into a new lake (--lake DIR --store DIR); with --keep-open the end is not recorded, and the capture may grow."
      )
    }
    return true
  }
}
