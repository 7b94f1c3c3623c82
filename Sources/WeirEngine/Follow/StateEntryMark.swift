import WeirCore
import WeirProtocol

/// The last ledger entry that was applied to the state table, with its proof: a store that is beyond the ledger's last entry, or
/// beside it, was written by another history of the ledger, and no mark of a lane's position shows that.
enum StateEntryMark {
  private static let name = "entry"

  /// How the store's entry relates to the ledger.
  enum Standing: Equatable {
    /// It is the ledger's; or the store says none: it is new, or an older version wrote it.
    case belongs
    /// The ledger ends before it.
    case ahead(Int64)
    /// The ledger has another entry of this number.
    case beside(Int64)
    /// Older than everything that the ledger keeps: it cannot be checked.
    case collected(Int64)
  }

  static func mark(_ fold: LedgerFold) -> (String, [UInt8]) {
    (name, Array("\(fold.number) \(EntryProof(number: fold.number, hash: fold.hash).value)".utf8))
  }

  static func standing(_ state: any StateTableReader, _ ledger: Ledger) async throws -> Standing {
    try await standing(mark: try await state.readMeta(name), ledger)
  }

  /// - Parameter meta: of one moment of the state table.
  static func standing(_ meta: [String: [UInt8]], _ ledger: Ledger) async throws -> Standing {
    try await standing(mark: meta[name], ledger)
  }

  private static func standing(mark: [UInt8]?, _ ledger: Ledger) async throws -> Standing {
    guard let mark else { return .belongs }
    let numbers = String(decoding: mark, as: UTF8.self).split(separator: " ").compactMap { Int64($0) }
    guard numbers.count == 2 else { return .beside(numbers.first ?? -1) }
    do {
      guard let proof = try await ledger.proof(of: numbers[0]) else { return .ahead(numbers[0]) }
      return proof.agrees(with: numbers[1], number: numbers[0]) ? .belongs : .beside(numbers[0])
    } catch let error as WeirError where error.code == .ledgerCollected {
      return .collected(numbers[0])
    }
  }
}
