import WeirCore

/// Proves that what a follower applied is an entry of this ledger, and not one with the same number of another history.
///
/// The number of an entry alone proves nothing: a ledger that was restored from an older copy gives the same number to another
/// entry. A Delta table keeps the proof as the version of a second `txn`, which other programs carry through checkpoints,
/// OPTIMIZE and log clean-up like the first; topics and the state table keep it in their markers.
///
/// Shape, 63 bits: the first 47 bits of the entry's own hash, then the low 16 bits of its number. The number distinguishes a proof of
/// the entry from one that was left behind by a version of Weir that does not write proofs.
public struct EntryProof: Sendable, Hashable {
  public let value: Int64

  private static let numberBits: Int64 = 16
  private static let numberMask: Int64 = 1 << numberBits - 1
  private static let hashBits = 47

  /// - Parameter hash: the entry's own hash, SHA-256 in hex. Any other text, which only a damaged ledger has, gives a proof that
  ///   agrees with no entry.
  public init(number: Int64, hash: String) {
    let digits = hash.utf8.prefix(EntryProof.hashBits / 4 + 1)
    let high = UInt64(String(decoding: digits, as: UTF8.self), radix: 16) ?? 0
    let bits = Int64(truncatingIfNeeded: high >> 1) & (1 << Int64(EntryProof.hashBits) - 1)
    value = bits << EntryProof.numberBits | number & EntryProof.numberMask
  }

  /// Whether a follower that kept `kept` for entry `number` has applied this entry. Nil, or a proof of another number: an older
  /// version of Weir applied the entry, so nothing is known against it.
  public func agrees(with kept: Int64?, number: Int64) -> Bool {
    guard let kept, kept & EntryProof.numberMask == number & EntryProof.numberMask else { return true }
    return kept == value
  }
}

extension Ledger {
  /// The proof of entry `number`; nil if the ledger does not have the entry. Reads the ledger's head again before it says so:
  /// another worker may have committed meanwhile.
  ///
  /// The hash comes from the entry after it, or from the fold for the last one, so it is there also when the entry itself was
  /// collected: collection leaves every entry that a table has not applied.
  /// - Throws: `ledger_collected` when the entry after it was collected too.
  public func proof(of number: Int64) async throws -> EntryProof? {
    if number > fold.number, number > (try await refresh()).number { return nil }
    guard number >= 0 else { return nil }
    if number == fold.number { return EntryProof(number: number, hash: fold.hash) }
    return EntryProof(number: number, hash: try await entries(after: number, through: number + 1)[0].previousHash)
  }
}
