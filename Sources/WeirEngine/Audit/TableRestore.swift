import WeirCore
import WeirProtocol

/// Takes tables that are ahead of the ledger, or that diverged, back to the ledger's entries, and writes the log of a table again that is
/// gone. Only by explicit command: what it takes out of a table is processed again by the next run, if the source still has it.
package enum TableRestore {
  /// Restores the tables that need it, and brings all tables up to the ledger's last entry.
  /// - Parameter isDry: only report.
  /// - Returns: the tables that were not as the ledger says.
  /// - Throws: `table_ahead` or `table_missing` when a table cannot be restored, before anything is written to any; what the stores and
  ///   the ledger throw.
  package static func run(_ compiled: CompiledPlan, environment: EngineEnvironment, isDry: Bool) async throws -> [TableRestoration] {
    let ledger = try await LedgerOpening.required(compiled.plan, environment)
    let fold = await ledger.fold
    let ledgerID = fold.genesis.ledgerID
    func restore(isDry: Bool) async throws -> [TableRestoration] {
      var restored: [TableRestoration] = []
      for table in compiled.followedTables {
        let report = try await environment.tables.restore(
          table, to: ledger, given: fold.tables[table.path], environment: environment.follower(of: ledgerID), isDry: isDry)
        if let report { restored.append(report) }
      }
      return restored
    }
    // All tables first: one that cannot be restored must not leave others without their rows.
    let planned = try await restore(isDry: true)
    let restored = isDry ? planned : try await restore(isDry: false)
    if !isDry {
      let followers = Followers(environment: environment, ledger: ledger, ledgerID: ledgerID, compiled: compiled)
      try await followers.catchUp(to: await ledger.fold.number)
    }
    return restored
  }

  /// Entries that the ledger still has to have, and that are not there: its snapshot covers them, and so a worker needs none of them.
  /// - Returns: how many, and the path of the first; nil: all are there.
  package static func lostEntries(
    _ compiled: CompiledPlan, environment: EngineEnvironment
  ) async throws -> (count: Int64, first: String)? {
    let ledger = try await LedgerOpening.required(compiled.plan, environment)
    let listed = try await environment.lake.list(ledger.layout.entries).compactMap { LedgerLayout.number(in: $0.path) }
    // After the listing: a worker may collect meanwhile.
    let collected = try await ledger.collectedThrough()
    let head = await ledger.fold.number
    guard collected < head else { return nil }
    let there = Set(listed)
    let lost = (collected + 1...head).filter { !there.contains($0) }
    return lost.first.map { (Int64(lost.count), ledger.layout.entry($0)) }
  }
}
