import Testing
import WeirCore
import WeirOperators
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// A lane, against a fold over its records one by one.
@Suite struct LaneTests {
  private func state(_ compiled: CompiledPlan, generation: Int64 = 0) -> LaneState {
    LaneState(LaneID(shard: "t/0"), generation: generation, compiled: compiled, run: PartsBench.run, scratch: Scratch())
  }

  /// A lane with what the merge lane gets of it.
  private func actor(_ compiled: CompiledPlan, generation: Int64 = 0, at point: ShardPoint? = nil) throws -> LaneActor {
    let lane = state(compiled, generation: generation)
    if let point { try lane.restore(blobs: [], position: point.ordinal, watermark: Watermark.minimum) }
    return LaneActor(lane, ShardPartial(compiled, lanes: 1, run: PartsBench.run), at: point)
  }

  @Test(arguments: Cases.seeds(1..<13, debugStep: 3))
  func `every record is in one bucket and every window once, wherever blocks, cuts and restarts fall`(_ seed: UInt64) throws {
    let compiled = try PartsBench.compiled()
    var random = SplitMix64(seed: seed)
    var (lane, feed, naive) = (state(compiled), Feed(compiled), NaiveLane())
    var (counts, windows, late, silver): (BucketCounts, [String], Int64, Int) = (BucketCounts(), [], 0, 0)
    var blobs: [[UInt8]] = []
    func end(_ epoch: LaneEpoch) throws {
      counts += epoch.counts
      late += epoch.windowCounts[0].late
      silver += epoch.tables.silver.reduce(0) { $0 + $1.count }
      windows += try epoch.tables.gold[0]?.texts ?? []
      blobs = epoch.stateIsBase ? [Array(epoch.state.joined())] : blobs + [Array(epoch.state.joined())]
      #expect(epoch.tables.late[0]?.count ?? 0 == epoch.windowCounts[0].late)
    }
    for step in 0..<12 {
      for _ in 0..<random.below(4) {
        let records = (0..<random.below(25)).map { _ in SampleRecord.random(&random, around: Int64(step) * 6) }
        for record in records { naive.take(record) }
        try lane.consume(try feed.block(records), lane: 0)
      }
      try end(lane.cut())
      guard random.chance(0.3) else { continue }
      // Another worker has it from here on.
      let (position, watermark) = (lane.position, lane.watermark)
      lane = state(compiled)
      try lane.restore(blobs: blobs, position: position, watermark: watermark)
      feed = Feed(compiled, at: position, watermark: watermark)
    }
    #expect(try lane.allStateRows()[0].texts.sorted() == naive.totals(of: "totals"))
    try lane.advance(position: lane.position, watermark: Watermark.maximum)
    try end(lane.cut(isWhole: true))
    #expect(counts == naive.counts)
    #expect(counts.accepted == Int64(silver) && late == naive.counts(of: "users").late)
    #expect(windows.sorted() == naive.windows(of: "users"))
    #expect(!lane.hasOpenWindows)
  }

  @Test func `an epoch without records moves nothing and has no rows`() throws {
    let compiled = try PartsBench.compiled()
    let (lane, empty) = (state(compiled), BucketCounts())
    var feed = Feed(compiled)
    try lane.consume(try feed.block([]), lane: 0)
    let first = try lane.cut()
    #expect(first.position == 0 && first.watermark == Watermark.minimum && first.counts == empty)
    try lane.consume(try feed.block([SampleRecord(at: 5)]), lane: 0)
    _ = try lane.cut()
    let last = try lane.cut()
    #expect(last.position == feed.position && last.watermark == 3_000_000 && last.counts == empty)
    #expect(last.tables.silver.isEmpty && last.tables.bronze.isEmpty && last.tables.quarantine == nil && last.tables.gold.isEmpty)
    #expect(last.windowCounts == [WindowCounts(), WindowCounts()])
  }

  @Test func `a window closes when the watermark reaches its end, and not a microsecond before`() throws {
    let compiled = try PartsBench.compiled()
    let lane = state(compiled)
    var feed = Feed(compiled)
    try lane.consume(try feed.block([SampleRecord(n: 7, at: 9)]), lane: 0)
    try lane.advance(position: feed.position, watermark: 9_999_999)
    #expect(try lane.cut().tables.gold.isEmpty)
    try lane.advance(position: feed.position, watermark: 10_000_000)
    #expect(try lane.cut().tables.gold[0]?.texts == ["u 0 1 7"])
  }

  @Test func `neither position nor watermark goes back`() async throws {
    let compiled = try PartsBench.compiled()
    let lane = state(compiled)
    try lane.advance(position: 10, watermark: 100)
    try lane.advance(position: 10, watermark: 100)
    for (position, watermark) in [(9, 100), (10, 99)] as [(Int64, Int64)] {
      #expect { try lane.advance(position: position, watermark: watermark) } throws: { ($0 as? WeirError)?.code == .internal }
    }
    #expect(lane.position == 10 && lane.watermark == 100)
    #expect { try lane.restore(blobs: [], position: 9, watermark: 100) } throws: { ($0 as? WeirError)?.code == .internal }
  }

  @Test func `a lane takes no position of another kind, and no source position twice`() async throws {
    let compiled = try PartsBench.compiled()
    func point(_ ordinal: Int64, _ number: UInt128?) -> ShardPoint {
      ShardPoint(ordinal: ordinal, sequence: number.map { SequenceNumber($0) })
    }
    let dense = try actor(compiled, at: point(5, nil))
    await #expect { try await dense.advance(to: point(6, 900), watermark: 0) } throws: { ($0 as? WeirError)?.code == .internal }
    try await dense.advance(to: point(6, nil), watermark: 0)
    let counted = try actor(compiled, at: point(5, 900))
    await #expect { try await counted.advance(to: point(6, nil), watermark: 0) } throws: { ($0 as? WeirError)?.code == .internal }
    await #expect { try await counted.advance(to: point(6, 899), watermark: 0) } throws: { ($0 as? WeirError)?.code == .internal }
    try await counted.advance(to: point(6, 900), watermark: 0)
    try await counted.advance(to: point(7, 1 << 100), watermark: 0)
    #expect(await counted.standing.point == point(7, 1 << 100))
    #expect(await counted.standing.cutPoint == point(5, 900))
    #expect(try await counted.cut()[0].point == point(7, 1 << 100))
    #expect(await counted.standing.cutPoint == point(7, 1 << 100))
    // A lane that has consumed nothing takes the kind that its source has.
    let fresh = try actor(compiled)
    try await fresh.advance(to: point(1, 900), watermark: 0)
    #expect(await fresh.standing.point.sequence == SequenceNumber(900))
  }

  @Test func `a floor judges records, in the lane and in what the merge lane gets, and is never lowered`() async throws {
    let compiled = try PartsBench.compiled()
    let lane = try actor(compiled)
    var (feed, naive) = (Feed(compiled), NaiveLane())
    await lane.raise(floor: 40_000_000)
    await lane.raise(floor: 30_000_000)
    let records = [29, 39, 40, 41, 30].map { SampleRecord(at: $0) }
    for record in records { naive.take(record, floor: 40) }
    try await lane.consume(try feed.block(records))
    let epoch = try await lane.cut()[0]
    #expect(epoch.windowCounts.map(\.late) == [3, 3] && naive.counts(of: "users").late == 3)
    #expect(epoch.windowCounts.map(\.onTime) == [2, 2])
    #expect(epoch.tables.late.count == 2)
    #expect(epoch.watermark == 39_000_000, "the shard's own, without the floor")
    let watermark = try #require(epoch.partial?.windows[1]?.finish(watermark: Watermark.maximum))
    #expect(try watermark.texts == naive.windows(of: "kinds"))
  }

  // MARK: Rows for the state table

  @Test func `a new generation sends every row once more, and an older one none`() async throws {
    let compiled = try PartsBench.compiled()
    let lane = try actor(compiled, generation: 4)
    var feed = Feed(compiled)
    try await lane.consume(try feed.block((0..<5).map { SampleRecord(user: "u\($0)", at: 1) }))
    #expect(lane.news.take())
    let rows = try #require(await lane.takeStateRows(max: .max).first)
    #expect(rows.rows.reduce(0) { $0 + $1.rows.count } == 5 && rows.left == 0)
    #expect(rows.rows.allSatisfy { $0.fence == Fence(generation: 4, position: feed.position) })
    #expect(rows.mark == FlushMark(lane: lane.id, generation: 4, position: feed.position))
    await lane.committed(floor: Watermark.minimum, generation: 4)
    #expect(!lane.news.take(), "nothing is new")
    #expect(await lane.takeStateRows(max: .max)[0].rows.isEmpty)
    await lane.committed(floor: Watermark.minimum, generation: 5)
    #expect(lane.news.take())
    #expect(await lane.takeStateRows(max: .max)[0].rows[0].fence == Fence(generation: 5, position: feed.position))
    await lane.committed(floor: Watermark.minimum, generation: 3)
    #expect(await lane.takeStateRows(max: .max)[0].rows.isEmpty)
    #expect(await lane.takeStateRows(max: .max)[0].mark.generation == 5)
  }

  @Test func `rows are taken some at a time, and the lane says how many are left`() async throws {
    let compiled = try PartsBench.compiled()
    let lane = try actor(compiled)
    var feed = Feed(compiled)
    try await lane.consume(try feed.block((0..<7).map { SampleRecord(user: "u\($0)", at: 1) }))
    var (left, seen): ([Int], Set<String>) = ([], [])
    repeat {
      #expect(lane.news.take(), "as long as something is left there is news")
      let rows = await lane.takeStateRows(max: 3)[0]
      left.append(rows.left)
      for batch in rows.rows { seen.formUnion(try batch.texts) }
    } while left.last != 0
    #expect(left == [4, 1, 0] && seen.count == 7)
    #expect(!lane.news.take())
    #expect(await lane.allStateRows(of: LaneID(shard: "t/1")) == nil)
    #expect(await lane.allStateRows(of: lane.id)?.rows[0].rows.count == 7)
    #expect(!lane.news.take(), "looking takes nothing")
    await lane.markAllUnflushed(LaneID(shard: "t/1"))
    #expect(await lane.takeStateRows(max: .max)[0].rows.isEmpty, "another lane's rows are not its own")
    _ = lane.news.take()
    await lane.markAllUnflushed(lane.id)
    #expect(lane.news.take())
    #expect(await lane.takeStateRows(max: .max)[0].rows[0].rows.count == 7)
  }

  @Test func `a place without records is news for the state table only if the lane moves to it`() async throws {
    let lane = try actor(try PartsBench.compiled())
    _ = lane.news.take()
    try await lane.pass(to: 0, watermark: 5)
    #expect(!lane.news.take())
    try await lane.pass(to: 1, watermark: 5)
    #expect(lane.news.take())
    #expect(await lane.takeStateRows(max: .max)[0].mark.position == 1)
  }

  @Test func `an epoch has the identity that its shard had there, and none of one that is not known`() async throws {
    let lane = try actor(try PartsBench.compiled())
    #expect(try await lane.cut()[0].identity == nil)
    let last = Fingerprint(position: 3, timestamp: 9, checksum: Hash128(low: 7, high: 0))
    var feed = Feed(try PartsBench.compiled())
    let block = try feed.block([SampleRecord(at: 1)])
    try await lane.consume(block, read: (nil, last), to: ShardPoint(feed.position))
    #expect(try await lane.cut()[0].identity?.last == last)
  }

  @Test func `a lane turns to other lookups between two epochs, and takes no block that was prepared with others`() async throws {
    let compiled = try PartsBench.compiled()
    let lane = try actor(compiled)
    var feed = Feed(compiled)
    let block = try feed.block([SampleRecord(at: 1)])
    let (first, second) = (block.blocks[0].lookups, LookupSet([]))
    await lane.use(first)
    #expect(try await lane.consume(block, read: nil, to: ShardPoint(feed.position)) == nil)
    await lane.use(second)
    // The epoch has a record: it ends with the lookups that it began with.
    #expect(await lane.lookups === first)
    let epoch = try await lane.cut()[0]
    #expect(epoch.lookups === first && epoch.counts.input == 1)
    #expect(await lane.lookups === second)
    let next = try feed.block([SampleRecord(at: 2)])
    #expect(try await lane.consume(next, read: nil, to: ShardPoint(feed.position)) === second)
    #expect(try await lane.cut()[0].counts.input == 0)
    // An epoch without records turns at once.
    await lane.use(first)
    #expect(await lane.lookups === first)
  }
}

/// Rows of several lanes in one shard.
@Suite struct LaneDealTests {
  private func lanes(_ random: inout SplitMix64, _ rows: Int, of lanes: Int) -> [UInt16] {
    (0..<rows).map { _ in UInt16(random.below(lanes)) }
  }

  @Test(arguments: [1, 2, 5, LaneDeal.arrangedFrom - 1, LaneDeal.arrangedFrom, 300], [0, 1, 37, 1000])
  func `each lane has its rows in the order of the shard, and finds their columns`(_ count: Int, _ rows: Int) {
    var random = SplitMix64(seed: UInt64(count * 10_000 + rows))
    // Only in lane order are several blocks together.
    let blocks = count >= LaneDeal.arrangedFrom ? [rows, 0, rows / 2, 1] : [rows]
    let laneOf = blocks.map { lanes(&random, $0, of: count) }
    let all = laneOf.flatMap { $0 }
    let deal = LaneDeal(laneOf, count: all.count, lanes: count)
    #expect(deal.lanes == count && deal.isArranged == (count >= LaneDeal.arrangedFrom && !all.isEmpty))
    let values = deal.isArranged ? deal.arranged([all.indices.map { Int64($0) }]) : all.indices.map { Int64($0) }
    for lane in 0..<count {
      let expected = all.indices.filter { count == 1 || all[$0] == lane }
      let range = deal.range(lane)
      #expect(deal.rows[range].map { Int($0) } == expected)
      // Where the lane reads, the columns of these rows are.
      #expect(deal.places[range].map { Int(values[Int($0)]) } == expected)
      #expect(deal.places[range].map { deal.row(Int($0)) } == expected)
    }
  }

  @Test func `more rows than one block ever has are numbered through`() {
    let deal = LaneDeal([[]], count: 70_000, lanes: 1)
    #expect(deal.range(0) == 0..<70_000 && deal.rows[69_999] == 69_999 && deal.places.count >= 70_000)
  }

  @Test(arguments: [1, 3, 40]) func `a place leads to its block and row, and what lanes accept is found by row`(_ count: Int) throws {
    let compiled = try PartsBench.compiled(source: "capture: {stream: s}")
    let dealer = count > 1 ? LaneDealer(compiled.plan.source.deal, lanes: count) : nil
    var (feed, random) = (Feed(compiled), SplitMix64(seed: 5))
    var blocks: [PreparedBlock] = []
    for rows in count >= LaneDeal.arrangedFrom ? [30, 1, 50] : [60] {
      blocks.append(try feed.prepared((0..<rows).map { _ in SampleRecord(user: "u\(random.below(200))", at: 1) }, dealer: dealer))
    }
    let dealt = DealtBlocks(blocks, lanes: count, end: feed.position, watermark: 0)
    let firsts = blocks.indices.map { blocks[..<$0].reduce(0) { $0 + $1.count } }
    var positions: [Int64] = []
    for lane in 0..<count {
      let places = Array(dealt.deal.places[dealt.deal.range(lane)])
      for place in places {
        let (block, row) = dealt.source(Int(place))
        positions.append(block.position(row))
        if count > 1 { #expect(Int(block.laneOf[row]) == lane) }
      }
      // Every other one.
      let some = places.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
      some.withUnsafeBufferPointer { if !$0.isEmpty { dealt.accept($0, lane: lane) } }
      let accepted = dealt.accepted(lane: lane).map { Int($0) }
      #expect(accepted == dealt.deal.rows[dealt.deal.range(lane)].enumerated().filter { $0.offset % 2 == 0 }.map { Int($0.element) })
      // The same rows, block by block.
      var byBlock: [Int] = []
      dealt.forEachBlock(of: accepted.map { UInt32($0) }) { block, rows in
        let number = blocks.firstIndex { $0.decoded.raw.position == block.decoded.raw.position } ?? -1
        #expect(rows.allSatisfy { Int($0) < block.count })
        byBlock += rows.map { firsts[number] + Int($0) }
      }
      #expect(byBlock == accepted)
    }
    #expect(positions.sorted() == blocks.flatMap { block in (0..<block.count).map { block.position($0) } })
  }
}
