import WeirCore
import WeirEngine
import WeirProtocol

/// What is true of a repeated run after an entry.
struct RepeatAccount: OracleAccount {
  var entry: LedgerEntry
  var epochs: [LaneID: Int64] = [:]
  var mergePosition: Int64 = 0
  var states: [LaneID: StateRef] = [:]
  var partials: [(number: Int64, path: String)] = []

  var mergeEpoch: Int64 { epochs[.merge] ?? 0 }
  var blobs: [String] { states.values.flatMap { [$0.base.path] + $0.deltas.map(\.path) } + partials.map(\.path) }
  func epoch(of lane: LaneID) -> Int64? { epochs[lane] ?? 0 }
}

/// Judges a replay of a live run's decisions: entry for entry the same epochs, and files of the same bytes.
///
/// The live run was judged before. Names of files, attempts and workers differ.
final class RepeatOracle: LedgerOracle<RepeatAccount>, ReplayJudge {
  private let live: LiveRun
  private var expected: [LedgerEntry] { live.oracle.accounts.map(\.entry) }

  init(_ live: LiveRun, store: SimulatedObjectStore) {
    self.live = live
    super.init(pipeline: LivePlan.pipeline, store: store)
  }

  var isComplete: Bool { head >= live.oracle.head }

  override func begin(_ entry: LedgerEntry) {
    let (mine, theirs) = (entry.genesis, expected.first?.genesis)
    if mine?.runID != theirs?.runID { fail("the repeated run has another id than the live one") }
    if mine?.lanes != theirs?.lanes { fail("the repeated run begins with other lanes than the live one") }
    accounts = [RepeatAccount(entry: entry)]
  }

  override func add(_ entry: LedgerEntry, after last: RepeatAccount) {
    var next = last
    next.entry = entry
    guard entry.number < expected.count else { return fail("entry \(entry.number) is after the last one of the live run") }
    marks.hit(.entryRepeated)
    compare(entry, expected[Int(entry.number)])
    for commit in entry.lanes {
      if commit.epoch != (last.epochs[commit.lane] ?? 0) + 1 { fail("entry \(entry.number): epoch \(commit.epoch) of \(commit.lane.text)") }
      next.epochs[commit.lane] = commit.epoch
      next.states[commit.lane] = commit.state
      for ref in commit.state.map({ [$0.base] + $0.deltas }) ?? [] where slice(ref) == nil {
        fail("entry \(entry.number): the bytes of the state of \(commit.lane.text) are not there")
      }
      for decision in commit.decisions {
        if decision.generationStart != nil { marks.hit(.recordedGap) }
        if case .idle = decision { marks.hit(.recordedIdle) }
      }
    }
    if let path = entry.partials?.path { next.partials.append((entry.number, path)) }
    if let merge = entry[.merge] {
      next.mergePosition = merge.to.ordinal
      next.partials.removeAll { $0.number <= merge.to.ordinal }
    }
    say?("entry \(entry.number) of \(entry.worker): " + entry.lanes.map { "\($0.lane.text) to \($0.to.text)" }.joined(separator: "; "))
    accounts.append(next)
  }

  // MARK: Bytes

  private func compare(_ mine: LedgerEntry, _ theirs: LedgerEntry) {
    let name = "entry \(mine.number)"
    if mine.lanes.map(\.lane) != theirs.lanes.map(\.lane) { return fail("\(name) names other lanes than that of the live run") }
    for (lane, wanted) in zip(mine.lanes, theirs.lanes) where RepeatOracle.epoch(lane) != RepeatOracle.epoch(wanted) {
      fail("\(name), \(lane.lane.text): \(RepeatOracle.epoch(lane)) is not the live run's epoch, \(RepeatOracle.epoch(wanted))")
    }
    if mine.mergedWatermark != theirs.mergedWatermark { fail("\(name) has another merged watermark than that of the live run") }
    if mine.partials?.hash != theirs.partials?.hash {
      fail("\(name) contributes something else to merged tables than that of the live run")
    }
    if mine.tables.map(\.table) != theirs.tables.map(\.table) { fail("\(name) has files of other tables than that of the live run") }
    for (table, wanted) in zip(mine.tables, theirs.tables) {
      if table.files.map(RepeatOracle.file) != wanted.files.map(RepeatOracle.file) {
        fail("\(name): the files of \(table.table) are not those of the live run, byte for byte")
      }
    }
    for file in mine.tables.flatMap(\.files) {
      guard let bytes = store.peek(file.path), ContentHash(of: bytes).hex == file.hash else {
        fail("\(name): the file \(file.path) is not there")
        continue
      }
    }
  }

  /// An epoch without what names its attempt, and without what a source says of its shard.
  private static func epoch(_ commit: LaneCommit) -> LaneCommit {
    var commit = commit
    (commit.state, commit.identity) = (nil, nil)
    return commit
  }

  private static func file(_ file: DataFile) -> DataFile {
    var file = file
    file.path = ""
    return file
  }
}

// MARK: - State table

extension RepeatOracle {
  /// Rows are folds of the same records as live.
  func stateRow(_ row: StateRow, replacing old: StateRow?) {
    if row.lane == LaneID.merge.text, row.fence.position > head {
      return fail("a merged state row is of entry \(row.fence.position), after the ledger's end")
    }
    live.oracle.stateRow(row, replacing: old)
    if let violation = live.oracle.violation { fail(violation) }
  }

  func checkEnd(_ table: SimulatedStateTable) {
    guard violation == nil else { return }
    if !isComplete { return fail("the repeated run ends at entry \(head) of \(live.oracle.head)") }
    let (found, wanted) = (RepeatOracle.rows(table), RepeatOracle.rows(live.stateTable))
    for name in Set(found.keys).union(wanted.keys).sorted() { compare(found[name] ?? [:], wanted[name] ?? [:], name) }
    for table in OracleTables.names { checkTable(table) }
    checkEntries()
  }

  private static func rows(_ table: SimulatedStateTable) -> [String: [String: Tally]] {
    table.allRows.reduce(into: [:]) { found, row in
      found[row.table, default: [:]][StateText.group(row.key) ?? ""] = row.value.flatMap(StateText.tally)
    }
  }
}

extension LiveSimulation {
  /// Faults of the live run that nothing can repeat: shards of which a capture has one of two incarnations, and sleeps after which entries
  /// are collected.
  private static let unrepeated: Set<String> = ["recreate", "warp", "longSleep", "unnoticedSleep"]

  /// One seed of a live run, whose decisions are then repeated in a second lake.
  static func repeats(seed: UInt64, without: Set<String>, bug: PlantedBug?, parts: Bool, log: ((String) -> Void)?) -> Result {
    let live = LiveRun(
      seed: seed, without: without.union(unrepeated), bug: nil, reshards: false, grows: false, parts: parts, keepsEntries: true, log: log)
    var result = live.run()
    guard result.violation == nil else { return result }
    log?("the live run made \(live.oracle.head) entries; they are repeated")
    let repeated = repeated(live, seed: seed, without: without, bug: bug, log: log).run()
    result.violation = repeated.violation
    result.trace = result.trace &* 31 &+ repeated.trace
    result.steps += repeated.steps
    result.strikes += repeated.strikes
    result.time += repeated.time
    result.entries += repeated.entries
    result.marks += repeated.marks
    result.faults += repeated.faults.filter { !result.faults.contains($0) }
    return result
  }

  private static func repeated(
    _ live: LiveRun, seed: UInt64, without: Set<String>, bug: PlantedBug?, log: ((String) -> Void)?
  ) -> ReplayRun {
    let world = World(seed: seed ^ 0x2E9EA7)
    var configuration = world.random("configuration")
    let drawn = LiveFaults(ofReplays: &configuration)
    let faults = without.contains("all") ? .none : drawn.without(without)
    let recorded = SimulatedObjectStore(world: world, copying: live.store)
    let stream = SimulatedStream(live.topic, world: world)
    stream.readFailed = faults.fetchFailed
    let store = SimulatedObjectStore(world: world, faults: faults.store)
    let oracle = RepeatOracle(live, store: store)
    recorded.onCreate = { path, _ in oracle.fail("\(path) was written to the lake of the live run") }
    recorded.onDelete = { oracle.fail("\($0) was deleted in the lake of the live run") }
    let scenario = ReplayScenario(
      compiled: live.compiled, faults: faults,
      request: LedgerRequest(meaning: .string("m"), planHash: "h", lanes: nil, runID: nil, describeChange: { _, _ in [] }), store: store,
      input: { node in
        .stream(
          stream, recorded: RecordedRun(lake: recorded.reached(by: node), layout: LedgerLayout(pipeline: LivePlan.pipeline)), keepOpen: true
        )
      },
      endsAt: 0, damage: { stream.damage() }, heal: { stream.heal() },
      expects: { stream.wasDamaged && $0.code == .captureDiffers })
    let run = ReplayRun(world, scenario, oracle: oracle, bug: bug, log: log)
    run.inputMarks = { stream.marks }
    return run
  }
}
