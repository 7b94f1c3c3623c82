import WeirCore
import WeirDelta
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

  /// What a follower goes by; nil: there is no table.
  func snapshot(_ snapshot: DeltaTip?) -> TableSnapshot {
    TableSnapshot(
      version: snapshot?.version ?? -1, txn: snapshot?.transactions[entry],
      ledgerID: snapshot?.metadata?.configuration["weir.ledger"], proof: snapshot?.transactions[proof])
  }
}

extension FollowerMachine.Refusal {
  /// - Parameter head: the ledger's last entry.
  func error(table: String, head: Int64) -> WeirError {
    switch self {
    case .foreign(let owner):
      WeirError(
        "foreign_table", "the table \(table) belongs to \(owner.map { "another ledger (\($0))" } ?? "no ledger of Weir")",
        advice:
          "Choose another lake (--lake DIR), or other names for the pipeline's tables. If this lake's ledger (in the directory _weir) was lost, restore it from a copy."
      )
    case .ahead(let number):
      WeirError(
        "table_ahead",
        "the table \(table) has applied entry \(number) of the ledger, and the last entry of the ledger is \(head): entries were lost, or the lake was restored from a copy whose tables are newer than its ledger",
        advice: FollowerMachine.Refusal.remedy)
    case .beside(let number):
      WeirError(
        "table_ahead",
        "the table \(table) has applied another entry \(number) than the one in the ledger: the ledger was restored from an older copy and has continued without this table",
        advice: FollowerMachine.Refusal.remedy)
    case .missing:
      WeirError(
        "table_missing", "the Delta log \(table)/_delta_log is gone, although the ledger lists files of the table",
        advice:
          "Nothing was written. Restore the table's directory from a copy of the lake. If its data files are still there, `weir ledger restore-tables PIPELINE` writes the log again from the ledger. To start over, replay into a new lake (--lake DIR --store DIR)."
      )
    }
  }

  private static let remedy =
    "Nothing was written. If you have a newer copy of the ledger's files, put them back. Otherwise `weir ledger restore-tables PIPELINE` restores the tables to the ledger's entries, and the next run processes the rest again (--dry-run shows what it would do)."
}
