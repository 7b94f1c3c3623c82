import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// One version of each lookup of a plan, in the plan's order. Blocks are prepared with one of these; it never changes.
final class LookupSet: Sendable {
  let tables: [LookupTable]

  init(_ tables: [LookupTable]) { self.tables = tables }

  var memoryBytes: Int64 { tables.reduce(0) { $0 + $1.memoryBytes } }

  /// Of these lookups, it has the versions that the ledger names.
  func isNewest(of names: Set<String>, in fold: LedgerFold) -> Bool {
    tables.allSatisfy { !names.contains($0.name) || fold.lookups[$0.name]?.hash == $0.contentHash.hex }
  }

  /// By lookup: the entry that brought its version, where that is the ledger's newest.
  func entries(in fold: LedgerFold) -> [String: Int64] {
    tables.reduce(into: [:]) { entries, table in
      if let version = fold.lookups[table.name], version.hash == table.contentHash.hex { entries[table.name] = version.entry }
    }
  }

  /// What an entry over this fold says of its records' lookups.
  /// - Throws: `lookup_changed`; `fenced` where more than one refresh has come since.
  func decisions(over fold: LedgerFold) throws(WeirError) -> [Decision] {
    var decisions: [Decision] = []
    for table in tables {
      let (name, hash, version) = (table.name, table.contentHash.hex, fold.lookups[table.name])
      if version?.hash == hash { continue }
      guard let previous = version?.previous else {
        throw WeirError(
          .lookupChanged, "another worker uses another version of the lookup \(name)",
          advice: "Give all workers the same file and start this one again.")
      }
      guard previous.hash == hash else {
        throw WeirError(
          .fenced, "the lookup \(name) was refreshed more than once while this worker did not see it",
          advice: "The worker continues from the ledger, with the newest version.")
      }
      decisions.append(.lookupUsed(name: name, hash: hash, path: previous.path))
    }
    return decisions
  }
}

/// With which lookups a worker's next blocks are prepared.
final class LookupBook: Sendable {
  private let held: Mutex<LookupSet>

  init(_ first: LookupSet) { held = Mutex(first) }

  var current: LookupSet { held.withLock { $0 } }

  func use(_ next: LookupSet) { held.withLock { $0 = next } }
}
