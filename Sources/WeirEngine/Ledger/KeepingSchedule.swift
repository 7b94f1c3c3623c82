import WeirCore
import WeirProtocol

/// When a worker that does not end collects: eight times within the time that entries are kept, every hour at most.
struct KeepingSchedule {
  private static let least: Int64 = 1_000_000_000
  private static let most: Int64 = 3_600_000_000_000

  private let intervalNanoseconds: Int64
  private var last: Int64

  init(keepMicroseconds: Int64, now: Int64) {
    intervalNanoseconds = max(KeepingSchedule.least, min(KeepingSchedule.most, keepMicroseconds / 8 * 1000))
    last = now
  }

  /// Monotonic nanoseconds.
  var dueAt: Int64 { last + intervalNanoseconds }

  /// More is left than one collection does: the next one comes after a sixtieth of the interval.
  mutating func isDueSooner() { last -= intervalNanoseconds - intervalNanoseconds / 60 }

  /// True once an interval.
  mutating func isDue(at now: Int64) -> Bool {
    guard now - last >= intervalNanoseconds else { return false }
    last = now
    return true
  }
}
