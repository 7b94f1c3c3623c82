import Foundation
import Testing
import WeirCore
import WeirLocal
import WeirTesting

@testable import WeirLMDB

/// Many rows are written in several transactions, and the marks say so.
struct StateWriteTests {
  private func batch(_ table: String, _ position: Int64, _ keys: [String]) -> StateBatch {
    var batch = StateBatch(table: table, lane: "lane", fence: Fence(generation: 1, position: position))
    for key in keys { batch.append(key: Array(key.utf8)[...]) { $0.write(position) } }
    return batch
  }

  private func transactions(_ path: String) throws -> UInt64 {
    let file = try PageFile(store: path)
    return try Snapshot.both(try #require(file))[0].transaction
  }

  private func contents(_ store: LMDBStateTable, _ name: String) async throws -> [String: Int64] {
    try await store.moment(of: [name], into: [:]) { $0[String(decoding: $1.key, as: UTF8.self)] = $1.fence.position }.result
  }

  @Test func rowsInManyPagesTakeSeveralTransactionsAndAreAllThereOnce() async throws {
    let path = FileManager.default.temporaryDirectory.path + "/weir-write-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = try LMDBStateTable(path: path, pagesMax: 4, thread: BlockingThreads(count: 1))
    // Not in the order of their keys; the last are in two batches.
    let (a, b) = ((0..<3000).map { "key-\($0 * 7919 % 3000)" }, (0..<500).map { "other-\($0)" })
    let before = try transactions(path)
    _ = try await store.put([batch("a", 1, a), batch("b", 1, b)], meta: [("mark", [1])])
    #expect(try transactions(path) > before + 20, "some 60 rows fit into a page")
    #expect(try await contents(store, "a") == Dictionary(uniqueKeysWithValues: a.map { ($0, 1) }))
    #expect(try await contents(store, "b") == Dictionary(uniqueKeysWithValues: b.map { ($0, 1) }))
    #expect(try await store.readMeta("mark") == [1])
    // Rows of a larger fence stay, and are counted over all transactions.
    _ = try await store.put([batch("a", 5, Array(a[..<1000]))])
    let skipped = try await store.put([batch("a", 2, a)], meta: [("mark", [2])])
    #expect(skipped == 1000)
    let expected = Dictionary(uniqueKeysWithValues: a.enumerated().map { ($1, Int64($0 < 1000 ? 5 : 2)) })
    #expect(try await contents(store, "a") == expected)
    try await store.check()
  }

  /// Another worker becomes the owner while the rows are written: what it finds says that some of them may be there.
  @Test func theIntentStandsUntilTheLastRowIsWritten() async throws {
    let path = FileManager.default.temporaryDirectory.path + "/weir-write-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = try LMDBStateTable(path: path, pagesMax: 2, thread: BlockingThreads(count: 1))
    try await store.writeMeta([("owner", [1]), ("mark", [0])])
    let rows = (0..<20_000).map { "key-\($0 * 7919 % 20_000)" }
    let other = try LMDBStateTable(path: path, readOnly: true, thread: BlockingThreads(count: 1))
    let write = Task {
      try await store.write(
        StateWrite([batch("a", 1, rows)], meta: [("mark", [2])], owners: [("owner", [1])], intent: [("mark", [1])]))
    }
    var seen: [[UInt8]] = []
    while seen.last != [2] {
      let mark = try await other.readMeta("mark") ?? []
      // Read after the mark: what is there now was there when the last mark said that all are.
      let count = try await contents(other, "a").count
      if seen.last != mark { seen.append(mark) }
      if mark == [0] { continue }
      #expect(mark == [1] ? count > 0 : count == rows.count)
    }
    #expect(try await write.value == 0)
    #expect(seen == [[0], [1], [2]] || seen == [[1], [2]] || seen == [[0], [2]] || seen == [[2]])
    // A write of few rows has no need of it.
    _ = try await store.write(
      StateWrite([batch("a", 2, ["x"])], meta: [("mark", [4])], owners: [("owner", [1])], intent: [("mark", [3])]))
    #expect(try await store.readMeta("mark") == [4])
  }
}
