import Synchronization
import WeirCore

/// The secrets of a process: fetched when they are needed first, and again when they are old or were refused.
///
/// A secret that cannot be fetched again keeps its value: a service of AWS that is away stops no worker that runs.
package final class StoredSecrets: Sendable {
  /// A client of one of the two services, in a region; nil: the configured one.
  package typealias Connect = @Sendable (AWSService, String?) async throws(AWSFailure) -> any AWSSender

  private let clock: any Clock
  private let connect: Connect
  /// Gets a failure to fetch a secret again.
  private let notice: @Sendable (WeirError) -> Void
  private let cache = Mutex(SecretCache())

  package init(clock: any Clock, notice: @escaping @Sendable (WeirError) -> Void, connect: @escaping Connect) {
    (self.clock, self.notice, self.connect) = (clock, notice, connect)
  }

  /// The value, fetched if it is due.
  /// - Throws: `config` or `unavailable`, with the secret's name, if it was never fetched; `config` if it has no such member.
  package func value(_ secret: StoredSecret) async throws(WeirError) -> String {
    let isDue = cache.withLock { $0.begins(secret, at: clock.monotonicNanoseconds) }
    if !isDue, let text = cache.withLock({ $0.text(secret) }) { return try SecretRequest.value(secret, in: text) }
    do throws(WeirError) {
      let text = try await fetch(secret)
      cache.withLock { $0.fetched(secret, text, at: clock.monotonicNanoseconds) }
      return try SecretRequest.value(secret, in: text)
    } catch {
      guard let old = cache.withLock({ $0.failed(secret, at: clock.monotonicNanoseconds) }),
        let value = try? SecretRequest.value(secret, in: old)
      else { throw error }
      notice(error)
      return value
    }
  }

  private func fetch(_ secret: StoredSecret) async throws(WeirError) -> String {
    let response: AWSResponse
    do throws(AWSFailure) {
      let sender = try await connect(SecretRequest.service(secret.store), secret.region)
      response = try await sender.send(SecretRequest.request(secret))
    } catch { throw SecretRequest.error(secret, error) }
    return try SecretRequest.text(secret, response)
  }

  /// The value as far as it is known, at once.
  /// - Returns: nil: it was never fetched, or has no such member.
  package func known(_ secret: StoredSecret) -> String? {
    cache.withLock { $0.text(secret) }.flatMap { try? SecretRequest.value(secret, in: $0) }
  }

  /// Whether ``value(_:)`` would fetch it.
  package func isDue(_ secret: StoredSecret) -> Bool {
    cache.withLock { $0.isDue(secret, at: clock.monotonicNanoseconds) }
  }

  /// The other side did not accept the value: the next ``value(_:)`` fetches it, at most once in five seconds.
  package func refused(_ secret: StoredSecret) { cache.withLock { $0.refused(secret) } }
}
