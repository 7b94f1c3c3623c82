import WeirCore
import WeirOperators
import WeirProtocol

/// What a run wants to go on with, to be compared with what the ledger says.
public struct LedgerRequest: Sendable {
  public var meaning: String
  public var planHash: ContentHash
  /// nil: what the ledger says, or the default.
  public var lanes: Int?
  /// For a new ledger.
  public var runID: String
  /// Tells in words how the plan differs from the ledger's.
  public var describeChange: @Sendable (_ old: String, _ new: String) -> [String]

  public init(
    meaning: String, planHash: ContentHash, lanes: Int?, runID: String,
    describeChange: @escaping @Sendable (_ old: String, _ new: String) -> [String]
  ) {
    self.meaning = meaning
    self.planHash = planHash
    self.lanes = lanes
    self.runID = runID
    self.describeChange = describeChange
  }
}

/// Opens a pipeline's ledger, or founds it.
enum LedgerOpening {
  static let lanesByDefault = 4

  static func ledger(_ environment: EngineEnvironment, _ pipeline: String) -> Ledger {
    Ledger(store: environment.lake, prefix: "_weir/\(pipeline)/", clock: environment.clock)
  }

  /// - Throws: `plan_changed`, `lanes_changed`, `fenced`, `unknown`, and what the store throws.
  static func open(_ ledger: Ledger, _ plan: Plan, _ request: LedgerRequest, _ environment: EngineEnvironment) async throws -> LedgerFold {
    guard let fold = try await ledger.open() else { return try await found(ledger, plan, request, environment) }
    guard let genesis = fold.genesis else { throw WeirError("corrupt", "the ledger \(ledger.prefix) has no genesis") }
    guard genesis.meaning.text == request.meaning else {
      let changes = request.describeChange(genesis.meaning.text, request.meaning)
      throw WeirError(
        "plan_changed",
        "the pipeline \(plan.pipeline) means something else than when its ledger was started:\n  "
          + changes.joined(separator: "\n  "),
        advice: "Change it back, or give the pipeline and its tables new names, or replay into a new lake (--lake DIR --store DIR).")
    }
    if let lanes = request.lanes, lanes != genesis.lanes.count {
      throw WeirError(
        "lanes_changed", "the ledger was started with \(genesis.lanes.count) lanes, not \(lanes)",
        advice: "Leave --lanes out, or replay into a new lake (--lake DIR --store DIR). The rows do not depend on it.")
    }
    return fold
  }

  private static func found(_ ledger: Ledger, _ plan: Plan, _ request: LedgerRequest, _ environment: EngineEnvironment) async throws -> LedgerFold {
    let count = request.lanes ?? lanesByDefault
    let id = Hash128(low: environment.random.next(), high: environment.random.next()).hex
    let genesis = Genesis(
      ledgerID: id, pipeline: plan.pipeline, meaning: .init(request.meaning), dealing: plan.source.deal,
      lanes: (0..<count).map { LaneID(shard: plan.source.stream, index: $0, of: count) }, runID: request.runID)
    let draft = EntryDraft(commitID: id, worker: id, planHash: request.planHash, genesis: genesis)
    switch try await ledger.commit(draft, on: LedgerFold(), rederive: { _ in draft }) {
    case .committed(_, let fold):
      // Somebody else's genesis may have come first: then ours stands behind it, and two may not found one ledger.
      guard fold.next == 1 else { throw raced() }
      return fold
    case .fenced: throw raced()
    case .unknown(let why):
      throw WeirError(
        "storage", "the ledger \(ledger.prefix) could not be started: \(why)",
        advice: "Make the lake's directory writable, free some space, then run again.", isRetriable: true)
    }
  }

  private static func raced() -> WeirError {
    WeirError(
      "fenced", "another worker started this ledger at the same moment: this one stops",
      advice: "Run one worker a ledger.", fatalTo: .worker)
  }
}
