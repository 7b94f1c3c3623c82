import CKafka
import Synchronization
import WeirCore

/// Gives a client the user and password of its next connections when they change (SASL PLAIN and SCRAM). Connections that are there stay.
final class PasswordRotation: Sendable {
  /// What is applied, and since when. Pure.
  struct Standing: Sendable, Equatable {
    struct Pair: Sendable, Equatable {
      var user: String
      var password: String
    }

    /// A password that was fetched this long before it was refused may have been replaced meanwhile.
    static let freshNanoseconds: Int64 = 10_000_000_000
    /// So long a refusal is not taken for final, while the new password is fetched.
    static let patienceNanoseconds: Int64 = 30_000_000_000

    private(set) var applied: Pair
    private var appliedAt: Int64
    private var refusedAt: Int64?

    init(_ pair: Pair, at now: Int64) { (applied, appliedAt) = (pair, now) }

    /// - Returns: what is to be applied; nil: nothing changed.
    mutating func saw(_ pair: Pair, at now: Int64) -> Pair? {
      guard pair != applied else { return nil }
      (applied, appliedAt, refusedAt) = (pair, now, nil)
      return pair
    }

    /// The broker did not accept them.
    /// - Returns: whether others may be there soon.
    mutating func refused(at now: Int64) -> Bool {
      if refusedAt == nil, now - appliedAt < Standing.freshNanoseconds { return false }
      refusedAt = refusedAt ?? now
      return now - (refusedAt ?? now) < Standing.patienceNanoseconds
    }
  }

  private let user: Secret
  private let password: Secret
  private let standing: Mutex<Standing>

  /// nil: there is nothing that could change, or it is not known.
  init?(_ sasl: KafkaSASL?) {
    switch sasl {
    case .plain(let user, let password), .scram(_, let user, let password): (self.user, self.password) = (user, password)
    case .bearer, .tokens, nil: return nil
    }
    guard user.provider != nil || password.provider != nil, let pair = PasswordRotation.now(user, password) else { return nil }
    standing = Mutex(Standing(pair, at: KafkaClient.now))
  }

  private static func now(_ user: Secret, _ password: Secret) -> Standing.Pair? {
    // Those of other kinds do not change, and are read without a wait.
    guard let name = user.provider.map({ $0.current() }) ?? (try? user.read()),
      let word = password.provider.map({ $0.current() }) ?? (try? password.read())
    else { return nil }
    return Standing.Pair(user: name, password: word)
  }

  /// Gives the client what has changed.
  func look(_ client: OpaquePointer, _ redactor: Redactor) {
    guard let pair = PasswordRotation.now(user, password),
      let new = standing.withLock({ $0.saw(pair, at: KafkaClient.now) })
    else { return }
    redactor.add(new.password)
    redactor.add(new.user)
    // It fails only for a client without SASL.
    if let error = rd_kafka_sasl_set_credentials(client, new.user, new.password) { rd_kafka_error_destroy(error) }
  }

  /// - Returns: whether other values may be there soon, so that the refusal is not final.
  func refused() -> Bool {
    user.provider?.refused()
    password.provider?.refused()
    return standing.withLock { $0.refused(at: KafkaClient.now) }
  }
}
