import Testing
import WeirCore
import WeirProtocol

@testable import WeirEngine

extension LiveWorkerTests {
  /// Which partition a key belongs to, where producers place keys by a rule: no source whose shards have ranges of hashes.
  @Suite(.timeLimit(.minutes(10))) struct KeyPlacement {
    @Test(arguments: Partitioner.allCases)
    func theProducersRuleIsRecognisedFromTheFirstRecordsAndHoldsForAllThatComes(_ rule: Partitioner) async throws {
      let bench = try Bench(shards: 4, isSharded: false, misplaced: "halt")
      let all = ["t/0", "t/1", "t/2", "t/3"]
      let users = (0..<60).map { "user-\($0)" }
      bench.send(users: users, at: 1, by: rule, of: 4)
      let worker = bench.worker(all)
      try await bench.until("60 records") { $0.counts.input == 60 }
      _ = try await worker.stop()
      #expect(try await bench.fold()?.partitioners == ["t": [rule]])
      let other = try #require(Partitioner.allCases.first { $0 != rule })
      let stray = try #require(
        users.first { user in
          var user = user
          return user.withUTF8 { rule.shard(of: $0, count: 4) != other.shard(of: $0, count: 4) }
        })
      bench.send(users: [stray], at: 2, by: other, of: 4)
      do {
        _ = try await bench.worker(all).ended()
        Issue.record("it ran")
      } catch let error as WeirError {
        #expect(error.code == .misplaced && error.message.contains(rule.rawValue))
        #expect(error.message.contains("has the key '\(stray)'") && error.message.contains("was sent without a key of its own"))
      }
      #expect(try await bench.fold()?.counts.input == 60, "nothing of the stray record is committed")
    }

    @Test func theLedgersRuleBindsAWorkerThatHasSeenNoRecordItself() async throws {
      let bench = try Bench(shards: 2, isSharded: false, misplaced: "halt")
      let both = ["t/0", "t/1"]
      // One key, which two rules put into the same partition: they are left, and the third is out for good.
      func place(_ user: String, _ rule: Partitioner) -> Int {
        var user = user
        return user.withUTF8 { rule.shard(of: $0, count: 2) }
      }
      let user = try #require(
        (0..<100).map { "u\($0)" }.first { place($0, .murmur2) == place($0, .crc32) && place($0, .crc32) != place($0, .fnv1a) })
      bench.send(users: [user], at: 1, by: .murmur2, of: 2)
      let first = bench.worker(both)
      try await bench.until("a record") { $0.counts.input == 1 }
      _ = try await first.stop()
      #expect(try await bench.fold()?.partitioners == ["t": [.murmur2, .crc32]])
      let stray = try #require(
        (100..<300).map { "u\($0)" }.first { place($0, .fnv1a) != place($0, .murmur2) && place($0, .fnv1a) != place($0, .crc32) })
      bench.send(users: [stray], at: 2, by: .fnv1a, of: 2)
      do {
        _ = try await bench.worker(both).ended()
        Issue.record("it ran")
      } catch let error as WeirError { #expect(error.code == .misplaced) }
    }

    @Test func aPartitionMoreThanAtTheStartStopsAWorkerWhoseTablesDependOnPlaces() async throws {
      let bench = try Bench(shards: 2, isSharded: false, misplaced: "halt")
      bench.send(users: (0..<20).map { "u\($0)" }, at: 1, by: .murmur2, of: 2)
      let worker = bench.worker(["t/0", "t/1"])
      try await bench.until("20 records") { $0.counts.input == 20 }
      bench.send("t/2", [5])
      try #require(worker.group).tell(.assigned(["t/2"]))
      do {
        _ = try await worker.ended()
        Issue.record("it went on")
      } catch let error as WeirError { #expect(error.code == .shardsChanged) }
      #expect(try await bench.fold()?.counts.input == 20)
    }

    @Test func byShardAKeyHasARowForEachPartitionThatHoldsIt() async throws {
      let bench = try Bench(shards: 2, isSharded: false, misplaced: "per_shard")
      bench.send("t/0", [1, 2, 30])
      bench.send("t/1", [3, 30])
      let worker = bench.worker(["t/0", "t/1"])
      try await bench.until("5 records") { $0.counts.input == 5 }
      _ = try await worker.stop()
      // The window from 0 to 10 s of the one user, once a partition.
      #expect(try await bench.goldRows() == 2)
    }
  }
}
