import Synchronization
import Testing
import WeirCore
import WeirOperators
import WeirTesting

@testable import WeirEngine
@testable import WeirProtocol

/// Lanes from what the ledger names, or an error.
@Suite struct RestorerTests {
  private let id = LaneID(shard: "t/0")

  private func committed(_ bench: PartsBench, epochs: Int) async throws -> NaiveLane {
    let committer = bench.committer()
    await committer.hold(id, nil)
    var (lane, naive) = (try await bench.lane(), NaiveLane())
    for step in 0..<epochs {
      // A large first epoch, so that what follows is a delta.
      let records = (0..<(step == 0 ? 60 : 2)).map { SampleRecord(user: "u\($0)", id: "i\(step)", n: Int64(step), at: Int64(step)) }
      for record in records { naive.take(record) }
      try await lane.actor.consume(try lane.feed.block(records))
      _ = try await bench.commit(committer, lane.actor).fold()
    }
    return naive
  }

  private func lane(generation: Int64 = 0, epoch: Int64 = 1, at position: ShardPoint?, state: StateRef? = nil) -> LaneFold {
    var lane = LaneFold(generation: generation, floor: Watermark.minimum, at: position)
    lane.epoch = epoch
    lane.state = state
    return lane
  }

  private func fold(_ lanes: [LaneID: LaneFold], number: Int64 = 1) -> LedgerFold {
    LedgerFold(
      genesis: Genesis(ledgerID: "l", runID: "r", stream: "s", plan: .null, planHash: "p", lanes: Array(lanes.keys)), number: number,
      hash: "h", lanes: lanes, lookups: [:], tables: [:], partitioners: [:], mergedWatermark: Watermark.minimum)
  }

  private func restorer(_ lanes: [LaneID: LaneFold], number: Int64 = 1, _ store: MemoryStore = MemoryStore()) throws -> Restorer {
    Restorer(compiled: try PartsBench.compiled(), store: store, fold: fold(lanes, number: number), run: PartsBench.run)
  }

  private func code(_ body: () async throws -> Void) async -> WeirError.Code? {
    do { try await body() } catch { return (error as? WeirError)?.code }
    return nil
  }

  @Test(arguments: [1, 2, 4]) func `a lane has what all its epochs left, its base and every delta`(_ epochs: Int) async throws {
    let bench = try await PartsBench()
    let naive = try await committed(bench, epochs: epochs)
    let state = try #require(await bench.ledger.fold[id]?.state)
    #expect(state.deltas.count == epochs - 1)
    let restored = try await bench.restorer().state(id, Scratch())
    #expect(try restored.allStateRows()[0].texts.sorted() == naive.totals(of: "totals"))
    #expect(restored.position == (await bench.ledger.fold[id]?.position?.ordinal))
    #expect(restored.watermark == Int64(epochs - 3) * 1_000_000)
    #expect(restored.dedup?.count == naive.counts.accepted.asInt)
  }

  @Test func `a blob that is missing, shorter, longer or another is corrupt, and named`() async throws {
    let bench = try await PartsBench()
    _ = try await committed(bench, epochs: 2)
    let state = try #require(await bench.ledger.fold[id]?.state)
    let path = state.deltas[0].path
    let bytes = try #require(bench.memory.all[path])
    var changed = bytes
    changed[Int(state.deltas[0].offset)] ^= 1
    for damaged in [nil, Array(bytes.prefix(Int(state.deltas[0].offset + state.deltas[0].length) - 1)), [], changed] as [[UInt8]?] {
      try await bench.memory.delete(path)
      if let damaged { try await bench.memory.write([NewObject(path: path, bytes: damaged)]) }
      do {
        _ = try await bench.restorer().state(id, Scratch())
        Issue.record("a damaged blob was taken")
      } catch {
        let error = try #require(error as? WeirError)
        #expect(error.code == .corrupt && error.message.contains(path))
      }
    }
    try await bench.memory.write([NewObject(path: path, bytes: bytes + [1])])
    _ = try await bench.restorer().state(id, Scratch())
  }

  /// Others collected it, because the ledger has moved: only a worker with the newest fold can say that a blob is missing.
  @Test func `a blob that was collected while a worker slept is no damage`() async throws {
    let bench = try await PartsBench()
    _ = try await committed(bench, epochs: 2)
    let old = await bench.ledger.fold
    let path = try #require(old[id]?.state?.deltas[0].path)
    try await bench.memory.delete(path)
    let draft = EntryDraft(commitID: bench.ledger.makeAttemptID(), worker: "other", planHash: old.genesis.planHash)
    _ = try await bench.ledger.commit(draft, startedNanoseconds: 0)
    let head = await bench.ledger.fold
    #expect(head.number == old.number + 1)
    for (fold, wanted) in [(head, WeirError.Code.corrupt), (old, .fenced)] {
      let restorer = Restorer(
        compiled: try PartsBench.compiled(), store: bench.memory, fold: fold, run: PartsBench.run, ledger: bench.ledger)
      #expect(await code { _ = try await restorer.state(id, Scratch()) } == wanted)
    }
  }

  @Test func `a lane that the ledger only lists is empty, and begins with the generation that it was listed with`() async throws {
    let made = try await restorer([id: lane(generation: 3, epoch: 0, at: nil)]).state(id, Scratch())
    #expect(made.generation == 3 && made.position == 0 && made.watermark == Watermark.minimum)
    let unknown = try await restorer([:]).state(id, Scratch())
    #expect(unknown.generation == 0 && unknown.position == 0)
  }

  @Test func `a state without a position, and a merge lane ahead of the ledger, are never restored`() async throws {
    let ref = StateRef(base: BlobRef(path: "b", length: 1, hash: "h"))
    #expect(await code { _ = try await restorer([id: lane(at: nil, state: ref)]).state(id, Scratch()) } == .internal)
    #expect(await code { _ = try await restorer([.merge: lane(at: 2)], number: 1).merge() } == .internal)
    #expect(await code { _ = try await restorer([.merge: lane(at: 2)], number: 2).merge() } == nil)
  }

  @Test func `floors, closing windows and floors of ids come back with the lane`() async throws {
    var known = lane(at: 5)
    (known.floor, known.isClosing) = (77, true)
    let restored = try await restorer([id: known]).state(id, Scratch())
    #expect(restored.floor == 77 && restored.isClosing && restored.position == 5)
    var merge = lane(at: 1)
    merge.isClosing = true
    #expect(try await restorer([.merge: merge]).merge().isClosing)
    #expect(try await !restorer([.merge: lane(at: 1)]).merge().isClosing)
  }

  @Test(arguments: [0, 1, 2, 15, 16, 17, 40, 256], [1, 3]) func `lanes of a capture come in order, in groups of neighbours`(
    _ count: Int, _ parallel: Int
  ) async throws {
    let ids = (0..<count).map { LaneID(shard: "s", index: $0, of: max(1, count)) }
    let lanes = Dictionary(uniqueKeysWithValues: ids.map { ($0, lane(at: 9)) })
    let groups = try await restorer(lanes).groups(ids, parallel: parallel)
    #expect(groups.flatMap(\.ids) == ids)
    #expect(groups.count <= 31 && groups.count >= min(count, 16))
    for group in groups { #expect(await group.standing.point == 9) }
  }

  @Test func `a floor of a capture's lane is corrupt`() async throws {
    var raised = lane(at: 5)
    raised.floor = 1
    let raisedLane = raised
    #expect(await code { _ = try await restorer([id: raisedLane]).groups([id], parallel: 1) } == .corrupt)
  }

  @Test func `shards are restored until it is over, and in the order that was asked for`() async throws {
    let ids = (0..<5).map { LaneID(shard: "t/\($0)") }
    let restorer = try restorer(Dictionary(uniqueKeysWithValues: ids.map { ($0, lane(at: 9)) }))
    #expect(try await restorer.shards(ids.reversed(), parallel: 2).map(\.id) == ids.reversed())
    #expect(try await restorer.shards(ids, parallel: 2, until: { false })?.map(\.id) == ids)
    let looks = Mutex(0)
    let some = try await restorer.shards(ids, parallel: 2) {
      looks.withLock { looks in
        looks += 1
        return looks == 3
      }
    }
    #expect(some == nil && looks.withLock { $0 } == 3)
    #expect(try await restorer.shards([], parallel: 2, until: { true })?.isEmpty == true)
  }

  @Test func `an error of one lane is the error of all`() async throws {
    let ref = StateRef(base: BlobRef(path: "none", length: 1, hash: "h"))
    let ids = (0..<4).map { LaneID(shard: "t/\($0)") }
    var lanes = Dictionary(uniqueKeysWithValues: ids.map { ($0, lane(at: 9)) })
    lanes[ids[2]] = lane(at: 9, state: ref)
    let all = lanes
    #expect(await code { _ = try await restorer(all).shards(ids, parallel: 2) } == .corrupt)
  }

  @Test func `contributions with bytes left over, or too few, are corrupt`() async throws {
    let compiled = try PartsBench.compiled()
    var writer = ByteWriter()
    Partial(compiled).save(into: &writer)
    let whole = Array(writer.pieces.joined())
    for (bytes, count) in [(whole, 1), ([], 0), (whole + whole, 2), (Array(whole.dropLast()), nil), (whole + [1], nil)] as [([UInt8], Int?)]
    {
      let store = MemoryStore(["b": bytes])
      let ref = BlobRef(path: "b", length: Int64(bytes.count), hash: ContentHash(of: bytes).hex)
      var found: Int?
      let code = await code { found = try await restorer([:], store).partials(ref).count }
      #expect(found == count && (code == .corrupt) == (count == nil))
    }
  }
}

extension Int64 {
  fileprivate var asInt: Int { Int(self) }
}
