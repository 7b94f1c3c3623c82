import WeirCore
import WeirProtocol

/// Judges a run at each durable step and at the end, from the workload and the stored bytes alone.
///
/// It keeps its own account of the ledger, entry by entry (a stack: a machine crash may take unsynced entries), and
/// shares with the protocol only the codec of entries.
final class SimulationOracle {
  /// What is true after an entry.
  struct Account {
    struct Lane {
      var epoch: Int64 = 0
      var position = 0
      var version = 0
      var floor = Watermark.minimum
      var watermark = Watermark.minimum
      var isIdle = false
      var hasEnded = false
      var state = LaneState()
      var stateFiles: [String] = []
      var lookupFile: String?
    }

    var entry: LedgerEntry
    var lanes: [LaneID: Lane]
    var merged = Watermark.minimum
    var mergeEpoch: Int64 = 0
    /// Contributions that the merge lane has covered and not emitted, and those that it has not covered yet.
    var open: [Int: Tally] = [:]
    var uncovered: [Int: Tally] = [:]
    var mergePosition: Int64 = 0
    var hasMergedAll = false
    var gold: [Int: Tally] = [:]
    /// Files with partials by entry, that the merge lane has not covered.
    var partialFiles: [String] = []
  }

  let workload: Workload
  let layout: LedgerLayout
  let store: SimulatedObjectStore
  /// The first thing that went wrong.
  private(set) var violation: String?
  private var accounts: [Account] = []
  private var tables: [String: [TableVersion]] = [:]
  private var confirmedThrough: Int64 = -1
  /// Attempts whose entry took a number that was collected: they can never count.
  private var strays: Set<String> = []
  var marks = Marks()

  init(workload: Workload, layout: LedgerLayout, store: SimulatedObjectStore) {
    self.workload = workload
    self.layout = layout
    self.store = store
  }

  func fail(_ what: String) {
    if violation == nil { violation = what }
  }

  private var head: Int64 { Int64(accounts.count) - 1 }

  /// All lanes ended, everything merged, all files in the tables.
  var isComplete: Bool {
    guard let last = accounts.last, last.hasMergedAll, last.lanes.values.allSatisfy(\.hasEnded) else { return false }
    return SimulatedTable.names.allSatisfy { applied($0) >= lastEntry(with: $0) }
  }

  func hasEnded(_ lane: LaneID) -> Bool { accounts.last?.lanes[lane]?.hasEnded ?? false }

  private func applied(_ table: String) -> Int64 { tables[table]?.last?.txn ?? -1 }

  private func lastEntry(with table: String) -> Int64 {
    accounts.last { !$0.entry.files(of: table).isEmpty }?.entry.number ?? 0
  }

  private var newestSnapshot: Int64 {
    store.paths(layout.snapshots).last.flatMap { Int64($0.dropFirst(layout.snapshots.count).prefix(20)) } ?? -1
  }
}

// MARK: - Durable steps

extension SimulationOracle {
  func created(_ path: String, _ bytes: [UInt8]) {
    if path.hasPrefix(layout.entries) {
      createdEntry(path, bytes)
    } else if let table = SimulatedTable.names.first(where: { path.hasPrefix(SimulatedTable.log(of: $0)) }) {
      createdVersion(of: table, path, bytes)
    }
  }

  /// Collection may take what nobody needs, after a snapshot stands for it.
  func deleted(_ path: String) {
    guard let last = accounts.last else { return }
    if path.hasPrefix(layout.entries) {
      let number = Int64(path.dropFirst(layout.entries.count).prefix(20)) ?? -1
      if number > newestSnapshot { fail("entry \(number) was deleted before a snapshot stood for it") }
      let needed = SimulatedTable.names.contains { table in
        applied(table) < number && number < accounts.count && !accounts[Int(number)].entry.files(of: table).isEmpty
      }
      if needed { fail("entry \(number) was deleted before the tables had its files") }
      let marked = store.paths(layout.collected).last.flatMap { Int64($0.dropFirst(layout.collected.count).prefix(20)) } ?? -1
      if number > marked { fail("entry \(number) was deleted before a mark said how far entries are collected") }
      if number > last.mergePosition { fail("entry \(number) was deleted before it was merged") }
    }
    let live = last.lanes.values.flatMap { $0.stateFiles + [$0.lookupFile].compactMap { $0 } } + last.partialFiles
    if live.contains(path) { fail("\(path) was swept though the ledger needs it") }
  }

  /// A crash may take entries that nobody acted on, from the end only.
  func lost() {
    let tail = newestSnapshot + 1..<max(newestSnapshot + 1, Int64(accounts.count))
    if let first = tail.first(where: { store.peek(layout.entry($0)) == nil }) {
      if let kept = tail.first(where: { $0 > first && store.peek(layout.entry($0)) != nil }) {
        fail("the crash took entry \(first) but not \(kept)")
      }
      accounts.removeSubrange(Int(first)...)
    }
    for table in SimulatedTable.names {
      let versions = tables[table] ?? []
      let kept = versions.prefix { store.peek($0.path) != nil }
      if versions.dropFirst(kept.count).contains(where: { store.peek($0.path) != nil }) {
        fail("the crash took a version of \(table) but not the next")
      }
      tables[table] = Array(kept)
      if applied(table) > max(head, 0) { fail("\(table) holds entry \(applied(table)), which the crash took") }
    }
    if head < confirmedThrough { fail("entry \(confirmedThrough) was committed and the crash took it") }
  }

  /// A worker was told that its attempt is this entry.
  func confirmed(_ attempt: String, as number: Int64) {
    confirmedThrough = max(confirmedThrough, number)
    guard number <= head, accounts[Int(number)].entry.commitID == attempt else {
      return fail("an attempt was called entry \(number), which is another's")
    }
  }

  /// A worker was told that lanes of its attempt are another's.
  func fenced(_ attempt: String, of lost: [LaneID], _ epochs: [LaneID: Int64]) {
    guard let last = accounts.last, !strays.contains(attempt) else { return }
    for lane in lost {
      let now = lane == .merge ? last.mergeEpoch : last.lanes[lane]?.epoch ?? 0
      if let epoch = epochs[lane], now < epoch { fail("an attempt was called fenced by \(lane.text), which did not move on") }
    }
  }

  func stateRow(_ row: StateRow, replacing old: StateRow?) {
    if let old, row.fence < old.fence { fail("a state row went back from \(old.fence.position) to \(row.fence.position)") }
    let lane = LaneID(text: row.lane)
    let key = Int(String(decoding: row.key, as: UTF8.self).split(separator: "/").last ?? "") ?? -1
    let expected = reference(lane, through: Int(row.fence.position)).sums[key] ?? Tally()
    if row.value != Array(expected.line(key).utf8) {
      fail("the state row of \(row.lane) key \(key) at \(row.fence.position) is not the fold of its records")
    }
  }

  /// The state of a lane after its first records, naively.
  func reference(_ lane: LaneID, through position: Int) -> LaneState {
    var state = LaneState()
    for record in workload.records(of: lane).prefix(position) {
      state.maxTime = max(state.maxTime ?? record.time, record.time)
      if state.seen.insert(record.id).inserted { state.sums[record.key, default: Tally()].add(record.amount) }
    }
    return state
  }
}

// MARK: - Entries

extension SimulationOracle {
  private func createdEntry(_ path: String, _ bytes: [UInt8]) {
    let entry: LedgerEntry
    do { entry = try LedgerEntry(bytes: bytes) } catch { return fail("an entry cannot be read: \(error)") }
    if entry.number <= head {
      // A sleeper put a number that was collected: harmless if a snapshot at or above it tells him.
      if newestSnapshot < entry.number { fail("the number \(entry.number) was used again") }
      marks.hit(.strayEntry)
      strays.insert(entry.commitID)
      return
    }
    guard entry.number == head + 1 else { return fail("entry \(entry.number) was put after entry \(head)") }
    guard path == layout.entry(entry.number) else { return fail("entry \(entry.number) is at \(path)") }
    guard let last = accounts.last else {
      let lanes = (entry.genesis?.lanes ?? []).filter { $0 != .merge }.map { ($0, Account.Lane()) }
      accounts = [Account(entry: entry, lanes: Dictionary(uniqueKeysWithValues: lanes))]
      return
    }
    if entry.previousHash != last.entry.hash { fail("entry \(entry.number) is not chained to the one before it") }
    append(entry, after: last)
  }

  private func append(_ entry: LedgerEntry, after last: Account) {
    var next = last
    next.entry = entry
    var rows = ""
    var partials: [Int: Tally] = [:]
    for commit in entry.lanes where commit.lane != .merge {
      add(commit, to: &next, &rows, &partials)
    }
    checkFile(entry, "silver", rows)
    checkPartials(entry, partials)
    for (window, tally) in partials { next.uncovered[window, default: Tally()] += tally }
    if let partialFile = entry.partials?.path { next.partialFiles.append(partialFile) }
    next.merged = merged(next)
    if let merge = entry[.merge] { self.merge(merge, in: entry, &next) } else { checkFile(entry, "gold", "") }
    for commit in entry.lanes { for decision in commit.decisions { decide(decision, commit.lane, &next) } }
    next.merged = merged(next)
    accounts.append(next)
  }

  private func add(
    _ commit: LaneCommit, to next: inout Account, _ rows: inout String, _ partials: inout [Int: Tally]
  ) {
    guard var lane = next.lanes[commit.lane] else { return fail("an entry names the unlisted \(commit.lane.text)") }
    let name = "entry \(next.entry.number), lane \(commit.lane.text)"
    if commit.epoch != lane.epoch + 1 { fail("\(name): epoch \(commit.epoch) after \(lane.epoch)") }
    guard case .offset(let from) = commit.from, case .offset(let to) = commit.to, from == lane.position, from <= to
    else { return fail("\(name): from \(commit.from.text) though \(lane.position) was reached") }
    if lane.isIdle, to > from { fail("\(name): records of an idle lane before it woke") }
    var counts = BucketCounts()
    var windows = WindowCounts()
    for (i, record) in workload.records(of: commit.lane).enumerated().prefix(Int(to)).dropFirst(Int(from)) {
      lane.state.maxTime = max(lane.state.maxTime ?? record.time, record.time)
      lane.watermark = Int64((lane.state.maxTime ?? 0) - Workload.outOfOrder)
      guard lane.state.seen.insert(record.id).inserted else {
        counts.duplicate += 1
        marks.hit(.duplicate)
        continue
      }
      counts.accepted += 1
      lane.state.sums[record.key, default: Tally()].add(record.amount)
      let window = Workload.window(of: record.time)
      let isLate = Workload.end(of: window) <= max(lane.watermark, lane.floor)
      if isLate { windows.late += 1 } else { windows.onTime += 1 }
      if isLate { marks.hit(.lateRow) } else { partials[window, default: Tally()].add(record.amount) }
      rows += "\(commit.lane.text) \(i) \(record.id) v\(lane.version)\(isLate ? " late" : "")\n"
    }
    if commit.counts != counts { fail("\(name): the counts are not those of its records") }
    if (commit.windows["gold"] ?? WindowCounts()) != windows { fail("\(name): the window counts are wrong") }
    if !lane.hasEnded, commit.watermark != lane.watermark { fail("\(name): the watermark is wrong") }
    lane.epoch = commit.epoch
    lane.position = Int(to)
    checkState(commit, lane.state, name)
    lane.stateFiles = commit.state.map { [$0.base.path] + $0.deltas.map(\.path) } ?? []
    next.lanes[commit.lane] = lane
  }

  private func decide(_ decision: Decision, _ id: LaneID, _ next: inout Account) {
    switch decision {
    case .endOfInput:
      next.lanes[id]?.hasEnded = true
      next.lanes[id]?.watermark = Watermark.maximum
      if next.lanes[id]?.position != workload.records(of: id).count { fail("lane \(id.text) stopped too early") }
    case .idle: next.lanes[id]?.isIdle = true
    case .wake:
      next.lanes[id]?.isIdle = false
      next.lanes[id]?.floor = next.merged
    case .lookup(_, let hash, let path):
      guard let bytes = store.peek(path), ContentHash(of: bytes).hex == hash else {
        return fail("entry \(next.entry.number) names a lookup whose bytes are not there")
      }
      next.lanes[id]?.version = Int(String(decoding: bytes, as: UTF8.self)) ?? -1
      next.lanes[id]?.lookupFile = path
    case .extensible, .lanesListed, .gap, .partitioner, .clock, .recreated, .unverified, .plan: break
    }
  }

  private func merged(_ account: Account) -> Int64 {
    let active = account.lanes.values.filter { !$0.isIdle }.map { max($0.watermark, $0.floor) }
    let idle = account.lanes.values.filter(\.isIdle).map { max($0.watermark, $0.floor) }
    return max(account.merged, active.min() ?? idle.max() ?? account.merged)
  }

  private func merge(_ commit: LaneCommit, in entry: LedgerEntry, _ next: inout Account) {
    let name = "entry \(entry.number), merge lane"
    if commit.epoch != next.mergeEpoch + 1 { fail("\(name): epoch \(commit.epoch) after \(next.mergeEpoch)") }
    if commit.from != .offset(next.mergePosition) { fail("\(name): from \(commit.from.text) is not where it stood") }
    if commit.to != .offset(entry.number) { fail("\(name): it does not reach its own entry") }
    for (window, tally) in next.uncovered { next.open[window, default: Tally()] += tally }
    next.uncovered = [:]
    next.partialFiles = []
    next.mergeEpoch = commit.epoch
    next.mergePosition = entry.number
    let closed = next.open.filter { Workload.end(of: $0.key) <= next.merged }
    for (window, tally) in closed {
      if next.gold[window] != nil { fail("\(name): window \(window) is emitted twice") }
      next.gold[window] = tally
      next.open[window] = nil
    }
    checkFile(entry, "gold", String(decoding: TallyText.bytes(closed), as: UTF8.self))
    if slice(commit.state?.base) != TallyText.bytes(next.open) { fail("\(name): its state is not its open windows") }
    if next.merged == Watermark.maximum { next.hasMergedAll = true }
  }
}

// MARK: - Bytes

extension SimulationOracle {
  /// The stored bytes of a slice, nil if they are missing or have another hash.
  private func slice(_ ref: BlobRef?) -> [UInt8]? {
    guard let ref, let bytes = store.peek(ref.path), bytes.count >= ref.offset + ref.length else { return nil }
    let slice = Array(bytes[Int(ref.offset)..<Int(ref.offset + ref.length)])
    return ContentHash(of: slice).hex == ref.hash ? slice : nil
  }

  private func checkState(_ commit: LaneCommit, _ expected: LaneState, _ name: String) {
    guard let ref = commit.state else { return fail("\(name): no state") }
    var state = LaneState()
    for part in [ref.base] + ref.deltas {
      guard let bytes = slice(part) else { return fail("\(name): the state's bytes are not there") }
      state.add(bytes)
    }
    if state != expected { fail("\(name): the state is not the fold of its records") }
  }

  private func checkPartials(_ entry: LedgerEntry, _ expected: [Int: Tally]) {
    guard entry.partials != nil || !expected.isEmpty else { return }
    if slice(entry.partials) != TallyText.bytes(expected) { fail("entry \(entry.number): wrong partials") }
  }

  private func checkFile(_ entry: LedgerEntry, _ table: String, _ expected: String) {
    var text = ""
    for file in entry.files(of: table) {
      guard let bytes = store.peek(file.path), ContentHash(of: bytes).hex == file.hash else {
        return fail("entry \(entry.number): the file \(file.path) is not there")
      }
      text += String(decoding: bytes, as: UTF8.self)
    }
    if text != expected { fail("entry \(entry.number): \(table) holds\n\(text)instead of\n\(expected)") }
  }
}

// MARK: - Tables

extension SimulationOracle {
  private func createdVersion(of table: String, _ path: String, _ bytes: [UInt8]) {
    guard let version = TableVersion(path: path, bytes: bytes) else { return fail("\(path) cannot be read") }
    let before = tables[table]?.last
    guard version.version == (before?.version ?? -1) + 1 else { return fail("\(table): a version is missing") }
    let applied = before?.txn ?? 0
    if version.txn < applied { fail("\(table): the txn went back from \(applied) to \(version.txn)") }
    guard version.txn <= head else { return fail("\(table): entry \(version.txn) is not in the ledger") }
    let expected = accounts.filter { $0.entry.number > applied && $0.entry.number <= version.txn }
      .flatMap { $0.entry.files(of: table).map(\.path) }
    if version.files != expected {
      fail("\(table) version \(version.version): not the files of entries \(applied + 1) to \(version.txn)")
    }
    tables[table, default: []].append(version)
  }

  /// What must hold when nothing moves any more.
  func checkEnd(_ stateTable: SimulatedStateTable) {
    guard violation == nil, let last = accounts.last else { return fail("the ledger was never made") }
    if !isComplete { fail("stuck: faults stopped, and not everything was done") }
    for lane in workload.lanes {
      let count = workload.records(of: lane).count
      if last.lanes[lane]?.position != count { fail("lane \(lane.text) is at \(last.lanes[lane]?.position ?? 0)") }
      checkStateTable(stateTable, lane)
    }
    if !last.open.isEmpty || !last.uncovered.isEmpty { fail("windows are left open") }
    for number in newestSnapshot + 1..<Int64(accounts.count)
    where store.peek(layout.entry(number)) != accounts[Int(number)].entry.bytes {
      fail("entry \(number) is not in the store as it was put")
    }
    let files = accounts.flatMap { $0.entry.files(of: "silver").map(\.path) }
    if tables["silver"]?.flatMap(\.files) != files { fail("the silver table is not the fold of the ledger") }
  }

  private func checkStateTable(_ table: SimulatedStateTable, _ lane: LaneID) {
    let expected = reference(lane, through: workload.records(of: lane).count).sums
    var found: [Int: [UInt8]] = [:]
    for row in table.allRows where row.lane == lane.text {
      found[Int(String(decoding: row.key, as: UTF8.self).split(separator: "/").last ?? "") ?? -1] = row.value
    }
    for (key, tally) in expected where found[key] != Array(tally.line(key).utf8) {
      fail("the state table has a wrong row for \(lane.text) key \(key)")
    }
  }
}
