import Testing
import WeirCore
import WeirProtocol

@testable import WeirEngine

extension LiveWorkerTests {
  /// What the source has dropped, compacted or cut off.
  @Suite(.timeLimit(.minutes(10))) struct Gaps {
    @Test func whatTheSourceTrimmedIsAGapInTheLedger() async throws {
      let bench = try Bench(shards: 1)
      bench.send("t/0", 0..<10)
      let first = bench.worker(["t/0"])
      try await bench.until("10 records") { $0.counts.input == 10 }
      _ = try await first.stop()
      bench.send("t/0", 10..<40)
      bench.topic.trim("t/0", to: 25)
      let second = bench.worker(["t/0"])
      try await bench.until("the rest") { $0.counts.input == 25 }
      _ = try await second.stop()
      let gaps = try await bench.decisions()
      let (from, to) = (bench.topic.point(10), bench.topic.point(25, counted: 10))
      let why = "the records before position \(to) were dropped at the source, and with them all that were read"
      #expect(gaps == [.unverified(reason: why), .gap(from: from, to: to, reason: "trimmed at the source before it was read")])
      let lane = try #require(try await bench.fold()?[LaneID(shard: "t/0")])
      #expect(lane.generation == 1 && lane.generationStart == from, "what follows is of a new generation (law 6)")
      let entry = try #require(try await bench.entries().first { $0.lanes.contains { $0.generationStart != nil } })
      #expect(entry.lanes.map(\.generation) == [1] && entry.lanes.map(\.from) == [from])
      let fold = try #require(try await bench.fold())
      #expect(try LedgerFold(bytes: fold.bytes) == fold, "a snapshot keeps it")
      let told = second.events.withLock { $0 }.contains { if case .gap("t/0", from, to, _) = $0 { true } else { false } }
      #expect(told)
    }

    /// The count continues where it was; the position moves, and a generation starts.
    @Test func aGapOfACountedSourceKeepsTheCount() async throws {
      let bench = try Bench(shards: 1, isCounted: true)
      bench.topic.send((0..<10).map { "{\"user\":\"u\",\"at\":\($0)}" }, to: "t/0", gapEvery: 4)
      let first = bench.worker(["t/0"])
      try await bench.until("10 records") { $0.counts.input == 10 }
      _ = try await first.stop()
      bench.send("t/0", 10..<40)
      bench.topic.trim("t/0", to: 25)
      let second = bench.worker(["t/0"])
      try await bench.until("the rest") { $0.counts.input == 29 }
      _ = try await second.stop()
      let (before, after) = (bench.topic.position(14), bench.topic.position(25))
      let gaps = try await bench.decisions().filter { if case .gap = $0 { true } else { false } }
      let from = ShardPoint(10).moved(to: before)
      #expect(gaps == [.gap(from: from, to: from.moved(to: after), reason: "trimmed at the source before it was read")])
      let lane = try #require(try await bench.fold()?[LaneID(shard: "t/0")])
      #expect(lane.generation == 1 && lane.generationStart == from)
      #expect(lane.position == ShardPoint(29).moved(to: bench.topic.position(44)), "records are counted, positions without one are not")
    }

    /// The record before the new position is not the one that was read last: it is no sign of another incarnation.
    @Test(arguments: [false, true])
    func whatAnotherProgramProcessedIsAGapAndIsNotCalledLost(isCounted: Bool) async throws {
      let bench = try Bench(shards: 2, isCounted: isCounted)
      bench.send("t/0", 0..<10)
      bench.send("t/1", 0..<20)
      bench.topic.change { $0["t/1"]?.elsewhere = 5 }
      let first = bench.worker(["t/0", "t/1"])
      try await bench.until("25 records") { $0.counts.input == 25 }
      _ = try await first.stop()
      bench.send("t/0", 10..<40)
      bench.topic.change { $0["t/0"]?.elsewhere = 25 }
      let second = bench.worker(["t/0", "t/1"])
      try await bench.until("the rest") { $0.counts.input == 40 }
      _ = try await second.stop()
      bench.send("t/0", 40..<45)
      let third = bench.worker(["t/0", "t/1"])
      try await bench.until("what came since") { $0.counts.input == 45 }
      _ = try await third.stop()
      func gap(_ from: ShardPoint, _ to: Int64) -> Decision {
        .gap(
          from: from, to: from.moved(to: bench.topic.position(to)),
          reason: "processed elsewhere: the checkpoint of another program was accepted")
      }
      let start = ShardPoint(0).moved(to: bench.topic.position(0))
      #expect(try await bench.decisions() == [gap(start, 5), gap(bench.topic.point(10), 25)])
      let lane = try #require(try await bench.fold()?[LaneID(shard: "t/0")])
      #expect(lane.generation == 1 && lane.generationStart == bench.topic.point(10))
      #expect(second.events.withLock { $0 }.contains { if case .processedElsewhere("t/0", _, _) = $0 { true } else { false } })
      #expect(!second.events.withLock { $0 }.contains { if case .gap = $0 { true } else { false } })
    }

    @Test func aTrimWhileRunningIsAGapToo() async throws {
      let bench = try Bench(shards: 1)
      bench.send("t/0", 0..<10)
      let worker = bench.worker(["t/0"])
      try await bench.until("10 records") { $0.counts.input == 10 }
      bench.topic.change {
        $0["t/0"]?.records += (0..<30).map { _ in Array("{\"user\":\"u\",\"at\":1}".utf8) }
        $0["t/0"]?.records.removeFirst(30)
        $0["t/0"]?.low = 30
      }
      let end = bench.topic.point(40, counted: 20)
      try await bench.until("the rest") { $0.counts.input == 20 && $0[LaneID(shard: "t/0")]?.position == end }
      _ = try await worker.stop()
      let gaps = try await bench.decisions().filter { if case .gap = $0 { true } else { false } }
      let from = ShardPoint(10).moved(to: bench.topic.position(10))
      #expect(gaps == [.gap(from: from, to: from.moved(to: bench.topic.position(30)), reason: "trimmed at the source before it was read")])
    }

    /// What was read before is no part of it, however long its epoch had still to go.
    @Test func aGapBeginsWhereTheSourceWasTrimmedAndNotAtTheLastCommit() async throws {
      let bench = try Bench(shards: 2, flush: "1h")
      bench.send("t/0", 0..<10)
      bench.send("t/1", 0..<5)
      let worker = bench.worker(["t/0", "t/1"])
      await bench.wait("all is read") { ["t/0", "t/1"].allSatisfy { worker.group?.isCaughtUp($0) == true } }
      #expect(try await bench.fold()?.counts.input == 0)
      bench.topic.change {
        $0["t/0"]?.records = (0..<10).map { _ in Array("{\"user\":\"u\",\"at\":1}".utf8) }
        $0["t/0"]?.low = 30
      }
      let (from, to) = (bench.topic.point(10), bench.topic.point(30, counted: 10))
      try await bench.until("the gap") { $0[LaneID(shard: "t/0")]?.position == to }
      #expect(try await bench.fold()?.counts.input == 15)
      await bench.wait("the rest is read") { worker.group?.isCaughtUp("t/0") == true }
      _ = try await worker.stop()
      let gaps = try await bench.entries().flatMap(\.lanes).flatMap(\.decisions)
        .filter { if case .gap = $0 { true } else { false } }
      #expect(gaps == [.gap(from: from, to: to, reason: "trimmed at the source before it was read")])
      #expect(try await bench.fold()?.counts.input == 25)
    }

    @Test func aTopicThatEndsBeforeTheLedgerIsRefused() async throws {
      let bench = try Bench(shards: 1)
      bench.send("t/0", 0..<10)
      let first = bench.worker(["t/0"])
      try await bench.until("10 records") { $0.counts.input == 10 }
      _ = try await first.stop()
      bench.topic.recreate("t/0")
      do {
        _ = try await bench.worker(["t/0"]).ended()
        Issue.record("it ran")
      } catch let error as WeirError { #expect(error.code == .truncated) }
    }

    /// Compacted records, markers of transactions: offsets that nobody will ever read.
    @Test func gapsInThePositionsAreNoLoss() async throws {
      let bench = try Bench(shards: 1)
      bench.topic.send((0..<50).map { "{\"user\":\"u\",\"at\":\($0)}" }, to: "t/0", gapEvery: 3)
      let first = bench.worker(["t/0"])
      try await bench.until("50 records") { $0.counts.input == 50 }
      _ = try await first.stop()
      // Sixteen times two offsets without a record.
      #expect(try await bench.fold()?[LaneID(shard: "t/0")]?.position == bench.topic.point(50 + 2 * 16, counted: 50))
      bench.send("t/0", 50..<60)
      let second = bench.worker(["t/0"])
      try await bench.until("60 records") { $0.counts.input == 60 }
      #expect(try await second.stop().records == 10)
      #expect(try await bench.decisions() == [], "nothing is told as lost")
    }
  }
}
