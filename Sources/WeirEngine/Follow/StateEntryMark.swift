import WeirCore
import WeirProtocol

/// The last ledger entry that was applied to the state table, with its proof: a store that stands beyond the ledger's last entry, or
/// beside it, was written by another history of the ledger, and no mark of a lane's position shows that.
enum StateEntryMark {
  private static let name = "entry"

  static func mark(_ fold: LedgerFold) -> (String, [UInt8]) {
    (name, Array("\(fold.number) \(EntryProof(number: fold.number, hash: fold.hash).value)".utf8))
  }

  /// Whether the store's entry is one of the ledger's. True where none was written: by an older version, or in a new store.
  static func belongs(_ state: any StateTable, _ ledger: Ledger) async throws -> Bool {
    guard let bytes = try await state.readMeta(name) else { return true }
    let numbers = String(decoding: bytes, as: UTF8.self).split(separator: " ").compactMap { Int64($0) }
    guard numbers.count == 2 else { return false }
    do {
      guard let proof = try await ledger.proof(of: numbers[0]) else { return false }
      return proof.agrees(with: numbers[1], number: numbers[0])
    } catch let error as WeirError where error.code == "ledger_collected" {
      // Older than everything that the ledger keeps: it cannot be told.
      return false
    }
  }
}
