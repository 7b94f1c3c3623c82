/// Broken variants of the protocol, for the simulation's own test: it must catch each (a test of the oracle).
///
/// Only the simulation sees this type; products run with the empty set.
package struct ProtocolVariant: OptionSet, Sendable {
  package let rawValue: Int

  package init(rawValue: Int) { self.rawValue = rawValue }

  /// After an unknown outcome the attempt is repeated at the next number, without looking whose the entry is.
  package static let blindRetry = ProtocolVariant(rawValue: 1 << 0)
  /// No fence at all.
  package static let noFence = ProtocolVariant(rawValue: 1 << 1)
  /// The fence is checked only after a conflict, not against the fold that yields the first number.
  package static let fencesAfterConflict = ProtocolVariant(rawValue: 1 << 2)
  /// Positions fence instead of epochs: an empty epoch moves none.
  package static let fencesByPosition = ProtocolVariant(rawValue: 1 << 3)
  /// The pointer is not read after the put.
  package static let numbersFreeAgain = ProtocolVariant(rawValue: 1 << 4)
  /// Acts on another's entry that may vanish with the machine.
  package static let trustsUnsynced = ProtocolVariant(rawValue: 1 << 5)
  /// Attempts are never too old.
  package static let neverAbandons = ProtocolVariant(rawValue: 1 << 7)
  /// Collection deletes entries before the snapshot that covers them is written.
  package static let deletesBeforePointer = ProtocolVariant(rawValue: 1 << 8)
  /// Collection takes unnamed blobs of any age.
  package static let sweepsYoung = ProtocolVariant(rawValue: 1 << 9)
  /// Collection sweeps over an idle ledger without making it move first.
  package static let sweepsWithoutBarrier = ProtocolVariant(rawValue: 1 << 10)
  /// A follower continues from the ledger number that it remembers, not from the table's `txn`.
  package static let followerTrustsMemory = ProtocolVariant(rawValue: 1 << 11)
  /// A follower that lost a version commits the same actions at the next one.
  package static let followerRebases = ProtocolVariant(rawValue: 1 << 12)
  /// A follower applies a batch of entries beginning with the last one.
  package static let followerOutOfOrder = ProtocolVariant(rawValue: 1 << 13)
  /// Another's entry is folded without a look at the pointer, though it may be a sleeper's stray.
  package static let foldsStrays = ProtocolVariant(rawValue: 1 << 14)
  /// A follower's commit of several entries proves the first of them instead of the last.
  package static let followerProvesFirst = ProtocolVariant(rawValue: 1 << 15)
  /// An attempt that is too old is reported as fenced, although its lanes are no other worker's.
  package static let callsAbandonedFenced = ProtocolVariant(rawValue: 1 << 16)
  /// Collection deletes entries whatever the outcome of the mark that says how far.
  package static let ignoresMarkOutcome = ProtocolVariant(rawValue: 1 << 17)
  /// A table of windows is said to be complete through the merged watermark, whether the merge lane has finished them or not.
  package static let completeTooEarly = ProtocolVariant(rawValue: 1 << 18)

  static let fences: ProtocolVariant = [.blindRetry, .noFence, .fencesAfterConflict, .fencesByPosition]
}
