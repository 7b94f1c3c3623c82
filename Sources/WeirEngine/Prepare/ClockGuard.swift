import WeirCore

/// The guard against wrong clocks: distinguishes an event time that is too far ahead from a stream that moved on (DESIGN section 5).
///
/// One record with a wrong clock must not move the shard watermark, or every later record of the shard is late. "Too far" is never
/// judged by the producer's clock alone:
///
/// - ``Judge/stream``: by the stream. A record that is more than `max_ahead` above the newest event time before it is *suspicious*. The next
///   ``followersMax`` valid records of the shard decide: if at least half of them are near it or above (at most `max_ahead` and
///   `out_of_order` below its time, since a correct record may be that much older than the one before it), the stream has moved on (a silence, a gap in the capture), else the clock is wrong. Where the input ends before that is decided, the
///   record is accepted and does not count. This depends on the shard's records alone, so no
///   block, cut, lane or restart changes it, and the first record after a silence is accepted: nothing is ever locked out.
/// - ``Judge/clock(_:)``: by a clock that is not the producer's, as recorded in the ledger.
///
/// Where the plan does not set `max_ahead`, a capture's guard rejects nothing: a record that is refuted does not count towards the
/// watermark, and that is all.
struct ClockGuard: Sendable {
  enum Judge: Sendable, Equatable {
    case stream
    /// A wall clock that an entry of the ledger carries, UTC microseconds; nil: no entry carries one yet, and nothing is rejected.
    case clock(Int64?)
  }

  enum Verdict: Equatable {
    case passes
    /// Accepted, but does not count towards the watermark.
    case isUncounted
    /// Too far ahead, by `ahead` microseconds; nil: there is no watermark yet.
    case isRejected(ahead: Int64?)
    /// The records that follow decide, and too few of them are known yet.
    case isUndecided
  }

  /// The records that follow, as far as they are known.
  struct Followers {
    enum End { case notReached, closed, keptOpen }
    /// Times of the valid records after the block, in the order of the shard; ``followersMax`` at most.
    var times: [Int64] = []
    var end = End.notReached
  }

  /// Valid records that decide about a suspicious one. Half of them from one wrong clock in a row are seen through.
  static let followersMax = 1_023
  /// Without `max_ahead` in the plan: one day in a capture, one hour in a live source.
  static let aheadOfStreamMicroseconds: Int64 = 86_400_000_000
  static let aheadOfClockMicroseconds: Int64 = 3_600_000_000

  /// `max_ahead: off`.
  static let off = Int64.max

  /// From the watermark (`stream`: which is `out_of_order` below the newest event time) or from the clock.
  let ahead: Int64
  private let outOfOrder: Int64
  let isConfigured: Bool
  var judge: Judge

  init(_ time: TimeSpec, judge: Judge) {
    isConfigured = time.maxAheadMicroseconds != nil
    let standard = judge == .stream ? ClockGuard.aheadOfStreamMicroseconds : ClockGuard.aheadOfClockMicroseconds
    outOfOrder = judge == .stream ? time.outOfOrderMicroseconds : 0
    ahead = ClockGuard.sum(time.maxAheadMicroseconds ?? standard, outOfOrder)
    self.judge = judge
  }

  /// Event times up to here pass without a closer look.
  /// - Parameter watermark: of the shard before the record.
  func limit(watermark: Int64) -> Int64 {
    if ahead == ClockGuard.off { return Int64.max }
    switch judge {
    case .stream: return watermark == Watermark.minimum ? Int64.min : ClockGuard.sum(watermark, ahead)
    case .clock(let clock?): return ClockGuard.sum(clock, ClockGuard.sum(ahead, ClockGuard.refreshMicroseconds(ahead: ahead)))
    case .clock(nil): return Int64.max
    }
  }

  /// How long a recorded clock is used before a fresh one is committed. Times are allowed to be this much further ahead, so that
  /// a right clock is never rejected because the recorded one grew old.
  static func refreshMicroseconds(ahead: Int64) -> Int64 { min(max(ahead / 4, 10_000_000), 900_000_000) }

  /// The same for a live source; nil: the plan judges by no clock.
  static func refreshNanoseconds(_ plan: Plan) -> Int64? {
    guard let time = plan.record.time else { return nil }
    let clockGuard = ClockGuard(time, judge: .clock(nil))
    return clockGuard.ahead == off ? nil : refreshMicroseconds(ahead: clockGuard.ahead) * 1000
  }

  static func sum(_ a: Int64, _ b: Int64) -> Int64 {
    let sum = a.addingReportingOverflow(b)
    return sum.overflow ? (b > 0 ? Int64.max : Int64.min) : sum.partialValue
  }

  /// Judges a record above ``limit(watermark:)``.
  /// - Parameters:
  ///   - row: the record's row in its block.
  ///   - times, valid: of the block's rows.
  func verdict(
    _ row: Int, times: [Int64], valid: [Bool], watermark: Int64, followers: Followers
  ) -> Verdict {
    let time = times[row]
    if case .clock = judge { return .isRejected(ahead: ClockGuard.difference(time, limit(watermark: watermark))) }
    let needed = (ClockGuard.followersMax + 1) / 2
    let least = ClockGuard.sum(time, -ahead)
    var (high, low) = (0, 0)
    var next = row + 1
    while next < times.count, high < needed, low < needed {
      if valid[next] { if times[next] >= least { high += 1 } else { low += 1 } }
      next += 1
    }
    for other in followers.times where high < needed && low < needed {
      if other >= least { high += 1 } else { low += 1 }
    }
    if high >= needed { return .passes }
    if low < needed, followers.end == .notReached { return .isUndecided }
    let isFirst = watermark == Watermark.minimum
    if low < needed {
      // The input ended before there were enough. The first records of a shard are its stream if most of the others are near them. Later
      // ones must not move the watermark on less evidence: the records after a burst at the end would be late, in this run or the next.
      if isFirst, high > low || high + low == 0 && followers.end == .closed { return .passes }
      if high >= low { return .isUncounted }
    }
    guard isConfigured else { return .isUncounted }
    return .isRejected(ahead: isFirst ? nil : ClockGuard.difference(time, ClockGuard.sum(watermark, outOfOrder)))
  }

  static func difference(_ a: Int64, _ b: Int64) -> Int64 {
    let difference = a.subtractingReportingOverflow(b)
    return difference.overflow ? Int64.max : difference.partialValue
  }

  static func reasonByAppendTime(ahead: Int64) -> String {
    "event time is \(ahead / 1000) ms ahead of the broker's append time, more than max_ahead allows: is the producer's clock wrong?"
  }

  /// Why a record was rejected.
  func reason(ahead: Int64?) -> String {
    switch judge {
    case .stream:
      guard let ahead else {
        return "event time is ahead of most of the first records, more than max_ahead allows: is the producer's clock wrong?"
      }
      return
        "event time is \(ahead / 1000) ms ahead of the newest record before it, more than max_ahead allows, and the records after it are not: is the producer's clock wrong?"
    // Without the amount: it would depend on when the clock was read, and so would the row.
    case .clock: return "event time is more than max_ahead beyond the worker's clock: is the producer's clock wrong, or the worker's?"
    }
  }
}
