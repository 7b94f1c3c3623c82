import Foundation
import Testing
import WeirCore
import WeirLocal
import WeirTesting

@testable import WeirLMDB

/// The state table's file, read page by page, and what becomes of damage to it.
struct StateDamageTests {
  private typealias Rows = [String: [UInt8]]

  private func folder() -> String { FileManager.default.temporaryDirectory.path + "/weir-state-\(UUID().uuidString)" }

  private func table(_ path: String, readOnly: Bool = false) throws -> LMDBStateTable {
    try LMDBStateTable(path: path, readOnly: readOnly, thread: BlockingThreads(count: 1))
  }

  private func batch(_ table: String, _ position: Int64, _ rows: [(String, [UInt8])]) -> StateBatch {
    var batch = StateBatch(table: table, lane: "lane", fence: Fence(generation: 1, position: position))
    for (key, value) in rows { batch.append(key: Array(key.utf8)[...]) { for byte in value { $0.write(byte) } } }
    return batch
  }

  private func contents(_ table: LMDBStateTable, _ name: String) async throws -> Rows {
    try await table.moment(of: [name], into: Rows()) { $0[String(decoding: $1.key, as: UTF8.self)] = $1.value ?? [] }.result
  }

  /// Writes random rows, in many transactions, and returns what a naive fold of them has.
  private func fill(_ store: LMDBStateTable, rounds: Int, seed: UInt64) async throws -> [String: Rows] {
    var random = SplitMix64(seed: seed)
    var expected: [String: Rows] = ["a": [:], "b": [:]]
    for round in 1...rounds {
      for name in ["a", "b"] {
        var rows: Rows = [:]
        for _ in 0..<Int(random.next() % 300) {
          let number = random.next() % 2000
          // Some keys are too long for LMDB, some values for a page.
          let key = "key-\(number)" + (number % 97 == 0 ? String(repeating: "k", count: 600) : "")
          let count = number % 101 == 0 ? 3000 + Int(random.next() % 9000) : Int(random.next() % 60)
          rows[key] = (0..<count).map { UInt8(truncatingIfNeeded: $0 &+ round) }
        }
        _ = try await store.put(
          [batch(name, Int64(round), rows.map { ($0.key, $0.value) })], meta: [("mark/\(name)", Array("\(round)".utf8))])
        expected[name]?.merge(rows) { $1 }
      }
      if round % 40 == 0 {
        try await store.replace(tables: ["b"], with: [], meta: [], owners: [])
        expected["b"] = [:]
      }
    }
    return expected
  }

  @Test(arguments: Cases.seeds(1..<4, debugStep: 3)) func readingPagesGivesEveryRowAndTheWholeFileIsSound(seed: UInt64) async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = try table(path)
    let expected = try await fill(store, rounds: 70, seed: seed)
    for (name, rows) in expected {
      #expect(try await contents(store, name) == rows)
      for number in stride(from: 0, to: 2000, by: 7) {
        let key = "key-\(number)" + (number % 97 == 0 ? String(repeating: "k", count: 600) : "")
        #expect(try await store.read(table: name, key: Array(key.utf8))?.value == rows[key])
      }
    }
    try await store.check()
    let reader = try table(path, readOnly: true)
    #expect(try await contents(reader, "a") == expected["a"])
    #expect(try await reader.readMeta("mark/a") == Array("70".utf8))
    #expect(try await reader.listMeta(prefix: "mark/").map(\.name) == ["mark/a", "mark/b"])
    try await reader.check()
    try await reader.close()
    try await store.finish()
    try await store.close()
    // A worker that opens it checks all of it.
    #expect(try await contents(try table(path), "a") == expected["a"])
  }

  /// Whatever bit is wrong: the rows are the right ones, or the error is `corrupt`; and the check of the whole file finds every
  /// damage that changes a row.
  @Test func aFlippedBitNeverGivesAnotherRow() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = try table(path)
    let expected = try await fill(store, rounds: 12, seed: 9)
    try await store.finish()
    try await store.close()
    let sound = try Data(contentsOf: URL(fileURLWithPath: path + "/data.mdb"))
    var random = SplitMix64(seed: 4)
    var outcomes: [String: Int] = [:]
    let step = Cases.step(debug: 6)
    for attempt in stride(from: 0, to: 300, by: step) {
      var bytes = sound
      // The first pages say where everything else is.
      let at = attempt < 100 ? Int(random.next() % 160) + (attempt / step % 2) * 4096 : Int(random.next() % UInt64(sound.count))
      bytes[at] ^= 1 << UInt8(random.next() % 8)
      let damaged = folder()
      defer { try? FileManager.default.removeItem(atPath: damaged) }
      try FileManager.default.createDirectory(atPath: damaged, withIntermediateDirectories: true)
      try bytes.write(to: URL(fileURLWithPath: damaged + "/data.mdb"))
      let (rows, read) = await outcome { try await self.bothTables(try self.table(damaged, readOnly: true)) }
      let (_, checked) = await outcome {
        try await self.table(damaged, readOnly: true).check()
        return [:]
      }
      let (written, opened) = await outcome { try await self.bothTables(try self.table(damaged)) }
      #expect(read == "corrupt" || rows == expected, "byte \(at): \(read)")
      #expect(opened == "corrupt" || written == expected, "byte \(at): \(opened)")
      #expect(rows == expected || checked == "corrupt", "byte \(at): the check passes")
      outcomes[read, default: 0] += 1
    }
    #expect(outcomes["corrupt"] ?? 0 > 30 / step && Set(outcomes.keys).isSubset(of: ["corrupt", "fine"]), "\(outcomes)")
  }

  @Test func aShortenedFileIsCorruptAndEndsNoProcess() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = try table(path)
    let expected = try await fill(store, rounds: 12, seed: 9)
    try await store.finish()
    try await store.close()
    let sound = try Data(contentsOf: URL(fileURLWithPath: path + "/data.mdb"))
    for count in [1, 100, 4095, 4096, 8191, 8192, 12288, sound.count / 2, sound.count - 4096, sound.count - 1] {
      let damaged = folder()
      defer { try? FileManager.default.removeItem(atPath: damaged) }
      try FileManager.default.createDirectory(atPath: damaged, withIntermediateDirectories: true)
      try sound.prefix(count).write(to: URL(fileURLWithPath: damaged + "/data.mdb"))
      for readOnly in [true, false] {
        let (rows, code) = await outcome { try await self.bothTables(try self.table(damaged, readOnly: readOnly)) }
        #expect(code == "corrupt" || rows == expected, "\(count) bytes: \(code)")
      }
    }
    // While a worker has it open: the next write says so.
    let open = try table(path)
    #expect(truncate(path + "/data.mdb", sound.count / 2 / 4096 * 4096) == 0)
    let error = await #expect(throws: WeirError.self) { try await open.put([batch("a", 99, [("key-1", [1])])]) }
    #expect(error?.code == .corrupt && error?.advice?.remedies.contains(.rebuildState) == true)
  }

  private func bothTables(_ store: LMDBStateTable) async throws -> [String: Rows] {
    var all: [String: Rows] = [:]
    for name in ["a", "b"] { all[name] = try await contents(store, name) }
    try await store.close()
    return all
  }

  private func outcome(_ body: () async throws -> [String: Rows]) async -> ([String: Rows], String) {
    do { return (try await body(), "fine") } catch { return ([:], (error as? WeirError)?.code.rawValue ?? "\(error)") }
  }

  @Test func rowsAndMarksOfOlderVersionsAreRead() {
    var row = ByteWriter()
    for number in [Int64(3), 70] { row.write(number) }
    row.write("lane")
    row.write(counted: Array("key".utf8))
    row.write(UInt8(1))
    row.write(counted: [1, 2, 3])
    row.bytes.withUnsafeBytes { bytes in
      let stored = RowLayout.Stored(bytes, seed: 5)
      #expect(stored?.fence == Fence(generation: 3, position: 70) && stored?.value.map { Array($0) } == [1, 2, 3])
      #expect(stored.map { Array($0.key) } == Array("key".utf8))
    }
    (row.bytes + [0]).withUnsafeBytes { #expect(RowLayout.Stored($0, seed: 5) == nil) }
    let name = Array("flushed/l".utf8)
    #expect(MetaLayout.decode(name, Array("3 70".utf8)) == Array("3 70".utf8))
    let mark = MetaLayout.encode(name, Array("3 70".utf8))
    #expect(MetaLayout.decode(name, mark) == Array("3 70".utf8))
    #expect(MetaLayout.decode(Array("flushed/m".utf8), mark) == nil)
    for bit in 0..<mark.count * 8 {
      var damaged = mark
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(MetaLayout.decode(name, damaged) == nil, "bit \(bit)")
    }
  }

  /// Without a lock file a writer does not spare the pages that are read.
  @Test func aReaderWithoutTheLockFileSeesWholeTransactionsOnly() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = try table(path)
    func write(_ round: Int64) async throws {
      _ = try await store.put([batch("t", round, (0..<400).map { ("key-\($0)", Array("\(round)".utf8)) })])
    }
    try await write(1)
    try FileManager.default.removeItem(atPath: path + "/lock.mdb")
    let reader = try table(path, readOnly: true)
    #expect(!FileManager.default.fileExists(atPath: path + "/lock.mdb"), "a reader makes no lock file")
    let writes = Task { for round in 2...400 { try await write(Int64(round)) } }
    var last = 0
    var seen = Set<Int>()
    while last < 400 {
      let rows: Rows
      do { rows = try await contents(reader, "t") } catch let error as WeirError where error.isRetriable { continue }
      let rounds = Set(rows.values.map { Int(String(decoding: $0, as: UTF8.self)) ?? -1 })
      #expect(rows.count == 400 && rounds.count == 1, "\(rows.count) rows of rounds \(rounds)")
      #expect(rounds.first ?? 0 >= last)
      last = max(last, rounds.first ?? 400)
      seen.insert(last)
    }
    try await writes.value
    #expect(seen.contains(400))
  }

  @Test func aRebuiltTableTakesTheDamagedOnesPlaceAndOthersReopen() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let worker = try table(path)
    _ = try await worker.put([batch("t", 1, [("k", [1])])])
    let reader = try table(path, readOnly: true)
    #expect(try await reader.read(table: "t", key: Array("k".utf8))?.value == [1])
    let replacement = try StateReplacement(store: path)
    #expect(throws: WeirError.self) { try StateReplacement(store: path) }
    let rebuilt = try table(replacement.path)
    _ = try await rebuilt.put([batch("t", 5, [("k", [5])])])
    try await rebuilt.finish()
    try await rebuilt.close()
    try replacement.publish()
    #expect(try await reader.read(table: "t", key: Array("k".utf8))?.value == [5], "a reader follows")
    let error = await #expect(throws: WeirError.self) { try await worker.put([batch("t", 9, [("k", [9])])]) }
    #expect(error?.code == .stateReplaced && error?.isRetriable == true)
    try await worker.reopen()
    #expect(try await worker.put([batch("t", 9, [("k", [9])])]) == 0)
    #expect(try await reader.read(table: "t", key: Array("k".utf8))?.value == [9])
    #expect(try FileManager.default.contentsOfDirectory(atPath: path).sorted().filter { $0.hasPrefix("rebu") } == ["rebuilding.lock"])
  }

  /// The stop comes after the decision and before the swap: whoever opens the store next finishes it.
  @Test func aReplacementThatWasStoppedInTheMiddleIsFinished() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    for (store, value) in [(path, UInt8(1)), (path + "/new", 5)] {
      let table = try table(store)
      _ = try await table.put([batch("t", 1, [("k", [value])])])
      try await table.finish()
      try await table.close()
    }
    try FileManager.default.moveItem(atPath: path + "/new/data.mdb", toPath: path + "/rebuilt.mdb")
    let error = #expect(throws: WeirError.self) { try table(path, readOnly: true) }
    #expect(error?.isRetriable == true)
    let opened = try table(path)
    #expect(try await opened.read(table: "t", key: Array("k".utf8))?.value == [5])
    #expect(!FileManager.default.fileExists(atPath: path + "/rebuilt.mdb"))
  }

  /// LMDB itself waits without an end, and without a word.
  @Test func aWriterThatWaitsForAPausedOneEndsWithItsNumber() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = try LMDBStateTable(
      path: path, pagesMax: LMDBStateTable.pagesMax, turnSecondsMax: 0, thread: BlockingThreads(count: 1), onPart: {})
    try await store.writeMeta([("a", [1])])
    // Another process is within a transaction.
    let other = open(path + "/writing", O_RDWR)
    try #require(other >= 0 && flock(other, LOCK_EX) == 0)
    // The list of locks shows the newest first, and one read of it gives a page of them.
    let busy = try (0..<300).map { number in
      let descriptor = open("\(path)/busy-\(number)", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      try #require(descriptor >= 0 && flock(descriptor, LOCK_EX) == 0)
      return descriptor
    }
    defer { for descriptor in busy { close(descriptor) } }
    let error = await #expect(throws: WeirError.self) { try await store.writeMeta([("a", [2])]) }
    #expect(error?.code == .storage && error?.message.contains("process \(getpid()) has locked \(path)/writing") == true)
    #expect(try await store.readMeta("a") == [1], "readers do not wait")
    close(other)
    try await store.writeMeta([("a", [2])])
    #expect(try await store.readMeta("a") == [2])
    try await store.close()
  }
}
