import WeirCore
import WeirProtocol

/// The `txn` actions by which a Delta table says what it has of a ledger.
struct TableTransactions: Sendable {
  /// Begins the application ids of all of this ledger's commits.
  let application: String
  /// Its version is the last ledger entry that was applied.
  let entry: String
  /// Its version is that entry's ``EntryProof``.
  let proof: String
  private let ledgerID: String

  init(ledgerID: String, table: String) {
    self.ledgerID = ledgerID
    application = "\(ledgerID)/"
    entry = "\(ledgerID)/\(table)"
    proof = "\(ledgerID)/\(table)/entry"
  }

  func actions(entry number: Int64, proof kept: EntryProof?) -> [DeltaAction] {
    [.transaction(appID: entry, version: number)] + (kept.map { [.transaction(appID: proof, version: $0.value)] } ?? [])
  }

  /// What a follower relies on; nil: there is no table.
  func snapshot(_ snapshot: DeltaTip?) -> TableSnapshot {
    TableSnapshot(
      version: snapshot?.version ?? -1, txn: snapshot?.transactions[entry],
      ledgerID: snapshot?.metadata?.configuration[DeltaTable.ledgerProperty], proof: snapshot?.transactions[proof])
  }
}
