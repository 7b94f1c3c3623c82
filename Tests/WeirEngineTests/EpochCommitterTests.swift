import Synchronization
import Testing
import WeirCore
import WeirOperators
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// What a commit leaves in store and ledger, and what each of its ends means for the next one.
@Suite struct EpochCommitterTests {
  private let id = LaneID(shard: "t/0")

  private func held(_ bench: PartsBench, _ lanes: [LaneID]? = nil) async -> EpochCommitter {
    let committer = bench.committer()
    let fold = await bench.ledger.fold
    for lane in lanes ?? [id] { await committer.hold(lane, fold[lane]) }
    return committer
  }

  private func isInternal(_ error: any Error) -> Bool { (error as? WeirError)?.code == .internal }

  @Test(arguments: Cases.seeds(1..<7, debugStep: 3))
  func `epochs follow each other without gaps, and tables, counts and contributions are those of the records`(_ seed: UInt64) async throws {
    let bench = try await PartsBench(shards: ["t/0", "t/1"])
    let committer = await held(bench, [LaneID(shard: "t/0"), LaneID(shard: "t/1")])
    var (random, feeds, actors, naive) = (SplitMix64(seed: seed), [Feed](), [LaneActor](), [NaiveLane(), NaiveLane()])
    for shard in ["t/0", "t/1"] {
      let lane = try await bench.lane(shard)
      actors.append(lane.actor)
      feeds.append(lane.feed)
    }
    for step in 0..<6 {
      var epochs: [LaneEpoch] = []
      // The second is cut first: a batch is in the order of lanes.
      for lane in [1, 0] where lane == 0 || step % 2 == 0 {
        let records = (0..<random.below(20)).map { _ in SampleRecord.random(&random, around: Int64(step) * 6) }
        for record in records { naive[lane].take(record) }
        try await actors[lane].consume(try feeds[lane].block(records))
        epochs += try await actors[lane].cut()
      }
      let before = await bench.ledger.fold
      let encoded = try await committer.encode(EpochBatch(epochs: epochs, decisions: [:]), number: before.number + 1)
      let fold = try await committer.commit(encoded).fold()
      #expect(fold.number == before.number + 1)
      for epoch in epochs {
        let lane = try #require(fold[epoch.lane])
        #expect(lane.epoch == before.nextEpoch(of: epoch.lane))
        #expect(lane.position?.ordinal == epoch.position && lane.watermark == epoch.watermark)
      }
    }
    let entries = try await bench.otherLedger().entries(after: 0, through: 6)
    #expect(await committer.entries == 6 && entries.count == 6)
    for (before, entry) in zip(entries, entries.dropFirst()) {
      for commit in entry.lanes { if let last = before[commit.lane] { #expect(commit.from == last.to && commit.epoch == last.epoch + 1) } }
    }
    for lane in [0, 1] {
      #expect(await bench.ledger.fold[LaneID(shard: "t/\(lane)")]?.counts == naive[lane].counts)
    }
    // Every file and blob that an entry names is there, with the bytes that it names.
    for entry in entries {
      for file in entry.tables.flatMap(\.files) {
        #expect(ContentHash(of: bench.memory.all[file.path] ?? []).hex == file.hash)
        #expect(file.path.contains(entry.commitID), "no other attempt writes a file of this name")
      }
      for state in entry.lanes.compactMap(\.state) {
        for ref in [state.base] + state.deltas { _ = try await bench.restorer().blob(ref) }
      }
    }
    let silver = try await bench.rows(of: "silver/t", ["n"])
    #expect(silver.count == naive.reduce(0) { $0 + $1.accepted.count })
    // What the lanes gave the merge lane.
    let merge = MergeLane(bench.compiled)
    for entry in entries {
      guard let ref = entry.partials else { continue }
      _ = merge.merge(try await bench.restorer().partials(ref), watermark: Watermark.minimum)
    }
    let windows = merge.merge([], watermark: Watermark.maximum)[1]
    #expect(
      (windows?.count ?? 0)
        == Set((naive[0].windows(of: "kinds") + naive[1].windows(of: "kinds")).map { $0.split(separator: " ")[..<2] }).count)
    // A lane that another worker restores has all rows of the state table.
    for lane in [0, 1] {
      let restored = try await bench.restorer(bench.otherLedger()).state(LaneID(shard: "t/\(lane)"), Scratch())
      #expect(try restored.allStateRows()[0].texts.sorted() == naive[lane].totals(of: "totals"))
    }
  }

  @Test func `an empty epoch is an entry that moves nothing`() async throws {
    let bench = try await PartsBench()
    let committer = await held(bench)
    let lane = try await bench.lane()
    let fold = try await bench.commit(committer, lane.actor, [.idle]).fold()
    #expect(fold.number == 1 && fold[id]?.epoch == 1 && fold[id]?.position == 0 && fold[id]?.isIdle == true)
    #expect(try await bench.otherLedger().read(1)?.tables.isEmpty == true)
    // And one that only says something.
    let again = try await committer.commit(empty: [fold.emptyEpoch(of: id, decisions: [.wake])]).fold()
    #expect(again[id]?.epoch == 2 && again[id]?.isIdle == false && again[id]?.state == fold[id]?.state)
  }

  @Test func `files and blobs are in the store before the entry is put, and there are none of another attempt`() async throws {
    let requests = Mutex<[StoreRequest]>([])
    let bench = try await PartsBench(wrap: { InterceptedStore($0, before: { request in requests.withLock { $0.append(request) } }) })
    let committer = await held(bench)
    var lane = try await bench.lane()
    try await lane.actor.consume(try lane.feed.block([SampleRecord(at: 1)]))
    requests.withLock { $0 = [] }
    _ = try await bench.commit(committer, lane.actor).fold()
    let all = requests.withLock { $0 }.filter(\.isWrite)
    #expect(all.count == 2)
    guard case .write(let paths)? = all.first, case .put(let entry)? = all.last else { return _ = Issue.record("\(all)") }
    #expect(entry == bench.ledger.layout.entry(1))
    let named = try #require(try await bench.otherLedger().read(1))
    #expect(Set(paths) == Set(named.tables.flatMap(\.files).map(\.path) + [try #require(named.lanes[0].state?.base.path)]))
  }

  @Test func `an epoch of a lane that is not held, is there twice, or goes back is not committed`() async throws {
    let bench = try await PartsBench()
    let committer = await held(bench)
    var lane = try await bench.lane()
    try await lane.actor.consume(try lane.feed.block([SampleRecord(at: 1)]))
    let epoch = try await lane.actor.cut()[0]
    func commit(_ epochs: [LaneEpoch]) async throws {
      _ = try await committer.commit(try await committer.encode(EpochBatch(epochs: epochs, decisions: [:]), number: 1)).fold()
    }
    var other = epoch
    other.lane = LaneID(shard: "t/1")
    await #expect { try await commit([other]) } throws: { isInternal($0) }
    await #expect { try await commit([epoch, epoch]) } throws: { isInternal($0) }
    try await commit([epoch])
    var back = epoch
    back.position = epoch.position - 1
    await #expect { try await commit([back]) } throws: { isInternal($0) }
    await committer.drop([id])
    await #expect { try await commit([epoch]) } throws: { isInternal($0) }
    await #expect { _ = try await committer.commit(merged: MergeLane(bench.compiled).epoch(watermark: 0), through: 1) } throws: {
      isInternal($0)
    }
    #expect(await bench.ledger.fold.number == 1)
  }

  @Test func `a counted source's position does not go back, although the count of records rises`() async throws {
    let bench = try await PartsBench()
    let committer = await held(bench)
    let lane = try await bench.lane()
    func commit(_ ordinal: Int64, _ number: UInt128?) async throws {
      var epoch = try await lane.actor.cut()[0]
      (epoch.position, epoch.sequence) = (ordinal, number.map { SequenceNumber($0) })
      _ = try await committer.commit(try await committer.encode(EpochBatch(epochs: [epoch], decisions: [:]), number: 1)).fold()
    }
    try await commit(5, 1 << 80)
    await #expect { try await commit(6, 1 << 79) } throws: { isInternal($0) }
    await #expect { try await commit(6, nil) } throws: { isInternal($0) }
    try await commit(6, 1 << 80)
    #expect(await bench.ledger.fold[id]?.position?.sequence == SequenceNumber(1 << 80))
  }

  // MARK: Ends

  @Test func `a lane that another worker has moved on is fenced, and nothing is committed after that`() async throws {
    let bench = try await PartsBench(shards: ["t/0", "t/1"])
    let committer = await held(bench, [id, LaneID(shard: "t/1")])
    let other = try await bench.otherLedger()
    let fold = await other.fold
    guard
      case .committed = try await other.commit(
        EntryDraft(commitID: "o", worker: "o", planHash: "h", lanes: [fold.emptyEpoch(of: id)]),
        startedNanoseconds: bench.clock.monotonicNanoseconds)
    else { return _ = Issue.record("the other worker commits") }
    let (first, second) = (try await bench.lane("t/0"), try await bench.lane("t/1"))
    guard case .fenced(let lanes) = try await bench.commit(committer, first.actor) else { return _ = Issue.record("fenced") }
    #expect(lanes == [id])
    // The lane that no worker took follows the epoch that was dropped.
    guard case .abandoned = try await bench.commit(committer, second.actor) else { return _ = Issue.record("abandoned") }
    guard case .abandoned = try await committer.commit(empty: []) else { return _ = Issue.record("abandoned") }
    #expect(try await bench.otherLedger().fold.number == 1)
  }

  @Test func `the fence is what was restored, and not what the ledger says later`() async throws {
    let bench = try await PartsBench()
    let (mine, theirs) = (await held(bench), await held(bench))
    let lane = try await bench.lane()
    _ = try await bench.commit(theirs, lane.actor).fold()
    #expect(await bench.ledger.fold[id]?.epoch == 1, "both workers have seen it")
    guard case .fenced = try await bench.commit(mine, lane.actor) else { return _ = Issue.record("fenced") }
    #expect(await bench.ledger.fold[id]?.epoch == 1)
  }

  @Test func `an unknown outcome is reported as one, and nothing is committed after it`() async throws {
    let isSilent = Mutex(false)
    let bench = try await PartsBench(wrap: {
      InterceptedStore($0) { request in
        if case .put(let path) = request, path.contains("/ledger/"), isSilent.withLock({ $0 }) { throw WeirError(.storage, "no answer") }
      }
    })
    let committer = await held(bench)
    let lane = try await bench.lane()
    isSilent.withLock { $0 = true }
    guard case .unknown(let number) = try await bench.commit(committer, lane.actor) else { return _ = Issue.record("unknown") }
    #expect(number == 1)
    isSilent.withLock { $0 = false }
    guard case .abandoned = try await bench.commit(committer, lane.actor) else { return _ = Issue.record("abandoned") }
    #expect(try await bench.otherLedger().fold.number == 0)
  }

  @Test func `an attempt that has become an hour old expires`() async throws {
    let gate = Mutex<ManualClock?>(nil)
    let bench = try await PartsBench(wrap: {
      InterceptedStore(
        $0,
        after: { request, _ in
          // It fell asleep between its files and its entry.
          if case .write = request { gate.withLock { $0 }?.advance(by: 3_600_000_000_001) }
        })
    })
    let committer = await held(bench)
    let lane = try await bench.lane()
    gate.withLock { $0 = bench.clock }
    guard case .expired = try await bench.commit(committer, lane.actor) else { return _ = Issue.record("expired") }
    guard case .abandoned = try await bench.commit(committer, lane.actor) else { return _ = Issue.record("abandoned") }
    #expect(try await bench.otherLedger().fold.number == 0)
  }

  @Test func `a store that fails in the middle of an attempt leaves no entry`() async throws {
    let bench = try await PartsBench(wrap: {
      InterceptedStore($0) { request in if case .write = request { throw WeirError(.fullDisk, "full") } }
    })
    let committer = await held(bench)
    let lane = try await bench.lane()
    await #expect { try await bench.commit(committer, lane.actor) } throws: { ($0 as? WeirError)?.code == .fullDisk }
    await committer.refuse()
    guard case .abandoned = try await bench.commit(committer, lane.actor) else { return _ = Issue.record("abandoned") }
    #expect(try await bench.otherLedger().fold.number == 0)
  }

  // MARK: Checks against plan and ledger

  @Test func `exactly the allowed share of an epoch may go to quarantine`() async throws {
    let compiled = try PartsBench.compiled("quarantine: {halt_above: 25%}\n" + PartsBench.tables)
    for (broken, isCommitted) in [(1, true), (2, false)] {
      let bench = try await PartsBench(compiled: compiled)
      let committer = await held(bench)
      var lane = try await bench.lane()
      try await lane.actor.consume(try lane.feed.block((0..<4).map { SampleRecord(at: 1, isBroken: $0 < broken) }))
      if isCommitted {
        #expect(try await bench.commit(committer, lane.actor).fold().counts.quarantined == 1)
      } else {
        let objects = bench.memory.all.count
        await #expect { try await bench.commit(committer, lane.actor) } throws: { ($0 as? WeirError)?.code == .quarantineHalt }
        #expect(bench.memory.all.count == objects, "nothing was written")
      }
    }
  }

  @Test func `what other workers have decided meanwhile stops an epoch that contradicts it`() async throws {
    func tried(_ theirs: Decision, _ mine: [Decision] = []) async throws -> WeirError.Code? {
      let bench = try await PartsBench(shards: ["t/0", "t/1"])
      let committer = await held(bench)
      let other = try await bench.otherLedger()
      let (fold, lane) = (await other.fold, LaneID(shard: "t/1"))
      _ = try await other.commit(
        EntryDraft(commitID: "o", worker: "o", planHash: "h", lanes: [fold.emptyEpoch(of: lane, decisions: [theirs])]),
        startedNanoseconds: bench.clock.monotonicNanoseconds)
      do {
        _ = try await bench.commit(committer, try await bench.lane().actor, mine).fold()
        return nil
      } catch { return (error as? WeirError)?.code }
    }
    #expect(try await tried(.plan(meaning: .string("n"), hash: "other", runID: "r")) == .planChanged)
    #expect(try await tried(.plan(meaning: .string("n"), hash: "h", runID: "r")) == nil)
    let murmur = Decision.partitioner(stream: "t", rules: [.murmur2, .crc32])
    #expect(try await tried(murmur, [.partitioner(stream: "t", rules: [.fnv1a])]) == .misplaced)
    #expect(try await tried(murmur, [.partitioner(stream: "t", rules: [.fnv1a, .crc32])]) == nil)
    #expect(try await tried(murmur, [.partitioner(stream: "u", rules: [.fnv1a])]) == nil)
  }

  @Test func `a decision that starts a generation is what the next epoch follows`() async throws {
    let bench = try await PartsBench()
    let committer = await held(bench)
    let lane = try await bench.lane()
    _ = try await bench.commit(committer, lane.actor, [.gap(from: 0, to: 0, reason: "r")]).fold()
    let fold = try await bench.commit(committer, lane.actor).fold()
    #expect(fold[id]?.generation == 1 && fold[id]?.epoch == 2)
  }

  // MARK: The merge lane in the same entry

  @Test func `a shared entry's merge lane finishes what its own epochs let go, and ends at the entry itself`() async throws {
    let compiled = try PartsBench.compiled(source: "capture: {stream: t}")
    let bench = try await PartsBench(compiled: compiled)
    let committer = EpochCommitter(
      environment: bench.environment, compiled: compiled, ledger: bench.ledger, planHash: "h", run: PartsBench.run, worker: "w",
      merge: .sameEntry(MergeLane(compiled)), meter: bench.meter, checksFirstRecords: false)
    await committer.hold(id, nil)
    await committer.hold(.merge, await bench.ledger.fold.mergeLane)
    var (lane, naive, random) = (try await bench.lane(), NaiveLane(), SplitMix64(seed: 3))
    for step in 0..<5 {
      let records = (0..<15).map { _ in SampleRecord.random(&random, around: Int64(step) * 8) }
      for record in records { naive.take(record) }
      try await lane.actor.consume(try lane.feed.block(records))
      let fold = try await bench.commit(committer, lane.actor).fold()
      #expect(fold.mergeLane.position?.ordinal == fold.number)
      let rows = await committer.takeMergedRows()
      #expect(rows.allSatisfy { $0.fence == Fence(generation: 0, position: fold.number) })
      #expect(await committer.takeMergedRows().isEmpty)
    }
    #expect(try await committer.commitRest() == nil, "no window was left")
    try await lane.actor.pass(to: lane.feed.position, watermark: Watermark.maximum)
    let last = try await bench.commit(committer, lane.actor).fold()
    let rows = try await bench.rows(of: "gold/kinds", ["kind", "window_start", "rows"])
    let expected = naive.windows(of: "kinds").map { text in
      let parts = text.split(separator: " ")
      return "\(parts[0]) \(parts[1])000000 \(parts[2])".replacing(" 0000000 ", with: " 0 ")
    }
    #expect(rows.sorted() == expected.sorted())
    let restored = try await bench.restorer(bench.otherLedger()).merge()
    #expect(try restored.allStateRows(ledgerNumber: last.number)[0].texts.sorted() == naive.totals(of: "kind_totals"))
  }
}

extension CommitEnd: Equatable {
  /// By their kinds.
  public static func == (a: CommitEnd, b: CommitEnd) -> Bool {
    switch (a, b) {
    case (.committed(let x), .committed(let y)): x.number == y.number
    case (.fenced(let x), .fenced(let y)): x == y
    case (.unknown(let x), .unknown(let y)): x == y
    case (.expired, .expired), (.abandoned, .abandoned): true
    default: false
    }
  }
}
