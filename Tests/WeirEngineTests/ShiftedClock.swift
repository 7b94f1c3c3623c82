import Synchronization
import WeirCore
import WeirLocal

/// The machine's clock, put forward by the test as if so much time had passed.
final class ShiftedClock: Clock {
  private let base = SystemClock()
  private let shift = Atomic<Int64>(0)
  private let sleepsEnded = Atomic(0)
  /// Rung behind each sleep.
  let bell = Mutex<Bell?>(nil)

  var monotonicNanoseconds: Int64 { base.monotonicNanoseconds + shift.load(ordering: .relaxed) }
  var wallMicroseconds: Int64 { base.wallMicroseconds + shift.load(ordering: .relaxed) / 1000 }
  /// Sleeps of all tasks that have ended.
  var sleeps: Int { sleepsEnded.load(ordering: .relaxed) }

  func shift(milliseconds: Int64) { shift.add(milliseconds * 1_000_000, ordering: .relaxed) }

  func sleep(nanoseconds: Int64) async {
    await base.sleep(nanoseconds: nanoseconds)
    sleepsEnded.add(1, ordering: .relaxed)
    bell.withLock { $0 }?.ring()
  }
}
