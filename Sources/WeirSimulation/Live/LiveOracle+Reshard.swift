import WeirCore
import WeirProtocol

/// What becomes of a shard's keys when it ends: an account of its own, from the workload.
extension LiveOracle {
  /// All records of a shard are committed, and the ledger says that it ended.
  func close(_ id: LaneID, _ next: inout Account) {
    guard let parent = next.lanes[id], workload.history[id.shard]?.closesAt != nil else {
      return fail("entry \(next.entry.number) closes \(id.text), which has more records")
    }
    marks.hit(.shardClosed)
    if parent.position ?? 0 < Int64(workload.records[id.shard]?.count ?? 0) { fail("\(id.text) is closed before its last record") }
    next.lanes[id]?.isClosed = true
    next.lanes[id]?.open = [:]
    for child in topic.children(of: id.shard) {
      guard let made = workload.history[child.name] else { continue }
      var lane = next.lanes[LaneID(shard: child.name)] ?? Account.Lane(ttl: ttl)
      if !lane.parents.isEmpty { marks.hit(.shardsMerged) }
      let isFirst = lane.parents.isEmpty
      lane.parents.append((id, parent.reached))
      lane.generation = max(lane.generation, parent.generation + 1)
      let reached = lane.parents.map(\.reached)
      let least = reached.contains { $0 == nil } ? nil : reached.compactMap(\.self).min()
      lane.floor = larger(least, next.merged)
      // The least of the parents' own watermarks; nil: one of them has none.
      lane.maxTime = isFirst ? parent.maxTime : lane.maxTime.flatMap { mine in parent.maxTime.map { min(mine, $0) } }
      lane.seen.formUnion(parent.seen)
      lane.users.merge(parent.users, where: made.holds)
      for user in SourceWorkload.reshardedUsers where made.holds(user) && workload.history[id.shard]?.holds(user) == true {
        lane.before[user] = (self.reached(parent, user), clock(parent, user))
      }
      for (key, tally) in parent.open where made.holds(key.group) { lane.open[key, default: Tally()] += tally }
      next.lanes[LaneID(shard: child.name)] = lane
    }
  }

  /// What a record is judged by: keys of a parent also by what they were judged by there.
  func reached(_ lane: Account.Lane, _ user: String) -> Int? { larger(lane.reached, lane.before[user]?.reached) }

  /// What the row of a key is judged by: never less than before.
  func clock(_ lane: Account.Lane, _ user: String) -> Int? { larger(lane.watermark, lane.before[user]?.clock) }

  /// The state of parents is needed until each of their children has one.
  func release(_ lane: Account.Lane, _ next: inout Account) {
    guard lane.state != nil else { return }
    for parent in lane.parents {
      let children = topic.children(of: parent.id.shard).map { LaneID(shard: $0.name) }
      if children.allSatisfy({ next.lanes[$0]?.state != nil }) { next.lanes[parent.id]?.state = nil }
    }
  }
}
