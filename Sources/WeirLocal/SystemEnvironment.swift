import Glibc
import WeirCore

/// The machine's clocks.
public struct SystemClock: Clock {
  public init() {}

  public var monotonicNanoseconds: Int64 { SystemClock.read(CLOCK_BOOTTIME) }
  public var wallMicroseconds: Int64 { SystemClock.read(CLOCK_REALTIME) / 1000 }

  private static func read(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  public func sleep(nanoseconds: Int64) async {
    // The one place where real time passes; a cancelled sleep returns at once, and its caller looks at cancellation.
    try? await Task.sleep(nanoseconds: UInt64(max(0, nanoseconds)))
  }
}

public struct SystemRandom: RandomSource {
  public init() {}
  public func next() -> UInt64 { UInt64.random(in: .min ... .max) }
}
