import WeirCore

/// When a request that failed is repeated. Pure.
package struct RedisRetry: Sendable {
  /// How long a server may be away before requests fail, nanoseconds: its failover and its start take some time.
  package static let patience: Int64 = 60_000_000_000
  /// The same for a server that never answered: its address may be wrong; and for readers, which others wait for.
  package static let patienceAtFirst: Int64 = 5_000_000_000
  private static let restMin: Int64 = 20_000_000
  private static let restMax: Int64 = 2_000_000_000

  private let began: Int64
  private var failures = 0

  /// - Parameter now: monotonic nanoseconds.
  package init(now: Int64) { began = now }

  /// - Parameters:
  ///   - patience: nanoseconds.
  ///   - random: for jitter: workers must not come back together.
  /// - Returns: how long to rest before the next attempt, nanoseconds; nil: the failure stands.
  package mutating func rest(after failure: RedisFailure, now: Int64, patience: Int64, random: UInt64) -> Int64? {
    switch failure {
    case .noAnswer, .later: break
    case .malformed, .moved, .noScript, .refused, .lostWrites: return nil
    }
    failures += 1
    let rest = min(RedisRetry.restMax, RedisRetry.restMin << Int64(min(failures, 10) - 1))
    let jittered = rest / 2 + Int64(random % UInt64(rest / 2 + 1))
    return now - began + jittered > patience ? nil : jittered
  }
}
