import Synchronization
import Testing
import WeirCore
import WeirOperators
import WeirTesting

@testable import WeirEngine
@testable import WeirProtocol

/// What follows the ledger: when it is brought up, how far it is believed to be, and what a failure leaves.
@Suite struct FollowersTests {
  /// What followers of tables were asked to do, and which of them fail.
  private final class Calls: TableFormat, @unchecked Sendable {
    // Unchecked: both are behind the lock.
    private let state = Mutex<(targets: [String: [Int64]], failing: Set<String>)>(([:], []))

    func targets(_ path: String) -> [Int64] { state.withLock { $0.targets[path] ?? [] } }
    func fail(_ paths: Set<String>) { state.withLock { $0.failing = paths } }

    fileprivate func follow(_ path: String, _ target: Int64, checksOnly: Bool) throws {
      try state.withLock { state in
        if state.failing.contains(path) { throw WeirError(.storage, "no answer") }
        if !checksOnly { state.targets[path, default: []].append(target) }
      }
    }

    private struct Follower: TableFollower {
      let path: String
      let calls: Calls
      /// It says where it is.
      var through: Int64 = -1
      mutating func follow(_ ledger: Ledger, to target: Int64, given: TableFold?, checksOnly: Bool) async throws {
        try calls.follow(path, target, checksOnly: checksOnly)
        if !checksOnly { through = target }
      }
      func compare(with given: TableFold?, at number: Int64) async throws {
        if through != number { throw WeirError(.corrupt, "\(path) is at \(through)") }
      }
    }

    func follower(of table: FollowedTable, _ environment: FollowerEnvironment) -> any TableFollower {
      Follower(path: table.path, calls: self)
    }
    func checkAbsent(_ table: FollowedTable, in lake: any ObjectStore) async throws {}
    func verify(
      _ table: FollowedTable, with ledger: VerifiedLedger, _ result: inout VerifyResult, removed: inout Set<String>
    ) async throws {}
    func restore(
      _ table: FollowedTable, to ledger: Ledger, given: TableFold?, environment: FollowerEnvironment, isDry: Bool
    ) async throws -> TableRestoration? { nil }
  }

  private let calls = Calls()
  private let lane = LaneID(shard: "t/0")

  private func followers(_ bench: PartsBench) -> Followers {
    Followers(environment: bench.environment, ledger: bench.ledger, ledgerID: "l", compiled: bench.compiled)
  }

  @discardableResult
  private func commit(_ bench: PartsBench, files: Int = 0) async throws -> LedgerFold {
    let fold = await bench.ledger.fold
    let all = (0..<files).map { DataFile(path: "silver/t/\(fold.number)-\($0)", rows: 1, bytes: 1, hash: "h", stats: .columns([])) }
    let draft = EntryDraft(
      commitID: bench.ledger.makeAttemptID(), worker: "w", planHash: "h", lanes: [fold.emptyEpoch(of: lane)],
      tables: files == 0 ? [] : [TableCommit(table: "silver/t", files: all)])
    guard case .committed(_, let after) = try await bench.ledger.commit(draft, startedNanoseconds: bench.clock.monotonicNanoseconds) else {
      throw WeirError(.internal, "not committed")
    }
    return after
  }

  @Test func `tables are brought up when they are as many entries behind as the bound, and not before`() async throws {
    let bench = try await PartsBench(tables: calls)
    let followers = followers(bench)
    try await followers.catchUp(to: 0)
    var expected: [Int64] = [0]
    for number in 1...9 as ClosedRange<Int64> {
      try await followers.applied(fold: try await commit(bench), merged: [], owners: [])
      if number % Followers.behindMax == 0 { expected.append(number) }
      #expect(calls.targets("silver/t") == expected && calls.targets("gold/users") == expected)
      #expect(await followers.appliedThrough == expected.last)
      #expect(await followers.collectableThrough == expected.last)
    }
    try await followers.applied(fold: await bench.ledger.fold, merged: [], owners: [], behindMax: 1)
    #expect(calls.targets("silver/t").last == 9)
  }

  @Test func `very many files bring tables up at once`() async throws {
    let bench = try await PartsBench(tables: calls)
    let followers = followers(bench)
    try await followers.catchUp(to: 0)
    try await followers.applied(fold: try await commit(bench, files: 4095), merged: [], owners: [])
    #expect(calls.targets("silver/t") == [0])
    try await followers.applied(fold: try await commit(bench, files: 1), merged: [], owners: [])
    #expect(calls.targets("silver/t") == [0, 2])
    try await followers.applied(fold: try await commit(bench, files: 1), merged: [], owners: [])
    #expect(calls.targets("silver/t") == [0, 2], "what they have counts no more")
  }

  @Test func `a table that fails leaves all of them where they were, and the next time repeats nothing that is done`() async throws {
    let bench = try await PartsBench(tables: calls)
    let followers = followers(bench)
    try await commit(bench)
    calls.fail(["gold/users"])
    await #expect(throws: WeirError.self) { try await followers.catchUp(to: 1) }
    #expect(await followers.appliedThrough == -1, "collection must not count on it")
    calls.fail([])
    try await followers.catchUp(to: 1)
    #expect(await followers.appliedThrough == 1 && calls.targets("gold/users") == [1])
    try await followers.compare(with: await bench.ledger.fold)
    try await followers.catchUp(to: 1)
    try await followers.catchUp(to: 0)
    #expect(await followers.appliedThrough == 1 && calls.targets("gold/users") == [1], "it never goes back")
  }

  @Test func `no follower is asked for an entry that the ledger does not have`() async throws {
    let bench = try await PartsBench(tables: calls)
    let followers = followers(bench)
    await #expect { try await followers.catchUp(to: 1) } throws: { ($0 as? WeirError)?.code == .internal }
    #expect(calls.targets("silver/t").isEmpty)
  }

  @Test func `a check writes nothing, and fails with the table that does not belong`() async throws {
    let bench = try await PartsBench(tables: calls)
    let followers = followers(bench)
    try await followers.check()
    #expect(calls.targets("silver/t").isEmpty)
    #expect(await followers.appliedThrough == -1)
    calls.fail(["late/kinds"])
    await #expect(throws: WeirError.self) { try await followers.check() }
  }

  // MARK: The state table

  @Test func `marks say of the worker's lanes what the ledger has, with the merged rows, by their owners only`() async throws {
    let state = MemoryStateTable()
    let bench = try await PartsBench(shards: ["t/0", "t/1"], state: state, tables: calls)
    let followers = followers(bench)
    let owners: [(String, [UInt8])] = [("owner/t/0", [1])]
    try await state.writeMeta(owners)
    var batch = StateBatch(table: "kind_totals", lane: LaneID.merge.text, fence: Fence(generation: 0, position: 1))
    batch.append(key: [1][...]) { $0.write(Int64(1)) }
    let fold = try await commit(bench)
    try await followers.applied(fold: fold, merged: [batch], lanes: [lane], owners: owners)
    #expect(try await state.readMeta("committed/t/0") == Array("0 0".utf8))
    #expect(try await state.readMeta("committed/t/1") == nil)
    #expect(try await state.readMeta("committed/_merge") == nil)
    #expect(try await state.rows(of: "kind_totals").count == 1)
    try await state.writeMeta([("owner/t/0", [2])])
    await #expect { try await followers.applied(fold: fold, merged: [], lanes: [lane], owners: owners) } throws: {
      ($0 as? WeirError)?.code == .stateFenced
    }
    let all = Followers.marks(fold)
    #expect(all.map(\.0).dropFirst() == ["committed/_merge", "committed/t/0", "committed/t/1"])
    #expect(all[1].1 == Array("0 1".utf8), "the merge lane's mark is the entry")
  }

  @Test(
    arguments: [
      // Merge lane's position, its state, the mark; whether the rows are there.
      (nil, false, nil, true), (nil, true, nil, false), (3, true, nil, false), (3, true, "0 2", false), (3, true, "0 3", true),
      (3, true, "0 5", true), (3, true, "0 6", false), (3, true, "damaged", false), (nil, false, "0 4", false),
    ] as [(Int64?, Bool, String?, Bool)])
  func `merged rows are missing unless a mark of an entry from the merge lane's last one on says that they are there`(
    _ position: Int64?, _ hasState: Bool, _ mark: String?, _ isThere: Bool
  ) async throws {
    var merge = LaneFold(generation: 0, floor: Watermark.minimum, at: position.map { ShardPoint($0) })
    if hasState { merge.state = StateRef(base: BlobRef(path: "b", length: 1, hash: "h")) }
    let fold = LedgerFold(
      genesis: Genesis(ledgerID: "l", runID: "r", stream: "s", plan: .null, planHash: "p", lanes: [.merge]), number: 5, hash: "h",
      lanes: [.merge: merge], lookups: [:], tables: [:], partitioners: [:], mergedWatermark: Watermark.minimum)
    let meta = mark.map { [Followers.mergeMark: Array($0.utf8)] } ?? [:]
    #expect(Followers.hasMerged(fold, meta) == isThere)
  }

  @Test func `merged rows that are there are not written once more`() async throws {
    let writes = Atomic(0)
    let state = MemoryStateTable(onStep: { if $0 == .beforeRequest { writes.add(1, ordering: .relaxed) } })
    let bench = try await PartsBench(state: state, tables: calls)
    let followers = followers(bench)
    var fold = try await commit(bench)
    fold.lanes[.merge]?.state = StateRef(base: BlobRef(path: "b", length: 1, hash: "h"))
    var batch = StateBatch(table: "kind_totals", lane: LaneID.merge.text, fence: Fence(generation: 0, position: 1))
    batch.append(key: [1][...]) { $0.write(Int64(1)) }
    try await followers.repairMerged(fold, rows: [], expiring: [], owners: [])
    #expect(writes.load(ordering: .relaxed) == 0)
    try await followers.repairMerged(fold, rows: [batch], expiring: [], owners: [])
    #expect(writes.load(ordering: .relaxed) == 1)
    try await followers.repairMerged(fold, rows: [batch], expiring: [], owners: [])
    #expect(writes.load(ordering: .relaxed) == 1)
  }
}

/// Flushes, where they are bounded and where they fail. (More: FlushTests.)
@Suite struct StateFlusherTests {
  private actor Lane: StateRowSource {
    let ids: [LaneID]
    let news = StateNews()
    private var next: [LaneRows] = []
    private(set) var asked = 0

    init(_ id: String = "t/0") { ids = [LaneID(shard: id)] }

    /// - Parameter at: of the rows; nil: as the mark.
    func give(_ keys: [UInt8], generation: Int64 = 0, position: Int64, at: Int64? = nil, left: Int = 0) {
      var batch = StateBatch(table: "t", lane: ids[0].text, fence: Fence(generation: generation, position: at ?? position))
      for key in keys { batch.append(key: [key][...]) { $0.write(position) } }
      next.append(LaneRows([batch], mark: FlushMark(lane: ids[0], generation: generation, position: position), left: left))
      news.mark()
    }

    func takeStateRows(max: Int) -> [LaneRows] {
      asked += 1
      defer { if !next.isEmpty { next.removeFirst() } }
      if next.count > 1 { news.mark() }
      return next.first.map { [$0] } ?? []
    }
    func allStateRows(of id: LaneID) -> LaneRows? { nil }
    func markAllUnflushed(_ id: LaneID) {}
  }

  private let clock = ManualClock(.waits)

  private func flusher(_ lanes: [Lane], _ table: (any StateTable)?) async throws -> StateFlusher {
    try await table?.writeMeta(FlushMark.owners(of: lanes.flatMap(\.ids), [7]))
    let news = Alarm()
    for lane in lanes { lane.news.ring(news) }
    return StateFlusher(lanes: { lanes }, news: news, state: table, clock: clock, spec: StoreSpec(), owner: [7])
  }

  @Test(
    arguments: [
      // Took, share; the next one begins so long after the last one began.
      (0, 0.1, 100), (10, 0.1, 100), (11, 0.1, 110), (50, 0.5, 100), (10_000, 0.1, 100_000), (10_001, 0.1, 100_000), (3_600_000, 1, 10_000),
    ] as [(Int64, Double, Int64)])
  func `flushes take their share of the time at most, and one that was slept through holds nothing up`(
    _ took: Int64, _ share: Double, _ after: Int64
  ) {
    let spec = StoreSpec(flushMicroseconds: 100_000, share: share)
    #expect(StateFlusher.next(after: 5, took: took * 1_000_000, spec) == 5 + after * 1_000_000)
  }

  @Test func `what a lane has at a place that is written already is not written again, unless it was restored`() async throws {
    let writes = Atomic(0)
    let table = MemoryStateTable(onStep: { if $0 == .beforeRequest { writes.add(1, ordering: .relaxed) } })
    let lane = Lane()
    let flusher = try await flusher([lane], table)
    await lane.give([1], position: 5)
    try await flusher.flush()
    let before = writes.load(ordering: .relaxed)
    await lane.give([1], position: 5)
    try await flusher.flush()
    #expect(writes.load(ordering: .relaxed) == before)
    await flusher.forget(lane.ids)
    await lane.give([1], position: 5)
    try await flusher.flush()
    #expect(writes.load(ordering: .relaxed) == before + 1)
    let asked = await lane.asked
    _ = lane.news.take()
    try await flusher.flush()
    #expect(await lane.asked == asked, "a lane without news is not asked")
  }

  @Test func `a lane that still has rows keeps the mark of a flush that has not ended`() async throws {
    let table = MemoryStateTable()
    let lane = Lane()
    let flusher = try await flusher([lane], table)
    await lane.give([1], position: 5, left: 1)
    // The rest is not there any more when it is asked for: another lane's matter.
    try await flusher.flush()
    #expect(try await table.readMeta("flushed/t/0") == Array("flushing 0/5".utf8))
    await lane.give([2], position: 6)
    try await flusher.flush()
    #expect(try await table.readMeta("flushed/t/0") == Array("0 6".utf8))
  }

  @Test func `marks never go back, and rows are at the place of their mark`() async throws {
    let table = MemoryStateTable()
    let lane = Lane()
    let flusher = try await flusher([lane], table)
    await lane.give([1], generation: 1, position: 5)
    try await flusher.flush()
    await lane.give([2], generation: 0, position: 9)
    await #expect { try await flusher.flush() } throws: { ($0 as? WeirError)?.code == .internal }
    #expect(try await table.readMeta("flushed/t/0") == Array("1 5".utf8))
    #expect(try await table.rows(of: "t").count == 1, "none of its rows is written")

    let other = Lane("t/1")
    let next = try await self.flusher([other], table)
    await other.give([3], position: 7, at: 6)
    await #expect { try await next.flush() } throws: { ($0 as? WeirError)?.code == .internal }
    #expect(try await table.rows(of: "t").count == 1)
    #expect(try await table.readMeta("flushed/t/1") == nil)
  }

  @Test func `a worker that lost a lane in the table writes neither rows nor marks of any`() async throws {
    let table = MemoryStateTable()
    let lanes = [Lane(), Lane("t/1")]
    let flusher = try await flusher(lanes, table)
    try await table.writeMeta(FlushMark.owners(of: lanes[1].ids, [8]))
    for lane in lanes { await lane.give([1], position: 5) }
    await #expect { try await flusher.flush() } throws: { ($0 as? WeirError)?.code == .stateFenced }
    #expect(try await table.rows(of: "t").isEmpty)
    #expect(try await table.listMeta(prefix: "flushed/").isEmpty)
    await #expect(throws: WeirError.self, "the rows are in no lane any more") { try await flusher.flush() }
  }

  @Test func `without a state table nothing is asked for`() async throws {
    let lane = Lane()
    let flusher = try await flusher([lane], nil)
    try await flusher.flush()
    try await flusher.run(until: Flag())
    #expect(await lane.asked == 0)
  }

  @Test func `a flusher ends when it is cancelled, and when all is done, while it sleeps`() async throws {
    for isCancelled in [true, false] {
      let (flusher, isDone) = (try await flusher([Lane()], MemoryStateTable()), Flag())
      let task = Task { try await flusher.run(until: isDone) }
      // The new lane's news: it waits for its interval.
      while clock.sleepers == 0 { await Task.yield() }
      if isCancelled { task.cancel() } else { isDone.raise() }
      try await task.value
    }
  }

  @Test func `nothing is flushed while another has the table to itself`() async throws {
    let table = MemoryStateTable()
    let lane = Lane()
    let flusher = try await flusher([lane], table)
    await lane.give([1], position: 5)
    let gate = StoreGate(isShut: true)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await flusher.pausing { await gate.pass() } }
      await gate.whenARequestWaits()
      tasks.addTask { try await flusher.flush() }
      for _ in 0..<100 { await Task.yield() }
      #expect(try await table.rows(of: "t").isEmpty)
      await gate.open()
      try await tasks.waitForAll()
    }
    #expect(try await table.rows(of: "t").count == 1)
  }
}
