import WeirCore

/// How long and how often a client tries. Times are those of one request, with all its attempts.
package struct AWSRetrySettings: Sendable, Hashable {
  /// The first one included; at least 1.
  package var attemptsMax = 5
  /// From the call to the end of the last attempt, pauses included.
  package var totalMilliseconds = 120_000
  package var attemptMilliseconds = 60_000
  package var connectMilliseconds = 5000
  /// An attempt without a byte for so long has failed.
  package var idleSeconds = 20
  /// false: a time-out fails the request.
  package var repeatsTimeouts = true

  package init() {}
}

/// The pause before another attempt: full jitter, `random(0, 1) * min(base * 2 ^ (attempt - 1), 20 s)` with a base of 1 s after
/// throttling and of 50 ms after all else (25 ms: DynamoDB).
///
/// A service that names a pause is obeyed, up to 5 s more than that. Source: botocore 1.44, retries/standard.py, ExponentialBackoff.
struct BackOff {
  static let secondsMax = 20.0
  private static let namedSecondsMax = 5.0

  /// - Parameters:
  ///   - attempt: the one that failed, from 1.
  ///   - random: uniform, 0 ..< 1.
  /// - Returns: seconds.
  static func pause(after attempt: Int, isThrottled: Bool, service: String, random: Double, named: Double?) -> Double {
    let base = isThrottled ? 1 : service == "dynamodb" ? 0.025 : 0.05
    let doublings = UInt64(max(0, min(attempt - 1, 30)))
    let pause = random * min(base * Double(1 << doublings), secondsMax)
    return named.map { max(pause, min($0, pause + namedSecondsMax)) } ?? pause
  }

  /// The pause that an answer names, in seconds: `x-amz-retry-after` (milliseconds), `Retry-After` (seconds).
  static func named(_ answer: AWSResponse?) -> Double? {
    if let text = answer?.header("x-amz-retry-after"), let milliseconds = Int(text), milliseconds >= 0 {
      return Double(milliseconds) / 1000
    }
    if let text = answer?.header("retry-after"), let seconds = Int(text), seconds >= 0 { return Double(seconds) }
    return nil
  }
}

/// Attempts beyond the first that a client may make while a service fails, so that a failing service does not get several times its load.
///
/// A bucket of 500 tokens; 5 for another attempt, 10 after a time-out; a success gives back what its last attempt took, and 1 if that was
/// nothing. Source: the retry quota of the AWS SDKs' standard mode (AWS SDKs and Tools Reference Guide, "Retry behavior"; botocore,
/// retries/quota.py).
struct RetryQuota {
  static let capacity = 500
  static let cost = 5
  static let timeoutCost = 10

  private(set) var available = RetryQuota.capacity

  /// - Returns: the tokens taken; nil: there are not enough.
  mutating func take(isTimeout: Bool) -> Int? {
    let cost = isTimeout ? RetryQuota.timeoutCost : RetryQuota.cost
    guard available >= cost else { return nil }
    available -= cost
    return cost
  }

  /// After a success.
  /// - Parameter taken: by its last attempt; 0: it was the first one.
  mutating func giveBack(_ taken: Int) { available = min(RetryQuota.capacity, available + max(1, taken)) }
}
