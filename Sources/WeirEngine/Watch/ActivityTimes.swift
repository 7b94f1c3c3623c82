/// Nanoseconds that a lane's loop has spent, by ``LaneReading/Activity``. A value without memory of its own: a snapshot has one per lane.
package struct ActivityTimes: Sendable, Equatable {
  private var nanoseconds = SIMD8<Int64>.zero

  package init() {}

  package subscript(activity: LaneReading.Activity) -> Int64 {
    get { nanoseconds[Int(activity.rawValue)] }
    set { nanoseconds[Int(activity.rawValue)] = newValue }
  }

  package var total: Int64 { nanoseconds.wrappedSum() }

  /// What was spent since an earlier look.
  package static func - (now: Self, then: Self) -> Self {
    var left = Self()
    for activity in LaneReading.Activity.allCases { left[activity] = max(0, now[activity] - then[activity]) }
    return left
  }
}

extension ActivityTimes: ExpressibleByDictionaryLiteral {
  package init(dictionaryLiteral elements: (LaneReading.Activity, Int64)...) {
    for (activity, time) in elements { self[activity] = time }
  }
}
