import Synchronization
import Testing
import WeirCore
import WeirOperators
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// The merge lane: what it has of any entries, and its life beside other workers.
@Suite struct LedgerMergeTests {
  private let id = LaneID(shard: "t/0")

  private final class Setup: Sendable {
    let bench: PartsBench
    let committer: EpochCommitter
    let followers: Followers
    let merge: LedgerMerge

    init(_ bench: PartsBench, owner: [UInt8] = [1], ledger: Ledger? = nil) {
      self.bench = bench
      let ledger = ledger ?? bench.ledger
      committer = bench.committer(ledger)
      followers = Followers(environment: bench.environment, ledger: ledger, ledgerID: "l", compiled: bench.compiled)
      merge = LedgerMerge(
        compiled: bench.compiled, ledger: ledger, environment: bench.environment, committer: committer, followers: followers, owner: owner,
        meter: bench.meter)
    }

    func begin() async throws { try await merge.begin(try await committer.ledger.refresh(), run: PartsBench.run) }
  }

  private func worker(_ bench: PartsBench) async -> EpochCommitter {
    let committer = bench.committer()
    await committer.hold(id, await bench.ledger.fold[id])
    return committer
  }

  private func rows(_ bench: PartsBench) async throws -> [String] {
    try await bench.rows(of: "gold/kinds", ["kind", "window_start", "rows"]).sorted()
  }

  /// As files have them.
  private func expected(_ naive: NaiveLane, below watermark: Int64 = .max) -> [String] {
    naive.windows(of: "kinds").compactMap { text in
      let parts = text.split(separator: " ")
      let start = Int64(parts[1])!
      return watermark == .max || start + 10 <= watermark ? "\(parts[0]) \(start * 1_000_000) \(parts[2])" : nil
    }.sorted()
  }

  // MARK: The lane

  @Test(arguments: Cases.seeds(1..<9, debugStep: 3))
  func `however records are spread over lanes and epochs, and wherever it is restored, a window comes once and whole`(_ seed: UInt64) throws
  {
    let compiled = try PartsBench.compiled()
    var (random, naive) = (SplitMix64(seed: seed), NaiveLane())
    // One stream of records, of which each part is another lane's epoch; ids and lateness are the lanes' matter.
    var (merge, found, blobs): (MergeLane, [String], [[UInt8]]) = (MergeLane(compiled), [], [])
    let partial = ShardPartial(compiled, lanes: 1, run: PartsBench.run)
    let lane = LaneState(id, generation: 0, compiled: compiled, run: PartsBench.run, scratch: Scratch())
    var feed = Feed(compiled)
    for step in 0..<10 {
      var partials: [Partial] = []
      for _ in 0..<random.below(4) {
        let records = (0..<random.below(15)).map { _ in SampleRecord.random(&random, around: Int64(step) * 6) }
        for record in records { naive.take(record) }
        let block = try feed.block(records)
        try lane.consume(block, lane: 0)
        partial.fold(block)
        var epochs = [try lane.cut()]
        partial.finish(into: &epochs)
        partials += [epochs[0].partial].compactMap(\.self)
      }
      let watermark = (naive.watermark ?? -100) * 1_000_000
      let epoch = merge.epoch(partials, watermark: watermark)
      let texts = try epoch.results[1]?.texts ?? []
      found += texts
      #expect(epoch.results.keys.allSatisfy { $0 == 1 }, "tables of the lanes are not its own")
      #expect(texts.allSatisfy { (Int64($0.split(separator: " ")[1])! + 10) * 1_000_000 <= watermark })
      blobs = epoch.state.isBase ? [Array(epoch.state.pieces.joined())] : blobs + [Array(epoch.state.pieces.joined())]
      if random.chance(0.4) {
        merge = MergeLane(compiled)
        try merge.restore(blobs: blobs)
      }
    }
    #expect(try merge.allStateRows(ledgerNumber: 9)[0].texts.sorted() == naive.totals(of: "kind_totals"))
    found += try merge.epoch(watermark: Watermark.maximum).results[1]?.texts ?? []
    #expect(found.sorted() == naive.windows(of: "kinds") && merge.openWindows == 0)
  }

  @Test func `its rows have the number of their entry as fence, and only what changed comes again`() throws {
    let compiled = try PartsBench.compiled()
    let (merge, partial) = (MergeLane(compiled), ShardPartial(compiled, lanes: 1, run: PartsBench.run))
    let lane = LaneState(id, generation: 0, compiled: compiled, run: PartsBench.run, scratch: Scratch())
    var feed = Feed(compiled)
    func add(_ kinds: [String]) throws {
      let block = try feed.block(kinds.map { SampleRecord(kind: $0, at: 1) })
      try lane.consume(block, lane: 0)
      partial.fold(block)
      var epochs = [try lane.cut()]
      partial.finish(into: &epochs)
      _ = merge.epoch([epochs[0].partial].compactMap(\.self), watermark: Watermark.minimum)
    }
    try add(["a", "b"])
    let first = merge.takeStateRows(ledgerNumber: 7)
    #expect(first.count == 1 && first[0].fence == Fence(generation: 0, position: 7) && first[0].lane == LaneID.merge.text)
    #expect(try first[0].texts.sorted() == ["a 1 1", "b 1 1"])
    try add(["b"])
    #expect(try merge.takeStateRows(ledgerNumber: 8)[0].texts == ["b 2 2"])
    #expect(merge.takeStateRows(ledgerNumber: 9).isEmpty)
    #expect(MergeLane(compiled).allStateRows(ledgerNumber: 1).isEmpty)
    #expect(MergeLane(compiled).allStateRows(ledgerNumber: 1, isEmptyToo: true).map(\.isEmpty) == [true])
  }

  @Test func `an epoch that is made while a stream grows finishes nothing`() throws {
    let compiled = try PartsBench.compiled()
    let (merge, partial) = (MergeLane(compiled), ShardPartial(compiled, lanes: 1, run: PartsBench.run))
    let lane = LaneState(id, generation: 0, compiled: compiled, run: PartsBench.run, scratch: Scratch())
    var feed = Feed(compiled)
    let block = try feed.block([SampleRecord(at: 1)])
    try lane.consume(block, lane: 0)
    partial.fold(block)
    var epochs = [try lane.cut()]
    partial.finish(into: &epochs)
    _ = merge.merge([try #require(epochs[0].partial)], watermark: Watermark.minimum)
    let epoch = merge.unfinishedEpoch(watermark: Watermark.maximum)
    #expect(epoch.results.isEmpty && merge.openWindows == 1 && epoch.watermark == Watermark.maximum)
  }

  // MARK: Rounds

  @Test func `rounds merge what any worker committed, by the merged watermark, and end when nothing is new`() async throws {
    let state = MemoryStateTable()
    let bench = try await PartsBench(shards: ["t/0"], state: state)
    let (setup, worker) = (Setup(bench), await worker(bench))
    #expect(try await setup.merge.round() == nil, "it is not here yet")
    try await setup.begin()
    #expect(await setup.merge.isHeld)
    #expect(try await setup.merge.round() == nil, "an empty ledger has nothing to merge")
    var (lane, naive, random) = (try await bench.lane(), NaiveLane(), SplitMix64(seed: 11))
    for step in 0..<5 {
      for _ in 0...random.below(3) {
        let records = (0..<12).map { _ in SampleRecord.random(&random, around: Int64(step) * 9) }
        for record in records { naive.take(record) }
        try await lane.actor.consume(try lane.feed.block(records))
        _ = try await bench.commit(worker, lane.actor).fold()
      }
      let head = await bench.ledger.fold.number
      let fold = try #require(try await setup.merge.round())
      #expect(fold.mergeLane.position?.ordinal == head && fold.number == head + 1)
      #expect(await setup.merge.appliedThrough == head)
      #expect(try await rows(bench) == expected(naive, below: naive.watermark ?? 0))
      #expect(try await setup.merge.round() == nil, "its own entry is no news")
      let totals = try await state.rows(of: "kind_totals").map { $0.fence.position }
      #expect(totals.allSatisfy { $0 <= fold.number } && totals.contains(fold.number))
    }
    #expect(try await state.read(table: "kind_totals", key: StateKey.encode([.string("k0")])) != nil)
  }

  @Test func `entries without anything to merge are passed by an epoch only when there are more than fifty of them`() async throws {
    let bench = try await PartsBench(shards: ["t/0"], compiled: try PartsBench.compiled(), state: nil)
    let setup = Setup(bench)
    try await setup.begin()
    for number in 1...51 {
      let fold = await bench.ledger.fold
      _ = try await bench.ledger.commit(
        EntryDraft(commitID: "c\(number)", worker: "o", planHash: "h", lanes: [fold.emptyEpoch(of: id)]),
        startedNanoseconds: bench.clock.monotonicNanoseconds)
      let after = try await setup.merge.round()
      #expect((after != nil) == (number == 51))
    }
    #expect(await setup.merge.appliedThrough == 51)
  }

  @Test func `of two that lead, the one that is late is fenced, and merges nothing twice`() async throws {
    let bench = try await PartsBench()
    let (mine, theirs, worker) = (Setup(bench), Setup(bench, owner: [2], ledger: try await bench.otherLedger()), await worker(bench))
    try await mine.begin()
    try await theirs.begin()
    var lane = try await bench.lane()
    try await lane.actor.consume(try lane.feed.block([SampleRecord(at: 1), SampleRecord(at: 50)]))
    _ = try await bench.commit(worker, lane.actor).fold()
    #expect(try await theirs.merge.round() != nil)
    await #expect { _ = try await mine.merge.round() } throws: {
      if case .fenced(let lanes)? = ($0 as? CommitRefused)?.end { lanes == [.merge] } else { false }
    }
    #expect(try await rows(bench) == ["a 0 1"])
    guard case .abandoned = try await mine.committer.commit(empty: []) else { return _ = Issue.record("it may not continue") }
  }

  @Test func `contributions that cannot be read end the round, and nothing that follows them is committed`() async throws {
    let isBroken = Mutex(false)
    let bench = try await PartsBench(wrap: {
      InterceptedStore($0) { request in
        if case .get(let path) = request, path.contains("/blobs/"), isBroken.withLock({ $0 }) { throw WeirError(.storage, "no answer") }
      }
    })
    let (setup, worker) = (Setup(bench), await worker(bench))
    try await setup.begin()
    var lane = try await bench.lane()
    try await lane.actor.consume(try lane.feed.block([SampleRecord(at: 1), SampleRecord(at: 50)]))
    _ = try await bench.commit(worker, lane.actor).fold()
    isBroken.withLock { $0 = true }
    await #expect { _ = try await setup.merge.round() } throws: { ($0 as? WeirError)?.code == .storage }
    isBroken.withLock { $0 = false }
    await #expect { _ = try await setup.merge.round() } throws: { ($0 as? CommitRefused)?.end == .abandoned }
    // The next session starts from the ledger.
    let next = Setup(bench)
    try await next.begin()
    #expect(try await next.merge.round() != nil)
    #expect(try await rows(bench) == ["a 0 1"])
  }

  @Test func `a worker that gets the lead writes the merged rows of the last entry, which may be missing`() async throws {
    let state = MemoryStateTable()
    let bench = try await PartsBench(state: state)
    let (worker, silent) = (await worker(bench), try await PartsBench())
    _ = silent
    // The leader stops between entry and rows: here its table is another one.
    let environment = bench.environment
    var without = environment
    without.state = nil
    let committer = bench.committer()
    let first = LedgerMerge(
      compiled: bench.compiled, ledger: bench.ledger, environment: without, committer: committer,
      followers: Followers(environment: without, ledger: bench.ledger, ledgerID: "l", compiled: bench.compiled), owner: [1])
    try await first.begin(await bench.ledger.fold, run: PartsBench.run)
    var lane = try await bench.lane()
    try await lane.actor.consume(try lane.feed.block([SampleRecord(at: 1)]))
    _ = try await bench.commit(worker, lane.actor).fold()
    let fold = try #require(try await first.round())
    #expect(try await state.rows(of: "kind_totals").isEmpty)
    let next = Setup(bench, owner: [2])
    try await next.begin()
    #expect(try await state.rows(of: "kind_totals").map(\.fence) == [Fence(generation: 0, position: fold.number)])
    #expect(try await Followers.hasMerged(fold, state))
    await next.merge.drop()
    #expect(await !next.merge.isHeld)
    #expect(try await next.merge.round() == nil)
  }

  @Test func `a repeated epoch never goes back, and needs the lane`() async throws {
    let bench = try await PartsBench()
    let (setup, worker) = (Setup(bench), await worker(bench))
    func isInternal(_ error: any Error) -> Bool { (error as? WeirError)?.code == .internal }
    await #expect { try await setup.merge.repeats(through: 0, watermark: 0, rows: nil) } throws: { isInternal($0) }
    try await setup.begin()
    var lane = try await bench.lane()
    for at in [1, 50] as [Int64] {
      try await lane.actor.consume(try lane.feed.block([SampleRecord(at: at)]))
      _ = try await bench.commit(worker, lane.actor).fold()
    }
    // What was merged then is merged now: not the second entry, although it is there.
    try await setup.merge.repeats(through: 1, watermark: -1_000_000, rows: nil)
    #expect(await bench.ledger.fold.mergeLane.position?.ordinal == 1)
    try await setup.merge.repeats(through: 2, watermark: 48_000_000, rows: nil)
    #expect(try await rows(bench) == ["a 0 1"])
    await #expect { try await setup.merge.repeats(through: 1, watermark: 48_000_000, rows: nil) } throws: { isInternal($0) }
  }
}
