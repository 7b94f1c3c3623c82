import WeirCore
import WeirEngine
import WeirProtocol

/// Judges a run of live workers at each durable step and at the end, from the workload and the stored bytes alone.
///
/// It keeps its own account of the ledger, entry by entry (a stack: a crash of the machine may take unsynced entries). With the engine it
/// shares the codecs of entries and of state rows, and the reader of Parquet, which the engine's writers do not use.
final class LiveOracle: LedgerOracle<LiveAccount> {
  typealias Account = LiveAccount

  var workload: SourceWorkload { topic.workload }
  let topic: SimulatedTopic
  /// Of rows of state tables, seconds; nil: none expires.
  let ttl: Int?

  init(topic: SimulatedTopic, ttl: Int?, pipeline: String, store: SimulatedObjectStore) {
    (self.topic, self.ttl) = (topic, ttl)
    super.init(pipeline: pipeline, store: store)
  }

  /// Every record that was sent is committed, every lane is idle, everything is merged and in the tables.
  var isComplete: Bool {
    guard let last = accounts.last, last.unread.isEmpty, last.mergeWatermark == last.merged, !last.mergeIsClosing else { return false }
    return workload.shards.allSatisfy { shard in
      guard let lane = last.lanes[LaneID(shard: shard)] else { return false }
      if workload.history[shard]?.closesAt != nil { return lane.isClosed }
      return lane.isIdle && !lane.isClosing && lane.position ?? 0 >= topic.high(shard)
    }
  }

  override func begin(_ entry: LedgerEntry) {
    let lanes = (entry.genesis?.lanes ?? []).filter { $0 != .merge }.map { ($0, Account.Lane(ttl: ttl)) }
    accounts = [Account(entry: entry, lanes: Dictionary(uniqueKeysWithValues: lanes), totals: StateFold(ttl: ttl))]
  }

  override func add(_ entry: LedgerEntry, after last: LiveAccount) { append(entry, after: last) }

  override func windows(openIn table: String, at number: Int64) -> [WindowKey] {
    let account = accounts[Int(number)]
    let isMerged = table == "gold/kinds" || account.growth != nil
    var open = account.lanes.values.flatMap(\.open.keys)
    if isMerged { open = Array(account.open.keys) + account.unread.flatMap(\.windows.keys) }
    let prefix = table == "gold/kinds" ? "k" : "u"
    return open.filter { $0.group.hasPrefix(prefix) }
  }

  override func checkComplete(_ through: Int?, _ table: String, version: Substring, at number: Int64, before: Int?) {
    super.checkComplete(through, table, version: version, at: number, before: before)
    let account = accounts[Int(number)]
    let isMerged = table == "gold/kinds" || account.growth != nil
    // Nor does it say less than there is.
    if isMerged, account.growth == nil, through != account.mergeComplete {
      fail("\(table), version \(version): complete through \(through ?? 0), and the merge lane has finished \(account.mergeComplete ?? 0)")
    }
  }
}

// MARK: - State table

extension LiveOracle {
  func stateRow(_ row: StateRow, replacing old: StateRow?) {
    if let old, row.fence < old.fence { fail("a state row went back from \(old.fence.position) to \(row.fence.position)") }
    guard let group = StateText.group(row.key), let found = StateText.row(row.value), ttl != nil || row.value != nil else {
      return fail("a state row of \(row.table) cannot be read")
    }
    if row.value == nil { marks.hit(.rowExpired) }
    guard row.lane != LaneID.merge.text else { return mergedRow(row, group, found) }
    let lane = LaneID(text: row.lane)
    if ttl != nil {
      // The worker may not know of the last entries.
      let views = accounts.reversed().lazy.compactMap { $0.lanes[lane].flatMap { self.users($0, of: lane, through: row.fence.position) } }
      guard let first = views.first else {
        return fail("a state row of \(row.lane) at \(row.fence.position) comes from nowhere")
      }
      if !views.contains(where: { $0.users.row(group, at: clock($0, group)) == found }) {
        fail(
          "the state row of \(row.lane), \(group), at \(row.fence.position) is \(StateText.text(found)), not \(StateText.text(first.users.row(group, at: clock(first, group))))"
        )
      }
      return
    }
    let lost = accounts.last?.lanes[lane]?.lost ?? []
    // A worker that fell asleep may not know yet what the source has lost meanwhile.
    let expected = (0...lost.count).reversed().map { known in
      totals(lane, through: row.fence.position, without: Array(lost.prefix(known)))[group] ?? Tally()
    }
    if !expected.contains(where: { $0 == found }) {
      fail(
        "the state row of \(row.lane), \(group), at \(row.fence.position) is \(StateText.text(found)), not \(expected[0]), the fold of its records"
      )
    }
  }

  /// What a lane's rows are after all records before a position that comes after an entry.
  /// - Returns: nil: it comes before it.
  private func users(_ lane: Account.Lane, of id: LaneID, through position: Int64) -> Account.Lane? {
    var lane = lane
    guard lane.ordinal ?? 0 <= position else { return nil }
    var more = (workload.records[id.shard] ?? []).filter { record in
      record.position >= lane.position ?? 0 && !lane.lost.contains { $0.contains(record.position) }
    }
    more = workload.reshards ? Array(more.prefix(Int(position - (lane.ordinal ?? 0)))) : more.filter { $0.position < position }
    for record in more where !record.isBad {
      lane.maxTime = max(lane.maxTime ?? record.at, record.at)
      guard lane.seen.insert(record.id).inserted else { continue }
      lane.users.add(record, record.user, judgedBy: reached(lane, record.user))
    }
    return lane
  }

  private func mergedRow(_ row: StateRow, _ group: String, _ found: Tally?) {
    guard row.fence.position <= head else { return fail("a merged state row is of entry \(row.fence.position), after the ledger's end") }
    let account = accounts[Int(row.fence.position)]
    let expected = account.totals.row(group, at: account.mergeWatermark)
    if found != expected {
      fail("the merged state row \(group) at entry \(row.fence.position) is \(StateText.text(found)), not \(StateText.text(expected))")
    }
  }

  /// The lane's state table after all records before a position, naively.
  func totals(_ lane: LaneID, through position: Int64, without lost: [Range<Int64>]) -> [String: Tally] {
    var seen: Set<Int> = []
    var totals: [String: Tally] = [:]
    let inherited = ancestors(of: lane.shard)
    var own = (workload.records[lane.shard] ?? []).filter { record in !lost.contains { $0.contains(record.position) } }
    // A lane of a counted source counts what it has read.
    own = workload.reshards ? Array(own.prefix(Int(position))) : own.filter { $0.position < position }
    for record in inherited + own where !record.isBad {
      guard seen.insert(record.id).inserted else { continue }
      totals[record.user, default: Tally()].add(record.amount)
    }
    return totals
  }

  private func belongs(_ user: String, to lane: LaneID) -> Bool {
    if let made = workload.history[lane.shard] { return made.holds(user) }
    return workload.records[lane.shard]?.contains { $0.user == user } ?? false
  }

  /// Records of a shard's parents, and of theirs, whose keys it took over; before its own.
  private func ancestors(of shard: String) -> [SourceRecord] {
    guard let made = workload.history[shard] else { return [] }
    return made.parents.flatMap { parent in
      let lost = accounts.last?.lanes[LaneID(shard: parent)]?.lost ?? []
      return ancestors(of: parent) + (workload.records[parent] ?? []).filter { record in !lost.contains { $0.contains(record.position) } }
    }.filter { made.holds($0.user) }
  }

  /// At the end every row is there, and is the fold of all that is committed.
  /// - Parameters:
  ///   - isLast: nothing moves any more. Else an idle lane may finish windows by what the last entry says when it is next cut.
  ///   - open: shards whose lanes no worker had: their rows of before come into the table when one takes them over.
  func checkEnd(_ table: SimulatedStateTable, isLast: Bool, without open: Set<String> = []) {
    guard violation == nil, let last = accounts.last else { return fail("the ledger was never made") }
    var found: [String: [String: Tally]] = [:]
    for row in table.allRows { found[row.table, default: [:]][StateText.group(row.key) ?? ""] = row.value.flatMap(StateText.tally) }
    var users: [String: Tally] = [:]
    let totals = last.totals.rows(at: last.mergeWatermark)
    for (user, tally) in totals where user.hasPrefix("u") { users[user] = tally }
    for (id, lane) in last.lanes where !lane.isClosed && last.growth == nil {
      if ttl != nil, open.contains(id.shard) {
        // Of records that no lane has, and their rows of before.
        for (user, tally) in found["user_totals"] ?? [:] where belongs(user, to: id) { users[user] = tally }
        continue
      }
      let rows = ttl == nil ? self.totals(id, through: lane.ordinal ?? 0, without: lane.lost) : lane.users.rows { clock(lane, $0) }
      for (user, tally) in rows {
        users[user] = open.contains(id.shard) ? found["user_totals"]?[user] : tally
      }
    }
    compare(found["user_totals"] ?? [:], users, "user_totals")
    compare(found["kind_totals"] ?? [:], totals.filter { $0.key.hasPrefix("k") }, "kind_totals")
    for table in OracleTables.names { checkTable(table) }
    checkMarks(table, last, without: open)
    let merged = isLast ? last.merged ?? Int.min : Int.min
    for (id, lane) in last.lanes {
      for key in lane.open.keys where key.end <= merged {
        fail(
          "the window \(key) of lane \(id.text) (watermark \(lane.watermark ?? 0), floor \(lane.floor ?? 0), idle \(lane.isIdle)) is open, although everything before \(merged) is in"
        )
      }
    }
    for key in last.open.keys where key.end <= merged {
      fail("the merged window \(key) is open, although everything before \(merged) is in")
    }
    checkEntries()
  }

  /// Readers learn from the marks which rows are committed.
  private func checkMarks(_ table: SimulatedStateTable, _ last: Account, without open: Set<String>) {
    func mark(_ lane: LaneID) -> LedgerMark? { table.mark(LedgerMark.prefix + lane.text).flatMap { LedgerMark($0) } }
    for (id, lane) in last.lanes.sorted(by: { $0.key < $1.key }) where lane.epoch > 1 && last.growth == nil && !open.contains(id.shard) {
      // A worker that is asked to end between the entry of a take-over and its claim leaves the mark of the generation before. At the
      // place where the new one starts it says the same, as long as the new one has nothing.
      let isSame = mark(id).map { $0.generation == lane.generation - 1 && lane.start == $0.position } ?? false
      guard let mark = mark(id), mark.generation == lane.generation || isSame, mark.position == lane.ordinal else {
        fail("the state table says \(mark(id).map { "\($0)" } ?? "nothing") of lane \(id.text), which is at \(lane.position ?? 0)")
        continue
      }
    }
    if last.mergeEpoch > 0, mark(.merge).map({ $0.position <= last.mergePosition }) ?? true {
      fail("the state table says \(mark(.merge).map { "\($0)" } ?? "nothing") of the merge lane, which is at \(last.mergePosition)")
    }
  }
}
