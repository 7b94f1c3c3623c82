import WeirCore
import WeirOperators
import WeirProtocol

/// Looks, before a ledger is founded, whether this pipeline had one that was lost: a new entry 0 would be in the way of its return.
enum LostLedger {
  /// - Throws: `ledger_corrupt` where other files of a ledger are left, `foreign_table` where a table or a state table is there already.
  static func check(_ plan: Plan, _ environment: EngineEnvironment) async throws {
    let layout = LedgerLayout(pipeline: plan.pipeline)
    if let lost = try await Ledger.lost(layout, environment.lake) { throw lost }
    for table in plan.tables { try await environment.tables.checkAbsent(table.followed(nil), in: environment.lake) }
    if let state = environment.state { try await StateOwnership.check(state, nil, plan) }
  }
}
