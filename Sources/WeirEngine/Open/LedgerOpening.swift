import WeirCore
import WeirOperators
import WeirProtocol

/// Opens a pipeline's ledger, or founds it.
enum LedgerOpening {
  static let lanesByDefault = 4

  /// The ledger as it is, for those who only look at it: also one with entries missing in its middle.
  /// - Throws: `config` if there is none.
  static func toLookAt(_ plan: Plan, _ environment: EngineEnvironment) async throws -> Ledger {
    let found = try await Ledger.open(
      LedgerLayout(pipeline: plan.pipeline), store: environment.lake, clock: environment.clock, random: environment.random,
      allowsHoles: true)
    if let found { return found }
    return try await required(plan, environment)
  }

  /// The ledger as it is; nil if there is none.
  static func existing(_ plan: Plan, _ environment: EngineEnvironment) async throws -> Ledger? {
    try await Ledger.open(
      LedgerLayout(pipeline: plan.pipeline), store: environment.lake, clock: environment.clock, random: environment.random)
  }

  /// The ledger as it is.
  /// - Throws: `config` if there is none.
  static func required(_ plan: Plan, _ environment: EngineEnvironment) async throws -> Ledger {
    try await Ledger.required(
      LedgerLayout(pipeline: plan.pipeline), store: environment.lake, clock: environment.clock, random: environment.random)
  }

  /// - Throws: `plan_changed`, `lanes_changed`, `ledger_replaced`, and what the store throws.
  static func open(_ plan: Plan, _ request: LedgerRequest, _ environment: EngineEnvironment) async throws -> Ledger {
    if let refusal = plan.refusalOfSeveralInputs { throw WeirError(.config, refusal, advice: "Write a pipeline for each.") }
    let ledger: Ledger
    if let found = try await existing(plan, environment) {
      ledger = found
    } else {
      guard request.ledgerID == nil else { throw replaced(plan, environment, "it is missing") }
      do { try await LostLedger.check(plan, environment) } catch {
        // Another worker may have founded it and made its tables meanwhile.
        guard try await existing(plan, environment) != nil else { throw error }
      }
      ledger = try await create(plan, request, environment)
    }
    if !environment.protocolVariant.isEmpty || environment.commitObserver != nil {
      await ledger.use(environment.protocolVariant, environment.commitObserver)
    }
    let genesis = await ledger.fold.genesis
    if let known = request.ledgerID, genesis.ledgerID != known { throw replaced(plan, environment, "it is a different one now") }
    let lanes = genesis.lanes.filter { $0 != .merge }.count
    if request.shards == nil, let wanted = request.lanes, wanted != lanes {
      throw WeirError(
        .lanesChanged, "the ledger was started with \(lanes) lanes, not \(wanted)",
        advice: "\(.leaveOut(.lanes)), or replay into \(.newLake). The rows do not depend on it.")
    }
    if request.shards == nil, let wanted = request.fileEnds, wanted != genesis.capturedFileEnds {
      throw WeirError(
        .lanesChanged, "in the ledger a record ends where its file ends, and here it would continue in the next file",
        advice: "\(.leaveOut(.join)), or replay into \(.newLake).")
    }
    // A worker that has opened this ledger before finds its plan replaced by another worker's: it does not put its own back.
    if request.ledgerID != nil { try await ledger.fold.checkPlan(request.planHash) }
    if await ledger.fold.plan != request.meaning {
      try await PlanReplacement(plan: plan, request: request, ledger: ledger).decide()
    }
    return ledger
  }

  /// A new ledger would begin at the first records again, after rows and state were made from them.
  private static func replaced(_ plan: Plan, _ environment: EngineEnvironment, _ what: String) -> WeirError {
    .replacedLedger(LedgerLayout(pipeline: plan.pipeline), in: environment.lake, what)
  }

  private static func create(_ plan: Plan, _ request: LedgerRequest, _ environment: EngineEnvironment) async throws -> Ledger {
    let count = request.lanes ?? lanesByDefault
    let id = Hash128(low: environment.random.next(), high: environment.random.next()).hex
    let lanes =
      request.shards.map { $0.map { LaneID(shard: $0) }.sorted() + [.merge] }
      ?? (0..<count).map { LaneID(shard: plan.source.stream, index: $0, of: count) }
    var genesis = Genesis(
      ledgerID: id, runID: request.runID ?? id, stream: plan.source.stream, plan: request.meaning,
      planHash: request.planHash, dealing: request.shards == nil ? plan.source.deal : nil, lanes: lanes)
    if request.shards == nil { genesis.fileEnds = request.fileEnds ?? .record }
    return try await Ledger.create(
      LedgerLayout(pipeline: plan.pipeline), genesis: genesis, worker: id, store: environment.lake,
      clock: environment.clock, random: environment.random)
  }
}
