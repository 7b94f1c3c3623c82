import WeirCore

/// What must be done in shard order: the shard watermark, the guard against far-future times.
///
/// Law 3: taken after the parallel decode and before dealing, so that nothing depends on where a block begins.
struct Sequencer {
  private let time: TimeSpec?
  /// The largest event time of the shard so far; nil before the first.
  private(set) var maximum: Int64?

  init(_ plan: Plan, maximum: Int64?) {
    time = plan.record.time
    self.maximum = maximum
  }

  /// How far a record's time may be ahead of its arrival, where the source tells that and the plan does not say.
  static let aheadOfArrivalMicroseconds: Int64 = 3_600_000_000

  /// The shard watermark behind all records so far.
  var watermark: Int64 { time.flatMap { t in maximum.map { Sequencer.watermark($0, t) } } ?? Watermark.minimum }

  private static func watermark(_ maximum: Int64, _ time: TimeSpec) -> Int64 {
    let less = maximum.subtractingReportingOverflow(time.outOfOrderMicroseconds)
    return less.overflow ? Watermark.minimum + 1 : less.partialValue
  }

  /// The running maximum behind a watermark that an entry recorded.
  static func maximum(of watermark: Int64, _ time: TimeSpec?) -> Int64? {
    guard let time, watermark != Watermark.minimum, watermark != Watermark.maximum else { return nil }
    return watermark + time.outOfOrderMicroseconds
  }

  /// Adds watermarks and arrival. Throws when a record fails a check with `else: fail`.
  mutating func sequence(_ block: inout PreparedBlock) throws(WeirError) {
    stamp(&block)
    // They were found check by check; the run ends at the first record.
    if let failure = block.failures.filter({ block.rejections[$0.row]?.stage == .check }).min(by: { $0.row < $1.row }) {
      throw WeirError(
        "check_failed",
        "the record at position \(block.position(failure.row)) fails the check \(failure.check), which is set to stop the pipeline",
        advice: "Mend the record, or set `else: quarantine` for the check, and run again: it goes on before this record.")
    }
  }

  private mutating func stamp(_ block: inout PreparedBlock) {
    let count = block.count
    var watermarks = [Int64](repeating: Watermark.minimum, count: count)
    var arrival = [Int64](repeating: 0, count: count)
    var source = [UInt8](repeating: 2, count: count)
    let arrivals = block.decoded.raw.details?.arrivals
    defer { block.takeArrivals() }
    guard let time else {
      (block.columns.watermark, block.arrival, block.arrivalSource) = (watermarks, arrival, source)
      return
    }
    var current = watermark
    for row in 0..<count {
      let t = block.columns.time[row]
      var counts = block.decoded.valid[row]
      if let arrived = arrivals?[row], arrived != RecordDetails.noArrival {
        let ahead = time.maxAheadMicroseconds ?? Sequencer.aheadOfArrivalMicroseconds
        if counts, t > arrived &+ ahead {
          counts = false
          block.columns.verdict[row] = PreparedBlock.Verdict.rejected
          block.rejections[row] = Rejection(
            stage: .time, reason: "event time is \((t - arrived) / 1000) ms ahead of the record's arrival, more than max_ahead allows")
        }
      } else if counts, let ahead = time.maxAheadMicroseconds, current != Watermark.minimum, t > current &+ ahead {
        counts = false
        block.columns.verdict[row] = PreparedBlock.Verdict.rejected
        block.rejections[row] = Rejection(
          stage: .time, reason: "event time is \((t - current) / 1000) ms ahead of the watermark, more than max_ahead allows")
      }
      if counts {
        arrival[row] = t
        source[row] = 0
        if maximum == nil || t > maximum! {
          maximum = t
          current = Sequencer.watermark(t, time)
        }
      } else if current != Watermark.minimum {
        arrival[row] = current
        source[row] = 1
      }
      watermarks[row] = current
    }
    (block.columns.watermark, block.arrival, block.arrivalSource) = (watermarks, arrival, source)
  }
}

extension PreparedBlock {
  /// What a live source says of each record's arrival stands above what is derived from event times.
  fileprivate mutating func takeArrivals() {
    guard let details = decoded.raw.details else { return }
    for row in 0..<count where details.arrivals[row] != RecordDetails.noArrival {
      arrival[row] = details.arrivals[row]
      arrivalSource[row] = details.isAppendTime ? 4 : 3
    }
  }
}
