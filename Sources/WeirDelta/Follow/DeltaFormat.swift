import WeirCore
import WeirProtocol

/// Tables in the Delta format.
package struct DeltaFormat: TableFormat {
  package init() {}

  package func follower(of table: FollowedTable, _ environment: FollowerEnvironment) -> any TableFollower {
    DeltaFollower(table, environment)
  }

  package func checkAbsent(_ table: FollowedTable, in lake: any ObjectStore) async throws {
    let table = DeltaTable(store: lake, path: table.path, application: "")
    guard let found = try await table.tip() else { return }
    throw FollowerMachine.Refusal.foreign(owner: found.metadata?.configuration[DeltaTable.ledgerProperty]).error(of: table, head: -1)
  }

  package func verify(
    _ table: FollowedTable, with ledger: VerifiedLedger, _ result: inout VerifyResult, removed: inout Set<String>
  ) async throws { try await DeltaVerify(table, ledger).run(&result, removed: &removed) }

  package func restore(
    _ table: FollowedTable, to ledger: Ledger, given: TableFold?, environment: FollowerEnvironment, isDry: Bool
  ) async throws -> TableRestoration? { try await DeltaRestore(table, ledger, environment).run(given: given, isDry: isDry) }
}

extension FollowerMachine.Refusal {
  /// - Parameter head: the ledger's last entry.
  func error(of table: DeltaTable, head: Int64) -> WeirError {
    error(table: table.path, log: "Delta log \(table.path)/_delta_log", head: head)
  }
}
