/// The attempts of one request: what follows each verdict. Pure; the client holds the quota that its requests share.
struct RequestAttempts {
  enum Step: Equatable {
    case answer
    /// Once more after these seconds.
    case pause(Double)
    /// Once more at once, with other keys.
    case refreshKeys
    /// Once more at once, with a time that differs by these seconds from the machine's.
    case moveClock(seconds: Int64)
    case fail(AWSFailure.Kind)
  }

  /// What of the world a decision needs.
  struct Surroundings {
    /// Seconds that the request may still take.
    var secondsLeft: Double
    /// Uniform, 0 ..< 1.
    var random: Double
    /// The pause that the service named.
    var named: Double?
    /// Wall clock of the machine, seconds since 1970.
    var now: Int64
  }

  private let settings: AWSRetrySettings
  private let retries: AWSRequest.Retries
  private let service: String
  /// That have begun.
  private(set) var attempt = 1
  private var hasRefreshedKeys = false
  private var hasMovedClock = false
  /// By the last attempt; see ``RetryQuota``.
  private var taken = 0

  init(_ settings: AWSRetrySettings, _ retries: AWSRequest.Retries, service: String) {
    self.settings = settings
    self.retries = retries
    self.service = service
  }

  mutating func step(after verdict: AWSVerdict, _ quota: inout RetryQuota, _ around: Surroundings) -> Step {
    switch verdict {
    case .answered:
      quota.giveBack(taken)
      return .answer
    case .final(let kind):
      return .fail(retries == .always && kind == .unknown ? .retriable : kind)
    case .unreadable(let mayHaveActed): return .fail(mayHaveActed && retries == .whileNotReceived ? .unknown : .fatal)
    case .keysRefused:
      if hasRefreshedKeys || attempt >= settings.attemptsMax { return .fail(.fatal) }
      hasRefreshedKeys = true
      attempt += 1
      return .refreshKeys
    case .clocksDiffer(let server):
      if hasMovedClock || attempt >= settings.attemptsMax { return .fail(.fatal) }
      hasMovedClock = true
      attempt += 1
      return .moveClock(seconds: server - around.now)
    case .passing(let passing, let mayHaveActed):
      if mayHaveActed, retries == .whileNotReceived { return .fail(.unknown) }
      return again(passing, &quota, around)
    }
  }

  private mutating func again(_ passing: AWSVerdict.Passing, _ quota: inout RetryQuota, _ around: Surroundings) -> Step {
    guard attempt < settings.attemptsMax, settings.repeatsTimeouts || passing != .timeout else { return .fail(.retriable) }
    let pause = BackOff.pause(
      after: attempt, isThrottled: passing == .throttled, service: service, random: around.random, named: around.named)
    guard pause < around.secondsLeft, let cost = quota.take(isTimeout: passing == .timeout) else { return .fail(.retriable) }
    taken = cost
    attempt += 1
    return .pause(pause)
  }
}
