import WeirCore
import WeirOperators
import WeirProtocol

/// Makes the state tables again from what the ledger names: after an unclean stop of the machine, or when asked.
public enum StateRebuild {
  /// - Returns: rows written.
  public static func run(_ compiled: CompiledPlan, environment: EngineEnvironment) async throws -> Int {
    guard let state = environment.state else { return 0 }
    let fold = await (try LedgerOpening.required(compiled.plan, environment)).fold
    let genesis = fold.genesis
    try await StateOwnership.claim(state, genesis, compiled.plan)
    let run = RunInfo(shard: compiled.plan.source.stream, runID: genesis.runID)
    let restorer = Restorer(compiled: compiled, store: environment.lake, fold: fold, run: run)
    try await state.clear(tables: compiled.plan.state.map(\.name))
    var rows = 0
    for lane in try await restorer.lanes(genesis.lanes.filter { $0 != .merge }) {
      let all = await lane.allStateRows().sorted(by: StateOrder.precedes)
      rows += all.count
      _ = try await state.write(all)
    }
    let merged = try await restorer.merge().allStateRows(ledgerNumber: fold.number).sorted(by: StateOrder.precedes)
    _ = try await state.write(merged)
    try await state.writeMeta(Followers.marks(fold))
    try await state.sync()
    return rows + merged.count
  }
}
