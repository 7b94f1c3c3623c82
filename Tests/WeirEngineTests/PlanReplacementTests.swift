import Synchronization
import Testing
import WeirCore
import WeirDelta
import WeirLocal
import WeirTesting

@testable import WeirEngine
@testable import WeirProtocol

/// Workers that are started at the same time with a plan that the ledger does not have.
@Suite struct PlanReplacementTests {
  private let memory = MemoryStore()
  private let bench: LiveWorkerTests.Bench

  init() throws { bench = try LiveWorkerTests.Bench(shards: 1) }

  private func environment(_ lake: any ObjectStore) -> EngineEnvironment {
    EngineEnvironment(
      lake: lake, tables: DeltaFormat(), state: nil, clock: ManualClock(.moves), random: SystemRandom(), threads: BlockingThreads(count: 1),
      parallel: 1)
  }

  private func request(_ meaning: String) -> LedgerRequest {
    LedgerRequest(
      meaning: .string(meaning), planHash: "hash of \(meaning)", lanes: nil, runID: nil, shards: ["t/0"], describeChange: { _, _ in [] })
  }

  private func open(_ meaning: String, _ lake: any ObjectStore) async throws -> Ledger {
    try await LedgerOpening.open(bench.plan, request(meaning), environment(lake))
  }

  /// A lake in which another worker opens the ledger just before the entry with this number is put.
  private func lake(before number: Int64, _ other: @escaping @Sendable () async throws -> Void) -> any ObjectStore {
    let path = LedgerLayout(pipeline: bench.plan.pipeline).entry(number)
    let isFirst = Mutex(true)
    return InterceptedStore(
      memory,
      before: {
        guard case .put(path) = $0,
          isFirst.withLock({ first in
            defer { first = false }; return first
          })
        else { return }
        try await other()
      })
  }

  /// The first of them has even committed records by then.
  @Test func theSecondOfTwoWorkersWithTheSameChangedPlanContinuesWithIt() async throws {
    _ = try await open("old", memory)
    let second = try await open(
      "new",
      lake(before: 1) {
        let first = try await open("new", memory)
        let end = try await first.decide(planHash: "hash of new") { fold in
          var commit = fold.emptyEpoch(of: LaneID(shard: "t/0"))
          (commit.from, commit.to) = (.offset(0), .offset(1))
          commit.counts.accepted = 1
          return [commit]
        }
        #expect(try end.fold().counts.accepted == 1)
      })
    let fold = await second.fold
    #expect(fold.plan == .string("new") && fold.planChange?.entry == 1 && fold.number == 2, "it is the first one's decision")
    try fold.checkPlan("hash of new")
  }

  @Test func theSecondOfTwoWorkersWithDifferentPlansDoesNot() async throws {
    _ = try await open("old", memory)
    let error = await #expect(throws: WeirError.self) {
      try await open("another", lake(before: 1) { _ = try await open("new", memory) })
    }
    #expect(error?.code == .fenced)
    let ledger = try await LedgerOpening.existing(bench.plan, environment(memory))
    #expect(await ledger?.fold.plan == .string("new"))
  }
}
