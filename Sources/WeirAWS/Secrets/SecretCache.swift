import WeirCore

/// Which secrets are known, and when each is fetched again. Pure: times are nanoseconds of a monotonic clock.
///
///     unknown ──fetched──► known ──older than its interval, or refused by the other side──► due ──fetched──► known
///                                                                                  └─failed──► the old value stays; due again later
///
/// Users of several members of one secret share its text, so that a user name and its password are always of the same version.
struct SecretCache: Sendable {
  /// After a failure, and after a refusal of a value that has just been fetched.
  static let pauseNanoseconds: Int64 = 5_000_000_000

  struct Key: Hashable, Sendable {
    var store: StoredSecret.Store
    var name: String

    init(_ secret: StoredSecret) { (store, name) = (secret.store, secret.name) }
  }

  private struct Known {
    var text: String
    var fetchedAt: Int64
    /// Of the last attempt to fetch it again.
    var triedAt: Int64
    var isRefused = false
    var isBeingFetched = false
  }

  private var known: [Key: Known] = [:]

  /// The text as far as it is known; nil: it was never fetched.
  func text(_ secret: StoredSecret) -> String? { known[Key(secret)]?.text }

  func isDue(_ secret: StoredSecret, at now: Int64) -> Bool {
    guard let entry = known[Key(secret)] else { return true }
    let age = (secret.refreshMicroseconds ?? StoredSecret.refreshByDefault).saturatingProduct(1000)
    let isOld = now - entry.fetchedAt >= age && now - entry.triedAt >= min(age, SecretCache.pauseNanoseconds)
    return !entry.isBeingFetched && (isOld || entry.isRefused && now - entry.triedAt >= SecretCache.pauseNanoseconds)
  }

  /// Whether the secret is to be fetched. The caller does so, and says how it ended.
  mutating func begins(_ secret: StoredSecret, at now: Int64) -> Bool {
    guard isDue(secret, at: now) else { return false }
    known[Key(secret)]?.isBeingFetched = true
    known[Key(secret)]?.triedAt = now
    return true
  }

  mutating func fetched(_ secret: StoredSecret, _ text: String, at now: Int64) {
    known[Key(secret)] = Known(text: text, fetchedAt: now, triedAt: now)
  }

  /// - Returns: the old text; nil: there is none.
  mutating func failed(_ secret: StoredSecret, at now: Int64) -> String? {
    known[Key(secret)]?.isBeingFetched = false
    known[Key(secret)]?.triedAt = now
    return known[Key(secret)]?.text
  }

  /// The other side did not accept the value.
  mutating func refused(_ secret: StoredSecret) { known[Key(secret)]?.isRefused = true }
}
