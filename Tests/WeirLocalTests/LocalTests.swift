import Foundation
import Testing
import WeirCore
import WeirLMDB
import WeirLocal
import WeirTesting

struct LocalTests {
  private func folder() -> String {
    let path = NSTemporaryDirectory() + "weir-test-" + UUID().uuidString
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  private func store(_ path: String) -> LocalObjectStore {
    LocalObjectStore(root: path, threads: BlockingThreads(count: 4), random: SystemRandom())
  }

  @Test func ofEightPutsOfOneNameExactlyOneCreatesIt() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = store(path)
    for round in 0..<20 {
      let outcomes = await withTaskGroup(of: (Int, PutOutcome).self) { group in
        for i in 0..<8 {
          group.addTask { (i, await store.putIfAbsent(NewObject(path: "d/\(round)", bytes: [UInt8(i)]))) }
        }
        return await group.reduce(into: [(Int, PutOutcome)]()) { $0.append($1) }
      }
      let created = outcomes.filter { $0.1 == .created }
      #expect(created.count == 1 && outcomes.filter { $0.1 == .exists }.count == 7)
      #expect(try await store.get("d/\(round)") == [UInt8(created[0].0)])
    }
    #expect(try await store.list("d/").count == 20)
  }

  /// The oracle is the whole list.
  @Test func aListFromAPathOnIsTheRestOfTheWholeList() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = store(path)
    for name in ["a/1", "a/2", "a/b/1", "a/b/2", "a/b-/1", "a/b0", "a/c/d/é", "a/c/d/z", "a.x", "b/1"] {
      #expect(await store.putIfAbsent(NewObject(path: name, bytes: [])) == .created)
    }
    for prefix in ["", "a/", "a/b", "a/b/", "a/c/d/", "b/", "none/"] {
      let whole = try await store.list(prefix).map(\.path)
      #expect(whole == whole.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) })
      for first in ["", "a", "a/", "a/2", "a/b", "a/b/", "a/b/2", "a/b/20", "a/b-/1", "a/c", "a/c/d/e", "a/c/d/é", "b", "c"] {
        let wanted = whole.filter { !Array($0.utf8).lexicographicallyPrecedes(Array(first.utf8)) }
        #expect(try await store.list(prefix, from: first).map(\.path) == wanted, "\(prefix) from \(first)")
      }
    }
  }

  /// Files of 1 MiB and more go past the page cache, in blocks, where the file system lets them; their last bytes never do.
  @Test(arguments: [0, 1, 4096, 1 << 20 - 1, 1 << 20, 1 << 20 + 1, 1 << 20 + 4095, 1 << 20 + 4096, 2 << 20, 3 << 20 + 7])
  func aFileHasTheBytesThatWereWrittenWhateverItsSize(size: Int) async throws {
    var random = SplitMix64(seed: UInt64(size))
    let bytes = (0..<size).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    // The second has no direct writes.
    for path in [folder(), "/dev/shm/weir-test-" + UUID().uuidString] {
      defer { try? FileManager.default.removeItem(atPath: path) }
      let store = store(path)
      try await store.write([NewObject(path: "d/whole", bytes: bytes)])
      let outcome = await store.putIfAbsent(NewObject(path: "d/once", bytes: bytes))
      #expect(outcome == .created)
      for name in ["whole", "once"] {
        #expect(FileManager.default.contents(atPath: "\(path)/d/\(name)").map(Array.init) == bytes)
      }
    }
  }

  @Test func aPathNeverLeadsOutOfTheLake() async {
    let store = store(folder())
    for path in ["../x", "/x", "a/../../x", "a//b", "", "a\0b", "./x"] {
      await #expect(throws: WeirError.self) { try await store.get(path) }
    }
  }

  private func events(_ files: [String], start: Int64 = 0, prefix: Hash128? = nil, cut: Int64, block: Int) async throws -> (
    lines: [[UInt8]], cuts: [Int64: Hash128]
  ) {
    let source = try CaptureSource(
      files: files, startAt: start, expectedPrefix: prefix, cutBytes: cut, blockBytes: block, fileEnds: .join)
    var lines: [[UInt8]] = []
    var cuts: [Int64: Hash128] = [:]
    while true {
      switch try await source.next() {
      case .block(let raw, _):
        let bytes = withExtendedLifetime(raw) { Array(UnsafeBufferPointer(start: raw.text.base, count: raw.count)) }
        lines += bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map(Array.init)
        if bytes.last == 0x0A { lines.removeLast() }
      case .cut(let position, let hash): cuts[position] = hash
      case .caughtUp, .outOfRange, .closed: Issue.record("a capture says nothing of a live shard")
      case .end:
        await source.close()
        return (lines, cuts)
      }
    }
  }

  @Test func recordsAndCutsDoNotDependOnBlocksOrFilesOrWhereARunBegins() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let text = (0..<200).map { "{\"n\":\($0),\"pad\":\"\(String(repeating: "x", count: $0 % 23))\"}" }.joined(separator: "\n")
    let bytes = Array(text.utf8)
    try Data(bytes).write(to: URL(fileURLWithPath: path + "/all"))
    try Data(bytes[..<1003]).write(to: URL(fileURLWithPath: path + "/a"))
    try Data(bytes[1003...]).write(to: URL(fileURLWithPath: path + "/b"))
    let gzip = Process()
    gzip.executableURL = URL(fileURLWithPath: "/bin/sh")
    gzip.arguments = ["-c", "gzip -c \(path)/a > \(path)/z; gzip -c \(path)/b >> \(path)/z"]
    try gzip.run()
    gzip.waitUntilExit()
    let whole = try await events([path + "/all"], cut: 700, block: 1 << 20)
    #expect(whole.lines == text.split(separator: "\n").map { Array($0.utf8) })
    #expect(whole.cuts.count > 5)
    for block in [1, 7, 64, 1000] {
      for files in [["all"], ["a", "b"], ["z"]] {
        let other = try await events(files.map { path + "/" + $0 }, cut: 700, block: block)
        #expect(other.lines == whole.lines && other.cuts == whole.cuts)
      }
    }
    for (position, hash) in whole.cuts {
      let rest = try await events([path + "/a", path + "/b"], start: position, prefix: hash, cut: 700, block: 100)
      #expect(rest.lines == Array(whole.lines.suffix(rest.lines.count)))
      for (at, hash) in rest.cuts { #expect(whole.cuts[at] == hash) }
      if position > 0 {
        await #expect(throws: WeirError.self) {
          try await events([path + "/all"], start: position, prefix: Hash128(low: 1, high: 1), cut: 700, block: 100)
        }
      }
    }
  }

  @Test func filesAsTheirProgramsReadThemAreCaptures() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data("a\nb\n".utf8).write(to: URL(fileURLWithPath: path + "/plain"))
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/bin/sh")
    shell.arguments = [
      "-c", "cd \(path); gzip -c plain > padded; head -c 300000 /dev/zero >> padded",
    ]
    try shell.run()
    shell.waitUntilExit()
    // A stored frame in a file whose first frame is to be skipped.
    let frame: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0x20, 0x04, 0x21, 0x00, 0x00] + Array("a\nb\n".utf8)
    try Data([0x5A, 0x2A, 0x4D, 0x18, 0x02, 0, 0, 0, 0x78, 0x0A] + frame).write(to: URL(fileURLWithPath: path + "/skippable"))
    // A window of 2 GiB is told as what it is, not as damage.
    try Data([0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xA8, 0x21, 0x00, 0x00]).write(to: URL(fileURLWithPath: path + "/long"))
    for file in ["plain", "padded", "skippable"] {
      #expect(try await events([path + "/" + file], cut: 100, block: 100).lines == [Array("a".utf8), Array("b".utf8)], "\(file)")
    }
    for (file, word) in [("long", "window of at most 128 MiB"), ("none", "NDJSON files"), ("", "/*")] {
      let error = await #expect(throws: WeirError.self) { try await events([path + "/" + file], cut: 100, block: 100) }
      #expect(error?.code == .config && error?.advice?.contains(word) == true, "\(file): \(error.map { "\($0)" } ?? "")")
      #expect(throws: WeirError.self) { try CaptureSource.firstBytes(of: [CaptureItem(name: path + "/" + file, bytes: nil)], count: 10) }
    }
  }

  @Test func theStateTableKeepsTheLargestFence() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let table = try LMDBStateTable(path: path + "/s", thread: BlockingThreads(count: 1))
    func row(_ key: String, _ position: Int64, _ value: UInt8, generation: Int64 = 1) -> StateBatch {
      var batch = StateBatch(table: "t", lane: "l", fence: Fence(generation: generation, position: position))
      batch.append(key: Array(key.utf8)[...]) { $0.write(value) }
      return batch
    }
    #expect(try await table.put([row("a", 5, 1), row("b", 5, 2)]) == 0)
    #expect(try await table.put([row("a", 4, 9), row("b", 5, 3)]) == 1)
    #expect(try await table.read(table: "t", key: Array("a".utf8))?.value == [1])
    #expect(try await table.read(table: "t", key: Array("b".utf8))?.value == [3])
    #expect(try await table.put([row("a", 1, 7, generation: 2)]) == 0)
    #expect(try await table.rows(of: "t").map(\.value) == [[7], [3]])
    // A key that LMDB would refuse, twice with one beginning.
    let long = String(repeating: "k", count: 900)
    #expect(try await table.put([row(long + "1", 1, 1), row(long + "2", 1, 2)]) == 0)
    #expect(try await table.read(table: "t", key: Array((long + "2").utf8))?.value == [2])
    // Another process's view.
    let reader = try LMDBStateTable(path: path + "/s", readOnly: true, thread: BlockingThreads(count: 1))
    #expect(try await reader.rows(of: "t", prefix: Array("kk".utf8)).count == 2)
    #expect(throws: WeirError.self) { try LMDBStateTable(path: path + "/none", readOnly: true, thread: BlockingThreads(count: 1)) }
  }

  /// What a writer put into a file that nobody can open any more would be lost, and the sums of whoever reads wrong.
  @Test(arguments: [false, true]) func aStateTableThatWasRemovedIsNotWrittenTo(isReplaced: Bool) async throws {
    let home = folder()
    defer { try? FileManager.default.removeItem(atPath: home) }
    let path = home + "/s"
    let table = try LMDBStateTable(path: path, thread: BlockingThreads(count: 1))
    func rows(_ position: Int64) -> [StateBatch] {
      var batch = StateBatch(table: "t", lane: "l", fence: Fence(generation: 1, position: position))
      batch.append(key: Array("k".utf8)[...]) { $0.write(UInt8(position)) }
      return [batch]
    }
    _ = try await table.put(rows(1))
    try FileManager.default.removeItem(atPath: path)
    let other = isReplaced ? try LMDBStateTable(path: path, thread: BlockingThreads(count: 1)) : nil
    let error = await #expect(throws: WeirError.self) { try await table.put(rows(2)) }
    #expect(error?.code == (isReplaced ? .stateReplaced : .stateRemoved) && error?.isRetriable == isReplaced && error?.fatalTo == .worker)
    #expect(error?.message.contains(isReplaced ? "replaced" : "removed") == true && error?.message.contains(path) == true)
    await #expect(throws: WeirError.self) { try await table.finish() }
    if let other { #expect(try await other.put(rows(1)) == 0) }
  }

  @Test func theStateFileStaysBoundedWhileOneWritesAndAnotherReads() async throws {
    let path = folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let table = try LMDBStateTable(path: path, thread: BlockingThreads(count: 1))
    let reader = try LMDBStateTable(path: path, readOnly: true, thread: BlockingThreads(count: 1))
    for round in 0..<60 {
      var rows = StateBatch(table: "t", lane: "l", fence: Fence(generation: 1, position: Int64(round)))
      for i in (0..<2000).reversed() {
        rows.append(key: Array("key-\(10_000 + i)".utf8)[...]) { for _ in 0..<64 { $0.write(UInt8(round)) } }
      }
      _ = try await table.put([rows])
      #expect(try await reader.rows(of: "t").allSatisfy { $0.fence.position == Int64(round) })
    }
    let size = try FileManager.default.attributesOfItem(atPath: path + "/data.mdb")[.size] as? Int ?? .max
    #expect(size < 8 << 20)
  }
}
