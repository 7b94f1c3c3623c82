import WeirCore
import WeirOperators
import WeirProtocol

/// Makes the state tables again from what the ledger names: after an unclean stop of the machine, or when asked.
///
/// A table is whole once `built/<table>` holds the ledger's id. Rows and mark are written in one transaction: a rebuild that was
/// killed changed nothing.
package enum StateRebuild {
  /// Why a run made the tables again before it began.
  package enum Reason: Sendable, Equatable {
    /// They were not there or not whole, or the machine had stopped while they were written.
    case missing
    /// They had rows of entries that the ledger does not have.
    case ahead
    /// They did not have all entries: the last run was stopped between its last entry and its last flush, or an older store was put there.
    case behind
  }

  /// What a run wrote.
  package struct Outcome: Sendable, Equatable {
    package var rows: Int
    package var reason: Reason
  }

  /// Claims the tables for the ledger, and makes those again that the ledger has epochs for and the store does not hold: a
  /// store that was deleted, or emptied after the machine stopped in the middle of a run, or one that a run left behind
  /// which died between the last entry of all and its last flush: no lane will be restored again to catch up. So too a store that
  /// holds rows of entries that the ledger does not have, since it was restored from a copy.
  /// - Returns: nil if the tables are whole.
  /// - Throws: `foreign_table`, and what the stores throw.
  static func ifMissing(_ compiled: CompiledPlan, environment: EngineEnvironment, ledger: Ledger) async throws -> Outcome? {
    guard let state = environment.state, !compiled.plan.state.isEmpty else { return nil }
    try await StateOwnership.claim(state, await ledger.fold.genesis, compiled.plan)
    guard let reason = try await reason(compiled, state, ledger) else { return nil }
    let fold = await ledger.fold
    if reason == .missing, !fold.lanes.values.contains(where: { $0.epoch > 0 }) {
      try await state.writeMeta(marks(compiled.plan, fold))
      return nil
    }
    return Outcome(rows: try await rebuild(compiled, environment), reason: reason)
  }

  private static func reason(_ compiled: CompiledPlan, _ state: any StateTable, _ ledger: Ledger) async throws -> Reason? {
    switch try await StateEntryMark.standing(state, ledger) {
    case .belongs: break
    case .ahead, .beside: return .ahead
    case .collected: return .behind
    }
    let fold = await ledger.fold
    // Rows of before are of lanes that do not write such any more.
    for (stream, growth) in fold.growths {
      if try await state.readMeta(mark(growthOf: stream)) != Array(String(growth.entry).utf8) { return .behind }
    }
    for spec in compiled.plan.state where try await state.readMeta(mark(spec)) != Array(fold.genesis.ledgerID.utf8) { return .missing }
    guard fold.isFinished else { return nil }
    return try await isUpToDate(compiled, state, fold) ? nil : .behind
  }

  private static func isUpToDate(_ compiled: CompiledPlan, _ state: any StateTable, _ fold: LedgerFold) async throws -> Bool {
    if compiled.hasLaneState {
      for lane in fold.genesis.lanes where lane != .merge {
        if try await !FlushMark.standing(of: lane, state, fold).isEven { return false }
      }
    }
    return compiled.hasMergedState ? try await Followers.hasMerged(fold, state) : true
  }

  static func mark(_ spec: StateSpec) -> String { "built/\(spec.name)" }
  private static func mark(growthOf stream: String) -> String { "partitions/\(stream)" }

  private static func marks(_ plan: Plan, _ fold: LedgerFold) -> [(String, [UInt8])] {
    plan.state.map { (mark($0), Array(fold.genesis.ledgerID.utf8)) }
      + fold.growths.sorted { $0.key < $1.key }.map { (mark(growthOf: $0.key), Array(String($0.value.entry).utf8)) }
  }

  /// - Returns: rows written.
  /// - Throws: `table_ahead` and `table_missing` when the tables do not belong to the ledger's entries: then its lane state may be that
  ///   of an older copy; and what the stores throw.
  package static func run(_ compiled: CompiledPlan, environment: EngineEnvironment) async throws -> Int {
    guard environment.state != nil else { return 0 }
    let ledger = try await LedgerOpening.required(compiled.plan, environment)
    let ledgerID = await ledger.fold.genesis.ledgerID
    try await Followers(environment: environment, ledger: ledger, ledgerID: ledgerID, compiled: compiled).check()
    return try await rebuild(compiled, environment)
  }

  private static func rebuild(_ compiled: CompiledPlan, _ environment: EngineEnvironment) async throws -> Int {
    guard let state = environment.state else { return 0 }
    let ledger = try await LedgerOpening.required(compiled.plan, environment)
    let genesis = await ledger.fold.genesis
    try await StateOwnership.claim(state, genesis, compiled.plan)
    let owners = try await take(state, ledger, Array(String(environment.random.next(), radix: 16).utf8))
    let fold = try await ledger.refresh()
    let run = RunInfo(compiled.plan, runID: fold.runID)
    let restorer = Restorer(compiled: compiled.following(fold), store: environment.lake, fold: fold, run: run)
    var rows: [StateBatch] = []
    var meta: [(String, [UInt8])] = []
    // Some lanes at a time: their rows are all that is kept of them.
    var lanes = fold.lanesWithKeys[...]
    while !lanes.isEmpty {
      for lane in try await restorer.shards(Array(lanes.prefix(environment.parallel)), parallel: environment.parallel) {
        guard let all = await lane.allStateRows(of: lane.id) else { continue }
        rows += all.rows
        meta.append(all.mark.entry)
      }
      lanes = lanes.dropFirst(environment.parallel)
    }
    rows += try await restorer.merge().allStateRows(ledgerNumber: fold.number)
    // All at once: a reader, or a process that finds what a killed rebuild left, sees the old rows or the new ones.
    try await state.replace(
      tables: compiled.plan.state.map(\.name), with: rows, meta: meta + Followers.marks(fold) + marks(compiled.plan, fold),
      owners: owners)
    try await state.sync()
    return rows.reduce(0) { $0 + $1.count }
  }

  /// Takes the rows of all lanes, before the ledger is read for them. A worker that has lanes now knows what it flushed to the rows that go:
  /// with another owner its next flush or entry is fenced, and it begins again.
  /// - Throws: `fenced` when a worker took a lane over after the entries that this ledger was read through.
  private static func take(_ state: any StateTable, _ ledger: Ledger, _ owner: [UInt8]) async throws -> [(String, [UInt8])] {
    let fold = await ledger.fold
    let lanes = fold.lanes.keys.sorted()
    let claims = FlushMark.claims(of: lanes, owner, fold)
    switch try await StateEntryMark.standing(state, ledger) {
    case .belongs, .collected: try await state.claim(claims)
    // Of another history of the ledger, whose numbers say nothing here.
    case .ahead, .beside: try await state.writeMeta(claims.flatMap(\.meta))
    }
    return FlushMark.owners(of: lanes, owner)
  }
}
