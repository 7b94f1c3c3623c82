import Synchronization
import Testing
import WeirCore
import WeirOperators
import WeirTesting

@testable import WeirEngine
@testable import WeirProtocol

/// The entry by which a stream gets more shards: what it needs, what it says, and what it has of the lanes.
@Suite struct PartitionsToAddTests {
  private static let tables = """
    dedup: {id: id, within: 1h}
    gold:
      users: {by: [user], window: {tumbling: 10s}, measure: {rows: count(), total: sum(n)}}
    state:
      totals: {by: [user], measure: {rows: count(), total: sum(n)}}
    """

  private static func shards(_ numbers: [Int], stream: String = "t") -> [SourceShard] {
    numbers.map { SourceShard(name: "\(stream)/\($0)", stream: stream, number: $0) }
  }

  /// Partitions 0 and 1 with some records each, committed.
  private func begun(_ lanes: [String] = ["t/0", "t/1"], wrap: (any ObjectStore) -> any ObjectStore = { $0 }) async throws
    -> (bench: PartsBench, naive: [NaiveLane])
  {
    let bench = try await PartsBench(shards: lanes, compiled: try PartsBench.compiled(Self.tables), wrap: wrap)
    let committer = bench.committer()
    var (random, all) = (SplitMix64(seed: 4), [NaiveLane]())
    for shard in lanes {
      await committer.hold(LaneID(shard: shard), nil)
      var (lane, naive) = (try await bench.lane(shard), NaiveLane())
      for step in 0..<3 {
        var records = (0..<10).map { _ in SampleRecord.random(&random, around: Int64(step) * 8) }
        // Keys are in one partition each.
        for i in records.indices { records[i].user += shard }
        for record in records where record.n < 1000 { naive.take(record) }
        try await lane.actor.consume(try lane.feed.block(records.filter { $0.n < 1000 }))
        _ = try await bench.commit(committer, lane.actor).fold()
      }
      all.append(naive)
    }
    return (bench, all)
  }

  private func decision(_ bench: PartsBench, _ shards: [SourceShard], ledger: Ledger? = nil) -> PartitionsToAdd {
    PartitionsToAdd(
      compiled: bench.compiled, ledger: ledger ?? bench.ledger, environment: bench.environment, planHash: "h", stream: "t", shards: shards)
  }

  @Test func `the merge lane has the tables of all lanes from there on, the lanes have none, and every id is kept`() async throws {
    let (bench, naive) = try await begun()
    let before = await bench.ledger.fold
    let fold = try await decision(bench, Self.shards([0, 1, 2])).decide()
    #expect(fold.number == before.number + 1)
    let growth = try #require(fold.growths["t"])
    #expect(growth.decision.before.map(\.shard) == ["t/0", "t/1"] && growth.decision.added.map(\.shard) == ["t/2"])
    #expect(growth.entry == fold.number && growth.decision.rule == .murmur2)
    for lane in before.lanes.keys where lane != .merge {
      #expect(fold[lane]?.position == before[lane]?.position && fold[lane]?.epoch == before.nextEpoch(of: lane))
      #expect(fold[lane]?.counts == before[lane]?.counts)
    }
    let after = Restorer(compiled: bench.compiled.following(fold), store: bench.memory, fold: fold, run: PartsBench.run)
    #expect(after.compiled.mergesKeys)
    let merge = try await after.merge()
    #expect(try merge.allStateRows(ledgerNumber: 1)[0].texts.sorted() == naive.flatMap { $0.totals(of: "totals") }.sorted())
    let ids = try await after.state(LaneID(shard: "t/2"), Scratch()).dedup?.count
    for number in 0...1 {
      let lane = try await after.state(LaneID(shard: "t/\(number)"), Scratch())
      #expect(lane.allStateRows().isEmpty)
      #expect(lane.dedup?.count == ids)
    }
    let known = try await bench.restorer(bench.otherLedger()).fold
    #expect(known == fold)
    // Windows that were open close in the merge lane, those that were written out are not there again.
    var open: Set<String> = []
    for (number, naive) in naive.enumerated() {
      let watermark = try #require(before[LaneID(shard: "t/\(number)")]?.watermark)
      for window in naive.windows(of: "users") where (Int64(window.split(separator: " ")[1])! + 10) * 1_000_000 > watermark {
        open.insert(window)
      }
    }
    #expect(try Set(merge.merge([], watermark: Watermark.maximum)[0]?.texts ?? []) == open && !open.isEmpty)
  }

  @Test func `who comes later finds it recorded, and records nothing`() async throws {
    let (bench, _) = try await begun()
    let other = try await bench.otherLedger()
    let fold = try await decision(bench, Self.shards([0, 1, 2])).decide()
    #expect(try await decision(bench, Self.shards([0, 1, 2, 3]), ledger: other).decide() == fold)
    #expect(throws: PartitionsFound.self) { try bench.compiled.check(fold) }
    try bench.compiled.following(fold).check(fold)
    #expect(!bench.compiled.following(await (try await begun()).bench.ledger.fold).mergesKeys)
  }

  @Test func `of one partition no rule is recorded, because no key was anywhere else`() async throws {
    let (bench, _) = try await begun(["t/0"])
    #expect(try await decision(bench, Self.shards([0, 1])).decide().growths["t"]?.decision.rule == nil)
  }

  @Test(
    arguments: [
      // What the ledger has, and what the source has.
      (["t/0", "t/2"], [0, 1, 2]), (["t/1"], [0, 1]), (["t/0", "t/1"], [0, 2, 3]), (["t/0", "t/1"], [1, 2]),
    ] as [([String], [Int])])
  func `partitions with a gap are refused: it is not known where keys were`(_ lanes: [String], _ numbers: [Int]) async throws {
    let bench = try await PartsBench(shards: lanes, compiled: try PartsBench.compiled(Self.tables))
    let objects = bench.memory.all.count
    // A lane in front of the gap is fine; one after it is not.
    let isWhole = lanes == ["t/0", "t/1"] && numbers == [0, 2, 3]
    do {
      let fold = try await decision(bench, Self.shards(numbers)).decide()
      #expect(isWhole && fold.growths["t"]?.decision.before.map(\.shard) == ["t/0"])
    } catch {
      #expect(!isWhole && (error as? WeirError)?.code == .shardsChanged)
      #expect(bench.memory.all.count == objects)
    }
  }

  @Test func `an entry of another worker in between is taken in, and too many of them end the attempt`() async throws {
    let rivals = Mutex<(left: Int, commit: (@Sendable () async throws -> Void)?)>((0, nil))
    let (bench, naive) = try await begun(wrap: {
      InterceptedStore($0) { request in
        guard case .write(let paths) = request, paths.contains(where: { $0.hasSuffix("-partitions") }) else { return }
        let commit = rivals.withLock { rivals in
          rivals.left -= 1
          return rivals.left >= 0 ? rivals.commit : nil
        }
        try await commit?()
      }
    })
    let rival = try await bench.otherLedger()
    let clock = bench.clock
    let commit: @Sendable () async throws -> Void = {
      let fold = try await rival.refresh()
      _ = try await rival.commit(
        EntryDraft(commitID: rival.makeAttemptID(), worker: "o", planHash: "h", lanes: [fold.emptyEpoch(of: LaneID(shard: "t/1"))]),
        startedNanoseconds: clock.monotonicNanoseconds)
    }
    rivals.withLock { $0 = (60, commit) }
    await #expect { _ = try await decision(bench, Self.shards([0, 1, 2])).decide() } throws: { ($0 as? WeirError)?.code == .abandoned }
    #expect(rivals.withLock { $0.left } == 10, "fifty attempts were made")
    rivals.withLock { $0.left = 3 }
    let head = try await bench.ledger.refresh().number
    let fold = try await decision(bench, Self.shards([0, 1, 2])).decide()
    #expect(fold.number == head + 4)
    let after = Restorer(compiled: bench.compiled.mergingKeys, store: bench.memory, fold: fold, run: PartsBench.run)
    let merge = try await after.merge()
    #expect(try merge.allStateRows(ledgerNumber: 1)[0].texts.sorted() == naive.flatMap { $0.totals(of: "totals") }.sorted())
  }
}

/// What the conductor of a group says of the source's shards, without a session.
@Suite struct GroupShardsTests {
  private func lane(_ shard: String, position: Int64? = 5, _ change: (inout LaneFold) -> Void = { _ in }) -> (LaneID, LaneFold) {
    var lane = LaneFold(generation: 0, floor: Watermark.minimum, at: position.map { ShardPoint($0) })
    change(&lane)
    return (LaneID(shard: shard), lane)
  }

  private func fold(_ lanes: [(LaneID, LaneFold)]) -> LedgerFold {
    LedgerFold(
      genesis: Genesis(ledgerID: "l", runID: "r", stream: "t", plan: .null, planHash: "p", lanes: lanes.map(\.0)), number: 1, hash: "h",
      lanes: Dictionary(uniqueKeysWithValues: lanes + [(LaneID.merge, LaneFold(generation: 0, floor: 0, at: 0))]), lookups: [:],
      tables: [:], partitioners: [:], mergedWatermark: Watermark.minimum)
  }

  private func shards(_ names: String...) -> [SourceShard] {
    names.map { SourceShard(name: $0, stream: ShardName($0)?.stream ?? $0, number: ShardName($0)?.number ?? 0) }
  }

  private func code(_ body: () throws -> Void) -> WeirError.Code? {
    do { try body() } catch { return (error as? WeirError)?.code }
    return nil
  }

  @Test func `a shard is missing if its stream is there without it, and a lane that holds nothing back is not missed`() {
    let known = fold([
      lane("t/0"), lane("t/1"), lane("t/2") { $0.isIdle = true }, lane("t/3") { $0.hasEnded = true },
      lane("t/4") { $0.isShardClosed = true },
      lane("t/5") { $0.origin = LaneOrigin(ChildShard(lane: LaneID(shard: "t/5"), parents: [], range: nil)) }, lane("u/0"), lane("alone"),
    ])
    #expect(GroupConductor.missing(shards("t/0"), known) == ["t/1"])
    #expect(GroupConductor.gone(shards("t/0"), known) == ["u": ["u/0"]])
    #expect(GroupConductor.missing(shards("v/0"), known) == [])
    #expect(GroupConductor.gone(shards("v/0"), known) == ["t": ["t/0", "t/1"], "u": ["u/0"]])
    #expect(GroupConductor.gone([], fold([])).isEmpty)
  }

  @Test func `a new partition moves keys of tables by key, unless it is accepted, a new stream's, a child's, or nothing depends on it`()
    throws
  {
    let (byKey, merged) = (
      try PartsBench.compiled(), try PartsBench.compiled(source: "kafka: {brokers: \"b:1\", topic: t, group: g, misplaced: merge}")
    )
    let known = fold([lane("t/0"), lane("t/1")])
    func check(_ shards: [SourceShard], _ compiled: CompiledPlan, _ accepted: AcceptedStreams = AcceptedStreams()) throws -> String? {
      try GroupConductor.check(shards, compiled, known, accepted)
    }
    #expect(try check(shards("t/0", "t/1"), byKey) == nil)
    #expect(code { _ = try check(shards("t/0", "t/1", "t/2"), byKey) } == .shardsChanged)
    #expect(try check(shards("t/0", "t/1", "t/2"), byKey, AcceptedStreams(grown: ["t"])) == "t")
    #expect(code { _ = try check(shards("t/0", "t/1", "t/2"), byKey, AcceptedStreams(grown: ["u"])) } == .shardsChanged)
    #expect(try check(shards("t/0", "t/1", "t/2"), merged) == nil)
    #expect(try check(shards("t/0", "t/1", "t/2"), byKey.mergingKeys) == nil)
    #expect(try check(shards("t/0", "t/1", "u/0", "u/1"), byKey) == nil)
    var child = shards("t/2")
    child[0].parents = ["t/0"]
    #expect(try check(shards("t/0", "t/1") + child, byKey) == nil)
    #expect(code { _ = try check(shards("t/0"), merged) } == .recreated)
    #expect(try check(shards("t/0"), merged, AcceptedStreams(recreated: ["t"])) == nil)
    #expect(code { _ = try check(shards("t/0"), merged, AcceptedStreams(recreated: ["u"])) } == .recreated)
  }

  /// A source whose answers about shards are given.
  private final class Answers: Sendable {
    let left: Mutex<[[SourceShard]]>
    let asked = Atomic(0)
    init(_ answers: [[SourceShard]]) { left = Mutex(answers) }
    func next() -> [SourceShard] {
      asked.add(1, ordering: .relaxed)
      return left.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
    }
  }

  private struct Group: ShardGroup {
    let answers: Answers
    func shards() async throws -> [SourceShard] { answers.next() }
    func join() async throws {}
    func nextEvent() async -> ShardGroupEvent { .closed }
    func bounds(of shards: [String]) async throws -> [String: ShardBounds] { [:] }
    func starts(of shards: [String]) async throws -> [String: ShardPoint] { [:] }
    func assign(_ positions: [String: ShardPoint]) async throws -> [String: any RecordSource] { [:] }
    func release(_ shards: [String]) async throws {}
    func follow(_ positions: [String: ShardPoint], as owner: String) async {}
    func followed(_ shards: [String]) async throws -> [String: FollowedPosition] { [:] }
    func close() async {}
  }

  @Test func `an answer that lacks a shard is believed only when the source repeats it`() async throws {
    let (whole, lacking) = (shards("t/0", "t/1"), shards("t/0"))
    let known = fold([lane("t/0"), lane("t/1")])
    func confirmed(
      _ first: [SourceShard], _ answers: [[SourceShard]], _ accepted: AcceptedStreams = AcceptedStreams(), isOver: Bool = false
    ) async throws -> (shards: [SourceShard], asked: Int, slept: Int64) {
      let (answers, clock) = (Answers(answers), ManualClock(.moves))
      let shards = try await GroupConductor.confirmed(first, Group(answers: answers), known, accepted, clock: clock, until: { isOver })
      return (shards, answers.asked.load(ordering: .relaxed), clock.monotonicNanoseconds)
    }
    let most = ShardCheck.endAsksMax - 1
    #expect(try await confirmed(whole, [lacking]) == (whole, 0, 0))
    #expect(try await confirmed(lacking, [whole]) == (whole, 1, 0), "the first may be old: no pause before the second")
    #expect(try await confirmed(lacking, [lacking, whole]) == (whole, 2, ShardCheck.pauseNanoseconds))
    #expect(try await confirmed(lacking, [lacking]) == (lacking, most, Int64(most - 1) * ShardCheck.pauseNanoseconds))
    #expect(try await confirmed(shards("u/0"), [whole]) == (whole, 1, 0), "a stream that is gone as a whole is asked for too")
    #expect(try await confirmed(lacking, [whole], AcceptedStreams(recreated: ["t"])) == (lacking, 0, 0))
    #expect(try await confirmed(lacking, [whole], isOver: true) == (lacking, 0, 0))
  }
}
