import Foundation
import Testing
import WeirCore
import WeirProtocol

@testable import WeirEngine

extension LiveWorkerTests {
  /// Drains: a worker that was asked to end does so in order whatever happens to it meanwhile, as long as another may read again what
  /// it could not commit.
  @Suite(.serialized, .timeLimit(.minutes(10))) struct Drains {
    /// A worker sleeps longer than its session, another takes its lane and commits; it wakes, and is told to end before it has tried to
    /// commit: its only commit is that of the drain, and the ledger refuses it.
    @Test func ofAWorkerWhoseLanesAnotherHasMovedOnIsInOrderAndLosesNothing() async throws {
      let bench = try Bench(shards: 1, flush: "1h")
      bench.send("t/0", 0..<10)
      let sleeper = bench.worker(["t/0"])
      await bench.wait("it has consumed, and not committed") { sleeper.group?.isCaughtUp("t/0") == true }
      let other = try Bench(shards: 1, beside: bench).worker(["t/0"])
      try await bench.until("10 records") { $0.counts.input == 10 }
      let progress = try await sleeper.stop()
      #expect(progress.records == 10 && progress.entries == 1, "its beginning alone is an entry of it")
      #expect(sleeper.troubles(.fenced) == 1, "and what became of the rest is reported")
      #expect(sleeper.group?.isClosed == true, "the group was left, so that nobody waits for it")
      bench.send("t/0", 10..<20)
      try await bench.until("the other goes on") { $0.counts.input == 20 }
      _ = try await other.stop()
      #expect(try await bench.fold()?.counts.input == 20)
    }

    @Test func amidAQuestionThatTheSourceDoesNotAnswerIsInOrder() async throws {
      let bench = try Bench(shards: 1)
      bench.send("t/0", 0..<10)
      bench.topic.questionsLost.withLock { $0 = .max }
      let worker = bench.worker(["t/0"])
      await bench.wait("it asks again") { worker.troubles(.unavailable) >= 2 }
      _ = try await worker.stop()
      bench.topic.questionsLost.withLock { $0 = 0 }
      let next = bench.worker(["t/0"])
      try await bench.until("another worker has them all") { $0.counts.input == 10 }
      _ = try await next.stop()
    }

    /// It holds a lane with records that are not committed, and takes another one over: the source is slow, as brokers that are far away with
    /// many partitions are.
    @Test func whileLanesAreTakenOverWaitsForNoAnswerAndLosesNothing() async throws {
      let bench = try Bench(shards: 65, flush: "1h")
      bench.send("t/0", 0..<10)
      let worker = bench.worker(["t/0"])
      await bench.wait("it has consumed, and not committed") { worker.group?.isCaughtUp("t/0") == true }
      bench.topic.isSilent.withLock { $0 = true }
      try #require(worker.group).tell(.assigned((1..<65).map { "t/\($0)" }))
      await bench.wait("it asks for the others") { bench.topic.unanswered.load(ordering: .relaxed) > 0 }
      let progress = try await worker.stop()
      #expect(progress.records == 10)
      #expect(worker.troubles(.unavailable) == 0, "its end is in order")
      let fold = try #require(try await bench.fold())
      #expect(fold.counts.input == 10 && fold[LaneID(shard: "t/1")]?.position == nil)
    }

    /// The loop that cuts waits for its turn after the take-over, which waits for the source: a cut by size, which nothing but the records
    /// below can cause.
    @Test func whileACutWaitsForATakeOverWaitsForNoAnswer() async throws {
      let bench = try Bench(shards: 65, flush: "1h, bytes: 4KiB")
      bench.send("t/0", 0..<10)
      let worker = bench.worker(["t/0"])
      await bench.wait("it has consumed, and not committed") { worker.group?.isCaughtUp("t/0") == true }
      bench.topic.isSilent.withLock { $0 = true }
      try #require(worker.group).tell(.assigned((1..<65).map { "t/\($0)" }))
      await bench.wait("it asks for the others") { bench.topic.unanswered.load(ordering: .relaxed) > 0 }
      let cuts = { worker.meter.snapshot().meter.cuts.values.reduce(0, +) }
      try #require(cuts() == 0)
      bench.send("t/0", 10..<1010)
      // Nothing rings when a task begins to wait for its turn.
      while cuts() == 0 { await bench.environment.clock.sleep(nanoseconds: 1_000_000) }
      let progress = try await worker.stop()
      #expect(try await bench.fold()?.counts.input == Int64(progress.records))
      #expect(progress.records > 10 && worker.troubles(.unavailable) == 0, "its end is in order")
      bench.topic.isSilent.withLock { $0 = false }
      let next = bench.worker(["t/0"])
      await bench.wait("another worker has read the rest") { next.group?.isCaughtUp("t/0") == true }
      _ = try await next.stop()
      #expect(try await bench.fold()?.counts.input == 1010)
    }

    /// What another worker would meet as well is a failure, drain or not.
    @Test func thatMayNotCommitAtAllIsAFailure() async throws {
      let bench = try Bench(shards: 1, flush: "1h", more: "quarantine: {halt_above: 5%}")
      bench.topic.send((0..<10).map { _ in "no JSON" }, to: "t/0")
      let worker = bench.worker(["t/0"])
      await bench.wait("it has consumed, and not committed") { worker.group?.isCaughtUp("t/0") == true }
      do {
        _ = try await worker.stop()
        Issue.record("it ended in order")
      } catch let error as WeirError {
        #expect(error.code == .quarantineHalt && error.message.contains("up to position \(bench.topic.point(10)) would"))
      }
      #expect(try await bench.fold()?.counts.input == 0)
    }

    // MARK: Without a drain

    /// Brokers that are away while partitions are taken over: the session ends, the worker does not.
    @Test func aSourceThatDoesNotAnswerWhileLanesAreTakenOverIsAskedAgain() async throws {
      let bench = try Bench(shards: 1)
      bench.send("t/0", 0..<10)
      bench.topic.questionsLost.withLock { $0 = 12 }
      let worker = bench.worker(["t/0"])
      try await bench.until("10 records") { $0.counts.input == 10 }
      _ = try await worker.stop()
      #expect(worker.troubles(.unavailable) > SessionFailures.vainSessionsMax, "it says nothing against the worker, however often it comes")
    }

    /// Who sleeps or starves at the start has not heard an answer that was there; a wrong address never has one.
    @Test func theFirstQuestionIsAskedThreeTimes() async throws {
      let bench = try Bench(shards: 1)
      bench.send("t/0", 0..<10)
      bench.topic.firstQuestionsLost.withLock { $0 = SessionFailures.firstAttemptsMax - 1 }
      let worker = bench.worker(["t/0"])
      try await bench.until("10 records") { $0.counts.input == 10 }
      _ = try await worker.stop()
      #expect(worker.troubles(.unavailable) == SessionFailures.firstAttemptsMax - 1, "each is reported")
      bench.topic.firstQuestionsLost.withLock { $0 = SessionFailures.firstAttemptsMax }
      let vain = bench.worker(["t/0"])
      await #expect(throws: WeirError.self) { _ = try await vain.ended() }
      #expect(bench.topic.firstQuestionsLost.withLock { $0 } == 0, "no answer to the third ends the worker")
    }
  }
}
