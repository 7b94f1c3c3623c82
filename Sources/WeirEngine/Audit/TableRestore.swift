import WeirCore
import WeirProtocol

/// Takes tables that are ahead of the ledger, or that diverged, back to the ledger's entries, and writes the log of a table again that is
/// gone. Only by explicit command: what it takes out of a table is processed again by the next run, if the source still has it.
package enum TableRestore {
  /// Restores the tables that need it, and brings all tables up to the ledger's last entry.
  /// - Parameter isDry: only report.
  /// - Returns: the tables that were not as the ledger says.
  /// - Throws: `table_ahead` or `table_missing` when a table cannot be restored, before anything is written to it; what the stores and
  ///   the ledger throw.
  package static func run(_ compiled: CompiledPlan, environment: EngineEnvironment, isDry: Bool) async throws -> [TableRestoration] {
    let ledger = try await LedgerOpening.required(compiled.plan, environment)
    let fold = await ledger.fold
    let ledgerID = fold.genesis.ledgerID
    var restored: [TableRestoration] = []
    for table in compiled.followedTables {
      let report = try await environment.tables.restore(
        table, to: ledger, given: fold.tables[table.path], environment: environment.follower(of: ledgerID), isDry: isDry)
      if let report { restored.append(report) }
    }
    if !isDry {
      let followers = Followers(environment: environment, ledger: ledger, ledgerID: ledgerID, compiled: compiled)
      try await followers.catchUp(to: await ledger.fold.number)
    }
    return restored
  }
}
