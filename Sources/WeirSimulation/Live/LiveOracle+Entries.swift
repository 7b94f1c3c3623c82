import WeirCore
import WeirProtocol

/// What an entry of the ledger may say.
extension LiveOracle {
  func append(_ entry: LedgerEntry, after last: Account) {
    var next = last
    next.entry = entry
    var rows = Rows()
    for commit in entry.lanes where commit.lane != .merge { add(commit, to: &next, &rows) }
    if entry.lanes.filter({ $0.lane != .merge }).count > 1 { marks.hit(.groupCommit) }
    next.merged = merged(next)
    if entry.mergedWatermark != microseconds(next.merged) { fail("entry \(entry.number): the merged watermark is wrong") }
    grow(entry, &next)
    checkRows(entry, rows)
    if next.growth == nil || entry[.merge] == nil {
      let early = checkGold(entry, "gold/users", due: rows.due, allowed: rows.allowed)
      for key in Array(rows.due.keys) + early where !next.emitted.insert(key).inserted {
        fail("entry \(entry.number): the window \(key) is emitted twice")
      }
      for key in early {
        for id in next.lanes.keys { next.lanes[id]?.open[key] = nil }
      }
    }
    if let path = entry.partials?.path { next.partialFiles.append((entry.number, path)) }
    if !rows.windows.isEmpty || !rows.totals.isEmpty { next.unread.append((entry.number, rows.windows, rows.totals)) }
    if let merge = entry[.merge] {
      self.merge(merge, in: entry, &next, last)
    } else {
      checkGold(entry, "gold/kinds", due: [:], allowed: [:])
    }
    for commit in entry.lanes { for decision in commit.decisions { decide(decision, commit.lane, &next) } }
    next.merged = merged(next)
    say?(
      "entry \(entry.number) of \(entry.worker), merged \(next.merged ?? 0): "
        + entry.lanes.map { "\($0.lane.text) epoch \($0.epoch) to \($0.to.text) \($0.decisions)" }.joined(separator: "; "))
    accounts.append(next)
  }

  /// A worker begins to read a shard. Records that came while no worker read it must not be judged by what other lanes move meanwhile.
  func assigned(_ shard: String, at position: Int64, end: Int64) {
    guard let lane = accounts.last?.lanes[LaneID(shard: shard)], lane.position == position, position < end else { return }
    if lane.isIdle { fail("\(shard) has records from \(position) to \(end) when it is taken over, and its lane is idle") }
  }

  private func add(_ commit: LaneCommit, to next: inout Account, _ rows: inout Rows) {
    guard var lane = next.lanes[commit.lane] else { return fail("an entry names the unlisted \(commit.lane.text)") }
    let name = "entry \(next.entry.number), lane \(commit.lane.text)"
    if commit.epoch != lane.epoch + 1 { fail("\(name): epoch \(commit.epoch) after \(lane.epoch)") }
    checkGeneration(commit, of: next.entry.worker, &lane, name, hasRows: next.growth == nil)
    let (from, to) = (topic.index(commit.from), topic.index(commit.to))
    if workload.reshards, [commit.from, commit.to].contains(where: { !topic.isPlace(commit.lane.shard, $0) }) {
      fail("\(name): \(commit.from.text) to \(commit.to.text) are no places between outer records")
    }
    if lane.isClosed { fail("\(name): its shard was closed") }
    if lane.parents.count < workload.history[commit.lane.shard]?.parents.count ?? 0 { fail("\(name): a parent is not closed") }
    guard lane.position.map({ $0 == from }) ?? true, from <= to else {
      return fail("\(name): from \(commit.from.text) to \(commit.to.text) though \(lane.position ?? -1) was reached")
    }
    let first = workload.records[commit.lane.shard]?.first?.position ?? 0
    if lane.position == nil, from > first {
      if topic.low[commit.lane.shard] ?? 0 < from { fail("\(name): it begins at \(from), after records that are there") }
      lane.lost.append(first..<from)
    }
    if lane.ordinal.map({ $0 != commit.from.ordinal }) ?? false { fail("\(name): it counts from \(commit.from.ordinal)") }
    let gap = commit.decisions.first { $0.generationStart != nil }
    if let gap {
      if case .recreated = gap { marks.hit(.recreated) } else { marks.hit(.gap) }
      if topic.low[commit.lane.shard] ?? 0 < to { fail("\(name): a gap up to \(to), which the source still has") }
      lane.lost.append(from..<to)
      if commit.counts != BucketCounts() { fail("\(name): a gap with records") }
      let isUnverified = commit.decisions.contains { if case .unverified = $0 { true } else { false } }
      if case .gap = gap, !isUnverified, hasOther(commit.lane.shard, from, to, lane) {
        fail("\(name): a gap into another incarnation of the topic")
      }
    } else {
      records(commit, from: from, to: to, &lane, &rows, name, next.growth)
      // An epoch that only says something is not made by the lane, and finishes nothing.
      let isGrowing = LiveOracle.growth(of: next.entry) != nil
      if from < to || commit.state != lane.state, !isGrowing, next.growth == nil {
        emit(&lane, commit, name, last: accounts.last, &rows)
      }
    }
    if commit.watermark != microseconds(lane.watermark) { fail("\(name): the watermark is wrong") }
    lane.epoch = commit.epoch
    let counted = commit.to.ordinal - commit.from.ordinal
    if workload.reshards, counted != (gap == nil ? to - from : 0) { fail("\(name): \(counted) records from row \(from) to \(to)") }
    lane.position = to
    lane.ordinal = commit.to.ordinal
    lane.state = commit.state
    lane.isClosing = commit.isClosing
    if commit.isClosing { marks.hit(.closing) }
    for ref in commit.state.map({ [$0.base] + $0.deltas }) ?? [] where slice(ref) == nil {
      fail("\(name): the state's bytes are not there")
    }
    next.lanes[commit.lane] = lane
    release(lane, &next)
  }

  /// What comes after a gap is of another incarnation than what the lane has read, the topic says which one it is, and the entry
  /// does not record that the check found nothing out. Then the user decides (see ``SourceWorkload/recreate(_:after:)`` for the positions).
  private func hasOther(_ shard: String, _ from: Int64, _ to: Int64, _ lane: LiveAccount.Lane) -> Bool {
    guard topic.incarnation != nil, !workload.reshards, from / 1000 != to / 1000 else { return false }
    return (workload.records[shard] ?? []).contains { record in
      record.position < from && record.position / 1000 == from / 1000 && !lane.lost.contains { $0.contains(record.position) }
    }
  }

  /// Every take-over, and every gap, starts a generation where the lane is; nothing else does (law 6).
  /// - Parameter hasRows: the lanes have rows in the state table.
  private func checkGeneration(
    _ commit: LaneCommit, of worker: String, _ lane: inout LiveAccount.Lane, _ name: String, hasRows: Bool
  ) {
    let isStarted = commit.start != nil || commit.decisions.contains { $0.generationStart != nil }
    if let start = commit.start, start != commit.from { fail("\(name): its generation starts at \(start.text)") }
    if commit.generation != lane.generation + (isStarted ? 1 : 0) {
      fail("\(name): generation \(commit.generation) after \(lane.generation)")
    }
    if commit.start != nil || lane.position == nil { lane.owner = worker }
    if hasRows, commit.counts.input > 0, lane.owner != worker {
      fail("\(name): \(worker) has records of a lane whose generation \(lane.owner ?? "no worker") started")
    }
    if isStarted { lane.start = commit.start?.ordinal }
    lane.generation = commit.generation
  }

  private func records(
    _ commit: LaneCommit, from: Int64, to: Int64, _ lane: inout Account.Lane, _ rows: inout Rows, _ name: String,
    _ growth: (rule: Partitioner, reached: [Int?])?
  ) {
    // Records that the lane has not counted.
    let lost = from - commit.from.ordinal
    var counts = BucketCounts()
    var windows = (users: WindowCounts(), kinds: WindowCounts())
    for record in workload.records[commit.lane.shard] ?? [] where record.position >= from && record.position < to {
      if lane.isIdle { fail("\(name): a record of an idle lane before it woke") }
      let place = Place(shard: commit.lane.shard, position: record.position - lost)
      if record.isBad {
        counts.quarantined += 1
        rows.quarantined.insert(place)
        continue
      }
      lane.maxTime = max(lane.maxTime ?? record.at, record.at)
      guard lane.seen.insert(record.id).inserted else {
        counts.duplicate += 1
        marks.hit(.duplicate)
        continue
      }
      counts.accepted += 1
      rows.silver.append(SilverRow(record, place))
      let start = SourceWorkload.window(of: record.at)
      let before = growth.flatMap { $0.reached[TopicGrowth.place(record.user, of: $0.reached.count, $0.rule)] }
      let judge = larger(reached(lane, record.user), before)
      rows.totals.append(StateFold.Item(record, record.kind, judgedBy: judge))
      if growth == nil {
        lane.users.add(record, record.user, judgedBy: judge)
      } else {
        rows.totals.append(StateFold.Item(record, record.user, judgedBy: judge))
      }
      if start + SourceWorkload.windowSize <= judge ?? Int.min {
        marks.hit(.lateRow)
        windows.users.late += 1
        windows.kinds.late += 1
        rows.lateUsers.insert(LatePlace(place: place, start: start))
        rows.lateKinds.insert(LatePlace(place: place, start: start))
      } else {
        windows.users.onTime += 1
        windows.kinds.onTime += 1
        let key = WindowKey(group: record.user, start: start)
        if growth == nil {
          lane.open[key, default: Tally()].add(record.amount)
        } else {
          rows.windows[key, default: Tally()].add(record.amount)
        }
        rows.windows[WindowKey(group: record.kind, start: start), default: Tally()].add(record.amount)
      }
    }
    if commit.counts != counts { fail("\(name): \(commit.counts) are not the counts of its records, \(counts)") }
    if (commit.windows["gold/users"] ?? WindowCounts()) != windows.users { fail("\(name): the window counts of users are wrong") }
    if (commit.windows["gold/kinds"] ?? WindowCounts()) != windows.kinds { fail("\(name): the window counts of kinds are wrong") }
  }

  /// Windows that the lane finishes with this epoch: a function of its records and of what the entry says. Those of an epoch that leaves
  /// some, whichever, are taken out when the files say that it finished them.
  private func emit(_ lane: inout Account.Lane, _ commit: LaneCommit, _ name: String, last: Account?, _ rows: inout Rows) {
    var bound = larger(lane.reached, lane.finished) ?? Int.min
    if let floor = commit.floor, floor != Watermark.minimum {
      if !lane.isIdle { fail("\(name): it has a floor, and is not idle") }
      if Int(floor / 1_000_000) > max(bound, last?.merged ?? Int.min) { fail("\(name): its floor is above what was merged") }
      bound = max(bound, Int(floor / 1_000_000))
      lane.finished = bound
    }
    for (key, tally) in lane.open where key.end <= bound {
      if commit.isClosing {
        rows.allowed[key] = tally
      } else {
        rows.due[key] = tally
        lane.open[key] = nil
      }
    }
  }

  private func decide(_ decision: Decision, _ id: LaneID, _ next: inout Account) {
    switch decision {
    case .idle:
      marks.hit(.idle)
      next.lanes[id]?.isIdle = true
    case .wake:
      marks.hit(.wake)
      next.lanes[id]?.isIdle = false
      next.lanes[id]?.floor = next.merged
    case .shardClosed: close(id, &next)
    default: break
    }
  }

  private func merged(_ account: Account) -> Int? {
    // nil is the minimum: one awake lane without a watermark holds all back.
    let open = account.lanes.values.filter { !$0.isClosed }
    let active = open.filter { !$0.isIdle }.map(\.reached)
    let idle = open.filter(\.isIdle).compactMap(\.reached)
    let now = active.isEmpty ? idle.max() : active.contains { $0 == nil } ? nil : active.compactMap(\.self).min()
    return larger(account.merged, now)
  }

  // MARK: The merge lane

  private func merge(_ commit: LaneCommit, in entry: LedgerEntry, _ next: inout Account, _ last: Account) {
    let name = "entry \(entry.number), merge lane"
    if commit.epoch != next.mergeEpoch + 1 { fail("\(name): epoch \(commit.epoch) after \(next.mergeEpoch)") }
    if commit.from != .offset(next.mergePosition) { fail("\(name): from \(commit.from.text), not from \(next.mergePosition)") }
    let through = commit.to.ordinal
    let isGrowing = LiveOracle.growth(of: entry) != nil
    guard through >= next.mergePosition, through < entry.number || isGrowing && through == entry.number else {
      return fail("\(name): it claims to have read through \(commit.to.text)")
    }
    for part in next.unread where part.number <= through {
      for (key, tally) in part.windows { next.open[key, default: Tally()] += tally }
      for item in part.totals { next.totals.add(item) }
    }
    next.unread.removeAll { $0.number <= through }
    next.partialFiles.removeAll { $0.number <= through }
    next.mergeEpoch = commit.epoch
    next.mergePosition = through
    // What it takes over is finished by its next epoch.
    let watermark = isGrowing ? last.mergeWatermark : accounts[Int(through)].merged
    next.mergeWatermark = larger(next.mergeWatermark, watermark)
    if commit.watermark != microseconds(watermark) { fail("\(name): its watermark is not that of entry \(through)") }
    let due = isGrowing ? [:] : next.open.filter { $0.key.end <= watermark ?? Int.min }
    next.mergeIsClosing = commit.isClosing
    if !commit.isClosing, !isGrowing { next.mergeComplete = larger(next.mergeComplete, watermark) }
    // An epoch that leaves windows has some of them, whichever.
    func check(_ table: String, _ prefix: String) -> [WindowKey] {
      let rows = due.filter { $0.key.group.hasPrefix(prefix) }
      return checkGold(entry, table, due: commit.isClosing ? [:] : rows, allowed: commit.isClosing ? rows : [:])
    }
    let some = check("gold/kinds", "k") + (last.growth != nil ? check("gold/users", "u") : [])
    for key in commit.isClosing ? some : Array(due.keys) {
      next.open[key] = nil
      if !next.emitted.insert(key).inserted { fail("\(name): the window \(key) is emitted twice") }
    }
    next.mergeFiles = commit.state.map { [$0.base.path] + $0.deltas.map(\.path) } ?? []
    for ref in commit.state.map({ [$0.base] + $0.deltas }) ?? [] where slice(ref) == nil {
      fail("\(name): the state's bytes are not there")
    }
  }
}
