import Testing
import WeirCore
import WeirProtocol
import WeirTesting

@testable import WeirEngine

extension LiveWorkerTests {
  /// A source with positions of 128 bits whose shards are split and merged while workers read it.
  @Suite(.timeLimit(.minutes(2))) struct Resharding {
    private static let users = (0..<20).map { "u\($0)" }
    private static let more = """
      dedup: {id: at}
      state:
        totals: {by: [user], measure: {rows: count()}}
      """

    private static func bench(_ shards: Int, _ state: MemoryStateTable) throws -> Bench {
      try Bench(shards: shards, isCounted: true, isSharded: true, misplaced: "halt", more: more, state: state)
    }

    private static func shard(of user: String, _ bench: Bench) -> String {
      bench.topic.shard(of: KeyHash.of(user))
    }

    /// A record of each user in the shard that has its hash now.
    private static func send(_ bench: Bench, at time: Int) {
      for user in users { bench.send(Resharding.shard(of: user, bench), [time], user: user) }
    }

    private static func totals(_ state: MemoryStateTable) async throws -> [String: Int64] {
      var totals: [String: Int64] = [:]
      for row in try await state.rows(of: "totals") {
        guard case .string(let user)? = try StateKey.decode(row.key, types: [.string]).first, let value = row.value,
          case .int64(let count)? = try StateValue.decode(value).first
        else { continue }
        totals[user] = count
      }
      return totals
    }

    private static func expected(_ count: Int64) -> [String: Int64] { Dictionary(uniqueKeysWithValues: users.map { ($0, count) }) }

    private static func isClosed(_ shard: String) -> (LedgerFold) -> Bool { { $0[LaneID(shard: shard)]?.isShardClosed == true } }

    /// Keys, ids and open windows go from a shard to its halves, and from two shards to the one that they end in.
    @Test func whatAShardLeavesIsInTheShardsThatHaveItsKeys() async throws {
      let state = MemoryStateTable()
      let bench = try Resharding.bench(2, state)
      Resharding.send(bench, at: 1)
      let worker = bench.worker(["t/0", "t/1"])
      try await bench.until("20 records") { $0.counts.input == 20 }
      bench.topic.split("t/0", "t/2", "t/3")
      Resharding.send(bench, at: 2)
      // Sent again, some of them to a child.
      Resharding.send(bench, at: 1)
      try #require(worker.group).tell(.assigned(["t/2", "t/3"]))
      try await bench.until("the parent is closed", Resharding.isClosed("t/0"))
      try await bench.until("60 records") { $0.counts.input == 60 }
      bench.topic.merge("t/2", "t/3", into: "t/4")
      Resharding.send(bench, at: 3)
      try #require(worker.group).tell(.assigned(["t/4"]))
      try await bench.until("80 records") { $0.counts.input == 80 }
      for shard in ["t/1", "t/4"] {
        bench.send(shard, [100], user: Resharding.users.first { Resharding.shard(of: $0, bench) == shard } ?? "")
      }
      try await bench.until("20 windows") { $0.tables["gold/users"]?.rows == 20 }
      _ = try await worker.stop()
      let fold = try #require(try await bench.fold())
      #expect(fold.counts.duplicate == 20, "ids go to the shards that have the keys")
      var totals = try await Resharding.totals(state)
      for user in Resharding.users where totals[user] == 4 { totals[user] = 3 }
      #expect(totals == Resharding.expected(3), "each user three times, and two of them once more")
      #expect(fold.lanesWithKeys.map(\.shard) == ["t/1", "t/4"])
    }

    @Test func aChildWaitsForAParentThatAnotherWorkerHas() async throws {
      let state = MemoryStateTable()
      let bench = try Resharding.bench(2, state)
      Resharding.send(bench, at: 1)
      let (a, b) = (bench.worker(["t/0"]), bench.worker(["t/1"]))
      try await bench.until("20 records") { $0.counts.input == 20 }
      bench.topic.merge("t/0", "t/1", into: "t/2", endsBoth: false)
      try #require(a.group).tell(.assigned(["t/2"]))
      try await bench.until("the first parent is closed", Resharding.isClosed("t/0"))
      let other = try #require(Resharding.users.first { Resharding.shard(of: $0, bench) == "t/1" })
      bench.send("t/1", [2], user: other)
      try await bench.until("its records are committed") { $0.counts.input == 21 }
      #expect(try await bench.fold()?[LaneID(shard: "t/2")]?.position == nil, "the child has not begun")
      bench.topic.change { $0["t/1"]?.isClosed = true }
      Resharding.send(bench, at: 3)
      try await bench.until("41 records") { $0.counts.input == 41 }
      _ = try await (a.stop(), b.stop())
      var totals = try await Resharding.totals(state)
      #expect(totals.removeValue(forKey: other) == 3)
      #expect(totals == Resharding.expected(2).filter { $0.key != other })
    }

    /// The worker that closed the parent is gone before a child began.
    @Test func theNextWorkerTakesOverWhatAClosedShardLeft() async throws {
      let state = MemoryStateTable()
      let bench = try Resharding.bench(1, state)
      Resharding.send(bench, at: 1)
      let first = bench.worker(["t/0"])
      try await bench.until("20 records") { $0.counts.input == 20 }
      bench.topic.split("t/0", "t/1", "t/2")
      try await bench.until("the parent is closed", Resharding.isClosed("t/0"))
      _ = try await first.stop()
      Resharding.send(bench, at: 2)
      let second = bench.worker(["t/1", "t/2"])
      try await bench.until("40 records") { $0.counts.input == 40 }
      _ = try await second.stop()
      #expect(try await Resharding.totals(state) == Resharding.expected(2))
    }

    @Test func aKeyOutsideAShardsRangeStopsTheWorker() async throws {
      let bench = try Resharding.bench(2, MemoryStateTable())
      let stray = try #require(Resharding.users.first { Resharding.shard(of: $0, bench) == "t/1" })
      bench.send("t/0", [1], user: stray)
      let error = await #expect(throws: WeirError.self) { try await bench.worker(["t/0", "t/1"]).ended() }
      #expect(error?.code == .misplaced && error?.message.contains("not in the shard's range") == true)
      #expect(error?.message.contains("position \(bench.topic.position(0)) of t/0") == true, "the source's own, not the lane's count")
    }

    /// The new one has shards with the names of those that ended. A worker that took them for these would read nothing, and say nothing.
    @Test func aStreamThatIsMadeAgainWithShardsThatEndedIsRefused() async throws {
      let bench = try Resharding.bench(1, MemoryStateTable())
      Resharding.send(bench, at: 1)
      let first = bench.worker(["t/0"])
      try await bench.until("20 records") { $0.counts.input == 20 }
      bench.topic.split("t/0", "t/1", "t/2")
      try await bench.until("the parent is closed", Resharding.isClosed("t/0"))
      _ = try await first.stop()
      bench.topic.change {
        ($0["t/1"], $0["t/2"]) = (nil, nil)
        $0["t/0"]?.isClosed = false
      }
      Resharding.send(bench, at: 2)
      for accepted in [[], ["t"]] as [Set<String>] {
        let error = await #expect(throws: WeirError.self) { try await bench.worker(["t/0"], accepted: accepted).ended() }
        #expect(error?.code == .recreated && error?.message.contains("t/0, which the ledger has as ended") == true)
      }
    }

    /// The source dropped it with records that were not read: its children would wait for it for ever.
    @Test func aChildOfAShardThatIsGoneBeforeItsEndIsRefused() async throws {
      let bench = try Resharding.bench(1, MemoryStateTable())
      Resharding.send(bench, at: 1)
      let first = bench.worker(["t/0"])
      try await bench.until("20 records") { $0.counts.input == 20 }
      bench.topic.split("t/0", "t/1", "t/2")
      Resharding.send(bench, at: 2)
      try #require(first.group).tell(.assigned(["t/1", "t/2"]))
      try await bench.until("40 records") { $0.counts.input == 40 }
      _ = try await first.stop()
      bench.topic.split("t/1", "t/3", "t/4")
      bench.topic.change { $0["t/1"] = nil }
      let error = await #expect(throws: WeirError.self) { try await bench.worker(["t/2", "t/3", "t/4"]).ended() }
      #expect(error?.code == .shardsChanged && error?.message.contains("t/3 took over keys of t/1") == true)
    }

    /// What retention took from a parent is a gap, and its children begin with what was read.
    @Test func aParentThatWasTrimmedLeavesWhatWasRead() async throws {
      let state = MemoryStateTable()
      let bench = try Resharding.bench(1, state)
      Resharding.send(bench, at: 1)
      let first = bench.worker(["t/0"])
      try await bench.until("20 records") { $0.counts.input == 20 }
      _ = try await first.stop()
      Resharding.send(bench, at: 2)
      bench.topic.trim("t/0", to: 30)
      bench.topic.split("t/0", "t/1", "t/2")
      Resharding.send(bench, at: 3)
      let second = bench.worker(["t/0", "t/1", "t/2"])
      try await bench.until("50 records") { $0.counts.input == 50 }
      _ = try await second.stop()
      let gaps = try await bench.decisions().filter { if case .gap = $0 { true } else { false } }
      #expect(gaps.count == 1)
      let lost = Set(Resharding.users.prefix(10))
      let totals = try await Resharding.totals(state)
      #expect(totals == Dictionary(uniqueKeysWithValues: Resharding.users.map { ($0, lost.contains($0) ? 2 : 3) }))
    }
  }
}
