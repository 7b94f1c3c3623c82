import Testing
import WeirCore
import WeirTesting

@testable import WeirEngine
@testable import WeirProtocol

/// Tombstones go when they are old, and rows that lanes no longer have go at a take-over.
@Suite struct TombstoneSweepTests {
  private static let day: Int64 = 86_400_000_000
  private static let id = LaneID(shard: "t/1")
  private static let parent = LaneID(shard: "t/0")

  private static func fold(at position: Int64, generation: Int64 = 1) -> LedgerFold {
    var before = LaneFold(generation: 0, floor: Watermark.minimum, at: .offset(30))
    before.isShardClosed = true
    var lane = LaneFold(generation: generation, floor: Watermark.minimum, at: .offset(position))
    var origin = LaneOrigin(ChildShard(lane: id, parents: [parent], range: .all))
    (origin.parents[0].reached, origin.parents[0].range) = (0, .all)
    lane.origin = origin
    return LedgerFold(
      genesis: Genesis(ledgerID: "l", runID: "r", stream: "s", plan: .null, planHash: "p", lanes: [parent]), number: 9, hash: "h",
      lanes: [parent: before, id: lane], lookups: [:], tables: [:], partitioners: [:], mergedWatermark: Watermark.minimum)
  }

  private static func batch(_ key: String, lane: LaneID = id, generation: Int64 = 1, _ position: Int64, isRow: Bool = false) -> StateBatch {
    var batch = StateBatch(table: "t", lane: lane.text, fence: Fence(generation: generation, position: position))
    if isRow { batch.append(key: Array(key.utf8)[...]) { $0.write(position) } } else { batch.remove(key: Array(key.utf8)[...]) }
    return batch
  }

  private static func table() async throws -> MemoryStateTable {
    let table = MemoryStateTable(rowsMax: 2)
    try await table.writeMeta(FlushMark.owners(of: [id], [7]))
    try await table.put([
      batch("a", 5), batch("b", 10), batch("c", 11), batch("d", 4, isRow: true), batch("e", lane: LaneID(shard: "t/9"), 1),
      batch("f", lane: parent, generation: 0, 30),
    ])
    return table
  }

  private static func left(_ table: MemoryStateTable) async throws -> String {
    var left = ""
    for key in ["a", "b", "c", "d", "e", "f"] where try await table.read(table: "t", key: Array(key.utf8)) != nil { left += key }
    return left
  }

  private static func sweep(_ table: MemoryStateTable, _ fold: LedgerFold, now: Int64, owner: UInt8 = 7) async throws {
    try await TombstoneSweep(state: table, tables: ["t"], keepMicroseconds: day).run([id], fold, owner: [owner], now: now) { false }
  }

  @Test func `a tombstone goes a day after the ledger has reached it, and nothing else goes`() async throws {
    let table = try await Self.table()
    try await Self.sweep(table, Self.fold(at: 10), now: 1000)
    try await Self.sweep(table, Self.fold(at: 20), now: 1000 + Self.day - 1)
    #expect(try await Self.left(table) == "abcdef")
    try await Self.sweep(table, Self.fold(at: 20), now: 1000 + Self.day)
    #expect(try await Self.left(table) == "cde", "a shard that ended has no worker: its child's removes its tombstones")
    try await Self.sweep(table, Self.fold(at: 30), now: 1000 + 2 * Self.day - 1)
    #expect(try await Self.left(table) == "cde")
    try await Self.sweep(table, Self.fold(at: 30), now: 1000 + 2 * Self.day)
    #expect(try await Self.left(table) == "de")
  }

  @Test func `a worker that lost its lane sweeps nothing`() async throws {
    let table = try await Self.table()
    try await Self.sweep(table, Self.fold(at: 10), now: 0)
    await #expect(throws: WeirError.self) { try await Self.sweep(table, Self.fold(at: 10), now: Self.day, owner: 8) }
    #expect(try await Self.left(table) == "abcdef")
  }

  @Test func `a clock that goes back and a mark of another ledger delay a sweep`() async throws {
    let table = try await Self.table()
    try await Self.sweep(table, Self.fold(at: 10), now: 5 * Self.day)
    try await Self.sweep(table, Self.fold(at: 10), now: 4 * Self.day)
    try await Self.sweep(table, Self.fold(at: 3), now: 5 * Self.day)
    #expect(try await Self.left(table) == "abcdef", "what the mark says is beyond this ledger")
    try await Self.sweep(table, Self.fold(at: 10), now: 6 * Self.day)
    #expect(try await Self.left(table) == "abcde")
  }

  @Test func `a table is read once for all lanes whose rows may have expired`() async throws {
    let table = MemoryStateTable()
    var expired = ExpiredRows()
    let before = await table.pagesRead
    for number in 0..<8 {
      let lane = LaneID(shard: "t/\(number)")
      try await table.put([
        Self.batch("kept \(number)", lane: lane, 1, isRow: true), Self.batch("gone \(number)", lane: lane, 1, isRow: true),
      ])
      var rows = LaneRows(
        [Self.batch("kept \(number)", lane: lane, 2, isRow: true)], mark: FlushMark(lane: lane, generation: 1, position: 2), left: 0)
      rows.expiring = ["t"]
      expired.add(rows, owners: [])
    }
    try await table.put([Self.batch("other", lane: LaneID(shard: "t/8"), 1, isRow: true)])
    try await expired.remove(from: table)
    #expect(await table.pagesRead - before == 1)
    var left: [String] = []
    try await table.forEachRow(of: "t") { left.append(String(decoding: $0.key, as: UTF8.self)) }
    #expect(left == (0..<8).map { "kept \($0)" } + ["other"])
    #expect(try await table.read(table: "t", key: Array("gone 3".utf8))?.fence.position == 2, "a tombstone with the lane's fence")
  }

  @Test func `a lane has all shards before it as ancestors, each once`() {
    func id(_ number: Int) -> LaneID { LaneID(shard: "t/\(number)") }
    var lanes: [LaneID: LaneFold] = [:]
    // 0 is split into 1 and 2, which are merged into 3, of which 4 is a part.
    for (number, parents) in [[], [0], [0], [1, 2], [3]].enumerated() {
      var lane = LaneFold(generation: 0, floor: Watermark.minimum, at: .offset(1))
      if !parents.isEmpty {
        var origin = LaneOrigin(ChildShard(lane: id(number), parents: parents.map(id), range: .all))
        for i in origin.parents.indices { origin.parents[i].reached = Int64(number) }
        lane.origin = origin
      }
      lanes[id(number)] = lane
    }
    let fold = LedgerFold(
      genesis: Genesis(ledgerID: "l", runID: "r", stream: "s", plan: .null, planHash: "p", lanes: [id(0)]), number: 1, hash: "h",
      lanes: lanes, lookups: [:], tables: [:], partitioners: [:], mergedWatermark: Watermark.minimum)
    #expect(fold.ancestors(of: id(4)).map(\.lane).sorted() == [0, 1, 2, 3].map(id))
    #expect(fold.ancestors(of: id(1)).map(\.lane) == [id(0)])
    #expect(fold.ancestors(of: id(0)).isEmpty)
  }
}
