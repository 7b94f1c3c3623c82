import WeirCore
import WeirProtocol

/// What a topic with more partitions makes of keys: an account of its own.
extension LiveOracle {
  static func growth(of entry: LedgerEntry) -> AddedPartitions? {
    for case .partitionsAdded(let added) in entry[.merge]?.decisions ?? [] { return added }
    return nil
  }

  /// The ledger was made after the topic got more partitions: older records are where no rule puts them, and a worker may only stop.
  var isVacuous: Bool {
    guard let growth = workload.growth, let genesis = accounts.first?.entry.genesis else { return false }
    return genesis.lanes.count - 1 > growth.before
  }

  /// What the lanes had by themselves is merged from this entry on, and each lane knows the ids of all.
  func grow(_ entry: LedgerEntry, _ next: inout Account) {
    guard let added = LiveOracle.growth(of: entry) else { return }
    marks.hit(.partitionsAdded)
    let name = "entry \(entry.number)"
    guard next.growth == nil, let growth = workload.growth, topic.shards.count == growth.after else {
      return fail("\(name) accepts partitions that are not new")
    }
    func names(_ numbers: Range<Int>) -> [LaneID] { numbers.map { LaneID(shard: "\(SourceWorkload.stream)/\($0)") } }
    guard added.before == names(0..<growth.before), added.added == names(growth.before..<growth.after) else {
      return fail("\(name) names other partitions than the topic has")
    }
    let rule = added.rule ?? .murmur2
    checkRule(rule, added, next)
    next.growth = (rule, added.before.map { next.lanes[$0]?.reached })
    let seen = next.lanes.values.reduce(into: Set<Int>()) { $0.formUnion($1.seen) }
    for id in added.before {
      for (key, tally) in next.lanes[id]?.open ?? [:] { next.open[key, default: Tally()] += tally }
      if let lane = next.lanes[id] { next.totals.merge(lane.users) }
      next.lanes[id]?.open = [:]
      next.lanes[id]?.seen = seen
    }
    for id in added.added {
      var lane = Account.Lane(ttl: ttl)
      (lane.seen, lane.floor) = (seen, next.merged)
      next.lanes[id] = lane
    }
  }

  /// The rule puts every key that is committed where it is.
  private func checkRule(_ rule: Partitioner, _ added: AddedPartitions, _ next: Account) {
    for (number, id) in added.before.enumerated() {
      let lane = next.lanes[id]
      let committed = (workload.records[id.shard] ?? []).filter { $0.position < lane?.position ?? 0 && !$0.isBad }
      let kept = committed.filter { record in lane?.lost.contains { $0.contains(record.position) } != true }
      if let other = kept.first(where: { TopicGrowth.place($0.user, of: added.before.count, rule) != number }) {
        fail("the rule \(rule) does not put \(other.user) into \(id.text), which has it")
      }
    }
  }
}
