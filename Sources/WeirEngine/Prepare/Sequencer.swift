import WeirCore

/// What must be done in shard order: the shard watermark, the guard against wrong clocks.
///
/// Law 3: after the parallel decode and before partitioning, so that nothing depends on where a block begins.
struct Sequencer {
  private let time: TimeSpec?
  /// nil: the plan has no event time.
  private(set) var clockGuard: ClockGuard?
  /// The largest event time of the shard so far; nil before the first.
  private(set) var maximum: Int64?
  /// Records that were too far ahead to count towards the watermark, and were accepted all the same.
  private(set) var uncounted: Int64 = 0

  init(_ plan: Plan, maximum: Int64?, judge: ClockGuard.Judge) {
    time = plan.record.time
    clockGuard = time.map { ClockGuard($0, judge: judge) }
    self.maximum = maximum
  }

  /// The entry that carries this clock is in the ledger.
  mutating func adopt(clock: Int64?) {
    if case .clock = clockGuard?.judge { clockGuard?.judge = .clock(clock) }
  }

  /// The shard watermark after all records so far.
  var watermark: Int64 { time.flatMap { t in maximum.map { Sequencer.watermark($0, t) } } ?? Watermark.minimum }

  private static func watermark(_ maximum: Int64, _ time: TimeSpec) -> Int64 {
    let less = maximum.subtractingReportingOverflow(time.outOfOrderMicroseconds)
    return less.overflow ? Watermark.minimum + 1 : less.partialValue
  }

  /// The running maximum that belongs to a watermark that an entry recorded.
  static func maximum(of watermark: Int64, _ time: TimeSpec?) -> Int64? {
    guard let time, watermark != Watermark.minimum, watermark != Watermark.maximum else { return nil }
    return watermark + time.outOfOrderMicroseconds
  }

  /// Adds watermarks and arrival.
  /// - Returns: nil, or a row, and nothing is changed: more of the records that follow it must be known first.
  /// - Throws: when a record fails a check with `else: fail`.
  mutating func sequence(_ block: inout PreparedBlock, followers: ClockGuard.Followers = .init()) throws(WeirError) -> Int? {
    if let row = stamp(&block, followers) { return row }
    block.takeArrivals()
    try Sequencer.checkFailures(block)
    return nil
  }

  /// - Throws: when a record fails a check with `else: fail`.
  static func checkFailures(_ block: PreparedBlock) throws(WeirError) {
    // They were found check by check; the run ends at the first record.
    if let failure = block.failures.filter({ block.rejections[$0.row]?.stage == .check }).min(by: { $0.row < $1.row }) {
      throw WeirError(
        .checkFailed,
        "the record at position \(block.point(failure.row)) fails the check \(failure.check), which is set to stop the pipeline",
        advice: "Fix the record, or set \(.setting(.checkFailure)) for the check, and run again: it resumes before this record.")
    }
  }

  private mutating func stamp(_ block: inout PreparedBlock, _ followers: ClockGuard.Followers) -> Int? {
    let count = block.count
    var watermarks = [Int64](repeating: Watermark.minimum, count: count)
    var arrival = [Int64](repeating: 0, count: count)
    var source = [UInt8](repeating: 2, count: count)
    guard let time, let clockGuard else {
      (block.columns.watermark, block.arrival, block.arrivalSource) = (watermarks, arrival, source)
      return nil
    }
    let appended = block.appendTimes
    var rejected: [(row: Int, reason: String)] = []
    var uncounted: Int64 = 0
    var maximum = self.maximum
    var current = watermark
    var limit = clockGuard.limit(maximum: maximum)
    for row in 0..<count {
      let t = block.columns.time[row]
      var isValid = block.decoded.valid[row]
      var counts = isValid
      if isValid, let appended, appended[row] != RecordDetails.noArrival {
        // The broker's clock is not the producer's.
        let most = ClockGuard.sum(appended[row], clockGuard.ahead)
        if t > most {
          rejected.append((row, ClockGuard.reasonByAppendTime(ahead: ClockGuard.difference(t, appended[row]))))
          (isValid, counts) = (false, false)
        }
      } else if isValid, t > limit {
        switch clockGuard.verdict(row, of: block, maximum: maximum, followers: followers) {
        case .passes: break
        case .isUncounted:
          counts = false
          uncounted += 1
        case .isRejected(let ahead):
          rejected.append((row, clockGuard.reason(ahead: ahead)))
          (isValid, counts) = (false, false)
        case .isUndecided: return row
        }
      }
      if isValid {
        arrival[row] = t
        source[row] = 0
      } else if current != Watermark.minimum {
        arrival[row] = current
        source[row] = 1
      }
      if counts, maximum == nil || t > maximum! {
        maximum = t
        current = Sequencer.watermark(t, time)
        if t > limit { limit = clockGuard.limit(maximum: maximum) }
      }
      watermarks[row] = current
    }
    // A record that is left out for its kind is so whatever its clock says.
    for (row, reason) in rejected where !block.decoded.isDropped(row) {
      block.columns.verdict[row] = PreparedBlock.Verdict.rejected
      block.rejections[row] = Rejection(stage: .time, reason: reason)
    }
    self.maximum = maximum
    self.uncounted += uncounted
    (block.columns.watermark, block.arrival, block.arrivalSource) = (watermarks, arrival, source)
    return nil
  }
}

extension PreparedBlock {
  /// When the broker appended each record; nil where the source reports no such time.
  fileprivate var appendTimes: [Int64]? { decoded.details.flatMap { $0.isAppendTime ? $0.arrivals : nil } }

  /// Takes over what the sequencer has said of the same records.
  mutating func takeSequence(of other: PreparedBlock) {
    (columns.watermark, arrival, arrivalSource) = (other.columns.watermark, other.arrival, other.arrivalSource)
    for (row, rejection) in other.rejections where rejection.stage == .time {
      columns.verdict[row] = PreparedBlock.Verdict.rejected
      rejections[row] = rejection
    }
  }

  /// What a live source says of each record's arrival takes precedence over what is derived from event times.
  fileprivate mutating func takeArrivals() {
    guard let details = decoded.details else { return }
    for row in 0..<count where details.arrivals[row] != RecordDetails.noArrival {
      arrival[row] = details.arrivals[row]
      arrivalSource[row] = details.isAppendTime ? 4 : 3
    }
  }
}
