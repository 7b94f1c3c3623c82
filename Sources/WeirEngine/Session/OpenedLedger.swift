import WeirCore
import WeirOperators
import WeirProtocol

/// A ledger that a worker has opened for its plan, and what follows it.
struct OpenedLedger: Sendable {
  var compiled: CompiledPlan
  let environment: EngineEnvironment
  let ledger: Ledger
  let followers: Followers
  /// With which it was opened.
  let request: LedgerRequest
  /// Names the worker in its entries.
  let worker: String
  let meter: LiveMeter

  init(
    _ compiled: CompiledPlan, _ environment: EngineEnvironment, _ ledger: Ledger, request: LedgerRequest, worker: String,
    meter: LiveMeter
  ) async {
    (self.compiled, self.environment, self.ledger) = (compiled, environment, ledger)
    (self.request, self.worker, self.meter) = (request, worker, meter)
    followers = Followers(
      environment: environment, ledger: ledger, ledgerID: await ledger.fold.genesis.ledgerID, compiled: compiled, meter: meter)
  }

  /// Whether the state table is at the ledger's position. A run may have stopped after its last entry, or another one may have taken its
  /// rows meanwhile.
  func hasAllStateRows() async throws -> Bool {
    guard let state = environment.state else { return true }
    let fold = await ledger.fold
    for lane in StateRowLanes.of(compiled, fold) {
      let name = lane == .merge ? Followers.mergeMark : FlushMark.name(lane)
      let meta = try await state.readMeta(name).map { [name: $0] } ?? [:]
      if !StateRowLanes.isEven(lane, meta, fold) { return false }
    }
    return true
  }

  var planHash: String { request.planHash }

  /// Records lookup files that differ from those of the ledger.
  /// - Parameter carrier: the lanes whose epochs carry the decision; nil: all.
  func decideLookups(carrier: [LaneID]? = nil) async throws {
    try await lookups.decide(planHash: planHash, carrier: carrier)
  }

  var lookups: LookupVersions { LookupVersions(compiled: compiled, ledger: ledger, environment: environment) }

  /// Takes the versions of lookups that are refreshed from their files, as they are now, else from the ledger: what the process read when it
  /// started may be older than both.
  mutating func lookAtLookups(observe: @escaping @Sendable (WorkerEvent) -> Void) async throws {
    guard var refresh = LookupRefresh(lookups, meter, observe: observe) else { return }
    let names = refresh.names
    let kept = try await lookups.tables(await ledger.fold, known: compiled.lookups)
    let before = zip(compiled.lookups, kept).map { names.contains($0.name) ? $1 : $0 }
    compiled = compiled.with(lookups: try await refresh.lookAtAll(before))
  }

  /// Deletes entries that neither a follower nor the merge lane needs any more. The followers were brought up before.
  /// - Returns: false: more is left to collect.
  @discardableResult
  func collect() async throws -> Bool {
    let fold = await ledger.fold
    var through = await followers.collectableThrough
    // In a plain capture the merge lane shares the entry of the lanes that it merges.
    if fold.genesis.dealing == nil { through = min(through, fold.mergeLane.position?.ordinal ?? 0) }
    return try await LedgerKeeping.collect(ledger, keep: compiled.plan.lake.ledgerKeepMicroseconds, appliedThrough: through)
  }
}
