import WeirEngine

/// Which part of the last seconds each lane was busy, held back, or waited for records.
struct ActivityRatios {
  struct Ratio: Equatable {
    var busy: Double
    var backpressured: Double
    var idle: Double

    /// nil: no time has passed.
    init?(_ spent: ActivityTimes) {
      let total = Double(spent.total)
      guard total > 0 else { return nil }
      busy = Double(spent[.working]) / total
      backpressured = Double(spent[.bounded] + spent[.waking] + spent[.resolving]) / total
      idle = Double(spent[.reading] + spent[.stopped]) / total
    }

    init(busy: Double, backpressured: Double, idle: Double) { (self.busy, self.backpressured, self.idle) = (busy, backpressured, idle) }
  }

  /// Looks that are kept; with one per second, the ratios are of the last ten seconds.
  private static let looksMax = 10
  /// The lanes that were held, in order.
  private var looks: [[(shard: String, spent: ActivityTimes)]] = []

  mutating func look(_ snapshot: LiveSnapshot) {
    looks.append(snapshot.lanes.lazy.filter(\.isHeld).map { ($0.shard, $0.spentNanoseconds) })
    if looks.count > ActivityRatios.looksMax { looks.removeFirst() }
  }

  /// By lane; nothing of lanes that were not there all the while.
  var ratios: [String: Ratio] {
    guard let first = looks.first, let last = looks.last, looks.count > 1 else { return [:] }
    let before = Dictionary(first.map { ($0.shard, $0.spent) }, uniquingKeysWith: { first, _ in first })
    var result: [String: Ratio] = [:]
    for (shard, now) in last {
      guard let then = before[shard] else { continue }
      result[shard] = Ratio(now - then)
    }
    return result
  }
}
