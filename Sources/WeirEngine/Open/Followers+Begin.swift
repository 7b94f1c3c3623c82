import WeirCore
import WeirOperators
import WeirProtocol

extension Followers {
  /// Begins a run, before its first new entry: proves that tables, topics and state belong to this ledger's entries, and brings them
  /// up to it. Nothing is written to any of them before all tables were looked at.
  /// - Returns: what was written of the state tables; nil: they were whole.
  /// - Throws: `table_ahead`, `topic_ahead`, `table_missing`, `foreign_table`, `corrupt`, and what the stores throw.
  func begin(_ compiled: CompiledPlan, _ environment: EngineEnvironment) async throws -> StateRebuild.Outcome? {
    try await check()
    let rebuilt = try await StateRebuild.ifMissing(compiled, environment: environment, ledger: ledger)
    let fold = await ledger.fold
    try await catchUp(to: fold.number)
    try await compare(with: fold)
    return rebuilt
  }
}
