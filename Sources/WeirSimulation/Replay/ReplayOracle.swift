import WeirCore
import WeirEngine
import WeirProtocol

/// What is true of a replay of a capture after an entry.
struct ReplayAccount: OracleAccount {
  var entry: LedgerEntry
  /// Of all lanes: they are cut together.
  var epoch: Int64 = 0
  /// Bytes that are consumed.
  var position: Int64 = 0
  /// The largest event time, seconds.
  var maxTime: Int?
  /// Seconds; nil: the minimum, `Int.max`: the input has ended.
  var merged: Int?
  var seen: Set<Int> = []
  /// Windows that no entry has given to the tables: those that lanes finish, and merged ones.
  var users: [WindowKey: Tally] = [:]
  var kinds: [WindowKey: Tally] = [:]
  /// The merged state table.
  var totals: StateFold
  /// By which its rows expire, seconds: the end of the input is no time.
  var clock: Int?
  var hasEnded = false
  var isClosed = false
  /// The lanes' last epochs left windows that are finished.
  var isClosing = false
  var mergeEpoch: Int64 = 0
  /// As the merge lane's last epoch has it. Entries without lanes have nothing to merge.
  var mergeTo: Int64 = 0
  var mergePosition: Int64 = 0
  var mergeWatermark: Int?
  var mergeIsClosing = false
  var states: [LaneID: StateRef] = [:]

  var watermark: Int? { maxTime.map { $0 - SourceWorkload.outOfOrder } }
  var blobs: [String] { states.values.flatMap { [$0.base.path] + $0.deltas.map(\.path) } }
  func epoch(of lane: LaneID) -> Int64? { lane == .merge ? mergeEpoch : epoch }
}

/// Judges replays of a plain capture, from its bytes and the stored ones alone.
///
/// It does not know which lane has which key: what the lanes of an entry have is added up, and a key must stay in its lane.
final class ReplayOracle: LedgerOracle<ReplayAccount>, ReplayJudge {
  private let capture: SimulatedCapture
  private var workload: ReplayWorkload { capture.workload }
  /// By user, the lane whose state row it has.
  private var lanes: [String: String] = [:]
  /// Of rows of state tables, seconds; nil: none expires.
  private let ttl: Int?

  init(_ capture: SimulatedCapture, ttl: Int?, pipeline: String, store: SimulatedObjectStore) {
    (self.capture, self.ttl) = (capture, ttl)
    super.init(pipeline: pipeline, store: store)
  }

  /// The end of the input is recorded, and every window is out.
  var isComplete: Bool { accounts.last.map { $0.isClosed && !$0.isClosing && !$0.mergeIsClosing } ?? false }

  var consumed: Int64 { accounts.last?.position ?? 0 }

  override func begin(_ entry: LedgerEntry) {
    let lanes = (entry.genesis?.lanes ?? []).filter { $0 != .merge }
    if lanes.count != workload.lanes { fail("the ledger lists \(lanes.count) lanes") }
    accounts = [ReplayAccount(entry: entry, totals: StateFold(ttl: ttl))]
  }

  override func add(_ entry: LedgerEntry, after last: ReplayAccount) {
    var next = last
    next.entry = entry
    let commits = entry.lanes.filter { $0.lane != .merge }
    let name = "entry \(entry.number)"
    if entry.lanes.isEmpty {
      // Collection moves a ledger that was idle for a day.
      if !entry.tables.isEmpty { fail("\(name) has files and no lane") }
      if last.mergePosition == entry.number - 1 { next.mergePosition = entry.number }
      marks.hit(.barrier)
      return accounts.append(next)
    }
    var rows = Rows()
    if commits.isEmpty {
      if !last.mergeIsClosing { fail("\(name) has no lane") }
      checkRows(entry, rows)
      checkGold(entry, "gold/users", due: [:], allowed: [:])
    } else {
      cut(commits, &next, &rows, name)
      checkRows(entry, rows)
      for key in checkGold(entry, "gold/users", due: rows.due, allowed: rows.allowed) { next.users[key] = nil }
    }
    if entry.mergedWatermark != ReplayOracle.microseconds(next.merged) { fail("\(name): the merged watermark is wrong") }
    guard let merge = entry[.merge] else { return fail("\(name) has no epoch of the merge lane") }
    self.merge(merge, isShared: !commits.isEmpty, &next, name)
    for commit in entry.lanes { keep(commit, &next, name) }
    if commits.contains(where: { $0.decisions.contains(.endOfInput) }) { end(commits, &next, name) }
    say?(
      "\(name) of \(entry.worker) to byte \(next.position): "
        + entry.lanes.map { "\($0.lane.text) epoch \($0.epoch)\($0.isClosing ? " closing" : "") \($0.decisions)" }.joined(separator: "; "))
    accounts.append(next)
  }

  /// Watermarks end at the maximum.
  static func microseconds(_ seconds: Int?) -> Int64 {
    seconds == Int.max ? Watermark.maximum : WeirSimulation.microseconds(seconds)
  }

  // MARK: The lanes

  /// All lanes of the ledger are cut at the same byte.
  private func cut(_ commits: [LaneCommit], _ next: inout ReplayAccount, _ rows: inout Rows, _ name: String) {
    let (from, to) = (commits[0].from.ordinal, commits[0].to.ordinal)
    if commits.count != workload.lanes { fail("\(name) names \(commits.count) of \(workload.lanes) lanes") }
    for commit in commits {
      if commit.epoch != next.epoch + 1 { fail("\(name): epoch \(commit.epoch) of \(commit.lane.text) after \(next.epoch)") }
      if commit.from.ordinal != from || commit.to.ordinal != to { fail("\(name): lanes are cut at different places") }
      if commit.generation != 0 { fail("\(name): a lane of a capture has a generation") }
      if commit.watermark != commits[0].watermark { fail("\(name): lanes of one shard have different watermarks") }
      if commit.prefixHash != workload.hash(before: to) { fail("\(name): the hash of the first \(to) bytes is wrong") }
    }
    guard from == next.position, from <= to, to <= workload.length else {
      return fail("\(name): from byte \(from) to \(to), after byte \(next.position)")
    }
    checkPlace(from, to, next, name)
    if next.hasEnded, from < to { fail("\(name): records after the end of the input") }
    read(from, to, commits, &next, &rows, name)
    let isLast = commits[0].watermark == Watermark.maximum
    if isLast, !next.hasEnded { fail("\(name) closes the windows, and no entry before it says that the input has ended") }
    if !isLast, commits[0].watermark != ReplayOracle.microseconds(next.watermark) { fail("\(name): the watermark is wrong") }
    let bound = isLast ? Int.max : next.watermark ?? Int.min
    next.isClosing = commits.contains(where: \.isClosing)
    next.isClosed = isLast && !next.isClosing
    if next.isClosing { marks.hit(.closing) }
    for (key, tally) in next.users where key.end <= bound {
      if next.isClosing {
        rows.allowed[key] = tally
      } else {
        rows.due[key] = tally
        next.users[key] = nil
      }
    }
    next.merged = larger(next.merged, isLast ? Int.max : next.watermark)
    next.epoch += 1
    next.position = to
  }

  /// Where the file does not grow, cuts are at its marks, whatever was killed: so the entries are those of one run.
  private func checkPlace(_ from: Int64, _ to: Int64, _ last: ReplayAccount, _ name: String) {
    if !workload.isLineEnd(to) { fail("\(name) is cut at byte \(to), within a line") }
    if !workload.grows, from < to, to != workload.cut(after: from) {
      fail("\(name) is cut at byte \(to), and the mark after \(from) is at \(workload.cut(after: from))")
    }
  }

  private func read(
    _ from: Int64, _ to: Int64, _ commits: [LaneCommit], _ next: inout ReplayAccount, _ rows: inout Rows, _ name: String
  ) {
    var counts = BucketCounts()
    var (users, kinds) = (WindowCounts(), WindowCounts())
    for line in workload.lines(from, to) {
      guard let record = line.record else {
        counts.blankLines += 1
        continue
      }
      let place = Place(shard: ReplayWorkload.stream, position: record.position)
      if record.isBad {
        counts.quarantined += 1
        rows.quarantined.insert(place)
        continue
      }
      next.maxTime = max(next.maxTime ?? record.at, record.at)
      guard next.seen.insert(record.id).inserted else {
        counts.duplicate += 1
        marks.hit(.duplicate)
        continue
      }
      counts.accepted += 1
      rows.silver.append(SilverRow(record, place))
      next.totals.add(record, record.kind, judgedBy: next.watermark)
      let start = SourceWorkload.window(of: record.at)
      if start + SourceWorkload.windowSize <= next.watermark ?? Int.min {
        marks.hit(.lateRow)
        users.late += 1
        kinds.late += 1
        rows.lateUsers.insert(LatePlace(place: place, start: start))
        rows.lateKinds.insert(LatePlace(place: place, start: start))
      } else {
        users.onTime += 1
        kinds.onTime += 1
        next.users[WindowKey(group: record.user, start: start), default: Tally()].add(record.amount)
        next.kinds[WindowKey(group: record.kind, start: start), default: Tally()].add(record.amount)
      }
    }
    let found = commits.reduce(into: BucketCounts()) { $0 += $1.counts }
    if found != counts { fail("\(name): \(found) are not the counts of its records, \(counts)") }
    for (table, expected) in [("gold/users", users), ("gold/kinds", kinds)] {
      let found = commits.reduce(into: WindowCounts()) { $0 += $1.windows[table] ?? WindowCounts() }
      if found != expected { fail("\(name): the window counts of \(table) are wrong") }
    }
  }

  /// A decision takes effect after the entry that carries it.
  private func end(_ commits: [LaneCommit], _ next: inout ReplayAccount, _ name: String) {
    if !commits.allSatisfy({ $0.decisions.contains(.endOfInput) }) { fail("\(name): the input ends for some lanes only") }
    if next.hasEnded { fail("\(name): the end of the input is recorded a second time") }
    if next.position != workload.length || !capture.isWhole { fail("\(name): the input ends before its last byte") }
    next.hasEnded = true
    next.merged = Int.max
  }

  private func keep(_ commit: LaneCommit, _ next: inout ReplayAccount, _ name: String) {
    next.states[commit.lane] = commit.state
    for ref in commit.state.map({ [$0.base] + $0.deltas }) ?? [] where slice(ref) == nil {
      fail("\(name): the bytes of the state of \(commit.lane.text) are not there")
    }
  }

  // MARK: The merge lane

  /// It shares the entry of the lanes, unless it has windows left.
  private func merge(_ commit: LaneCommit, isShared: Bool, _ next: inout ReplayAccount, _ name: String) {
    if commit.epoch != next.mergeEpoch + 1 { fail("\(name): epoch \(commit.epoch) of the merge lane after \(next.mergeEpoch)") }
    if commit.from.ordinal != next.mergeTo { fail("\(name): the merge lane begins at \(commit.from.text)") }
    let through = isShared ? next.entry.number : next.entry.number - 1
    if commit.to.ordinal != through { fail("\(name): the merge lane ends at \(commit.to.text)") }
    if isShared { next.mergeWatermark = next.merged }
    if next.mergeWatermark != Int.max { next.clock = next.mergeWatermark }
    if commit.watermark != ReplayOracle.microseconds(next.mergeWatermark) { fail("\(name): the merge lane's watermark is wrong") }
    if !isShared { marks.hit(.mergeClosing) }
    next.mergeEpoch += 1
    (next.mergeTo, next.mergePosition) = (through, through)
    next.mergeIsClosing = commit.isClosing
    let due = next.kinds.filter { $0.key.end <= next.mergeWatermark ?? Int.min }
    let some = checkGold(next.entry, "gold/kinds", due: commit.isClosing ? [:] : due, allowed: commit.isClosing ? due : [:])
    for key in commit.isClosing ? some : Array(due.keys) { next.kinds[key] = nil }
  }

  /// After the end of the input a version says nothing of it.
  override func checkComplete(_ through: Int?, _ table: String, version: Substring, at number: Int64, before: Int?) {
    if through == nil, accounts[Int(number)].merged == Int.max { return }
    super.checkComplete(through, table, version: version, at: number, before: before)
  }

  override func windows(openIn table: String, at number: Int64) -> [WindowKey] {
    let account = accounts[Int(number)]
    return Array(table == "gold/kinds" ? account.kinds.keys : account.users.keys)
  }
}

// MARK: - State table

extension ReplayOracle {
  /// Of all records before a byte, naively.
  private func users(before position: Int64) -> [String: Tally] {
    var seen: Set<Int> = []
    var fold = StateFold(ttl: ttl)
    var watermark: Int?
    for record in workload.lines(0, position).compactMap(\.record) where !record.isBad {
      watermark = larger(watermark, record.at - SourceWorkload.outOfOrder)
      if seen.insert(record.id).inserted { fold.add(record, record.user, judgedBy: watermark) }
    }
    return fold.rows(at: watermark)
  }

  func stateRow(_ row: StateRow, replacing old: StateRow?) {
    if let old, row.fence < old.fence { fail("a state row went back from \(old.fence.position) to \(row.fence.position)") }
    guard let group = StateText.group(row.key), let found = StateText.row(row.value), ttl != nil || row.value != nil else {
      return fail("a state row of \(row.table) cannot be read")
    }
    if row.value == nil { marks.hit(.rowExpired) }
    guard row.lane != LaneID.merge.text else { return mergedRow(row, group, found) }
    if lanes[group, default: row.lane] != row.lane { fail("the rows of \(group) are in two lanes") }
    lanes[group] = row.lane
    let expected = users(before: row.fence.position)[group]
    if found != expected {
      fail("the state row of \(group) at byte \(row.fence.position) is \(StateText.text(found)), not \(StateText.text(expected))")
    }
  }

  private func mergedRow(_ row: StateRow, _ group: String, _ found: Tally?) {
    guard row.fence.position <= head else { return fail("a merged state row is of entry \(row.fence.position), after the ledger's end") }
    let account = accounts[Int(row.fence.position)]
    let expected = account.totals.row(group, at: account.clock)
    if found != expected {
      fail("the merged state row \(group) at entry \(row.fence.position) is \(StateText.text(found)), not \(StateText.text(expected))")
    }
  }

  /// Everything is in the tables and in the state table.
  func checkEnd(_ table: SimulatedStateTable) {
    guard violation == nil, let last = accounts.last else { return fail("the ledger was never made") }
    if last.position != workload.length { fail("the replay ended at byte \(last.position) of \(workload.length)") }
    for key in last.users.keys { fail("the window \(key) is open after the end of the input") }
    for key in last.kinds.keys { fail("the merged window \(key) is open after the end of the input") }
    var found: [String: [String: Tally]] = [:]
    for row in table.allRows { found[row.table, default: [:]][StateText.group(row.key) ?? ""] = row.value.flatMap(StateText.tally) }
    compare(found["user_totals"] ?? [:], users(before: workload.length), "user_totals")
    compare(found["kind_totals"] ?? [:], last.totals.rows(at: last.clock), "kind_totals")
    for table in OracleTables.names { checkTable(table) }
    for id in (accounts[0].entry.genesis?.lanes ?? []).filter({ $0 != .merge }) + [.merge] {
      let mark = table.mark(LedgerMark.prefix + id.text).flatMap { LedgerMark($0) }
      let isGood = mark.map { id == .merge ? (last.mergeTo...head).contains($0.position) : $0.position == last.position } ?? false
      if !isGood { fail("the state table says \(mark.map { "\($0)" } ?? "nothing") of \(id.text) at the end") }
    }
    checkEntries()
  }
}
