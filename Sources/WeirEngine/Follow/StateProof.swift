import WeirCore
import WeirProtocol

/// What the ledger says about rows of a state table. The store's own marks prove nothing where the ledger was restored from an older
/// copy than the store.
package enum StateProof {
  /// The state table has rows of an entry that the ledger does not have; nil: it has none.
  package static func strangeEntry(_ state: any StateTableReader, _ ledger: Ledger) async throws -> Int64? {
    switch try await StateEntryMark.standing(state, ledger) {
    case .belongs, .collected: nil
    case .ahead(let number), .beside(let number): number
    }
  }

  /// By lane, how far the ledger is.
  /// - Parameter table: the state table's name.
  /// - Returns: nil: it is another ledger's.
  package static func committed(_ state: any StateTableReader, table: String, _ ledger: Ledger) async throws -> [String: LedgerMark]? {
    let fold = await ledger.fold
    guard try await state.readMeta("owner/\(table)") == Array(fold.genesis.ledgerID.utf8) else { return nil }
    // With another history of as many entries no row can be distinguished from the ledger's.
    if case .beside = try await StateEntryMark.standing(state, ledger) { return [:] }
    return Dictionary(uniqueKeysWithValues: fold.lanes.keys.map { ($0.text, LedgerMark(of: $0, in: fold)) })
  }
}
