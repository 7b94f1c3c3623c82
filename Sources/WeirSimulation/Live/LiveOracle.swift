import WeirCore
import WeirEngine
import WeirProtocol

/// Judges a run of live workers at each durable step and at the end, from the workload and the stored bytes alone.
///
/// It keeps its own account of the ledger, entry by entry (a stack: a crash of the machine may take unsynced entries). With the engine it
/// shares the codecs of entries and of state rows, and the reader of Parquet, which the engine's writers do not use.
final class LiveOracle {
  /// What is true after an entry.
  struct Account {
    struct Lane {
      var generation: Int64 = 0
      var epoch: Int64 = 0
      /// In the source's records, which are numbered, and as the lane counts.
      var position: Int64?
      var ordinal: Int64?
      /// The largest event time, seconds.
      var maxTime: Int?
      /// Seconds; nil: the minimum.
      var floor: Int?
      var isIdle = false
      var isClosed = false
      /// Its last epoch left windows that it finishes.
      var isClosing = false
      /// By which it finished windows while it was idle, seconds: those that an epoch left follow with the next.
      var finished: Int?
      /// Of a shard with parents: those that are closed, and what each had reached.
      var parents: [(id: LaneID, reached: Int?)] = []
      /// Ranges that the source lost.
      var lost: [Range<Int64>] = []
      var seen: Set<Int> = []
      /// Windows that the lane finishes and has not emitted.
      var open: [WindowKey: Tally] = [:]
      var state: StateRef?
      var stateFiles: [String] { state.map { [$0.base.path] + $0.deltas.map(\.path) } ?? [] }

      var watermark: Int? { maxTime.map { $0 - SourceWorkload.outOfOrder } }
      /// What the merged watermark sees of the lane.
      var reached: Int? { LiveOracle.larger(watermark, floor) }
    }

    var entry: LedgerEntry
    var lanes: [LaneID: Lane]
    var merged: Int?
    var mergeEpoch: Int64 = 0
    /// Entries through this one are merged.
    var mergePosition: Int64 = 0
    var mergeWatermark: Int?
    var mergeIsClosing = false
    /// By which the merge lane has emitted everything, seconds.
    var mergeComplete: Int?
    /// Contributions by entry that the merge lane has not read, and those that it has read and not emitted.
    var unread: [(number: Int64, windows: [WindowKey: Tally], totals: [String: Tally])] = []
    var open: [WindowKey: Tally] = [:]
    /// The merged state table.
    var totals: [String: Tally] = [:]
    /// The topic got more partitions: by the rule, where keys were, and what each partition had reached. From then on all is merged.
    var growth: (rule: Partitioner, reached: [Int?])?
    /// Merged windows that were emitted.
    var emitted: Set<WindowKey> = []
    var partialFiles: [(number: Int64, path: String)] = []
    var mergeFiles: [String] = []
  }

  /// A group's window.
  struct WindowKey: Hashable {
    var group: String
    /// Seconds.
    var start: Int
    var end: Int { start + SourceWorkload.windowSize }
  }

  var workload: SourceWorkload { topic.workload }
  let topic: SimulatedTopic
  let layout: LedgerLayout
  let store: SimulatedObjectStore
  /// The first thing that went wrong.
  private(set) var violation: String?
  var accounts: [Account] = []
  var tables: [String: TableLog] = [:]
  var topics: [String: TopicLog] = [:]
  private var confirmedThrough: Int64 = -1
  /// By node, how the ledger calls the worker.
  private var workers: [Int: String] = [:]
  /// Attempts whose entry was put at a number that was collected.
  var strays: Set<String> = []
  var marks = Marks()
  /// Called with each entry, to inspect a seed.
  var say: ((String) -> Void)?

  init(topic: SimulatedTopic, pipeline: String, store: SimulatedObjectStore) {
    self.topic = topic
    layout = LedgerLayout(pipeline: pipeline)
    self.store = store
  }

  func fail(_ what: String) { if violation == nil { violation = what } }

  var head: Int64 { Int64(accounts.count) - 1 }

  static func larger(_ a: Int?, _ b: Int?) -> Int? {
    guard let a, let b else { return a ?? b }
    return max(a, b)
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

  /// What the newest marker names: entries above it must be there.
  var newestSnapshot: Int64 {
    guard let marker = store.paths(layout.pointers).last, let bytes = store.peek(marker) else { return -1 }
    // Read apart from the code that is tested: the first number in the text.
    let digits = bytes.drop { !(0x30...0x39).contains($0) }.prefix { (0x30...0x39).contains($0) }
    return Int64(String(decoding: digits, as: UTF8.self)) ?? -1
  }
}

// MARK: - Durable steps

extension LiveOracle {
  func created(_ path: String, _ bytes: [UInt8]) {
    if path.hasPrefix(layout.entries) {
      createdEntry(path, bytes)
    } else if path.hasSuffix(".json"), let range = path.firstRange(of: "/_delta_log/") {
      createdVersion(of: String(path[..<range.lowerBound]), path, bytes)
    }
  }

  /// Collection may take what nothing needs, after a snapshot covers it.
  func deleted(_ path: String) {
    guard let last = accounts.last else { return }
    if path.hasPrefix(layout.entries) {
      marks.hit(.entriesCollected)
      let number = Int64(path.dropFirst(layout.entries.count).prefix(20)) ?? -1
      let marked = store.paths(layout.collected).last.flatMap { Int64($0.dropFirst(layout.collected.count).prefix(20)) } ?? -1
      if number > marked { fail("entry \(number) was deleted before a mark said how far entries are collected") }
      if number > newestSnapshot { fail("entry \(number) was deleted before a marker named a snapshot of it") }
      if number > last.mergePosition { fail("entry \(number) was deleted before it was merged") }
      if number < accounts.count {
        for table in accounts[Int(number)].entry.tables where (tables[table.table]?.applied ?? 0) < number {
          fail("entry \(number) was deleted before \(table.table) had its files")
        }
      }
    }
    let live = last.lanes.values.flatMap(\.stateFiles) + last.partialFiles.map(\.path) + last.mergeFiles
    if live.contains(path) { fail("\(path) was swept though the ledger needs it") }
    if path.hasPrefix(layout.blobs) { marks.hit(.blobsSwept) }
  }

  /// A crash may take entries that no worker acted on, from the end only.
  func lost() {
    let tail = newestSnapshot + 1..<max(newestSnapshot + 1, Int64(accounts.count))
    if let first = tail.first(where: { store.peek(layout.entry($0)) == nil }) {
      if let kept = tail.first(where: { $0 > first && store.peek(layout.entry($0)) != nil }) {
        fail("the crash took entry \(first) but not \(kept)")
      }
      accounts.removeSubrange(Int(first)...)
    }
    for name in tables.keys.sorted() { lostVersions(of: name) }
    lostTopics()
    if head < confirmedThrough { fail("entry \(confirmedThrough) was committed and the crash took it") }
  }

  /// The outcome of an attempt says that lanes are another worker's.
  func fenced(_ attempt: String, _ wanted: [LaneID: Int64]) {
    guard let last = accounts.last, !strays.contains(attempt) else { return }
    for (lane, epoch) in wanted.sorted(by: { $0.key < $1.key }) {
      let now = lane == .merge ? last.mergeEpoch : last.lanes[lane]?.epoch ?? 0
      if now < epoch { fail("an attempt was called fenced by \(lane.text), which did not move on") }
    }
  }

  /// A worker said that this entry of its own is in the ledger.
  func confirmed(_ number: Int64, by node: Int) {
    guard number >= 0, number <= head else {
      return fail("a worker said that entry \(number) is in the ledger, which ends at \(head)")
    }
    let worker = accounts[Int(number)].entry.worker
    if workers[node, default: worker] != worker { fail("a worker said that entry \(number) is its own, and it is another's") }
    workers[node] = worker
    confirmedThrough = max(confirmedThrough, number)
  }
}

// MARK: - State table

extension LiveOracle {
  func stateRow(_ row: StateRow, replacing old: StateRow?) {
    if let old, row.fence < old.fence { fail("a state row went back from \(old.fence.position) to \(row.fence.position)") }
    guard let value = row.value, let group = LiveOracle.group(row.key), let found = LiveOracle.tally(value) else {
      return fail("a state row of \(row.table) cannot be read")
    }
    guard row.lane != LaneID.merge.text else { return mergedRow(row, group, found) }
    let lane = LaneID(text: row.lane)
    let lost = accounts.last?.lanes[lane]?.lost ?? []
    // A worker that fell asleep may not know yet what the source has lost meanwhile.
    let expected = (0...lost.count).reversed().map { known in
      totals(lane, through: row.fence.position, without: Array(lost.prefix(known)))[group] ?? Tally()
    }
    if !expected.contains(found) {
      fail("the state row of \(row.lane), \(group), at \(row.fence.position) is \(found), not \(expected[0]), the fold of its records")
    }
  }

  /// What the state table has of a lane never goes back: readers would take committed rows for uncommitted ones.
  func stateMark(_ name: String, _ mark: LedgerMark?, replacing old: LedgerMark?) {
    guard name.hasPrefix(LedgerMark.prefix), let mark, let old else { return }
    if (mark.generation, mark.position) < (old.generation, old.position) {
      fail("the state table's mark \(name) went back from \(old.generation)/\(old.position) to \(mark.generation)/\(mark.position)")
    }
  }

  private func mergedRow(_ row: StateRow, _ group: String, _ found: Tally) {
    guard row.fence.position <= head else { return fail("a merged state row is of entry \(row.fence.position), after the ledger's end") }
    let expected = accounts[Int(row.fence.position)].totals[group] ?? Tally()
    if found != expected { fail("the merged state row \(group) at entry \(row.fence.position) is \(found), not \(expected)") }
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

  /// Records of a shard's parents, and of theirs, whose keys it took over; before its own.
  private func ancestors(of shard: String) -> [SourceRecord] {
    guard let made = workload.history[shard] else { return [] }
    return made.parents.flatMap { parent in
      let lost = accounts.last?.lanes[LaneID(shard: parent)]?.lost ?? []
      return ancestors(of: parent) + (workload.records[parent] ?? []).filter { record in !lost.contains { $0.contains(record.position) } }
    }.filter { made.holds($0.user) }
  }

  static func group(_ key: [UInt8]) -> String? {
    guard case .string(let text)? = try? StateKey.decode(key, types: [.string]).first else { return nil }
    return text
  }

  static func tally(_ value: [UInt8]) -> Tally? {
    guard let values = try? StateValue.decode(value), values.count == 2, case .int64(let rows) = values[0],
      case .decimal(let total, _, _) = values[1]
    else { return nil }
    return Tally(count: Int(rows), sum: Int(total))
  }

  /// At the end every row is there, and is the fold of all that is committed.
  /// - Parameters:
  ///   - isLast: nothing moves any more. Else an idle lane may finish windows by what the last entry says when it is next cut.
  ///   - open: shards whose lanes no worker had: their rows of before come into the table when one takes them over.
  func checkEnd(_ table: SimulatedStateTable, isLast: Bool, without open: Set<String> = []) {
    guard violation == nil, let last = accounts.last else { return fail("the ledger was never made") }
    var found: [String: [String: Tally]] = [:]
    for row in table.allRows { found[row.table, default: [:]][LiveOracle.group(row.key) ?? ""] = row.value.flatMap(LiveOracle.tally) }
    var users: [String: Tally] = [:]
    for (user, tally) in last.totals where user.hasPrefix("u") { users[user] = tally }
    for (id, lane) in last.lanes where !lane.isClosed && last.growth == nil {
      for (user, tally) in totals(id, through: lane.ordinal ?? 0, without: lane.lost) {
        users[user] = open.contains(id.shard) ? found["user_totals"]?[user] : tally
      }
    }
    compare(found["user_totals"] ?? [:], users, "user_totals")
    compare(found["kind_totals"] ?? [:], last.totals.filter { $0.key.hasPrefix("k") }, "kind_totals")
    for table in LiveOracle.tableNames { checkTable(table) }
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
    for number in newestSnapshot + 1..<Int64(accounts.count)
    where store.peek(layout.entry(number)) != accounts[Int(number)].entry.bytes {
      fail("entry \(number) is not in the store as it was put")
    }
  }

  /// Readers learn from the marks which rows are committed.
  private func checkMarks(_ table: SimulatedStateTable, _ last: Account, without open: Set<String>) {
    func mark(_ lane: LaneID) -> LedgerMark? { table.mark(LedgerMark.prefix + lane.text).flatMap { LedgerMark($0) } }
    for (id, lane) in last.lanes.sorted(by: { $0.key < $1.key }) where lane.epoch > 1 && last.growth == nil && !open.contains(id.shard) {
      guard let mark = mark(id), mark.generation == lane.generation, mark.position == lane.ordinal else {
        fail("the state table says \(mark(id).map { "\($0)" } ?? "nothing") of lane \(id.text), which is at \(lane.position ?? 0)")
        continue
      }
    }
    if last.mergeEpoch > 0, mark(.merge).map({ $0.position <= last.mergePosition }) ?? true {
      fail("the state table says \(mark(.merge).map { "\($0)" } ?? "nothing") of the merge lane, which is at \(last.mergePosition)")
    }
  }

  private func compare(_ found: [String: Tally], _ expected: [String: Tally], _ table: String) {
    for key in Set(found.keys).union(expected.keys).sorted() where found[key] != expected[key] {
      fail(
        "the state table has \(found[key].map { "\($0)" } ?? "nothing") for \(table) \(key) instead of \(expected[key].map { "\($0)" } ?? "nothing")"
      )
    }
  }
}
