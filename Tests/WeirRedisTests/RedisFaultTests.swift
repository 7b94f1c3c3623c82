import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirRedis

@Suite struct RedisFaultTests {
  /// Ends its thread with the test.
  private final class Owned: Sendable {
    let thread = BlockingThreads(count: 1)
    deinit { thread.stop() }
  }

  private let owned = Owned()
  private var thread: BlockingThreads { owned.thread }
  private let server = RedisMemory()

  private func table(
    isReader: Bool = false, partRows: Int = 7, partsAtOnce: Int = 16, clock: ManualClock = ManualClock(.moves), seed: UInt64 = 1,
    password: String? = nil, notice: @escaping @Sendable (String) -> Void = { _ in }
  ) -> RedisStateTable {
    RedisConformanceTests.table(
      server, thread, isReader: isReader, partRows: partRows, partsAtOnce: partsAtOnce, clock: clock, seed: seed, password: password,
      notice: notice)
  }

  private func batch(_ keys: some Sequence<String>, _ position: Int64, table: String = "t") -> StateBatch {
    var batch = StateBatch(table: table, lane: "s/0", fence: Fence(generation: 0, position: position))
    for key in keys { batch.append(key: Array(key.utf8)[...]) { $0.write(UInt8(1)) } }
    return batch
  }

  private func fail(_ fault: RedisMemory.Fault, _ label: String, times: Int = 1) {
    server.with { ($0.faults, $0.faultsOf) = (Array(repeating: fault, count: times), [label]) }
  }

  private func code(_ body: () async throws -> Void) async -> WeirError.Code? {
    do {
      try await body()
      return nil
    } catch { return (error as? WeirError)?.code }
  }

  // MARK: Failures that pass

  @Test(arguments: [
    RedisMemory.Fault.lostReply, .lostRequest, .error("LOADING Redis is loading the dataset in memory"),
    .error("READONLY You can't write against a read only replica."), .error("TRYAGAIN Multiple keys request during rehashing of slot"),
    .error("CLUSTERDOWN The cluster is down"), .error("BUSY Redis is busy running a script."),
    .error("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."),
    .error("MOVED 3999 127.0.0.1:7002"), .error("MOVED 3999 :7002"), .error("ASK 3999 127.0.0.1:7002"),
  ])
  func `a request that failed once is repeated, and has its effect once`(_ fault: RedisMemory.Fault) async throws {
    let table = table()
    for label in ["open", "write", "claim", "replace", "retract", "page", "ahead", "INFO"] {
      try await table.close()
      fail(fault, label)
      try await table.claim([StateClaim(name: "owner/s", owner: [1], number: 1)])
      let owners: [(String, [UInt8])] = [("owner/s", [1])]
      try await table.write(StateWrite([batch(["a", "b"], 5)], meta: [("m", [1])], owners: owners))
      try await table.retract(batch([], 0), beyond: Fence(generation: 0, position: 4), owners: owners)
      try await table.replace(tables: ["t"], with: [batch(["c", "d"], 3)], meta: [], owners: owners)
      #expect(try await table.rows(of: "t").map(\.key) == [Array("c".utf8), Array("d".utf8)], "\(label)")
      #expect(server.with { $0.faults }.isEmpty, "no \(label) was sent")
      try await table.sync()
    }
  }

  @Test func `a redirection leads to the other node, and a failure there back to the address of the settings`() async throws {
    let table = table()
    try await table.put([batch(["a"], 5)])
    fail(.error("MOVED 3999 127.0.0.1:7002"), "write")
    try await table.put([batch(["b"], 5)])
    fail(.lostReply, "write")
    try await table.put([batch(["c"], 5)])
    #expect(server.with { $0.ports } == [6379, 7002, 6379])
  }

  @Test func `a script that the server forgot is sent again`() async throws {
    let table = table(partRows: 2)
    try await table.put([batch((0..<10).map(String.init), 5)])
    server.with { $0.scripts = [] }
    try await table.put([batch((0..<10).map(String.init), 6)])
    #expect(try await table.rows(of: "t").allSatisfy { $0.fence.position == 6 })
  }

  @Test func `a server that stays away fails requests after a bounded time`() async throws {
    let clock = ManualClock(.moves)
    let table = table(clock: clock)
    server.with { $0.refusesConnections = .max }
    #expect(await code { try await table.put([batch(["a"], 5)]) } == .storage)
    #expect(clock.monotonicNanoseconds > 1_000_000_000 && clock.monotonicNanoseconds <= RedisRetry.patienceAtFirst)
    server.with { $0.refusesConnections = 0 }
    try await table.put([batch(["a"], 5)])
    let before = clock.monotonicNanoseconds
    server.with { ($0.refusesConnections, $0.faults) = (.max, [.lostRequest]) }
    #expect(await code { try await table.put([batch(["b"], 5)]) } == .storage)
    let waited = clock.monotonicNanoseconds - before
    #expect(waited > RedisRetry.patience / 2 && waited <= RedisRetry.patience)
    #expect(server.with { $0.connections } < 200)
  }

  @Test func `rests grow up to a bound, and differ`() {
    var retry = RedisRetry(now: 0)
    let rests = (0..<20).map { i in
      retry.rest(after: .noAnswer(""), now: 0, patience: .max, random: UInt64(i) &* 0x9E37_79B9_7F4A_7C15) ?? 0
    }
    #expect(rests.allSatisfy { $0 >= 10_000_000 && $0 <= 2_000_000_000 } && Set(rests).count > 15 && rests[19] >= 1_000_000_000)
    for failure in [RedisFailure.malformed, .lostWrites, .noScript, .refused(.fullDisk, "", advice: "")] {
      #expect(retry.rest(after: failure, now: 0, patience: .max, random: 0) == nil)
    }
  }

  // MARK: Failures that stand

  @Test func `a full server is reported, and nothing after the failed part has an effect`() async throws {
    let table = table(partRows: 2)
    try await table.put([batch(["x"], 1)])
    server.with { ($0.faults, $0.faultsOf) = ([.error("OOM command not allowed when used memory > 'maxmemory'.")], ["write"]) }
    let write = StateWrite([batch((0..<10).map(String.init), 5)], meta: [("m", [2])], owners: [], intent: [("m", [1])])
    #expect(await code { try await table.write(write) } == .fullDisk)
    #expect(try await table.readMeta("m") == nil)
    #expect(try await table.rows(of: "t").count == 1)
    try await table.write(write)
    #expect(try await table.readMeta("m") == [2])
    #expect(try await table.rows(of: "t").count == 11)
  }

  @Test(arguments: [
    ("NOPERM this user has no permissions to run the 'evalsha' command", WeirError.Code.storageRefused),
    ("ERR unknown command 'EVALSHA', with args beginning with: 'secret row' ", .storageRefused),
    ("NOAUTH Authentication required.", .storageRefused),
    ("MOVED nonsense", .storageRefused),
  ])
  func `a refusal is reported once, without rows`(_ text: String, _ code: WeirError.Code) async throws {
    let table = table()
    try await table.put([batch(["x"], 1)])
    fail(.error(text), "write")
    let error = await #expect(throws: WeirError.self) { try await table.put([batch(["a"], 5)]) }
    #expect(
      error?.code == code && error?.description.contains("secret") == false && error?.description.contains("redis://cache:6379/0") == true)
  }

  @Test func `a password that was replaced is read again when the server refuses the old one`() async throws {
    let current = Mutex("old")
    let refusals = Mutex(0)
    let secret: (read: RedisServer.Text, refused: @Sendable () -> Bool) = (
      { current.withLock { $0 } },
      {
        current.withLock { $0 = "new" }
        return refusals.withLock { count in
          count += 1
          return count == 1
        }
      }
    )
    server.with { $0.password = "new" }
    try await RedisConformanceTests.table(server, thread, secret: secret).put([batch(["a"], 5)])
    #expect(refusals.withLock { $0 } == 1)
    server.with { $0.password = "newer" }
    #expect(await code { try await RedisConformanceTests.table(server, thread, secret: secret).put([batch(["b"], 6)]) } == .storageRefused)
    #expect(refusals.withLock { $0 } == 2)
  }

  @Test func `a password is sent and never shown`() async throws {
    server.with { $0.password = "hunter2" }
    try await table(password: "hunter2").put([batch(["a"], 5)])
    for reply in [
      nil, "ERR unknown command 'AUTH', with args beginning with: 'hunter3' ", "ERR invalid password hunter3", "WRONGPASS hunter3",
    ] {
      if let reply { fail(.error(reply), "AUTH") }
      let error = await #expect(throws: WeirError.self) { try await table(password: "hunter3").put([batch(["a"], 5)]) }
      #expect(error?.code == .storageRefused && error?.description.contains("hunter") == false)
    }
    let without = await #expect(throws: WeirError.self) { try await table().put([batch(["a"], 5)]) }
    #expect(without?.code == .storageRefused && without?.description.contains("password") == true)
  }

  @Test func `a server that removes keys when it is full is refused, and one that does not say so is noticed`() async throws {
    let notices = Mutex<[String]>([])
    func open() async throws {
      let table = table(notice: { notice in notices.withLock { $0.append(notice) } })
      try await table.put([batch(["a"], 5)])
      try await table.close()
      try await table.put([batch(["a"], 5)])
    }
    server.with { $0.info = "maxmemory:1000000\r\nmaxmemory_policy:allkeys-lru\r\n" }
    let error = await #expect(throws: WeirError.self) { try await open() }
    #expect(error?.code == .storageRefused && error?.description.contains("allkeys-lru") == true)
    for info in ["maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", "maxmemory:1\r\nmaxmemory_policy:noeviction\r\n"] {
      server.with { $0.info = info }
      try await open()
    }
    #expect(notices.withLock { $0 } == [])
    server.with { ($0.faults, $0.faultsOf) = (Array(repeating: .error("NOPERM no permissions"), count: 2), ["INFO"]) }
    try await open()
    #expect(notices.withLock { $0.count } == 1)
  }

  // MARK: Lost writes

  /// What a server may come back with, and what is then missing.
  enum Loss: CaseIterable {
    case everything, someWrites, rowsAlone, indexAlone, bothOfATable, valuesAlone, namesAlone, theStoreAlone
  }

  @Test(arguments: Loss.allCases) func `acknowledged writes that are missing are noticed by the next write, and before anything is written`(
    loss: Loss
  ) async throws {
    let table = table()
    try await table.put([batch(["a", "b"], 5)], meta: [("m", [1])])
    let before = server.with { $0.contents }
    try await table.put([batch(["c"], 6)], meta: [("n", [1])])
    server.with { state in
      switch loss {
      case .everything: state.contents = .init()
      case .someWrites: state.contents = before
      case .rowsAlone: state.contents.remove("{p}:rows:t")
      case .indexAlone: state.contents.remove("{p}:keys:t")
      case .bothOfATable: for key in ["{p}:rows:t", "{p}:keys:t"] { state.contents.remove(key) }
      case .valuesAlone: state.contents.remove("{p}:meta")
      case .namesAlone: state.contents.remove("{p}:names")
      case .theStoreAlone: state.contents.remove("{p}:store")
      }
    }
    #expect(await code { try await table.put([batch(["d"], 7)], meta: [("m", [2])]) } == .stateReplaced)
    // Nor anything else, until the next session has looked.
    #expect(await code { try await table.writeMeta([("m", [2])]) } == .stateReplaced)
    #expect(await code { try await table.sync() } == .stateReplaced)
    try await table.reopen()
    let rows = try await table.rows(of: "t").map { String(decoding: $0.key, as: UTF8.self) }
    let meta = try await table.listMeta(prefix: "").map(\.name)
    // What went back is what it was then; what has a hole is nothing.
    #expect(rows == (loss == .someWrites ? ["a", "b"] : []) && meta == (loss == .someWrites ? ["m"] : []), "\(loss): \(rows), \(meta)")
    try await table.put([batch(["d"], 7)], meta: [("m", [2])])
    #expect(try await table.readMeta("m") == [2])
    try await table.check()
  }

  @Test func `a replacement whose new rows are gone is noticed`() async throws {
    let table = table()
    try await table.put([batch(["a"], 5)])
    server.onCommand.withLock { hook in
      hook = { label, state in
        guard label == "write" else { return }
        for key in state.contents.keys where key.contains(":new:") { state.contents.remove(key) }
      }
    }
    #expect(await code { try await table.replace(tables: ["t"], with: [batch(["b"], 1)], meta: [], owners: []) } == .stateReplaced)
    #expect(try await self.table(isReader: true).rows(of: "t").map(\.key) == [Array("a".utf8)])
  }

  @Test func `workers that opened the store before it was recreated notice`() async throws {
    let (a, b) = (table(seed: 1), table(seed: 2))
    try await a.put([batch(["a"], 5)])
    try await b.put([batch(["b"], 5)])
    server.with { $0.contents = .init() }
    #expect(await code { try await a.put([batch(["a"], 6)]) } == .stateReplaced)
    try await a.reopen()
    try await a.put([batch(["a"], 6)])
    #expect(await code { try await b.put([batch(["b"], 6)]) } == .stateReplaced)
    try await b.reopen()
    try await b.put([batch(["b"], 6)])
    #expect(try await a.rows(of: "t").count == 2)
  }

  @Test func `a reader finds no table where there is none, and says where keys are missing`() async throws {
    let reader = table(isReader: true, seed: 9)
    #expect(await code { _ = try await reader.read(table: "t", key: [1]) } == .stateMissing)
    #expect(await code { _ = try await reader.listMeta(prefix: "") } == .stateMissing)
    #expect(await code { _ = try await reader.check() } == .stateMissing)
    #expect(server.with { $0.contents.keys } == [])
    try await table().put([batch(["a"], 5)], meta: [("m", [1])])
    #expect(try await reader.rows(of: "t").count == 1)
    try await reader.check()
    server.with { $0.contents.remove("{p}:rows:t") }
    #expect(await code { _ = try await reader.rows(of: "t") } == .stateReplaced)
    #expect(await code { _ = try await reader.read(table: "t", key: Array("a".utf8)) } == .stateReplaced)
    #expect(await code { _ = try await reader.check() } == .stateReplaced)
    #expect(server.with { $0.contents.hashes["{p}:store"]?.isEmpty } == false)
  }

  @Test(arguments: ["{p}:store", "{p}:meta", "{p}:names", "{p}:rows:t", "{p}:keys:t"])
  func `a store that lost any of its keys is never read as one without rows or marks`(key: String) async throws {
    try await table().put([batch(["a"], 5)], meta: [("schema/t", [1])])
    let reader = table(isReader: true, seed: 9)
    server.with { $0.contents.remove(key) }
    if key == "{p}:store" || key.hasSuffix("s:t") {
      #expect(await code { _ = try await reader.rows(of: "t") } == .stateReplaced)
    }
    if !key.hasSuffix("s:t") { #expect(await code { _ = try await reader.listMeta(prefix: "") } == .stateReplaced) }
    if key == "{p}:store" || key == "{p}:meta" { #expect(await code { _ = try await reader.readMeta("schema/t") } == .stateReplaced) }
    #expect(await code { _ = try await reader.check() } == .stateReplaced)
    // The next worker begins with nothing, so that all rows are written again.
    let next = table(seed: 4)
    #expect(try await next.listMeta(prefix: "").isEmpty)
    #expect(try await next.rows(of: "t").isEmpty)
  }

  @Test func `a table whose number of rows was removed is not read as empty, and is begun again`() async throws {
    try await table().put([batch(["a"], 5)], meta: [("schema/t", [1])])
    server.with { _ = $0.contents.hashes["{p}:store"]?.removeValue(forKey: Array("rows/t".utf8)) }
    let reader = table(isReader: true, seed: 9)
    #expect(await code { _ = try await reader.rows(of: "t") } == .stateReplaced)
    #expect(try await table(seed: 4).listMeta(prefix: "").isEmpty)
  }

  @Test func `a store of a later version is refused, and left as it is`() async throws {
    try await table().put([batch(["a"], 5)])
    server.with { $0.contents.hashes["{p}:store"]?[Array("format".utf8)] = Array("2".utf8) }
    let before = server.with { $0.contents.hashes }
    #expect(await code { try await table(seed: 3).put([batch(["b"], 5)]) } == .storageRefused)
    #expect(server.with { $0.contents.hashes } == before)
  }

  @Test func `bytes that are no row are corrupt`() async throws {
    try await table().put([batch(["a"], 5)])
    server.with { $0.contents.hashes["{p}:rows:t"]?[Array("a".utf8)] = Array("not a row, but long enough".utf8) }
    let reader = table(isReader: true)
    #expect(await code { _ = try await reader.read(table: "t", key: Array("a".utf8)) } == .corrupt)
    #expect(await code { _ = try await reader.rows(of: "t") } == .corrupt)
    #expect(await code { try await reader.check() } == .corrupt)
  }

  @Test func `keys are in one slot of a cluster, and rows have the documented bytes`() async throws {
    var batch = StateBatch(table: "t", lane: "s/0", fence: Fence(generation: 2, position: -3))
    batch.append(key: [7][...]) { $0.write(UInt8(9)) }
    batch.remove(key: [8][...])
    let table = table()
    try await table.put([batch], meta: [("m", [1])])
    let contents = server.with { $0.contents }
    #expect(contents.keys.allSatisfy { $0.hasPrefix("{p}:") })
    let head: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 2, 255, 255, 255, 255, 255, 255, 255, 253]
    #expect(
      contents.hashes["{p}:rows:t"] == [[7]: head + [1, 0, 3] + Array("s/0".utf8) + [9], [8]: head + [0, 0, 3] + Array("s/0".utf8)])
    #expect(contents.sets["{p}:keys:t"] == [[7], [8]])
    #expect(contents.hashes["{p}:meta"] == [Array("m".utf8): [1]])
    try await table.close()
    #expect(server.with { $0.contents.strings.isEmpty })
  }
}
