import WeirCore

/// The guard against wrong clocks: distinguishes an event time that is too far ahead from a stream that moved on (DESIGN section 5).
///
/// One record with a wrong clock must not move the shard watermark, or every later record of the shard is late. "Too far" is never
/// judged by the producer's clock alone:
///
/// - ``Judge/stream``: by the stream. A record is *judged* if it is more than `max_ahead` above the newest event time before it (a *jump*),
///   or the first one beyond the newest in the next ``steps``th of `max_ahead` and `out_of_order` (a *step*: without it, many of them would
///   add up). The valid records after it vote: ``followersMax`` at most, and only those that begin within ``bytesMax``. They are asked
///   twice. One that is more than `max_ahead` and `out_of_order` below the record says that its clock is wrong (a correct record may be
///   `out_of_order` older than the one before it). One that is more than `out_of_order` and a step below it says that it must not move the
///   watermark. As soon as ``leadMax`` more are against it than for it, it is refuted: later votes for it say only that the stream came
///   there by itself. If half of ``followersMax``, or most of those that fit, are for it, the stream has moved on (a silence, a gap in the
///   capture). This depends on the shard's records and on the watermark alone, so no block, cut, lane or restart changes it.
/// - ``Judge/clock(_:)``: by a clock that is not the producer's, as recorded in the ledger.
///
/// Where the plan does not set `max_ahead`, a capture's guard rejects nothing: a record that is refuted does not count towards the
/// watermark, and that is all. The same holds for a step.
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
    /// Times and positions of the valid records after the block, in the order of the shard; ``followersMax`` at most.
    var times: [Int64] = []
    var positions: [Int64] = []
    /// The position of the first record after the block, valid or not.
    var first: Int64?
    /// All records that begin before this position are known.
    var through = Int64.min
    var end = End.notReached

    /// Whether they suffice for every record that begins before `position`.
    func suffice(before position: Int64) -> Bool {
      end != .notReached || times.count == ClockGuard.followersMax
        || first != nil && through >= ClockGuard.sum(position, ClockGuard.bytesMax)
    }
  }

  /// Valid records that decide about one. Half of them from one wrong clock in a row are seen through.
  static let followersMax = 1_023
  /// They begin within this many bytes of the record's first one; the very next record always counts. Far less than the smallest memory budget.
  static let bytesMax: Int64 = 2 << 20
  /// So many more votes against a record than for it are enough.
  static let leadMax = 5
  /// Parts of `max_ahead` and `out_of_order`.
  private static let steps: Int64 = 8
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

  /// How closely the stream is looked at where it moves on by itself, and by how much a wrong clock may move the watermark at most.
  private var step: Int64 { max(1, ahead / ClockGuard.steps) }

  /// Event times up to here pass without a closer look.
  /// - Parameter maximum: the newest event time that counted; nil: none did.
  func limit(maximum: Int64?) -> Int64 {
    if ahead == ClockGuard.off { return Int64.max }
    switch judge {
    case .stream:
      guard let maximum else { return Int64.min }
      let behind = maximum % step
      return ClockGuard.sum(maximum, (behind < 0 ? 0 : step) - behind - 1)
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

  /// Judges a record above ``limit(maximum:)``.
  /// - Parameters:
  ///   - row: the record's row in its block.
  ///   - maximum: the newest event time that counted; nil: none did.
  func verdict(_ row: Int, of block: PreparedBlock, maximum: Int64?, followers: Followers) -> Verdict {
    let time = block.columns.time[row]
    if case .clock = judge { return .isRejected(ahead: ClockGuard.difference(time, limit(maximum: maximum))) }
    let isFirst = maximum == nil
    let isJump = maximum.map { time > ClockGuard.sum($0, ClockGuard.difference(ahead, outOfOrder)) } ?? true
    // For it are those that it makes late by a step at most.
    let counting = count(row, of: block, followers, least: ClockGuard.sum(time, -outOfOrder - step))
    let makesOthersLate = counting.votes.outcome == .wrong
    if counting.votes.outcome == .right { return .passes }
    if makesOthersLate, !isJump || !isConfigured { return .isUncounted }
    if !makesOthersLate, !counting.isComplete, followers.end == .notReached { return .isUndecided }
    // A step does not wait at the end of a part, so that a capture with few records is not held up.
    if !isJump { return .passes }
    let accepted = makesOthersLate ? Verdict.isUncounted : .passes
    let refuted = isConfigured ? Verdict.isRejected(ahead: maximum.map { ClockGuard.difference(time, $0) }) : .isUncounted
    // For it are those that it is within the limit of.
    let (votes, isComplete) = count(row, of: block, followers, least: ClockGuard.sum(time, -ahead))
    if !makesOthersLate, !isComplete || !counting.isComplete, followers.end == .keptOpen {
      if isFirst, votes.high > votes.low { return .passes }
      return isFirst && votes.low == 0 ? .isUncounted : .isUndecided
    }
    switch votes.outcome {
    case .right: return accepted
    case .wrong: return refuted
    case .open where !isComplete && followers.end != .closed: return .isUndecided
    // The first records of a shard are its stream if most of the others are near them. Later ones must not move the watermark on less
    // evidence than the whole: the records after a burst at the end would be late.
    case .open where votes.high > votes.low: return isFirst || isComplete ? accepted : .isUncounted
    case .open where votes.high < votes.low: return refuted
    case .open: return isFirst && !isComplete && votes.high == 0 ? accepted : .isUncounted
    }
  }

  private struct Votes {
    enum Outcome { case right, wrong, open }
    var (high, low) = (0, 0)

    var outcome: Outcome {
      let needed = (ClockGuard.followersMax + 1) / 2
      return high >= needed ? .right : low >= needed || low - high >= ClockGuard.leadMax ? .wrong : .open
    }

    mutating func add(_ isHigh: Bool) { if isHigh { high += 1 } else { low += 1 } }
  }

  /// - Parameter least: records from this time on are for the record.
  /// - Returns: the votes up to where they decide, and whether no more can come.
  private func count(
    _ row: Int, of block: PreparedBlock, _ followers: Followers, least: Int64
  ) -> (votes: Votes, isComplete: Bool) {
    let (times, valid) = (block.columns.time, block.decoded.valid)
    let limit = ClockGuard.sum(block.position(row), ClockGuard.bytesMax)
    var votes = Votes()
    let allFit = block.position(block.count - 1) < limit
    for next in (row + 1)..<max(row + 1, block.count) {
      if !allFit, next > row + 1, block.position(next) >= limit { return (votes, true) }
      guard valid[next] else { continue }
      votes.add(times[next] >= least)
      if votes.outcome != .open { return (votes, true) }
    }
    let isLast = row == block.count - 1
    for (time, position) in zip(followers.times, followers.positions) {
      if position >= limit, !(isLast && position == followers.first) { return (votes, true) }
      votes.add(time >= least)
      if votes.outcome != .open { return (votes, true) }
    }
    return (votes, followers.through >= limit && (!isLast || followers.first != nil))
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
