import WeirCore
import WeirOperators
import WeirProtocol

/// Makes the state tables again from what the ledger names: after an unclean stop of the machine, or when asked.
///
/// A table is whole once `built/<table>` holds the ledger's id, which is written behind its rows: a rebuild that was killed is
/// begun again.
public enum StateRebuild {
  /// Claims the tables for the ledger, and makes those again that the ledger has epochs for and the store does not hold: a
  /// store that was deleted, or emptied after the machine stopped in the middle of a run, or one that a run left behind
  /// which died between the last entry of all and its last flush: no lane will be restored again to catch up. So too a store that
  /// holds rows of entries that the ledger does not have, since it was restored from a copy.
  /// - Returns: rows written; nil if the tables are whole.
  /// - Throws: `foreign_table`, and what the stores throw.
  static func ifMissing(_ compiled: CompiledPlan, environment: EngineEnvironment, ledger: Ledger) async throws -> Int? {
    guard let state = environment.state, !compiled.plan.state.isEmpty else { return nil }
    let genesis = await ledger.fold.genesis
    try await StateOwnership.claim(state, genesis, compiled.plan)
    if try await !StateEntryMark.belongs(state, ledger) { return try await rebuild(compiled, environment) }
    let fold = await ledger.fold
    var isWhole = true
    for spec in compiled.plan.state where try await state.readMeta(mark(spec)) != Array(fold.genesis.ledgerID.utf8) {
      isWhole = false
    }
    if isWhole, fold.isFinished { isWhole = try await isUpToDate(compiled, state, fold) }
    if isWhole { return nil }
    if fold.lanes.values.contains(where: { $0.epoch > 0 }) { return try await rebuild(compiled, environment) }
    try await state.writeMeta(marks(compiled.plan, fold.genesis))
    return nil
  }

  private static func isUpToDate(_ compiled: CompiledPlan, _ state: any StateTable, _ fold: LedgerFold) async throws -> Bool {
    if compiled.hasLaneState {
      for lane in fold.genesis.lanes where lane != .merge {
        if try await FlushMark.standing(of: lane, state, fold) != .even { return false }
      }
    }
    return compiled.hasMerge ? try await Followers.hasMerged(fold, state) : true
  }

  static func mark(_ spec: StateSpec) -> String { "built/\(spec.name)" }

  private static func marks(_ plan: Plan, _ genesis: Genesis) -> [(String, [UInt8])] {
    plan.state.map { (mark($0), Array(genesis.ledgerID.utf8)) }
  }

  /// - Returns: rows written.
  /// - Throws: `table_ahead` and `table_missing` when the tables do not belong to the ledger's entries: then its lane state may be that
  ///   of an older copy; and what the stores throw.
  public static func run(_ compiled: CompiledPlan, environment: EngineEnvironment) async throws -> Int {
    guard environment.state != nil else { return 0 }
    let ledger = try await LedgerOpening.required(compiled.plan, environment)
    let ledgerID = await ledger.fold.genesis.ledgerID
    try await Followers(environment: environment, ledger: ledger, ledgerID: ledgerID, plan: compiled.plan).check()
    return try await rebuild(compiled, environment)
  }

  private static func rebuild(_ compiled: CompiledPlan, _ environment: EngineEnvironment) async throws -> Int {
    guard let state = environment.state else { return 0 }
    let fold = await (try LedgerOpening.required(compiled.plan, environment)).fold
    let genesis = fold.genesis
    try await StateOwnership.claim(state, genesis, compiled.plan)
    let run = RunInfo(shard: compiled.plan.source.stream, runID: fold.runID)
    let restorer = Restorer(compiled: compiled, store: environment.lake, fold: fold, run: run)
    // The marks go first: while rows are missing, nothing may say that they are all there.
    try await state.writeMeta(compiled.plan.state.map { (mark($0), []) })
    try await state.clear(tables: compiled.plan.state.map(\.name))
    var rows = 0
    for lane in try await restorer.shards(fold.lanes.keys.filter { $0 != .merge }.sorted(), parallel: environment.parallel) {
      guard let all = await lane.allStateRows(of: lane.id) else { continue }
      rows += all.rows.reduce(0) { $0 + $1.count }
      _ = try await state.write(all.rows, meta: [all.mark.entry])
    }
    let merged = try await restorer.merge().allStateRows(ledgerNumber: fold.number)
    _ = try await state.write(merged, meta: Followers.marks(fold) + marks(compiled.plan, genesis))
    try await state.sync()
    return rows + merged.reduce(0) { $0 + $1.count }
  }
}
