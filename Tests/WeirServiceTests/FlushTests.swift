import Foundation
import Synchronization
import Testing
import WeirCore
import WeirLMDB
import WeirLocal
import WeirTesting

@testable import WeirEngine
@testable import WeirProtocol

/// Rows go to the state table some at a time, and a flush that did not end is recognised.
@Suite struct FlushTests {
  private actor Lane: StateRowSource {
    let ids = [LaneID(shard: "s")]
    let news = StateNews()
    private var changed: [Int]
    private let all: [Int]
    private let position: Int64
    private let generation: Int64
    private(set) var taken: [Int] = []

    init(_ rows: [Int], generation: Int64 = 0, position: Int64) {
      (all, changed, self.generation, self.position) = (rows, rows, generation, position)
    }

    private func rows(_ numbers: [Int], left: Int) -> LaneRows {
      var batch = StateBatch(table: "t", lane: ids[0].text, fence: Fence(generation: generation, position: position))
      for number in numbers { batch.append(key: Array("key-\(number)".utf8)[...]) { $0.write(position) } }
      return LaneRows([batch], mark: FlushMark(lane: ids[0], generation: generation, position: position), left: left)
    }

    func takeStateRows(max: Int) -> [LaneRows] {
      let some = Array(changed.prefix(max))
      changed.removeFirst(some.count)
      taken.append(some.count)
      if !changed.isEmpty { news.mark() }
      return [rows(some, left: changed.count)]
    }

    func allStateRows(of id: LaneID) -> LaneRows? { rows(all, left: 0) }
    func markAllUnflushed(_ id: LaneID) {
      changed = all
      news.mark()
    }
  }

  private let path = NSTemporaryDirectory() + "weir-flush-" + UUID().uuidString
  private let threads = BlockingThreads(count: 1)
  private func end() {
    try? FileManager.default.removeItem(atPath: path)
    threads.stop()
  }

  private let owner: [UInt8] = [7]

  /// The lane is the worker's in the table from now on.
  private func flusher(_ lane: Lane, _ store: any StateTable, rowsMax: Int = .max) async throws -> StateFlusher {
    try await store.writeMeta(FlushMark.owners(of: lane.ids, owner))
    return flusher(lane, store, SystemClock(), rowsMax: rowsMax)
  }

  private func flusher(_ lane: Lane, _ store: any StateTable, _ clock: any Clock, rowsMax: Int = .max) -> StateFlusher {
    let news = Alarm()
    lane.news.ring(news)
    return StateFlusher(
      lanes: { [lane] }, news: news, state: store, clock: clock, spec: StoreSpec(), rowsMax: rowsMax, owner: owner)
  }

  private func recover(_ lane: Lane, _ store: any StateTable, _ fold: LedgerFold) async throws {
    try await store.writeMeta(FlushMark.owners(of: lane.ids, owner))
    try await FlushMark.recover([lane], store, fold, owner: owner)
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
    try await store.put([ahead], meta: [FlushMark(lane: id, generation: 0, position: 9).intent])
    let fold = Self.fold(id, at: 7)
    #expect(try await FlushMark.standing(of: id, store, fold) == .torn(beyond: Fence(generation: 0, position: 7)))
    // At the ledger's very position as well: rows may be missing.
    try await store.put([], meta: [FlushMark(lane: id, generation: 0, position: 7).intent])
    #expect(try await FlushMark.standing(of: id, store, fold) == .torn(beyond: Fence(generation: 0, position: 7)))
    let lane = Lane(Array(0..<10), position: 7)
    _ = await lane.takeStateRows(max: .max)
    try await recover(lane, store, fold)
    try await flusher(lane, store, rowsMax: 4).flush()
    #expect(try await positions(store) == Dictionary(uniqueKeysWithValues: (0..<10).map { ("key-\($0)", 7) }))
    #expect(try await FlushMark.standing(of: id, store, fold) == .even)
  }

  private static func fold(_ id: LaneID, generation: Int64 = 0, start: Int64? = nil, at position: Int64) -> LedgerFold {
    var lane = LaneFold(generation: generation, floor: Watermark.minimum, at: .offset(position))
    lane.generationStart = start.map { .offset($0) }
    return LedgerFold(
      genesis: Genesis(ledgerID: "l", runID: "r", stream: "s", plan: .null, planHash: "p", lanes: [id]), number: 1, hash: "h",
      lanes: [id: lane], lookups: [:], tables: [:], partitioners: [:], mergedWatermark: Watermark.minimum)
  }

  /// The source lost records from position 7 on, of which a worker that died had flushed some.
  @Test func rowsBeyondTheStartOfANewGenerationAreTakenBack() async throws {
    defer { end() }
    let store = try LMDBStateTable(path: path, thread: threads)
    let id = LaneID(shard: "s")
    let fold = Self.fold(id, generation: 1, start: 7, at: 12)
    func standing(_ mark: String, _ fold: LedgerFold) async throws -> FlushMark.Standing {
      try await store.writeMeta([(FlushMark.name(id), Array(mark.utf8))])
      return try await FlushMark.standing(of: id, store, fold)
    }
    let start = Fence(generation: 0, position: 7)
    #expect(try await standing("0 7", fold) == .behind)
    #expect(try await standing("0 9", fold) == .older(beyond: start))
    #expect(try await standing("flushing 0/7", fold) == .older(beyond: start))
    #expect(try await standing("flushing 1/12", fold) == .torn(beyond: Fence(generation: 1, position: 12)))
    #expect(try await standing("1 12", fold) == .even)
    let later = Self.fold(id, generation: 2, start: 20, at: 25)
    #expect(try await standing("0 7", later) == .older(beyond: Fence(generation: 0, position: 0)), "where generation 1 began is not kept")

    for (position, keys) in [(7, ["key-1", "key-2"]), (9, ["key-2", "key-2000"])] as [(Int64, [String])] {
      var batch = StateBatch(table: "t", lane: id.text, fence: Fence(generation: 0, position: position))
      for key in keys { batch.append(key: Array(key.utf8)[...]) { $0.write(position) } }
      try await store.put([batch], meta: [FlushMark(lane: id, generation: 0, position: position).entry])
    }
    let lane = Lane(Array(1..<3), generation: 1, position: 12)
    _ = await lane.takeStateRows(max: .max)
    try await recover(lane, store, fold)
    #expect(try await positions(store) == ["key-1": 7, "key-2": 12], "what was committed stays, what will not come again is gone")
    try await flusher(lane, store, rowsMax: 4).flush()
    #expect(try await positions(store) == ["key-1": 12, "key-2": 12])
    #expect(try await FlushMark.standing(of: id, store, fold) == .even)
  }

  /// The ledger has position 7, where a worker has just taken the lane over: the marks are of the generation before.
  @Test func aTakeOverWritesNoRowThatTheTableHasAlready() async throws {
    defer { end() }
    let store = try LMDBStateTable(path: path, thread: threads)
    let id = LaneID(shard: "s")
    let fold = Self.fold(id, generation: 1, start: 7, at: 7)
    let start = Fence(generation: 0, position: 7)
    func standing(_ mark: String) async throws -> FlushMark.Standing {
      try await store.writeMeta([(FlushMark.name(id), Array(mark.utf8))])
      return try await FlushMark.standing(of: id, store, fold)
    }
    #expect(try await standing("0 5") == .behind)
    #expect(try await standing("0 7") == .evenBefore)
    #expect(try await standing("0 9") == .ahead(beyond: start))
    #expect(try await standing("flushing 0/7") == .older(beyond: start))

    func put(_ keys: [String], at position: Int64) async throws {
      var batch = StateBatch(table: "t", lane: id.text, fence: Fence(generation: 0, position: position))
      for key in keys { batch.append(key: Array(key.utf8)[...]) { $0.write(position) } }
      try await store.put([batch], meta: [FlushMark(lane: id, generation: 0, position: position).entry])
    }
    func takeOver() async throws {
      let lane = Lane(Array(1..<3), generation: 1, position: 7)
      _ = await lane.takeStateRows(max: .max)
      try await recover(lane, store, fold)
      let mark = FlushMark(lane: id, generation: 1, position: 7).entry
      #expect(try await store.readMeta(mark.0) == mark.1, "the next take-over knows where the rows of this generation are")
      try await flusher(lane, store, rowsMax: 4).flush()
      #expect(await lane.taken.dropFirst().allSatisfy { $0 == 0 }, "no row is written once more")
      #expect(try await FlushMark.standing(of: id, store, fold) == .even)
    }
    try await put(["key-1", "key-2"], at: 7)
    try await takeOver()
    #expect(try await store.read(table: "t", key: Array("key-1".utf8))?.fence == start)
    // The worker before was ahead of the ledger.
    try await put(["key-2", "key-2000"], at: 9)
    try await takeOver()
    #expect(try await positions(store) == ["key-1": 7, "key-2": 7])
    #expect(try await store.read(table: "t", key: Array("key-2".utf8))?.fence == Fence(generation: 1, position: 7))
  }

  /// A worker whose lanes have nothing new wakes for no flush.
  @Test func aFlusherSleepsUntilALaneHasSomething() async throws {
    let (clock, table, isDone) = (ManualClock(.waits), MemoryStateTable(), Flag())
    let lane = Lane(Array(0..<10), position: 7)
    try await table.writeMeta(FlushMark.owners(of: lane.ids, owner))
    let flusher = flusher(lane, table, clock)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await flusher.run(until: isDone) }
      /// Until its interval is over, which it waits for only if there is something.
      func passInterval() async {
        while clock.sleepers == 0 { await Task.yield() }
        clock.advance(by: 10_000_000_000)
      }
      await passInterval()
      while await lane.taken != [10] { await Task.yield() }
      for _ in 0..<500 { await Task.yield() }
      #expect(clock.sleepers == 0)
      await lane.markAllUnflushed(lane.ids[0])
      await passInterval()
      while await lane.taken != [10, 10] { await Task.yield() }
      isDone.raise()
      try await tasks.waitForAll()
    }
    let mark = FlushMark(lane: lane.ids[0], generation: 0, position: 7).entry
    #expect(try await table.readMeta(mark.0) == mark.1)
  }

  /// A flush that finds the rows taken by another must not write the mark that says they are in the table: the other may fail.
  @Test func noFlushVouchesForTheRowsOfAnother() async throws {
    defer { end() }
    let gate = StoreGate(isShut: true)
    let isFirst = Mutex(false)
    // The first write waits until it is let through, and fails.
    let table = MemoryStateTable(onStep: { step in
      guard step == .beforeRequest else { return }
      let fails = isFirst.withLock { isFirst in
        defer { isFirst = false }
        return isFirst
      }
      guard fails else { return }
      await gate.pass()
      throw WeirError(.storage, "the disk is full")
    })
    let lane = Lane(Array(0..<10), position: 7)
    let flusher = try await flusher(lane, table)
    isFirst.withLock { $0 = true }
    await withTaskGroup(of: Void.self) { tasks in
      tasks.addTask { await #expect(throws: WeirError.self) { try await flusher.flush() } }
      await gate.whenARequestWaits()
      tasks.addTask { await #expect(throws: WeirError.self) { try await flusher.flush() } }
      await gate.open()
    }
    await #expect(throws: WeirError.self, "the rows are in no lane and not in the table") { try await flusher.flush() }
    #expect(try await table.readMeta(FlushMark.name(lane.ids[0])) == nil)
  }

  /// Of two workers that take a lane over, the one whose entry is later has its rows, whenever each of them comes to say so.
  @Test func aLaneBelongsToWhoeverTookItOverLastInTheLedger() async throws {
    defer { end() }
    let store = try LMDBStateTable(path: path, thread: threads)
    func claim(_ owner: String, _ number: Int64) -> StateClaim { StateClaim(name: "owner/s", owner: Array(owner.utf8), number: number) }
    func owner() async throws -> String? { try await store.readMeta("owner/s").map { String(decoding: $0, as: UTF8.self) } }
    try await store.claim([claim("a", 4)])
    try await store.claim([claim("b", 5)])
    await #expect(throws: WeirError.self) { try await store.claim([claim("a", 4)]) }
    let other = StateClaim(name: "owner/r", owner: [1], number: 9)
    await #expect(throws: WeirError.self, "all or none") { try await store.claim([other, claim("a", 4)]) }
    #expect(try await owner() == "b")
    #expect(try await store.readMeta("owner/r") == nil)
    try await store.claim([claim("c", 5)])
    #expect(try await owner() == "c")
    await #expect(throws: WeirError.self) {
      try await store.replace(tables: ["t"], with: [], meta: [("m", [1])], owners: [("owner/s", Array("b".utf8))])
    }
    #expect(try await store.readMeta("m") == nil)
  }
}
