import Glibc
import WeirCore

/// The machine's clocks.
public struct SystemClock: Clock {
  public init() {}

  public var monotonicNanoseconds: Int64 { SystemClock.nanoseconds(SystemClock.read(CLOCK_BOOTTIME)) }
  public var wallMicroseconds: Int64 { SystemClock.microseconds(SystemClock.read(CLOCK_REALTIME)) }

  private static func read(_ clock: clockid_t) -> timespec {
    var time = timespec()
    clock_gettime(clock, &time)
    return time
  }

  /// Since 1970, within ``Bounds/time``: clocks and files can state any year.
  public static func microseconds(_ time: timespec) -> Int64 {
    let micros = Int64(time.tv_sec).saturatingProduct(1_000_000).saturatingSum(Int64(time.tv_nsec) / 1000)
    return min(Bounds.time, max(-Bounds.time, micros))
  }

  /// In 64 bits: up to the year 2262 for times since 1970.
  public static func nanoseconds(_ time: timespec) -> Int64 {
    Int64(time.tv_sec).saturatingProduct(1_000_000_000).saturatingSum(Int64(time.tv_nsec))
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
