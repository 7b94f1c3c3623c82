import Synchronization
import WeirCore

/// Another clock, put forward by the test as if that much time had passed.
public final class ShiftedClock: Clock {
  private let base: any Clock
  private let shift = Atomic<Int64>(0)
  private let sleepsEnded = Atomic(0)
  /// Rung after each sleep.
  public let bell = Mutex<Bell?>(nil)

  public init(_ base: any Clock) { self.base = base }

  public var monotonicNanoseconds: Int64 { base.monotonicNanoseconds + shift.load(ordering: .relaxed) }
  public var wallMicroseconds: Int64 { base.wallMicroseconds + shift.load(ordering: .relaxed) / 1000 }
  /// Sleeps of all tasks that have ended.
  public var sleeps: Int { sleepsEnded.load(ordering: .relaxed) }

  public func shift(milliseconds: Int64) { shift.add(milliseconds * 1_000_000, ordering: .relaxed) }

  public func sleep(nanoseconds: Int64) async {
    await base.sleep(nanoseconds: nanoseconds)
    sleepsEnded.add(1, ordering: .relaxed)
    bell.withLock { $0 }?.ring()
  }
}
