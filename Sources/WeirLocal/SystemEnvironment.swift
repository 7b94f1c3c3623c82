import Glibc
import WeirCore

/// The machine's clocks.
package struct SystemClock: Clock {
  package init() {}

  package var monotonicNanoseconds: Int64 { SystemClock.nanoseconds(SystemClock.read(CLOCK_BOOTTIME)) }
  package var wallMicroseconds: Int64 { SystemClock.microseconds(SystemClock.read(CLOCK_REALTIME)) }

  private static func read(_ clock: clockid_t) -> timespec {
    var time = timespec()
    clock_gettime(clock, &time)
    return time
  }

  /// Since 1970, within ``Bounds/time``: clocks and files can state any year.
  package static func microseconds(_ time: timespec) -> Int64 {
    let micros = Int64(time.tv_sec).saturatingProduct(1_000_000).saturatingSum(Int64(time.tv_nsec) / 1000)
    return min(Bounds.time, max(-Bounds.time, micros))
  }

  /// In 64 bits: up to the year 2262 for times since 1970.
  package static func nanoseconds(_ time: timespec) -> Int64 {
    Int64(time.tv_sec).saturatingProduct(1_000_000_000).saturatingSum(Int64(time.tv_nsec))
  }

  package func sleep(nanoseconds: Int64) async {
    // The one place where real time passes; a cancelled sleep returns at once, and its caller looks at cancellation.
    try? await Task.sleep(nanoseconds: UInt64(max(0, nanoseconds)))
  }
}

package struct SystemRandom: RandomSource {
  package init() {}
  package func next() -> UInt64 { UInt64.random(in: .min ... .max) }
}
