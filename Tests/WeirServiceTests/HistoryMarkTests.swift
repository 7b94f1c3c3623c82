import Foundation
import Testing
import WeirCore
import WeirLMDB
import WeirLocal
import WeirTesting

@testable import WeirEngine
@testable import WeirProtocol

/// What followers keep of the ledger's entries, compared with the ledger: proofs, markers of topics, the state table's mark.
@Suite struct HistoryMarkTests {
  private let layout = LedgerLayout(pipeline: "ads")
  private let root = NSTemporaryDirectory() + "weir-test-" + UUID().uuidString
  private let threads = BlockingThreads(count: 1)
  private let random = SystemRandom()

  private func store(_ name: String) -> LocalObjectStore { LocalObjectStore(root: "\(root)/\(name)", threads: threads, random: random) }

  /// A ledger of the same id, through `number`; ledgers of different names have different entries.
  private func ledger(_ name: String, through number: Int64) async throws -> Ledger {
    let genesis = Genesis(ledgerID: "l", runID: "r", stream: "s", plan: .null, planHash: "p", lanes: [LaneID(shard: "s")])
    let ledger = try await Ledger.create(layout, genesis: genesis, worker: name, store: store(name), clock: SystemClock(), random: random)
    while await ledger.fold.number < number { try await commit(ledger) }
    return ledger
  }

  private func commit(_ ledger: Ledger) async throws {
    let draft = EntryDraft(commitID: ledger.makeAttemptID(), worker: "w", planHash: "p")
    guard case .committed = try await ledger.commit(draft, startedNanoseconds: ledger.now) else {
      return _ = Issue.record("a commit without a rival was not made")
    }
  }

  private func end() {
    try? FileManager.default.removeItem(atPath: root)
    threads.stop()
  }

  private func refusal(_ marker: SinkMarker, _ ledger: Ledger) async throws -> WeirError? {
    do {
      try await marker.check(ledger, topic: "t", table: "gold/g", path: "sinks/gold/g/t.json")
      return nil
    } catch let error as WeirError { return error }
  }

  @Test func `the proof of an entry is there at the head, behind it, and after collection; of later entries after a look at the head`()
    async throws
  {
    defer { end() }
    let ledger = try await ledger("a", through: 5)
    var wanted: [EntryProof] = []
    for number in Int64(0)...5 {
      wanted.append(EntryProof(number: number, hash: try #require(try await ledger.read(number)).hash))
      #expect(try await ledger.proof(of: number) == wanted.last)
    }
    _ = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 3), worker: "w")
    #expect(try await ledger.read(3) == nil)
    for number in Int64(3)...5 { #expect(try await ledger.proof(of: number) == wanted[Int(number)]) }
    let other = try #require(try await Ledger.open(layout, store: store("a"), clock: SystemClock(), random: random))
    // Its maker still has the entries in memory.
    let error = await #expect(throws: WeirError.self) { try await other.proof(of: 1) }
    #expect(error?.code == .ledgerCollected)
    try await commit(other)
    #expect(try await ledger.proof(of: 6) == EntryProof(number: 6, hash: await other.fold.hash))
    #expect(try await ledger.proof(of: 7) == nil)
  }

  @Test func `a topic's marker of another history is refused, and one of an older version taken as it was`() async throws {
    defer { end() }
    let (mine, other) = (try await ledger("a", through: 4), try await ledger("b", through: 4))
    let proof = try #require(try await mine.proof(of: 3)).value
    let marker = SinkMarker(ledgerID: "l", through: 3, proof: proof)
    #expect(try SinkMarker(bytes: marker.bytes, path: "p") == marker)
    #expect(try await refusal(marker, mine) == nil)
    #expect(try await refusal(marker, other)?.message.contains("another entry") == true)
    #expect(try await refusal(SinkMarker(ledgerID: "l", through: 5, proof: nil), mine)?.code == .topicAhead)
    let hash = ContentHash(of: Array("l 3".utf8)).hex
    let old = try SinkMarker(bytes: Array(#"{"ledger":"l","through":3,"sha256":"\#(hash)"}"#.utf8), path: "p")
    #expect(old == SinkMarker(ledgerID: "l", through: 3, proof: nil))
    #expect(try await refusal(old, other) == nil)
    for i in marker.bytes.indices {
      var flipped = marker.bytes
      flipped[i] ^= 1
      #expect((try? SinkMarker(bytes: flipped, path: "p")) == nil, "byte \(i)")
    }
  }

  @Test func `a state table of another history does not belong to the ledger`() async throws {
    defer { end() }
    let state = try LMDBStateTable(path: "\(root)/state", readOnly: false, thread: BlockingThreads(count: 1))
    let (mine, other) = (try await ledger("a", through: 4), try await ledger("b", through: 4))
    #expect(try await StateEntryMark.standing(state, mine) == .belongs)
    try await state.writeMeta([StateEntryMark.mark(await other.fold)])
    #expect(try await StateEntryMark.standing(state, mine) != .belongs)
    try await state.writeMeta([StateEntryMark.mark(await mine.fold)])
    #expect(try await StateEntryMark.standing(state, mine) == .belongs)
    try await commit(mine)
    #expect(try await StateEntryMark.standing(state, mine) == .belongs)
    for _ in 0..<2 { try await commit(other) }
    try await state.writeMeta([StateEntryMark.mark(await other.fold)])
    #expect(try await StateEntryMark.standing(state, mine) != .belongs)
    try await state.writeMeta([("entry", Array("4".utf8))])
    #expect(try await StateEntryMark.standing(state, mine) != .belongs)
  }

  /// A worker that falls asleep while it restores a lane must not take back what the lane's next owner has flushed.
  @Test func `rows of a lane are taken back by its owner alone`() async throws {
    defer { end() }
    let state = try LMDBStateTable(path: "\(root)/state", readOnly: false, thread: BlockingThreads(count: 1))
    func batch(_ position: Int64) -> StateBatch {
      var batch = StateBatch(table: "t", lane: "s", fence: Fence(generation: 0, position: position))
      batch.append(key: StateKey.encode([.string("k")])[...]) { $0.write(position) }
      return batch
    }
    try await state.writeMeta([("owner/s", Array("b".utf8))])
    _ = try await state.put([batch(7)])
    await #expect(throws: WeirError.self) {
      try await state.retract(batch(5), beyond: batch(5).fence, owners: [("owner/s", Array("a".utf8))])
    }
    #expect(try await state.read(table: "t", key: StateKey.encode([.string("k")]))?.fence.position == 7)
    try await state.retract(batch(5), beyond: batch(5).fence, owners: [("owner/s", Array("b".utf8))])
    #expect(try await state.read(table: "t", key: StateKey.encode([.string("k")]))?.fence.position == 5)
  }
}
