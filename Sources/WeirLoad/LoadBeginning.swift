import WeirCore

/// When a load begins: the next millisecond of the wall clock.
struct LoadBeginning {
  /// Since 1970.
  var milliseconds: Int64 = 0
  /// The same moment of the monotonic clock, nanoseconds.
  var monotonic: Int64 = 0

  init() {}

  init(after clock: any Clock) {
    let wall = clock.wallMicroseconds
    milliseconds = wall / 1000 + 1
    monotonic = clock.monotonicNanoseconds + (milliseconds * 1000 - wall) * 1000
  }
}
