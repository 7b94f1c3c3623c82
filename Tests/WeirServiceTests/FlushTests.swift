import Foundation
import Synchronization
import Testing
import WeirCore
import WeirLMDB
import WeirLocal

@testable import WeirEngine
@testable import WeirProtocol

/// Rows go to the state table some at a time, and a flush that did not end is recognised.
@Suite struct FlushTests {
  private actor Lane: StateRowSource {
    let ids = [LaneID(shard: "s")]
    private var changed: [Int]
    private let all: [Int]
    private let position: Int64
    private(set) var taken: [Int] = []

    init(_ rows: [Int], position: Int64) { (all, changed, self.position) = (rows, rows, position) }

    private func rows(_ numbers: [Int], left: Int) -> LaneRows {
      var batch = StateBatch(table: "t", lane: ids[0].text, fence: Fence(generation: 0, position: position))
      for number in numbers { batch.append(key: Array("key-\(number)".utf8)[...]) { $0.write(position) } }
      return LaneRows([batch], mark: FlushMark(lane: ids[0], generation: 0, position: position), left: left)
    }

    func takeStateRows(max: Int) -> [LaneRows] {
      let some = Array(changed.prefix(max))
      changed.removeFirst(some.count)
      taken.append(some.count)
      return [rows(some, left: changed.count)]
    }

    func allStateRows(of id: LaneID) -> LaneRows? { rows(all, left: 0) }
    func markAllUnflushed(_ id: LaneID) { changed = all }
  }

  private let path = NSTemporaryDirectory() + "weir-flush-" + UUID().uuidString
  private let threads = BlockingThreads(count: 1)
  private func end() {
    try? FileManager.default.removeItem(atPath: path)
    threads.stop()
  }

  private func flusher(_ lane: Lane, _ store: LMDBStateTable, rowsMax: Int) -> StateFlusher {
    StateFlusher(lanes: [lane], state: store, clock: SystemClock(), spec: StoreSpec(), rowsMax: rowsMax)
  }

  private func positions(_ store: LMDBStateTable) async throws -> [String: Int64] {
    try await store.moment(of: ["t"], into: [:]) { $0[String(decoding: $1.key, as: UTF8.self)] = $1.fence.position }.result
  }

  @Test func aFlushTakesSoManyRowsAtOnceAndLeavesNone() async throws {
    defer { end() }
    let store = try LMDBStateTable(path: path, thread: threads)
    let lane = Lane(Array(0..<1000), position: 7)
    try await flusher(lane, store, rowsMax: 300).flush()
    #expect(await lane.taken == [300, 300, 300, 100])
    #expect(try await positions(store).count == 1000)
    let mark = FlushMark(lane: lane.ids[0], generation: 0, position: 7).entry
    #expect(try await store.readMeta(mark.0) == mark.1)
  }

  /// The worker stopped within a flush to position 9; the ledger has position 7. Some rows ran ahead, others were never written.
  @Test func aFlushThatDidNotEndIsTakenBackAndDoneAgain() async throws {
    defer { end() }
    let store = try LMDBStateTable(path: path, thread: threads)
    let id = LaneID(shard: "s")
    var ahead = StateBatch(table: "t", lane: id.text, fence: Fence(generation: 0, position: 9))
    for key in ["key-1", "key-2000"] { ahead.append(key: Array(key.utf8)[...]) { $0.write(Int64(9)) } }
    _ = try await store.write([ahead], meta: [FlushMark(lane: id, generation: 0, position: 9).intent])
    let fold = LedgerFold(
      genesis: Genesis(ledgerID: "l", runID: "r", stream: "s", plan: .null, planHash: "p", lanes: [id]), number: 1, hash: "h",
      lanes: [id: LaneFold(generation: 0, floor: Watermark.minimum, at: .offset(7))], lookups: [:], tables: [:], partitioners: [:],
      mergedWatermark: Watermark.minimum)
    #expect(try await FlushMark.standing(of: id, store, fold) == .torn)
    // At the ledger's very position as well: rows may be missing.
    _ = try await store.write([], meta: [FlushMark(lane: id, generation: 0, position: 7).intent])
    #expect(try await FlushMark.standing(of: id, store, fold) == .torn)
    let lane = Lane(Array(0..<10), position: 7)
    _ = await lane.takeStateRows(max: .max)
    try await FlushMark.recover([lane], store, fold)
    try await flusher(lane, store, rowsMax: 4).flush()
    #expect(try await positions(store) == Dictionary(uniqueKeysWithValues: (0..<10).map { ("key-\($0)", 7) }))
    #expect(try await FlushMark.standing(of: id, store, fold) == .even)
  }
}
