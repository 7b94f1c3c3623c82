import Foundation
import Synchronization
import Testing
import WeirCore
@testable import WeirProtocol

@testable import WeirEngine

/// Topics that are deleted and created again, before and under a worker.
@Suite(.serialized, .timeLimit(.minutes(10))) struct LiveRecreatedTests {
  typealias Bench = LiveWorkerTests.Bench

  private func error(_ worker: LiveWorkerTests.Running) async -> WeirError? {
    do {
      _ = try await worker.ended()
      return nil
    } catch { return error as? WeirError }
  }

  private func read(_ bench: Bench, _ times: Range<Int>) async throws {
    bench.send("t/0", times)
    let worker = bench.worker(["t/0"])
    let before = try await bench.fold()?.counts.input ?? 0
    try await bench.until("the records") { $0.counts.input == before + Int64(times.count) }
    _ = try await worker.stop()
  }

  @Test func aRecreatedTopicIsRefusedAndNothingOfItIsCommitted() async throws {
    let bench = try Bench(shards: 1)
    try await read(bench, 0..<100)
    bench.topic.recreate("t/0")
    bench.send("t/0", 1000..<1300)
    let error = try #require(await error(bench.worker(["t/0"])))
    #expect(error.code == .recreated)
    #expect(error.message.contains("position \(bench.topic.point(99)) of t/0 held") && error.message.contains("now holds"))
    #expect(error.message.contains("The ledger is at position \(bench.topic.point(100)) of t/0"))
    let span = ShardPoint.span(behind: bench.topic.point(0), before: bench.topic.point(100))
    #expect(error.message.contains("\(span) were committed after the last record that a check found in place"), "none was made")
    #expect(error.advice?.remedies.contains(.acceptRecreated(stream: "t")) == true && error.advice?.contains("new lake") == true)
    #expect(try await bench.fold()?.counts.input == 100)
  }

  @Test func anAcceptedTopicIsReadFromItsStartUnderANewGeneration() async throws {
    let bench = try Bench(shards: 1)
    try await read(bench, 0..<100)
    bench.topic.recreate("t/0")
    bench.send("t/0", 1000..<1300)
    let worker = bench.worker(["t/0"], accepted: ["t"])
    try await bench.until("all of the new topic") { $0.counts.input == 400 }
    _ = try await worker.stop()
    let fold = try #require(try await bench.fold())
    let lane = try #require(fold[LaneID(shard: "t/0")])
    // Another incarnation has positions of its own; a count continues.
    let topic = bench.topic
    let (from, to) = (topic.point(100), topic.point(0, counted: 100))
    #expect(lane.position == topic.point(300, counted: 400) && lane.generation == 1 && lane.generationStart == from)
    #expect(lane.identity?.last?.position == topic.point(299, counted: 399))
    let decisions = try await bench.decisions()
    guard case .recreated(from, to, _)? = decisions.first, decisions.count == 1 else {
      Issue.record("\(decisions)")
      return
    }
    let told = worker.events.withLock { $0.contains { if case .recreated("t/0", from, to, _) = $0 { true } else { false } } }
    #expect(told)
    // With the option left in place nothing happens again, and without it neither.
    try await read(bench, 1300..<1310)
    #expect(try await bench.fold()?[LaneID(shard: "t/0")]?.generation == 1)
  }

  /// Nothing was read of it yet, so there is nothing to verify.
  @Test func anAcceptedTopicThatIsEmptyIsNotReportedAsUnverifiedByLaterWorkers() async throws {
    let bench = try Bench(shards: 1)
    try await read(bench, 0..<100)
    bench.topic.recreate("t/0")
    let worker = bench.worker(["t/0"], accepted: ["t"])
    let start = bench.topic.point(0, counted: 100)
    try await bench.until("it is accepted") { $0[LaneID(shard: "t/0")]?.position == start }
    _ = try await worker.stop()
    try await read(bench, 1000..<1001)
    try await read(bench, 1001..<1010)
    let decisions = try await bench.decisions()
    #expect(decisions.count == 1, "\(decisions)")
  }

  /// All that was read is gone at the source: that is reported once, by the worker that finds it.
  @Test func aTopicOfWhichAllRecordsWereDroppedIsReportedAsUnverifiedOnce() async throws {
    let bench = try Bench(shards: 1)
    try await read(bench, 0..<100)
    bench.topic.trim("t/0", to: 100)
    for _ in 0..<2 {
      let worker = bench.worker(["t/0"])
      await bench.wait("it reads") { worker.group?.isCaughtUp("t/0") == true }
      _ = try await worker.stop()
    }
    let why = "the records before position \(bench.topic.point(100)) were dropped at the source, and with them all that were read"
    #expect(try await bench.decisions() == [.unverified(reason: why)])
  }

  @Test func aDeletedTopicStopsAWorkerWithAdviceThatNamesTheOption() async throws {
    let bench = try Bench(shards: 1)
    bench.topic.firstQuestionsFail.withLock { $0 = WeirError(.topicMissing, "no topic t", advice: "Make it.") }
    #expect(await error(bench.worker(["t/0"]))?.advice == "Make it.", "nothing was read of it")
    bench.topic.firstQuestionsFail.withLock { $0 = nil }
    try await read(bench, 0..<10)
    bench.topic.firstQuestionsFail.withLock { $0 = WeirError(.topicMissing, "no topic t") }
    let error = try #require(await error(bench.worker(["t/0"])))
    #expect(error.code == .topicMissing && error.message == "no topic t")
    #expect(error.advice?.remedies.contains(.acceptRecreated(stream: "t")) == true, "\(error.advice ?? "")")
  }

  @Test func anotherTopicIsNotAccepted() async throws {
    let bench = try Bench(shards: 1)
    try await read(bench, 0..<100)
    bench.topic.recreate("t/0")
    bench.send("t/0", 1000..<1300)
    #expect(await error(bench.worker(["t/0"], accepted: ["u"]))?.code == .recreated)
  }

  @Test func aTopicThatEndsEarlierIsAcceptedToo() async throws {
    let bench = try Bench(shards: 1)
    try await read(bench, 0..<100)
    bench.topic.recreate("t/0")
    bench.send("t/0", 1000..<1005)
    #expect(await error(bench.worker(["t/0"]))?.code == .truncated)
    let worker = bench.worker(["t/0"], accepted: ["t"])
    try await bench.until("the new topic") { $0.counts.input == 105 }
    _ = try await worker.stop()
  }

  /// The new topic is already longer than the old one: reading goes on without a stop, and only a look back shows it.
  @Test func aTopicThatIsRecreatedUnderARunningWorkerStopsIt() async throws {
    let bench = try Bench(shards: 1, refresh: 300_000)
    bench.send("t/0", 0..<100)
    let worker = bench.worker(["t/0"])
    try await bench.until("100 records") { $0.counts.input == 100 }
    let looks = bench.topic.looks.load(ordering: .relaxed)
    await bench.wait("a check") { bench.topic.looks.load(ordering: .relaxed) > looks + 1 }
    bench.topic.change { topic in
      topic["t/0"]?.records = (1000..<1300).map { Array("{\"user\":\"v\",\"at\":\($0)}".utf8) }
    }
    await bench.wait("an end") { worker.hasEnded }
    let error = try #require(await error(worker))
    #expect(error.code == .recreated)
    #expect(error.message.contains("position \(bench.topic.point(99)) of t/0 held"))
    let position = try #require(try await bench.fold()?[LaneID(shard: "t/0")]?.position)
    let span = bench.topic.isCounted ? "The records after position \(bench.topic.point(99)) and" : "Positions 100 to"
    if position != bench.topic.point(100) { #expect(error.message.contains(span)) }
    // A worker that starts later finds it out too, though its last record is one of the new topic.
    #expect(await self.error(bench.worker(["t/0"]))?.code == .recreated)
  }

  /// Killed before a check came: the ledger's last record is of the new topic, the anchor is not.
  @Test func aWorkerThatReadBothAndWasKilledLeavesWhatShowsIt() async throws {
    let bench = try Bench(shards: 1)
    bench.send("t/0", 0..<100)
    let worker = bench.worker(["t/0"])
    try await bench.until("100 records") { $0.counts.input == 100 }
    bench.topic.change { topic in
      topic["t/0"]?.records = (1000..<1300).map { Array("{\"user\":\"v\",\"at\":\($0)}".utf8) }
    }
    try await bench.until("200 of the new topic") { $0.counts.input == 300 }
    _ = try await worker.stop()
    let error = try #require(await error(bench.worker(["t/0"])))
    #expect(error.code == .recreated)
    let span = ShardPoint.span(behind: bench.topic.point(0), before: bench.topic.point(300))
    #expect(error.message.contains("\(span) were committed"), "no check was made since the first record: \(error.message)")
  }

  @Test func aCompactedShardIsReadOnAndTheLedgerSaysThatItIsUnverified() async throws {
    let bench = try Bench(shards: 1)
    try await read(bench, 0..<100)
    bench.topic.compact("t/0", Array(0..<100))
    bench.send("t/0", 100..<110)
    let worker = bench.worker(["t/0"])
    try await bench.until("the rest") { $0.counts.input == 110 }
    _ = try await worker.stop()
    let decisions = try await bench.decisions()
    #expect(decisions == [.unverified(reason: "the last records that were read are not in the topic any more (compacted)")])
    let told = worker.events.withLock { $0.contains { if case .unverified("t/0", _) = $0 { true } else { false } } }
    #expect(told)
    // From here on there is something to go by again.
    try await read(bench, 110..<120)
    #expect(try await bench.decisions().count == 1)
  }

  @Test func aCompactedLastRecordIsNoMatterWhileTheFirstOneIsThere() async throws {
    let bench = try Bench(shards: 1)
    try await read(bench, 0..<100)
    bench.topic.compact("t/0", Array(1..<100))
    try await read(bench, 100..<110)
    #expect(try await bench.decisions().isEmpty)
  }

  @Test func anEndThatTheSourceStatesTooLowStopsNothing() async throws {
    let bench = try Bench(shards: 1)
    try await read(bench, 0..<100)
    bench.topic.change { $0["t/0"]?.endTooLow = 18 }
    try await read(bench, 100..<110)
    #expect(try await bench.fold()?[LaneID(shard: "t/0")]?.position == bench.topic.point(110))
  }

  @Test func theNameOfAnIncarnationTellsWhatCompactionHides() async throws {
    let bench = try Bench(shards: 1)
    bench.topic.recreate("t/0", incarnation: "one")
    try await read(bench, 0..<100)
    bench.topic.compact("t/0", Array(0..<100))
    try await read(bench, 100..<110)
    #expect(try await bench.decisions().isEmpty, "it is the same, and that is known")
    bench.topic.recreate("t/0", incarnation: "two")
    bench.send("t/0", 0..<200)
    bench.topic.compact("t/0", Array(0..<200))
    #expect(await error(bench.worker(["t/0"]))?.code == .recreated)
  }

  /// Nobody can read the lane that is gone, so it must not hold back the others' watermark.
  @Test func aTopicWithFewerPartitionsIsAnotherOneAndItsMissingLaneHoldsNothingBack() async throws {
    let bench = try Bench(shards: 2)
    bench.send("t/0", 0..<100)
    bench.send("t/1", 0..<50)
    let first = bench.worker(["t/0", "t/1"])
    try await bench.until("150 records") { $0.counts.input == 150 }
    _ = try await first.stop()
    bench.topic.change { $0 = ["t/0": .init()] }
    bench.send("t/0", 1000..<1100)
    let error = try #require(await error(bench.worker(["t/0"])))
    #expect(error.code == .recreated && error.message.contains("fewer partitions") && error.message.contains("t/1"))
    let worker = bench.worker(["t/0"], accepted: ["t"])
    try await bench.until("the new topic") { $0.counts.input == 250 && $0.mergedWatermark == 1_098_000_000 }
    _ = try await worker.stop()
    #expect(try await bench.fold()?[LaneID(shard: "t/1")]?.isIdle == true)
  }

  /// It held the ledger's first lane, whose owner merges, and was not idle. Its records stay, and the other's windows close.
  @Test(.disabled(if: Bench.isSharded, "its streams have the shards of one")) func aStreamThatIsGoneHoldsNothingBackAndAnotherLaneLeads()
    async throws
  {
    let bench = try Bench(shards: 1)
    bench.topic.change { $0["a/0"] = .init() }
    bench.send("a/0", 0..<50)
    bench.send("t/0", 0..<50)
    let first = bench.worker(["a/0", "t/0"])
    try await bench.until("100 records") { $0.counts.input == 100 }
    _ = try await first.stop()
    let rows = try await bench.goldRows()
    bench.topic.change { $0["a/0"] = nil }
    bench.send("t/0", [2000])
    let worker = bench.worker(["t/0"])
    try await bench.until("the windows are closed") { $0.tables["gold/users"]?.rows == rows + 1 }
    _ = try await worker.stop()
    let gone = worker.events.withLock {
      $0.compactMap { if case .streamGone(let stream, let shards) = $0 { "\(stream): \(shards)" } else { nil } }
    }
    #expect(gone == ["a: [\"a/0\"]"])
    let fold = try #require(try await bench.fold())
    #expect(fold[LaneID(shard: "a/0")]?.isIdle == true && fold.counts.input == 101)
  }

  /// An entry without an identity is one of an earlier version.
  @Test func aLedgerWithoutIdentitiesIsReadOnAndIsUnverifiedOnce() async throws {
    let bench = try Bench(shards: 1)
    try await read(bench, 0..<100)
    let entries = try await bench.entries()
    #expect(entries.flatMap(\.lanes).contains { $0.identity != nil })
    for entry in entries { #expect(try LedgerEntry(bytes: entry.bytes) == entry) }
    let commit = LaneCommit(
      lane: LaneID(shard: "t/0"), epoch: 1, from: .offset(0), to: .offset(5), watermark: 0, decisions: [.unverified(reason: "why")])
    let draft = EntryDraft(commitID: "c", worker: "w", planHash: "h", lanes: [commit])
    let genesis = Genesis(ledgerID: "l", runID: "r", stream: "t", plan: .null, planHash: "h", lanes: [LaneID(shard: "t/0")])
    let fold = try LedgerFold(genesis: genesis.sealed(commitID: "g", worker: "w"))
    let sealed = draft.sealed(on: fold)
    #expect(!String(decoding: sealed.bytes, as: UTF8.self).contains("identity"), "left out where nothing is known")
    #expect(try LedgerEntry(bytes: sealed.bytes) == sealed)
    var whole = try #require(try await bench.fold())
    #expect(try LedgerFold(bytes: whole.bytes) == whole)
    whole.lanes[LaneID(shard: "t/0")]?.identity = nil
    #expect(try LedgerFold(bytes: whole.bytes) == whole)
  }
}
