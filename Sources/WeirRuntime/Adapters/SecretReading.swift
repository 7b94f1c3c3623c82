import Dispatch
import Synchronization
import WeirAWS
import WeirCore
import WeirLocal
import WeirReport

extension SecretSpec {
  /// The secret's value, read now. An error names its place and never the value.
  ///
  /// One of AWS is what was fetched last; if nothing was, or it is old, this blocks until it is there: so that is only for threads that may
  /// block. Tasks call ``value()`` before.
  package func read() throws(WeirError) -> String {
    if case .stored(let secret) = self { return try SecretService.read(secret) }
    do { return try KafkaWiring.secret(self).read() } catch { throw WeirError(.config, error.message, advice: error.advice) }
  }

  /// The secret's value, for tasks.
  package func value() async throws(WeirError) -> String {
    if case .stored(let secret) = self { return try await SecretService.shared.value(secret) }
    return try read()
  }

  /// The value that is known, at once; one of AWS that is due is fetched meanwhile, for the next time.
  package var renewed: String? {
    if case .stored(let secret) = self { return SecretService.renewed(secret) }
    return known
  }

  /// The value as far as it is known, without a wait; nil where only a request could show it.
  package var known: String? {
    if case .stored(let secret) = self { return SecretService.shared.known(secret) }
    return try? read()
  }
}

/// The process's secrets of AWS.
package enum SecretService {
  package static let shared = StoredSecrets(
    clock: SystemClock(),
    notice: { Console().talk("\($0.message); the value that was read before is used") },
    connect: { (service, region) async throws(AWSFailure) in try await clients.client(of: service, region) })

  private static let clients = SecretClients()

  /// Fetches those of AWS that are due, so that clients which cannot wait find them.
  package static func fetch(_ secrets: [SecretSpec]) async throws(WeirError) {
    for case .stored(let secret) in secrets { _ = try await shared.value(secret) }
  }

  /// For threads that may block: none of the pool.
  static func read(_ secret: StoredSecret) throws(WeirError) -> String {
    let answer = Answer()
    Task {
      let result: Result<String, WeirError>
      do throws(WeirError) { result = .success(try await shared.value(secret)) } catch { result = .failure(error) }
      answer.result.withLock { $0 = result }
      answer.isThere.signal()
    }
    answer.isThere.wait()
    guard let result = answer.result.withLock({ $0 }) else { throw WeirError(.internal, "a secret was signalled and is not there") }
    return try result.get()
  }

  /// What is known now; one that is due is fetched meanwhile, for the next time.
  static func renewed(_ secret: StoredSecret) -> String? {
    if shared.isDue(secret) { Task { _ = try? await shared.value(secret) } }
    return shared.known(secret)
  }

  /// What a client calls when its credentials were refused: true if they may be others by now. nil: none of them can change.
  static func refusal(of secrets: [SecretSpec]) -> (@Sendable () -> Bool)? {
    let stored = secrets.compactMap { secret in if case .stored(let stored) = secret { stored } else { nil } }
    guard !stored.isEmpty else { return nil }
    return {
      for secret in stored { shared.refused(secret) }
      return stored.contains { shared.isDue($0) }
    }
  }

  private final class Answer: Sendable {
    let result = Mutex<Result<String, WeirError>?>(nil)
    let isThere = DispatchSemaphore(value: 0)
  }
}

private actor SecretClients {
  private struct Key: Hashable {
    var service: AWSService
    var region: String?
  }

  private var clients: [Key: AWSClient] = [:]

  func client(of service: AWSService, _ region: String?) async throws(AWSFailure) -> AWSClient {
    let key = Key(service: service, region: region)
    if let known = clients[key] { return known }
    let client = try await AWSWiring.configuration(region: region).client(of: service, region: region)
    clients[key] = client
    return client
  }
}
