import Testing
import WeirCore
import WeirLocal
import WeirProtocol
import WeirTesting

@testable import WeirEngine

extension LiveWorkerTests {
  /// Shards that move between workers, and groups that do not answer.
  @Suite(.timeLimit(.minutes(10))) struct HandOvers {
    @Test func aShardHandedOverIsCommittedBeforeItIsReleasedAndALostOneIsNot() async throws {
      let bench = try Bench(shards: 2)
      bench.send("t/0", 0..<20)
      bench.send("t/1", 0..<20)
      let first = bench.worker(["t/0", "t/1"])
      try await bench.until("40 records") { $0.counts.input == 40 }
      bench.send("t/1", 20..<25)
      let group = try #require(first.group)
      group.tell(.revoked(["t/1"], isLost: false))
      await bench.wait("it is released") { group.released == ["t/1"] }
      // What it had consumed by then is committed; what it had not, the next owner reads.
      let second = bench.worker(["t/1"])
      try await bench.until("45 records") { $0.counts.input == 45 }
      try #require(second.group).tell(.revoked(["t/1"], isLost: true))
      bench.send("t/0", 20..<30)
      try await bench.until("the first goes on") { $0.counts.input == 55 }
      _ = try await first.stop()
      _ = try await second.stop()
      #expect(try await bench.fold()?.counts.input == 55)
    }

    /// The next owner claims the shard's rows when it is released: a write that comes after that would fail, and end the session of the
    /// lanes that stay.
    @Test(arguments: [true, false]) func aShardIsNotReleasedWhileRowsOfItAreOnTheirWay(isLost: Bool) async throws {
      let gate = StoreGate()
      let table = MemoryStateTable(onStep: { step in if step == .beforeRequest { await gate.pass() } })
      let bench = try Bench(
        shards: 2, misplaced: "per_shard", flush: "1h",
        more: "state: {users: {by: [user], measure: {rows: count()}}}\nstore: {flush: 20ms}", state: table)
      let worker = bench.worker(["t/0", "t/1"])
      await bench.wait("it reads") { worker.group?.isCaughtUp("t/1") == true }
      let group = try #require(worker.group)
      await gate.shut()
      bench.send("t/1", 0..<20)
      await gate.whenARequestWaits()
      group.tell(.revoked(["t/1"], isLost: isLost))
      for _ in 0..<5000 { await Task.yield() }
      #expect(group.released == [])
      await gate.open()
      await bench.wait("it is released") { group.released == ["t/1"] }
      _ = try await worker.stop()
      #expect(worker.troubles(.stateFenced) == 0)
    }

    @Test func everyTakeOverStartsAGenerationOfTheLanesRows() async throws {
      let table = MemoryStateTable()
      let bench = try Bench(
        shards: 1, misplaced: "per_shard", more: "state: {users: {by: [user], measure: {rows: count()}}}\nstore: {flush: 20ms}",
        state: table)
      func rows() async throws -> [StateRow] { try await table.page(of: "users", prefix: [], from: nil, rowsMax: 100).rows }
      for count in [10, 20, 20] as [Int] {
        let read = Int(try await bench.fold()?.counts.input ?? 0)
        bench.send("t/0", read..<count)
        let worker = bench.worker(["t/0"])
        try await bench.until("\(count) records") { $0.counts.input == Int64(count) }
        await bench.wait("it reads") { worker.group?.isCaughtUp("t/0") == true }
        _ = try await worker.stop()
      }
      let starts = try await bench.entries().flatMap(\.lanes).filter { $0.start != nil }
      let (first, second) = (bench.topic.point(10), bench.topic.point(20))
      #expect(starts.map(\.start) == [first, second] && starts.map(\.generation) == [1, 2])
      let id = LaneID(shard: "t/0")
      let fold = try #require(try await bench.fold())
      #expect(fold[id]?.generation == 2 && fold[id]?.generationStart == second)
      #expect(try await FlushMark.standing(of: id, table, fold) == .even)
      // The last worker had nothing to write, and what the one before wrote is committed.
      let written = try await rows()
      #expect(!written.isEmpty && written.allSatisfy { $0.fence == Fence(generation: 1, position: second.ordinal) })
      let name = LedgerMark.prefix + id.text
      let mark = try #require(try await table.readMeta(name).flatMap { LedgerMark($0) })
      #expect(mark.generation == 2 && written.allSatisfy { mark.covers($0.fence) })
      #expect(!mark.covers(Fence(generation: 1, position: second.ordinal + 1)), "a row that no entry has")
    }

    /// Readers see by the marks which rows are committed, also where lanes finish no rows.
    @Test func aWorkerThatHasLostALaneDoesNotSetTheLanesMarkBackInAPlanOfMergedTables() async throws {
      let table = MemoryStateTable()
      let bench = try Bench(shards: 2, more: "state: {users: {by: [user], measure: {rows: count()}}}\nstore: {flush: 20ms}", state: table)
      let worker = bench.worker(["t/0", "t/1"])
      bench.send("t/0", 0..<10)
      try await bench.until("10 records") { $0.counts.input == 10 }
      let (id, mark) = (LaneID(shard: "t/0"), LedgerMark.prefix + "t/0")
      let other = StateClaim(name: FlushMark.owner(id), owner: [7], number: 1_000_000)
      try await table.claim([other])
      try await table.write(StateWrite([], meta: [(mark, [9])], owners: [(other.name, other.owner)]))
      bench.send("t/0", 10..<20)
      await bench.wait("it is fenced") { worker.troubles(.stateFenced) > 0 }
      #expect(try await table.readMeta(mark) == [9])
      _ = try? await worker.stop()
    }

    @Test func twoDeploymentsOnOneLedgerFenceEachOtherAndCountEachRecordOnce() async throws {
      let bench = try Bench(shards: 2)
      bench.send("t/0", 0..<100)
      bench.send("t/1", 0..<100)
      let workers = [bench.worker(["t/0", "t/1"]), bench.worker(["t/0", "t/1"])]
      for n in 0..<20 {
        bench.send("t/\(n % 2)", (100 + n * 10)..<(110 + n * 10))
        try await bench.until("they are committed") { $0.counts.input >= Int64(210 + n * 10) }
      }
      try await bench.until("400 records") { $0.counts.input >= 400 }
      for worker in workers {
        do { _ = try await worker.stop() } catch let error as WeirError { #expect(error.code == .fenced) }
      }
      let fold = try #require(try await bench.fold())
      #expect(fold.counts.input == 400)
      #expect(fold[LaneID(shard: "t/0")]?.counts.input == 200)
      // Both read every record, and only one of them may commit it.
      let fences = workers.map { $0.meter.snapshot().meter.fenced }
      #expect(fences.reduce(0, +) > 0, "neither was fenced")
    }

    @Test func aGroupThatDoesNotAnswerIsLeftAndJoinedAnew() async throws {
      let bench = try Bench(shards: 1, silence: 200_000)
      bench.send("t/0", 0..<10)
      let worker = bench.worker(["t/0"], silent: 2)
      try await bench.until("10 records") { $0.counts.input == 10 }
      _ = try await worker.stop()
      #expect(worker.troubles(.groupSilent) == 2)
      #expect(worker.groups.withLock { $0.map(\.isClosed) } == [true, true, true])
    }

    @Test func aGroupThatAnswersIsNotLeftHoweverLongNothingComes() async throws {
      let clock = ShiftedClock(SystemClock())
      let bench = try Bench(shards: 1, silence: 60_000_000, clock: clock)
      let worker = bench.worker(["t/0"])
      await bench.wait("it reads") { worker.group?.isCaughtUp("t/0") == true }
      let ticks = clock.sleeps
      for _ in 0..<4 { clock.shift(milliseconds: 50_000) }
      await bench.wait("the watch of the group has looked since") { clock.sleeps > ticks + 100 }
      bench.send("t/0", 0..<10)
      try await bench.until("10 records") { $0.counts.input == 10 }
      _ = try await worker.stop()
      #expect(worker.groups.withLock { $0.count } == 1)
    }

    /// The object store hangs in the commit of a hand-over: the partitions go at the deadline, and the worker that has them next
    /// reads from the ledger. What the late commit does then, the fence decides.
    @Test func aHandOverThatTheStoreHoldsUpEndsAtItsDeadlineAndLosesNothing() async throws {
      let gate = StoreGate()
      let bench = try Bench(shards: 2, settings: ", handover: 150ms") {
        InterceptedStore($0, before: { if $0.isWrite { await gate.pass() } })
      }
      bench.send("t/0", 0..<20)
      bench.send("t/1", 0..<20)
      let first = bench.worker(["t/0", "t/1"])
      try await bench.until("40 records") { $0.counts.input == 40 }
      let group = try #require(first.group)
      await gate.shut()
      bench.send("t/1", 20..<25)
      await gate.whenARequestWaits()
      group.tell(.revoked(["t/0", "t/1"], isLost: false))
      await bench.wait("the group is left") { group.isClosed }
      await gate.open()
      try await bench.until("all counted once") { $0.counts.input == 45 }
      bench.send("t/0", 20..<30)
      try await bench.until("it goes on with a new member") { $0.counts.input == 55 }
      _ = try await first.stop()
      #expect(first.troubles(.handoverLate) == 1)
      #expect(try await bench.fold()?.counts.input == 55)
    }

    @Test func aHandOverWithinItsDeadlineCommitsEvenIfTheStoreIsSlow() async throws {
      let clock = ShiftedClock(SystemClock())
      let bench = try Bench(shards: 1, settings: ", handover: 30s", clock: clock) {
        InterceptedStore($0, before: { if $0.isWrite { clock.shift(milliseconds: 100) } })
      }
      bench.send("t/0", 0..<20)
      let first = bench.worker(["t/0"])
      try await bench.until("20 records") { $0.counts.input == 20 }
      bench.send("t/0", 20..<30)
      try #require(first.group).tell(.revoked(["t/0"], isLost: false))
      await bench.wait("it is released") { first.group?.released == ["t/0"] }
      _ = try await first.stop()
      #expect(first.troubles(.handoverLate) == 0)
      let second = bench.worker(["t/0"])
      try await bench.until("30 records") { $0.counts.input == 30 }
      _ = try await second.stop()
    }
  }
}
