import WeirCore

/// What a reader of one shard by enhanced fan-out does next, and when: pure, times are monotonic nanoseconds.
///
/// The service sends what a shard gets, without being asked, for five minutes at most. A subscription is replaced shortly before that, one
/// that is silent for half a minute is replaced too (the service sends events without records every few seconds), and one that broke is
/// replaced at once; but no sooner than five seconds after the one before, which the service would refuse.
///
/// **Positions.** As with polling (``ShardProgress``). Within a run a subscription continues after the number that the last event named, which
/// moves on while no records come.
struct FanOutMachine {
  enum Action: Equatable {
    case subscribe(IteratorStart)
    /// Take what the subscription has; if that is nothing, wait until then.
    case listen(until: Int64)
    /// Close the subscription, and ask again.
    case close(Reason)
    /// Nothing to do until then.
    case wait(until: Int64)
  }

  enum Reason: Equatable {
    /// It would soon end.
    case renewal
    case silence
    /// Records may have been trimmed before they were read.
    case overtaken
  }

  struct Settings: Equatable {
    var retentionMilliseconds: Int64 = 24 * 3_600_000
    var silenceNanoseconds: Int64 = 30_000_000_000
    var renewalNanoseconds: Int64 = 290_000_000_000
  }

  /// The service refuses a second subscription of a consumer to a shard for five seconds; a little more, for both clocks.
  static let takeOver: Int64 = 5_200_000_000
  private static let retryFirst: Int64 = 500_000_000
  private static let retryMax: Int64 = 10_000_000_000
  /// Refusals, one after the other, because another subscription reads the shard, until the reader gives up.
  static let refusalsMax = 12
  /// Subscriptions without an event, one after the other, until the reader gives up.
  static let failuresMax = 10

  private var progress: ShardProgress
  var settings: Settings
  /// The number after which a subscription continues.
  private var continuation: String?
  private var isOpen = false
  private var askedAt: Int64?
  private var heardAt: Int64 = .min
  private var notBefore: Int64 = .min
  /// Subscriptions that ended, or were refused, without an event.
  private var failures = 0
  private var refusals = 0
  private(set) var hasEnded = false
  /// Nothing came for so long that a person should know.
  var isHopeless: Bool { failures >= FanOutMachine.failuresMax }

  init(_ place: KinesisPlace, _ settings: Settings) { (progress, self.settings) = (ShardProgress(place), settings) }

  /// What is to be done now, when all that came was taken.
  mutating func step(at now: Int64) -> Action {
    if progress.isOvertaken(settings.retentionMilliseconds, at: now) {
      continuation = nil
      if isOpen { return close(.overtaken, at: now) }
    }
    guard isOpen else {
      guard now >= notBefore else { return .wait(until: notBefore) }
      return .subscribe(progress.isVerified ? continuation.map { .after($0) } ?? progress.start : progress.start)
    }
    let (silent, old) = (heardAt + settings.silenceNanoseconds, (askedAt ?? now) + settings.renewalNanoseconds)
    if now >= old { return close(.renewal, at: now) }
    if now >= silent { return close(.silence, at: now) }
    return .listen(until: min(silent, old))
  }

  private mutating func close(_ reason: Reason, at now: Int64) -> Action {
    ended(at: now)
    return .close(reason)
  }

  /// The request is sent.
  mutating func asked(at now: Int64) { askedAt = now }

  mutating func opened(at now: Int64) { (isOpen, heardAt) = (true, now) }

  /// An event came. Of ``ShardOutcome/records`` and ``ShardOutcome/ended`` the caller says with ``moved(to:)`` how far it took them.
  mutating func heard(_ answer: RecordsAnswer, at now: Int64) -> ShardOutcome {
    (failures, refusals, heardAt) = (0, 0, now)
    if let found = progress.take(answer, at: now) {
      continuation = nil
      ended(at: now)
      return .trimmed(found)
    }
    continuation = answer.next
    hasEnded = answer.next == nil
    if hasEnded { return .ended }
    return answer.records.isEmpty ? .nothing(isAtEnd: answer.millisecondsBehind.map { $0 <= 0 } ?? true) : .records
  }

  /// The caller takes events again: a subscription is not silent while no one listens.
  mutating func resumed(at now: Int64) { heardAt = max(heardAt, now) }

  mutating func moved(to place: KinesisPlace) { progress.moved(to: place) }

  /// The subscription is over, and another one may follow.
  mutating func ended(at now: Int64) {
    isOpen = false
    let pause = failures == 0 ? 0 : min(FanOutMachine.retryFirst << Int64(min(failures, 10) - 1), FanOutMachine.retryMax)
    failures += 1
    notBefore = max(now + pause, (askedAt ?? now - FanOutMachine.takeOver) + FanOutMachine.takeOver)
  }

  /// A request failed, or an event said so.
  /// - Returns: whether the reader continues by itself.
  mutating func failed(_ kind: KinesisFailure.Kind, at now: Int64) -> Bool {
    isOpen = false
    failures += 1
    switch kind {
    case .inUse:
      refusals += 1
      notBefore = now + FanOutMachine.takeOver
      return refusals < FanOutMachine.refusalsMax
    case .throttled, .passing, .argument, .expired:
      if kind == .argument { continuation = nil }
      notBefore = now + min(FanOutMachine.retryFirst << Int64(min(failures, 10) - 1), FanOutMachine.retryMax)
      return kind == .throttled
    case .missing, .tableMissing, .foreignTable, .condition, .refused, .configuration, .final:
      notBefore = now + FanOutMachine.retryFirst
      return false
    }
  }
}
