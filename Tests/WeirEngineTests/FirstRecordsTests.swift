import Testing
import WeirCore
import WeirProtocol

@testable import WeirEngine

extension LiveWorkerTests {
  /// Live workers that can use nothing of their input.
  @Suite(.timeLimit(.minutes(1))) struct FirstRecordsOfAWorker {
    private func bad(_ count: Int) -> [String] { (0..<count).map { "{\"user\": {\"name\": \"u\($0)\"}}" } }

    private func rejection(_ worker: Running) async throws -> WeirError {
      do {
        _ = try await worker.ended()
        throw WeirError("test", "the worker ended in order")
      } catch let error as WeirError { return error }
    }

    @Test func aWorkerStopsBeforeItCommitsARecordAndNamesTheReason() async throws {
      let bench = try Bench(shards: 2)
      bench.topic.send(bad(7), to: "t/0")
      let error = try await rejection(bench.worker(["t/0", "t/1"]))
      #expect(error.code == "all_rejected" && error.message.contains("7 records: decode: field user: expected string, found an object"))
      #expect(error.message.contains("at position 0 of t/0") && error.message.contains("hint: the field is nested"))
      let fold = try #require(try await bench.fold())
      #expect(fold.counts.input == 0 && fold.tables.isEmpty)
      bench.send("t/1", 0..<5)
      let next = bench.worker(["t/0", "t/1"])
      try await bench.until("with a record that can be used it goes on") { $0.counts.input == 12 }
      _ = try await next.stop()
      #expect(try await bench.fold()?.counts.quarantined == 7)
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

    @Test func aChangedPlanTakesOverALedgerWithoutRecords() async throws {
      let bench = try Bench(shards: 1)
      bench.topic.send(bad(3), to: "t/0")
      #expect(try await rejection(bench.worker(["t/0"])).code == "all_rejected")
      let changed = try Bench(shards: 1, more: "quarantine: {halt_above: 90%}", beside: bench, meaning: "changed")
      bench.send("t/0", 0..<30)
      let worker = changed.worker(["t/0"])
      try await changed.until("the new plan goes on") { $0.counts.input == 33 }
      // A worker with the plan of before, which has opened the ledger again meanwhile.
      let refused = try await rejection(bench.worker(["t/0"]))
      #expect(refused.code == "plan_changed" && refused.message.contains("the ledger has accepted records"))
      _ = try await worker.stop()
      let fold = try #require(try await changed.fold())
      #expect(fold.plan == .string("changed") && fold.genesis.plan == .string("m") && fold.counts.accepted == 30)
      #expect(try LedgerFold(bytes: fold.bytes) == fold, "a snapshot keeps it")
    }
  }
}
