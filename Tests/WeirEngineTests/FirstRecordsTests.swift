import Testing
import WeirCore
import WeirProtocol

@testable import WeirEngine

extension LiveWorkerTests {
  /// Live workers that can use nothing of their input.
  @Suite(.timeLimit(.minutes(10))) struct FirstRecordsOfAWorker {
    private func bad(_ count: Int) -> [String] { (0..<count).map { "{\"user\": {\"name\": \"u\($0)\"}}" } }

    private func rejection(_ worker: Running) async throws -> WeirError {
      do {
        _ = try await worker.ended()
        throw WeirError(.internal, "the worker ended in order")
      } catch let error as WeirError { return error }
    }

    @Test func aWorkerStopsBeforeItCommitsARecordAndNamesTheReason() async throws {
      let bench = try Bench(shards: 2, flush: "1h")
      bench.topic.send(bad(600), to: "t/0")
      bench.topic.send(bad(400), to: "t/1")
      let worker = bench.worker(["t/0", "t/1"])
      await bench.wait("all is read") { ["t/0", "t/1"].allSatisfy { worker.group?.isCaughtUp($0) == true } }
      let error = try await #require(throws: WeirError.self) { try await worker.stop() }
      #expect(error.code == .allRejected && error.message.contains("the first 1000 records were rejected"), "\(error.message)")
      #expect(error.message.contains("1000 records: decode: field user: expected string, found an object"))
      #expect(error.message.contains("nothing was committed") && error.message.contains("at position \(bench.topic.point(0)) of t/0"))
      #expect(error.message.contains("hint: the field is nested"))
      let fold = try #require(try await bench.fold())
      #expect(fold.counts.input == 0 && fold.tables.isEmpty)
    }

    /// One bad record says nothing about a stream that continues.
    @Test func fewRejectedRecordsAreCommittedAndTheThousandthStopsAWorkerAlsoAfterARestart() async throws {
      let bench = try Bench(shards: 1)
      bench.topic.send(bad(1), to: "t/0")
      let first = bench.worker(["t/0"])
      try await bench.until("one rejected record is committed") { $0.counts.quarantined == 1 }
      await bench.wait("and reported") { first.events.withLock { $0.contains { if case .quarantined = $0 { true } else { false } } } }
      bench.topic.send(bad(998), to: "t/0")
      try await bench.until("999 are committed") { $0.counts.quarantined == 999 }
      _ = try await first.stop()
      bench.topic.send(bad(4), to: "t/0")
      for _ in 0..<2 {
        let error = try await rejection(bench.worker(["t/0"]))
        #expect(error.code == .allRejected && error.message.contains("the first 1003 records were rejected"), "\(error.message)")
        #expect(error.message.contains("999 of them are in quarantine, the other 4 were not committed"))
        #expect(error.message.contains("4 records: decode") && error.message.contains("at position \(bench.topic.point(999)) of t/0"))
        #expect(try await bench.fold()?.counts.input == 999)
      }
      bench.send("t/0", 0..<5)
      let next = bench.worker(["t/0"])
      try await bench.until("a record that can be used in the same commit lets it continue") { $0.counts.input == 1008 }
      _ = try await next.stop()
    }

    @Test func theMessageCountsOneRecordInTheSingular() {
      #expect(FirstRecords.error(RejectedReasons(), rejected: 1).message.hasPrefix("the only record was rejected"))
    }

    @Test func onceARecordWasAcceptedRejectedOnesDoNotStopAWorker() async throws {
      let bench = try Bench(shards: 1)
      bench.send("t/0", 0..<1)
      let worker = bench.worker(["t/0"])
      try await bench.until("1 record") { $0.counts.accepted == 1 }
      bench.topic.send(bad(2000), to: "t/0")
      try await bench.until("all are committed") { $0.counts.quarantined == 2000 }
      _ = try await worker.stop()
      bench.topic.send(bad(1500), to: "t/0")
      let next = bench.worker(["t/0"])
      try await bench.until("after a restart too") { $0.counts.quarantined == 3500 }
      _ = try await next.stop()
    }

    @Test func aStreamOfRejectedRecordsIsLetThroughOnRequest() async throws {
      let bench = try Bench(shards: 1, more: "quarantine: {halt_above: 100%}")
      bench.topic.send(bad(1500), to: "t/0")
      let worker = bench.worker(["t/0"])
      try await bench.until("all are committed") { $0.counts.quarantined == 1500 }
      _ = try await worker.stop()
    }

    /// With a record that is bad for the corrected plan too, and alone in its commit.
    @Test func whatAnEarlierPlanRejectedDoesNotStopACorrectedOne() async throws {
      let bench = try Bench(shards: 1)
      bench.topic.send(bad(999), to: "t/0")
      let old = bench.worker(["t/0"])
      try await bench.until("999 rejected records") { $0.counts.quarantined == 999 }
      _ = try await old.stop()
      let changed = try Bench(shards: 1, more: "dedup: {id: user, within: 1h}", beside: bench, meaning: "changed")
      bench.topic.send(["no JSON"], to: "t/0")
      let worker = changed.worker(["t/0"])
      try await changed.until("the record is in quarantine") { $0.counts.quarantined == 1000 || worker.hasEnded }
      bench.send("t/0", 0..<1)
      try await changed.until("a record is accepted") { $0.counts.accepted == 1 || worker.hasEnded }
      _ = try await worker.stop()
      let fold = try #require(try await changed.fold())
      #expect(fold.counts.quarantined == 1000 && fold.counts.accepted == 1 && fold.planChange?.rejectedBefore == 999)
      #expect(try LedgerFold(bytes: fold.bytes) == fold, "a snapshot keeps it")
    }

    /// The lanes have states by then, and the merge lane has partials of the old plan to read.
    @Test func aChangedPlanTakesOverALedgerOfRejectedRecords() async throws {
      let bench = try Bench(shards: 2)
      bench.topic.send(bad(3), to: "t/0")
      let old = bench.worker(["t/0", "t/1"])
      try await bench.until("3 rejected records") { $0.counts.quarantined == 3 }
      let more = "state: {users: {by: [user], measure: {rows: count()}}}\ndedup: {id: user, within: 1h}"
      let changed = try Bench(shards: 2, more: more, beside: bench, meaning: "changed")
      let worker = changed.worker(["t/0", "t/1"])
      try await changed.until("the plan is replaced") { $0.plan == .string("changed") }
      // The worker with the old plan: at its next commit, or when it opens the ledger again after it lost its lanes.
      bench.topic.send(bad(1), to: "t/0")
      let refused = try await rejection(old)
      #expect(refused.code == .planChanged, "\(refused.code): \(refused.message)")
      bench.send("t/1", 0..<30)
      try await changed.until("the new plan continues") { $0.counts.input == 34 }
      let again = try await rejection(bench.worker(["t/0"]))
      #expect(again.code == .planChanged && again.message.contains("the ledger has accepted records"))
      _ = try await worker.stop()
      let fold = try #require(try await changed.fold())
      #expect(fold.genesis.plan == .string("m") && fold.counts.quarantined == 4 && fold.counts.accepted == 1 && fold.counts.duplicate == 29)
      #expect(try LedgerFold(bytes: fold.bytes) == fold, "a snapshot keeps it")
    }
  }
}
