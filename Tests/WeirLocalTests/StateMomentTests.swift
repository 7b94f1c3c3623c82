import Foundation
import Testing
import WeirCore
import WeirLMDB
import WeirLocal
import WeirTesting

/// Marks and rows that belong together, while they are replaced.
@Suite struct StateMomentTests {
  private let path = NSTemporaryDirectory() + "weir-test-" + UUID().uuidString

  private func batch(_ table: String, round: Int64, rows: Int) -> StateBatch {
    var batch = StateBatch(table: table, lane: "s", fence: Fence(generation: 0, position: round))
    for row in 0..<rows { batch.append(key: Array("\(row)".utf8)[...]) { for byte in "\(round)".utf8 { $0.write(byte) } } }
    return batch
  }

  @Test func `a reader beside a rebuild sees the rows of one rebuild, all of them, and its mark`() async throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = try LMDBStateTable(path: path, thread: BlockingThreads(count: 1))
    let tables = ["a", "b"]
    let rows = 3000
    func rebuild(_ round: Int64) async throws {
      try await store.replace(
        tables: tables, with: tables.map { batch($0, round: round, rows: rows) }, meta: [("round", Array("\(round)".utf8))], owners: [])
    }
    try await rebuild(0)
    let reader = try LMDBStateTable(path: path, readOnly: true, thread: BlockingThreads(count: 1))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { for round in Int64(1)...30 { try await rebuild(round) } }
      for _ in 0..<30 {
        let (meta, found) = try await reader.moment(of: tables, into: [[UInt8]: Int]()) { $0[$1.value ?? [], default: 0] += 1 }
        #expect(found == [meta["round"] ?? []: tables.count * rows])
      }
      try await group.waitForAll()
    }
  }

  @Test func `what replaces a table's rows leaves the other tables and marks`() async throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = try LMDBStateTable(path: path, thread: BlockingThreads(count: 1))
    _ = try await store.put([batch("a", round: 9, rows: 5), batch("b", round: 9, rows: 5)], meta: [("m", [1])])
    // Smaller fences than those that stood there.
    try await store.replace(tables: ["a"], with: [batch("a", round: 1, rows: 2)], meta: [("n", [2])], owners: [])
    let (meta, fences) = try await store.moment(of: ["a", "b"], into: [String]()) { $0.append("\($1.table)\($1.fence.position)") }
    #expect(fences == ["a1", "a1", "b9", "b9", "b9", "b9", "b9"])
    #expect(meta == ["m": [1], "n": [2]])
  }

  @Test func `an empty file is damage, unless a worker is making it`() async throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = try LMDBStateTable(path: path, thread: BlockingThreads(count: 1))
    _ = try await store.put([batch("a", round: 1, rows: 1)])
    try FileManager.default.removeItem(atPath: path + "/data.mdb")
    try Data().write(to: URL(fileURLWithPath: path + "/data.mdb"))
    func opening() -> WeirError.Code? {
      do {
        _ = try LMDBStateTable(path: path, readOnly: true, thread: BlockingThreads(count: 1))
        return nil
      } catch { return error.code }
    }
    #expect(opening() == .stateMissing)
    try await store.close()
    _ = consume store
    #expect(opening() == .corrupt)
  }
}
