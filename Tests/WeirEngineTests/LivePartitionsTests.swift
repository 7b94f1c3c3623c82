import Testing
import WeirCore
import WeirProtocol
import WeirTesting

@testable import WeirEngine

extension LiveWorkerTests {
  /// A topic that gets more partitions, of a plan whose tables by key are finished in the lanes.
  @Suite(.timeLimit(.minutes(2))) struct Partitions {
    private static let users = (0..<20).map { "u\($0)" }
    private static let more = """
      dedup: {id: at}
      state:
        totals: {by: [user], measure: {rows: count()}}
      """

    private static func names(_ count: Int) -> [String] { (0..<count).map { "t/\($0)" } }

    /// How many records of each user the state table has.
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

    private static func added(_ bench: Bench) async throws -> [AddedPartitions] {
      try await bench.decisions().compactMap { if case .partitionsAdded(let added) = $0 { added } else { nil } }
    }

    /// Two partitions with one record of each user, all committed and flushed.
    private static func begun(_ state: MemoryStateTable, _ times: [Int] = [1]) async throws -> Bench {
      let bench = try Bench(shards: 2, isSharded: false, misplaced: "halt", more: more, state: state)
      for time in times { bench.send(users: users, at: time, by: .murmur2, of: 2) }
      let worker = bench.worker(names(2))
      try await bench.until("the first records") { $0.counts.input == Int64(times.count) * 20 }
      _ = try await worker.stop()
      return bench
    }

    /// Three is no multiple of two: keys also move between the partitions that there were.
    @Test(arguments: [3, 4]) func everyKeyHasOneResultWhereverItsRecordsAre(_ count: Int) async throws {
      let state = MemoryStateTable()
      let bench = try await Partitions.begun(state)
      bench.topic.change { topic in for name in Partitions.names(count) where topic[name] == nil { topic[name] = FakeTopic.Shard() } }
      bench.send(users: Partitions.users, at: 2, by: .murmur2, of: count)
      // Sent once more, to where the key is now.
      bench.send(users: Partitions.users, at: 1, by: .murmur2, of: count)
      do {
        _ = try await bench.worker(Partitions.names(count)).ended()
        Issue.record("it ran")
      } catch let error as WeirError {
        #expect(error.code == .shardsChanged && error.advice?.remedies.contains(.acceptPartitions(stream: "t")) == true)
      }
      #expect(try await bench.fold()?.counts.input == 20)
      let worker = bench.worker(Partitions.names(count), grown: ["t"])
      try await bench.until("the records of after") { $0.counts.input == 60 }
      for name in Partitions.names(count) { bench.send(name, [100], user: "end of \(name)") }
      try await bench.until("20 windows") { $0.tables["gold/users"]?.rows == 20 }
      _ = try await worker.stop()
      let added = try await Partitions.added(bench)
      #expect(added.count == 1)
      #expect(added.first?.before.map(\.shard) == Partitions.names(2))
      #expect(added.first?.added.map(\.shard) == Array(Partitions.names(count).dropFirst(2)))
      let fold = try #require(try await bench.fold())
      #expect(fold.counts.duplicate == 20, "ids are known wherever the key is now")
      #expect(try LedgerFold(bytes: fold.bytes) == fold)
      var totals = try await Partitions.totals(state)
      for name in Partitions.names(count) { #expect(totals.removeValue(forKey: "end of \(name)") == 1) }
      #expect(totals == Dictionary(uniqueKeysWithValues: Partitions.users.map { ($0, 2) }))
      // The next worker needs no word of it.
      let next = bench.worker(Partitions.names(count))
      bench.send("t/0", [101], user: "u0")
      try await bench.until("one more") { $0.counts.input == 61 + Int64(count) }
      _ = try await next.stop()
    }

    @Test func aWindowThatALaneHasWrittenOutIsNotWrittenAgain() async throws {
      let bench = try await Partitions.begun(MemoryStateTable(), [1, 50])
      try await bench.until("20 windows") { $0.tables["gold/users"]?.rows == 20 }
      bench.topic.change { topic in for name in Partitions.names(4).dropFirst(2) { topic[name] = FakeTopic.Shard() } }
      // Of the first window, in partitions that have seen no time: each key goes by what its partition of before had reached.
      bench.send(users: Partitions.users, at: 3, by: .murmur2, of: 4)
      let worker = bench.worker(Partitions.names(4), grown: ["t"])
      try await bench.until("the records of after") { $0.counts.input == 60 }
      for name in Partitions.names(4) { bench.send(name, [100], user: "end of \(name)") }
      try await bench.until("40 windows") { $0.tables["gold/users"]?.rows ?? 0 >= 40 }
      _ = try await worker.stop()
      #expect(try await bench.goldRows() == 40)
      #expect(try await bench.fold()?.tables["late/users"]?.rows == 20)
    }

    /// A rebalance gives a worker the shards that it had: it has no reason to ask for new ones, and its list of shards is old.
    @Test func aWorkerWhoseListOfShardsIsOldRetiresNoLaneOfAnother() async throws {
      let bench = try Bench(shards: 2, isSharded: false)
      for name in Partitions.names(2) { bench.send(name, [1]) }
      let (a, b) = (bench.worker(["t/0"]), bench.worker(["t/1"]))
      try await bench.until("2 records") { $0.counts.input == 2 }
      bench.topic.change { $0["t/2"] = FakeTopic.Shard() }
      bench.send("t/2", [1])
      try #require(a.group).tell(.assigned(["t/2"]))
      try await bench.until("the new shard's record") { $0.counts.input == 3 }
      let group = try #require(b.group)
      group.tell(.revoked(["t/1"], isLost: false))
      await bench.wait("it is released") { group.released == ["t/1"] }
      group.tell(.assigned(["t/1"]))
      bench.send("t/1", [2])
      try await bench.until("it reads again") { $0.counts.input == 4 }
      bench.send("t/2", [2])
      try await bench.until("5 records") { $0.counts.input == 5 }
      _ = try await (a.stop(), b.stop())
      #expect(try await bench.decisions().filter { $0 == .idle } == [])
      #expect(a.troubles(.fenced) == 0 && b.troubles(.fenced) == 0)
    }

    /// Another worker lists a shard between this one's question to the source and its look at the ledger.
    @Test func aShardThatTheLedgerKnowsAndAnOldAnswerDoesNotIsNoRecreatedStream() async throws {
      let bench = try Bench(shards: 1, isSharded: false)
      bench.send("t/0", [1])
      let first = bench.worker(["t/0"])
      try await bench.until("1 record") { $0.counts.input == 1 }
      let grown = Flag()
      let late = try Bench(
        shards: 1, isSharded: false, beside: bench,
        wrap: {
          InterceptedStore(
            $0,
            before: { _ in
              guard !grown.isRaised else { return }
              grown.raise()
              bench.topic.change { $0["t/1"] = FakeTopic.Shard() }
              bench.send("t/1", [1])
              first.group?.tell(.assigned(["t/1"]))
              try await bench.until("the new shard's record") { $0.counts.input == 2 }
            })
        })
      let second = late.worker([])
      await bench.wait("the second joins") {
        second.hasEnded || second.events.withLock { $0.contains { if case .joined = $0 { true } else { false } } }
      }
      #expect(!second.hasEnded)
      _ = try await (first.stop(), second.stop())
    }

    @Test func whoSeesTheChangeFirstDecidesForAllWorkers() async throws {
      let state = MemoryStateTable()
      let bench = try Bench(shards: 2, isSharded: false, misplaced: "halt", more: Partitions.more, state: state)
      bench.send(users: Partitions.users, at: 1, by: .murmur2, of: 2)
      let (a, b) = (bench.worker(["t/0"], grown: ["t"]), bench.worker(["t/1"]))
      try await bench.until("20 records") { $0.counts.input == 20 }
      bench.topic.change { $0["t/2"] = FakeTopic.Shard() }
      try #require(a.group).tell(.assigned(["t/2"]))
      // The session that records it begins with what the group gave at first.
      await bench.wait("a new session") { a.groups.withLock { $0.count } > 1 }
      try await bench.until("the decision") { !$0.growths.isEmpty }
      try #require(a.group).tell(.assigned(["t/2"]))
      bench.send(users: Partitions.users, at: 2, by: .murmur2, of: 3)
      try await bench.until("40 records") { $0.counts.input == 40 }
      _ = try await (a.stop(), b.stop())
      #expect(a.troubles(.shardsChanged) == 1)
      #expect(b.troubles(.shardsChanged) + b.troubles(.fenced) > 0)
      #expect(try await Partitions.totals(state) == Dictionary(uniqueKeysWithValues: Partitions.users.map { ($0, 2) }))
    }

    /// The record is of a producer that knows the new partitions, in a partition that was there before: no stray one.
    @Test func aKeyInAnotherPartitionMakesTheWorkerLookForNewOnes() async throws {
      let bench = try await Partitions.begun(MemoryStateTable())
      let worker = bench.worker(Partitions.names(2), grown: ["t"])
      await bench.wait("reading") { worker.group?.isCaughtUp("t/0") == true && worker.group?.isCaughtUp("t/1") == true }
      func place(_ user: String, _ count: Int) -> Int {
        var user = user
        return user.withUTF8 { Partitioner.murmur2.shard(of: $0, count: count) }
      }
      let moved = try #require(Partitions.users.first { place($0, 3) < 2 && place($0, 3) != place($0, 2) })
      bench.topic.change { $0["t/2"] = FakeTopic.Shard() }
      bench.send("t/\(place(moved, 3))", [2], user: moved)
      try await bench.until("21 records") { $0.counts.input == 21 }
      _ = try await worker.stop()
      #expect(try await Partitions.added(bench).count == 1)
    }
  }
}
