import Testing
import WeirCore
import WeirProtocol

@testable import WeirEngine

extension LiveWorkerTests {
  /// Lanes that are idle in the ledger when a worker takes them over.
  @Suite(.timeLimit(.minutes(2))) struct Idle {
    /// A lane that is idle, and nothing else: its shard had one record.
    private static func begun() async throws -> Bench {
      let bench = try Bench(shards: 2, isSharded: false, idle: "100ms")
      bench.send("t/1", [1], user: "a")
      let first = bench.worker(["t/1"])
      try await bench.until("the lane is idle") { $0[LaneID(shard: "t/1")]?.isIdle == true }
      _ = try await first.stop()
      return bench
    }

    /// The number of the first entry for which it is true.
    private static func first(_ bench: Bench, _ test: (LedgerEntry) -> Bool) async throws -> Int64? {
      try await bench.entries().first(where: test)?.number
    }

    /// The other shard is far ahead, and its lane holds nothing back.
    @Test func theBacklogOfAShardThatWasIdleIsNotLate() async throws {
      let bench = try await Idle.begun()
      bench.send("t/1", 2..<60, user: "a")
      bench.send("t/0", 1000..<1010, user: "b")
      let second = bench.worker(["t/0", "t/1"])
      try await bench.until("all records") { $0.counts.input == 69 }
      _ = try await second.stop()
      #expect(try await bench.fold()?.tables["late/users"] == nil)
      let woken = try await Idle.first(bench) { entry in entry.lanes.contains { $0.decisions.contains(.wake) } }
      let moved = try await Idle.first(bench) { entry in entry.lanes.contains { $0.lane.shard == "t/0" && $0.counts.input > 0 } }
      #expect(try #require(woken) < #require(moved), "the lane wakes before another one moves the merged watermark")
    }

    @Test func aShardWithoutNewRecordsStaysIdle() async throws {
      let bench = try await Idle.begun()
      bench.send("t/0", 1000..<1010, user: "b")
      let second = bench.worker(["t/0", "t/1"])
      try await bench.until("all records") { $0.counts.input == 11 }
      _ = try await second.stop()
      guard !bench.topic.isCounted else { return }
      #expect(try await bench.decisions().contains(.wake) == false)
    }
  }
}
