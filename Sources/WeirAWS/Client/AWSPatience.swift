import Synchronization
import WeirCore

/// How long commands that only look wait for services: a person waits for their answer. Workers wait longer.
///
/// - Until an endpoint has answered for the first time, a request to which no byte comes for ``idleSeconds`` has failed, and is not repeated.
///   One that has answered may be slow: its requests are repeated as a worker's.
/// - No request takes longer than ``totalMilliseconds``, its repeats included.
/// - After a request that got no answer, further requests to the same endpoint fail at once for ``restNanoseconds``: a command with many
///   requests waits once for each service, and not once for each request.
package final class AWSPatience: Sendable {
  package static let idleSeconds = 15
  package static let totalMilliseconds = 60_000
  static let restNanoseconds: Int64 = 30_000_000_000

  private struct Silence {
    /// Of the monotonic clock.
    var until: Int64
    var code: String
    var reason: String
  }

  /// Of the task that sends; nil: a worker.
  @TaskLocal package static var current: AWSPatience?

  private struct State {
    var silences: [String: Silence] = [:]
    /// Endpoints.
    var answered: Set<String> = []
  }

  private let state = Mutex(State())

  package init() {}

  /// Runs a command that only looks, with a memory of its own.
  package static func looking<T>(_ body: () async throws -> T) async rethrows -> T {
    try await $current.withValue(AWSPatience()) { try await body() }
  }

  /// Whether the task belongs to a command that only looks.
  package static var isLooking: Bool { current != nil }

  /// The settings of a client of an endpoint, as far as they are not longer.
  func limited(_ settings: AWSRetrySettings, _ endpoint: String) -> AWSRetrySettings {
    var limited = settings
    limited.totalMilliseconds = min(settings.totalMilliseconds, AWSPatience.totalMilliseconds)
    if state.withLock({ $0.answered.contains(endpoint) }) { return limited }
    limited.idleSeconds = min(settings.idleSeconds, AWSPatience.idleSeconds)
    limited.repeatsTimeouts = false
    return limited
  }

  /// Why a request to an endpoint is not sent; nil: it is sent.
  func silence(of endpoint: String, at now: Int64) -> (code: String, reason: String)? {
    state.withLock { state in
      guard let found = state.silences[endpoint], now < found.until else { return nil }
      return (found.code, "not sent: a request just before failed (\(found.reason))")
    }
  }

  /// A request got an answer, whatever it says.
  func answered(_ endpoint: String) { state.withLock { _ = $0.answered.insert(endpoint) } }

  /// A request got no answer.
  func failed(_ endpoint: String, code: String, reason: String, at now: Int64) {
    let silence = Silence(until: now.saturatingSum(AWSPatience.restNanoseconds), code: code, reason: reason)
    state.withLock { $0.silences[endpoint] = silence }
  }
}
