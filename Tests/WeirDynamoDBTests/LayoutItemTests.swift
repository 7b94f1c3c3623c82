import Synchronization
import Testing
import WeirAWS
import WeirCore
import WeirTesting

@testable import WeirDynamoDB

/// A table that lost the item that says where its rows are.
@Suite struct LayoutItemTests {
  private let model = DynamoDBModel()

  private func table(_ seed: UInt64, readOnly: Bool = false, notice: @escaping @Sendable (String) -> Void = { _ in }) -> DynamoDBStateTable
  {
    DynamoDBStateTable(
      table: "weir", sender: ModelSender(model), clock: ManualClock(.moves), random: SeededRandom(seed), readOnly: readOnly, notice: notice)
  }

  private func batch(_ keys: [String], _ position: Int64) -> StateBatch {
    var batch = StateBatch(table: "t", lane: "s/0", fence: Fence(generation: 0, position: position))
    for key in keys { batch.append(key: Array(key.utf8)[...]) { $0.write(UInt8(1)) } }
    return batch
  }

  private func code(_ body: () async throws -> Void) async -> WeirError.Code? {
    do { try await body() } catch { return (error as? WeirError)?.code }
    return nil
  }

  private func keys(_ table: DynamoDBStateTable) async throws -> [String] {
    try await table.rows(of: "t").map { String(decoding: $0.key, as: UTF8.self) }
  }

  /// Rows of two generations: one rebuild.
  private func filled() async throws -> DynamoDBStateTable {
    let table = table(1)
    try await table.claim([StateClaim(name: "owner/s", owner: [1], number: 1)])
    try await table.write(StateWrite([batch(["old"], 5)], meta: [("built/t", [1])], owners: []))
    try await table.replace(tables: ["t"], with: [batch(["a", "b"], 6)], meta: [("built/t", [1])], owners: [])
    #expect(try await keys(table) == ["a", "b"])
    return table
  }

  private func lose() { model.remove(from: "weir") { $0.partition == "layout" } }

  @Test func `a reader of a table without a layout says so, and does not say that there are no rows`() async throws {
    _ = try await filled()
    lose()
    let before = model.items(of: "weir")
    let reader = table(9, readOnly: true)
    #expect(await code { _ = try await reader.read(table: "t", key: [0x61]) } == .stateReplaced)
    #expect(await code { _ = try await reader.page(of: "t", prefix: [], from: nil, rowsMax: 10) } == .stateReplaced)
    #expect(await code { _ = try await reader.readMeta("built/t") } == .stateReplaced)
    #expect(await code { _ = try await reader.listMeta(prefix: "") } == .stateReplaced)
    #expect(await code { _ = try await reader.moment(of: ["t"], into: 0) { count, _ in count += 1 } } == .stateReplaced)
    #expect(await code { try await reader.check() } == .stateReplaced)
    #expect(model.items(of: "weir") == before)
  }

  @Test func `a worker whose table loses its layout writes nothing until it opens the table again`() async throws {
    let worker = try await filled()
    lose()
    let before = model.items(of: "weir")
    #expect(await code { try await worker.write(StateWrite([batch(["c"], 7)], meta: [("m", [1])], owners: [])) } == .stateReplaced)
    #expect(await code { try await worker.claim([StateClaim(name: "owner/s", owner: [1], number: 2)]) } == .stateReplaced)
    #expect(await code { try await worker.check() } == .stateReplaced)
    #expect(model.items(of: "weir") == before)
    try await worker.reopen()
    #expect(try await worker.listMeta(prefix: "").isEmpty)
  }

  /// The engine writes all rows again where the marks are gone. None of the rows of before may be among them, at any time after.
  @Test func `the next worker begins without marks, and no row of before comes back`() async throws {
    let old = try await filled()
    lose()
    let notices = Mutex<[String]>([])
    let next = table(2) { notice in notices.withLock { $0.append(notice) } }
    #expect(try await next.listMeta(prefix: "").isEmpty)
    #expect(notices.withLock { $0 }.count == 1)
    #expect(try await keys(next) == [])
    // A worker of before does not vouch for anything, and its rows are not seen.
    #expect(
      await code {
        try await old.write(StateWrite([batch(["stale"], 9)], meta: [("flushed/s/0", [9])], owners: [("owner/s", [1])]))
      } == .stateFenced)
    try await next.write(StateWrite([batch(["n"], 1)], meta: [], owners: []))
    #expect(try await keys(next) == ["n"])
    for round in 0..<3 {
      try await next.replace(tables: ["t"], with: [batch(["x\(round)"], 1)], meta: [("built/t", [1])], owners: [])
      #expect(try await keys(next) == ["x\(round)"])
    }
    #expect(try await keys(table(9, readOnly: true)) == ["x2"])
  }

  @Test func `a table that lost layout and marks shows no row of before after a rebuild`() async throws {
    _ = try await filled()
    model.remove(from: "weir") { ["layout", "meta"].contains($0.partition) }
    let next = table(2)
    for round in 0..<3 {
      try await next.replace(tables: ["t"], with: [batch(["x\(round)"], 1)], meta: [("built/t", [1])], owners: [])
      #expect(try await keys(next) == ["x\(round)"])
    }
  }

  /// Killed at each request of the repair.
  @Test(arguments: 0..<16) func `a worker that is killed while it begins the table again leaves one that says so`(last: Int) async throws {
    _ = try await filled()
    lose()
    let sender = ModelSender(model) { number, _ in
      if number >= last { throw AWSFailure(.fatal, code: "Stopped", message: "killed") }
      return nil
    }
    let killed = DynamoDBStateTable(table: "weir", sender: sender, clock: ManualClock(.moves), random: SeededRandom(2))
    _ = try? await killed.listMeta(prefix: "")
    let reader = table(9, readOnly: true)
    let isBegun = model.items(of: "weir").keys.contains { $0.partition == "layout" }
    let names = try? await reader.listMeta(prefix: "").map(\.name)
    #expect(isBegun ? names?.contains("built/t") == false : names == nil)
    let next = table(3)
    #expect(try await next.readMeta("built/t") == nil)
    #expect(try await keys(next) == [])
    try await next.replace(tables: ["t"], with: [batch(["x"], 1)], meta: [("built/t", [1])], owners: [])
    #expect(try await keys(next) == ["x"])
  }

  /// The layout of another worker comes between the two looks.
  @Test func `two workers that begin a new table do not take it for a lost one`() async throws {
    let first = table(1)
    let model = model
    let sender = ModelSender(model) { _, request in
      if request.operation == "Query" { try await first.writeMeta([("owner/t", [7])]) }
      return nil
    }
    let second = DynamoDBStateTable(table: "weir", sender: sender, clock: ManualClock(.moves), random: SeededRandom(2))
    #expect(try await second.readMeta("owner/t") == [7])
    #expect(try await first.readMeta("owner/t") == [7])
  }
}
