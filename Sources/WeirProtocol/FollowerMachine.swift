import WeirCore

/// Brings one Delta table up to the ledger: a pure state machine (law 5).
///
/// The race that decides its shape: two workers follow the same table. Both read a snapshot with txn 4 at version 9; A commits
/// entries 5…6 as version 10. B tries version 10 with 5…6 and is told that it exists. Were B to try 11 with the same actions,
/// the rows of 5 and 6 would stand twice. So actions are derived again, on every try, from the txn of the snapshot that
/// yields the version.
public struct FollowerMachine: Sendable {
  public enum Action: Sendable, Equatable {
    /// Read the table's newest snapshot; report ``snapshotRead(version:txn:owner:)``.
    case readSnapshot
    /// Create the table as version 0 without rows; report ``putReturned(_:)``.
    case create
    /// Try to commit entries `from...to` as `version`, with `txn = to`; report ``putReturned(_:)``. An entry range without
    /// rows for this table: report ``nothingToCommit()``.
    case commit(version: Int64, from: Int64, to: Int64)
    /// The table has everything up to the target.
    case done
    /// The table belongs to another ledger.
    case refuse(owner: String?)
  }

  /// Entries that one commit covers at most.
  public static let entriesMax: Int64 = 64

  private let ledgerID: String
  private let target: Int64
  private let variant: ProtocolVariant
  /// The last entry known to be applied or to have no rows.
  private var applied: Int64 = -1
  private var version: Int64 = -1
  private var range: ClosedRange<Int64>?

  public init(ledgerID: String, target: Int64, variant: ProtocolVariant = []) {
    self.ledgerID = ledgerID
    self.target = target
    self.variant = variant
  }

  public mutating func start() -> Action { .readSnapshot }

  /// - Parameters:
  ///   - version: the newest version; -1: there is no table.
  ///   - txn: the ledger number that the table has; -1: none.
  ///   - owner: the ledger's id in the table's configuration.
  public mutating func snapshotRead(version: Int64, txn: Int64, owner: String?) -> Action {
    guard version >= 0 else { return .create }
    guard owner == ledgerID else { return .refuse(owner: owner) }
    self.version = version
    if variant.contains(.followerNotRederived), let range { return .commit(version: version + 1, from: range.lowerBound, to: range.upperBound) }
    applied = variant.contains(.txnNotChecked) ? applied : max(applied, txn)
    return next()
  }

  private mutating func next() -> Action {
    guard applied < target else { return .done }
    var from = applied + 1
    var to = min(target, applied + FollowerMachine.entriesMax)
    if variant.contains(.followerOutOfOrder), to > from { (from, to) = (to, to) }
    range = from...to
    return .commit(version: version + 1, from: from, to: to)
  }

  /// The range at hand holds nothing for the table: it counts as applied without a commit.
  public mutating func nothingToCommit() -> Action {
    guard let range else { preconditionFailure("no range is at hand") }
    applied = range.upperBound
    return next()
  }

  /// Whatever the outcome, the snapshot decides: it is read again, and what is left is derived from its txn.
  public mutating func putReturned(_ outcome: PutOutcome) -> Action {
    if case .created = outcome, let range {
      applied = range.upperBound
      version += 1
      self.range = nil
      return variant.contains(.followerOutOfOrder) || applied < target ? .readSnapshot : .done
    }
    return .readSnapshot
  }
}
