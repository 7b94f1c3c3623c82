import WeirEngine

/// Which part of the last seconds each lane was busy, held back, or waited for records.
struct ActivityRatios {
  struct Ratio: Equatable {
    var busy: Double
    var backpressured: Double
    var idle: Double
  }

  /// Looks that are kept; with one a second, the ratios are of the last ten seconds.
  private static let looksMax = 10
  private var looks: [[String: [Int64]]] = []

  mutating func look(_ snapshot: LiveSnapshot) {
    var spent: [String: [Int64]] = [:]
    for lane in snapshot.lanes where lane.isHeld { spent[lane.shard] = lane.spentNanoseconds }
    looks.append(spent)
    if looks.count > ActivityRatios.looksMax { looks.removeFirst() }
  }

  /// By lane; nothing of lanes that were not there all the while.
  var ratios: [String: Ratio] {
    guard let first = looks.first, let last = looks.last, looks.count > 1 else { return [:] }
    var result: [String: Ratio] = [:]
    for (lane, now) in last {
      guard let then = first[lane], then.count == now.count else { continue }
      let spent = zip(now, then).map { max(0, $0 - $1) }
      let total = Double(spent.reduce(0, +))
      guard total > 0 else { continue }
      let share = { (activities: [LaneReading.Activity]) in Double(activities.reduce(0) { $0 + spent[Int($1.rawValue)] }) / total }
      result[lane] = Ratio(
        busy: share([.working]), backpressured: share([.bounded, .waking, .resolving]), idle: share([.reading, .stopped]))
    }
    return result
  }
}
