import Glibc

/// Limits the rate of requests after a service has throttled them, and finds the rate that it accepts: a token bucket whose rate falls to
/// 0.7 of the measured one when the service throttles, and grows by a cubic function of time afterwards.
///
/// Off until the first throttling. Source: adaptive mode of the AWS SDKs (botocore, retries/adaptive.py, throttling.py, bucket.py); the
/// cubic function is that of TCP CUBIC (RFC 9438) with beta 0.7 and a scale of 0.4. Times are in seconds of a monotonic clock.
///
/// Unlike there, requests start in the order in which they came, and those of the half second that has begun count for the measured rate:
/// else a client that is throttled at once, or after a pause, would continue with one request in two seconds.
struct AdaptiveRate {
  private static let beta = 0.7
  private static let scale = 0.4
  private static let smoothing = 0.8
  private static let bucketSeconds = 0.5
  /// Requests per second.
  private static let rateMin = 0.5

  private(set) var isOn = false
  /// Requests per second that may start.
  private(set) var rate = AdaptiveRate.rateMin
  /// Tokens that were taken: each request that waits has the number of its own.
  private var taken = 0.0
  /// Tokens that there have been. More than `taken`: that many requests may start at once.
  private var made = 0.0
  private var filled = 0.0
  // Cubic function
  private var rateAtThrottling = 0.0
  private var inflection = 0.0
  private var throttledAt = 0.0
  // Measured rate
  private(set) var measured = 0.0
  private var counted = 0.0
  private var bucket: Double?

  /// Takes a token, which may have to be made first.
  /// - Returns: its number; nil: the request may start.
  mutating func take() -> Double? {
    guard isOn else { return nil }
    taken += 1
    return taken
  }

  /// - Returns: seconds until a request may start, at the present rate; 0: now.
  mutating func wait(for token: Double, at now: Double) -> Double {
    fill(at: now)
    return max(0, (token - made) / rate)
  }

  /// Gives the token of a request back that does not start: the others wait less.
  mutating func giveBack() { made = min(made + 1, taken + capacity) }

  /// An attempt has ended.
  mutating func record(isThrottled: Bool, at now: Double) {
    measure(at: now)
    let target: Double
    if isThrottled {
      let sent = isOn ? min(sending, rate) : sending
      rateAtThrottling = sent
      inflection = cbrt(sent * (1 - AdaptiveRate.beta) / AdaptiveRate.scale)
      throttledAt = now
      target = sent * AdaptiveRate.beta
      if !isOn { (isOn, filled) = (true, now) }
    } else {
      let since = now - throttledAt - inflection
      target = AdaptiveRate.scale * since * since * since + rateAtThrottling
    }
    guard isOn else { return }
    fill(at: now)
    rate = max(AdaptiveRate.rateMin, min(target, 2 * sending))
    made = min(made, taken + capacity)
  }

  private var capacity: Double { max(1, rate) }
  /// Requests per second, with those of the half second that has begun.
  private var sending: Double { max(measured, counted / AdaptiveRate.bucketSeconds) }

  private mutating func fill(at now: Double) {
    made = min(made + max(0, now - filled) * rate, taken + capacity)
    filled = max(filled, now)
  }

  private mutating func measure(at now: Double) {
    let slot = (now / AdaptiveRate.bucketSeconds).rounded(.down) * AdaptiveRate.bucketSeconds
    counted += 1
    guard let last = bucket else {
      bucket = slot
      return
    }
    guard slot > last else { return }
    measured = counted / (slot - last) * AdaptiveRate.smoothing + measured * (1 - AdaptiveRate.smoothing)
    (counted, bucket) = (0, slot)
  }
}
