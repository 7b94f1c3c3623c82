import Testing
import WeirCore
import WeirTesting

@testable import WeirRedis

/// Rows that are larger than what a server takes as one value.
@Suite struct RedisOversizeTests {
  private let server = RedisMemory()

  private func table(_ thread: BlockingThreads) -> RedisStateTable {
    var limits = RedisStateTable.Limits()
    limits.rowBytesMax = 1000
    return RedisStateTable(
      RedisServer(host: "cache", port: 6379, place: "redis://cache:6379/0"), prefix: "p", connector: server, limits: limits,
      clock: ManualClock(.moves), random: Numbers(1), thread: thread)
  }

  private func batch(_ rows: [(String, Int)], _ position: Int64) -> StateBatch {
    var batch = StateBatch(table: "t", lane: "s/0", fence: Fence(generation: 0, position: position))
    for (key, count) in rows { batch.append(key: Array(key.utf8)[...]) { for _ in 0..<count { $0.write(UInt8(1)) } } }
    return batch
  }

  private func size(_ table: RedisStateTable, _ key: String) async throws -> Int64? {
    guard let value = try await table.read(table: "t", key: Array(key.utf8))?.value else { return nil }
    return OversizeValue(value).map { -$0.bytes } ?? Int64(value.count)
  }

  @Test func `a row that is too large for the server has a place without values, and the others have theirs`() async throws {
    let thread = BlockingThreads(count: 1)
    defer { thread.stop() }
    let table = table(thread)
    try await table.claim([StateClaim(name: "owner/s", owner: [1], number: 1)])
    let owners = [("owner/s", [UInt8(1)])]
    try await table.write(StateWrite([batch([("a", 10), ("fat", 2000), ("z", 900)], 5)], meta: [], owners: owners))
    #expect(try await size(table, "a") == 10)
    #expect(try await size(table, "fat") == -2000)
    #expect(try await size(table, "z") == 900)
    #expect(table.oversizeRows == 1)
    try await table.write(StateWrite([batch([("a", 11), ("fat", 20)], 8)], meta: [], owners: owners))
    #expect(try await size(table, "fat") == 20)
    // What ran ahead is taken back, to a row that is too large.
    try await table.retract(batch([("a", 10), ("fat", 3000)], 6), beyond: Fence(generation: 0, position: 6), owners: owners)
    #expect(try await size(table, "a") == 10)
    #expect(try await size(table, "fat") == -3000)
    try await table.replace(tables: ["t"], with: [batch([("b", 5), ("fat", 4000)], 9)], meta: [], owners: owners)
    #expect(try await size(table, "b") == 5)
    #expect(try await size(table, "fat") == -4000)
  }
}
