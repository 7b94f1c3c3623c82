import Foundation
import Testing
import WeirCore
import WeirLocal
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// Whole workers on a topic in memory and a lake on disk: what they commit, their ledgers and clocks. Other subjects have files of their own.
@Suite(.serialized, .timeLimit(.minutes(10))) struct LiveWorkerTests {
  @Test(arguments: [false, true]) func everyRecordIsCommittedOnceAndTheNextRunGoesOnAtTheLedger(isCounted: Bool) async throws {
    let bench = try Bench(shards: 2, isCounted: isCounted)
    bench.send("t/0", 0..<50)
    bench.send("t/1", 0..<30)
    let first = bench.worker(["t/0", "t/1"])
    try await bench.until("80 records") { $0.counts.input == 80 }
    _ = try await first.stop()
    bench.send("t/0", 50..<60)
    let second = bench.worker(["t/0", "t/1"])
    try await bench.until("90 records") { $0.counts.input == 90 }
    let progress = try await second.stop()
    #expect(progress.records == 10, "nothing was read twice")
    let followed = bench.topic.followed.withLock { $0 }
    #expect(followed.mapValues(\.position) == ["t/0": bench.topic.position(60), "t/1": bench.topic.position(30)])
    let ledgerID = try #require(try await bench.fold()).genesis.ledgerID
    #expect(
      Set(followed.values.map(\.owner)) == [GroupMates.Mark(ledgerID: ledgerID, pipeline: "p").text],
      "other pipelines can tell whose they are")
    // Complete through 28 s: the windows that end at 10 s and 20 s.
    #expect(try await bench.goldRows() == 2)
  }

  @Test(arguments: [false, true])
  func anIdleShardDoesNotHoldBackTheOthersAndItsNextRecordsAreJudgedByTheFloor(isCounted: Bool) async throws {
    let bench = try Bench(shards: 2, isCounted: isCounted, idle: "50ms")
    bench.send("t/0", 0..<100)
    let worker = bench.worker(["t/0", "t/1"])
    try await bench.until("the empty shard is idle") { $0[LaneID(shard: "t/1")]?.isIdle == true }
    try await bench.until("the others go on") { $0.mergedWatermark == 98_000_000 }
    bench.send("t/1", [5, 105])
    try await bench.until("it woke, and both are counted") { $0.counts.input == 102 }
    _ = try await worker.stop()
    let fold = try #require(try await bench.fold())
    #expect(fold[LaneID(shard: "t/1")]?.floor == 98_000_000)
    #expect(fold[LaneID(shard: "t/1")]?.windows["gold/users"]?.late == 1, "5 s is behind what was merged")
    let lanes = try await bench.entries().flatMap(\.lanes).filter { $0.lane.shard == "t/1" && !$0.decisions.isEmpty }
    let kinds = lanes.map { $0.decisions.map { if case .clock = $0 { "clock" } else { "\($0)" } } }
    #expect(Array(kinds.prefix(3)) == [["clock"], ["idle"], ["wake", "clock"]], "a fresh clock comes with the entry that wakes it")
  }

  @Test(arguments: [false, true]) func aNewShardIsListedBeforeItsFirstRecord(isCounted: Bool) async throws {
    let bench = try Bench(shards: 1, isCounted: isCounted)
    bench.send("t/0", 0..<20)
    let worker = bench.worker(["t/0"])
    try await bench.until("20 records") { $0.counts.input == 20 }
    bench.send("t/1", 30..<35)
    try #require(worker.group).tell(.assigned(["t/1"]))
    try await bench.until("25 records") { $0.counts.input == 25 }
    _ = try await worker.stop()
    let entries = try await bench.entries()
    let listed = entries.firstIndex { $0.lanes.flatMap(\.decisions).contains(.lanesListed([LaneID(shard: "t/1")], generation: 0)) }
    let first = entries.firstIndex { ($0[LaneID(shard: "t/1")]?.counts.input ?? 0) > 0 }
    #expect(try #require(listed) < #require(first))
  }

  /// A new ledger would count the first records again.
  @Test func aSessionThatFindsAnotherLedgerOrNoneEndsTheWorkerAndFoundsNone() async throws {
    let bench = try Bench(shards: 1, silence: 50_000)
    let worker = bench.worker(["t/0"], silent: .max)
    try await bench.until("a ledger") { _ in true }
    let aside = bench.path + "-aside"
    try FileManager.default.moveItem(atPath: bench.path, toPath: aside)
    defer { try? FileManager.default.removeItem(atPath: aside) }
    await bench.wait("an end") { worker.hasEnded }
    let error = await #expect(throws: WeirError.self) { try await worker.stop() }
    #expect(error?.code == .ledgerReplaced && error?.fatalTo == .worker && error?.message.contains("is missing") == true)
    #expect(try await bench.fold() == nil)

    try FileManager.default.moveItem(atPath: aside, toPath: bench.path)
    var request = LedgerRequest(meaning: .string("m"), planHash: "h", lanes: nil, runID: nil, describeChange: { _, _ in [] })
    request.ledgerID = try await bench.fold()?.genesis.ledgerID
    _ = try await LedgerOpening.open(bench.plan, request, bench.environment)
    request.ledgerID = "another"
    let other = await #expect(throws: WeirError.self) { _ = try await LedgerOpening.open(bench.plan, request, bench.environment) }
    #expect(other?.code == .ledgerReplaced && other?.message.contains("a different one") == true)
  }

  @Test func aWorkerThatDoesNotEndCollectsItsLedgerAndTheNextGoesOnFromTheSnapshot() async throws {
    let clock = ShiftedClock(SystemClock())
    let bench = try Bench(shards: 1, lake: ", ledger_keep: 1s", clock: clock)
    let worker = bench.worker(["t/0"])
    var sent = 0
    func firstEntry() -> Int {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: bench.path + "/_weir/p/ledger")) ?? []
      return names.compactMap { Int($0.prefix { $0.isNumber }) }.min() ?? 0
    }
    while firstEntry() < 5, sent < 500 {
      bench.send("t/0", sent..<(sent + 1))
      sent += 1
      let count = Int64(sent)
      try await bench.until("it is committed") { $0.counts.input == count }
      clock.shift(milliseconds: 200)
    }
    #expect(firstEntry() >= 5, "entries older than a second go while the worker runs")
    let count = Int64(sent)
    try await bench.until("all records") { $0.counts.input == count }
    _ = try await worker.stop()
    bench.send("t/0", sent..<(sent + 10))
    let second = bench.worker(["t/0"])
    try await bench.until("the next worker goes on") { $0.counts.input == count + 10 }
    _ = try await second.stop()
  }

  /// The rows of the merge lane's last entry are written again by the worker that takes it over, at the ledger's number of then. The
  /// mark that vouches for them must come with them: without news no later entry brings one.
  @Test func mergedRowsAreCommittedAfterATakeOverWithoutNews() async throws {
    let table = MemoryStateTable()
    let bench = try Bench(shards: 1, more: "state: {times: {by: [at], measure: {rows: count()}}}", state: table)
    for sent in [10, 0, 0] {
      bench.send("t/0", 0..<sent)
      let worker = bench.worker(["t/0"])
      try await bench.until("10 records") { $0.counts.input == 10 }
      await bench.wait("it reads") { worker.group?.isCaughtUp("t/0") == true }
      let isThere = try await bench.topic.bell.until { try await table.rows(of: "times").count == 10 }
      #expect(isThere)
      _ = try await worker.stop()
      let rows = try await table.rows(of: "times")
      let mark = try #require(try await table.readMeta(LedgerMark.prefix + LaneID.merge.text).flatMap { LedgerMark($0) })
      #expect(
        rows.allSatisfy { $0.lane == LaneID.merge.text } && rows.allSatisfy { mark.covers($0.fence) }, "\(rows.map(\.fence)) and \(mark)")
    }
  }

  /// The source tells no time of its own. The entry that begins a lane carries the worker's clock, so that a worker that takes the
  /// lane over judges by the same or by a fresh one.
  @Test func anEventTimeFarBeyondTheRecordedClockIsQuarantinedAndMakesNobodyLate() async throws {
    let bench = try Bench(shards: 1)
    let now = Int(SystemClock().wallMicroseconds / 1_000_000)
    bench.send("t/0", [now - 100, now + 10 * 86_400, now - 90, now + 600])
    let worker = bench.worker(["t/0"])
    try await bench.until("4 records") { $0.counts.input == 4 }
    _ = try await worker.stop()
    let fold = try #require(try await bench.fold())
    #expect(fold.counts.quarantined == 1)
    #expect(fold.counts.accepted == 3)
    #expect(fold[LaneID(shard: "t/0")]?.windows["gold/users"]?.late == 0)
    #expect(fold[LaneID(shard: "t/0")]?.watermark == Int64(now + 600 - 1) * 1_000_000)
    let first = try #require(try await bench.entries().flatMap(\.lanes).first { $0.lane.shard == "t/0" })
    #expect(first.from == first.to, "an empty epoch carries it, before any record")
    guard case .clock(let at)? = first.decisions.first else { return #expect(Bool(false), "no clock in \(first.decisions)") }
    #expect(at / 1_000_000 >= now)
  }
}
