import Foundation
import Testing
import WeirCore
import WeirLocal
import WeirProtocol

/// A lake that is removed, or put in another's place, under a worker that runs.
@Suite struct RemovedLakeTests {
  private let layout = LedgerLayout(pipeline: "ads")
  private let root = NSTemporaryDirectory() + "weir-test-" + UUID().uuidString
  private let threads = BlockingThreads(count: 1)
  private let random = SystemRandom()

  private var store: LocalObjectStore { LocalObjectStore(root: root, threads: threads, random: random) }

  private func made(by worker: String) async throws -> Ledger {
    let genesis = Genesis(
      ledgerID: worker, runID: "r", stream: "s", plan: .null, planHash: "p", lanes: [LaneID(shard: "s")])
    return try await Ledger.create(layout, genesis: genesis, worker: worker, store: store, clock: SystemClock(), random: random)
  }

  /// Commits empty entries through `number`.
  private func commit(_ ledger: Ledger, through number: Int64) async throws {
    while await ledger.fold.number < number {
      let draft = EntryDraft(commitID: ledger.makeAttemptID(), worker: "w", planHash: "p")
      guard case .committed = try await ledger.commit(draft, startedNanoseconds: ledger.now) else {
        Issue.record("a commit without a rival was not made")
        return
      }
    }
  }

  private func replaced(_ ledger: Ledger, through number: Int64) async -> WeirError? {
    do {
      try await commit(ledger, through: number)
      return nil
    } catch { return error as? WeirError }
  }

  private func remove() throws { try FileManager.default.removeItem(atPath: root) }

  private func end() {
    try? remove()
    threads.stop()
  }

  @Test func nothingIsCommittedBehindALedgerThatWasRemoved() async throws {
    defer { end() }
    let ledger = try await made(by: "a")
    try await commit(ledger, through: 3)
    try remove()
    let error = try #require(await replaced(ledger, through: 4))
    #expect(error.code == .ledgerReplaced && !error.isRetriable && error.fatalTo == .worker)
    #expect(error.message.contains(root) && error.message.contains("entry 3 is missing"))
    #expect(error.advice?.contains("start again") == true)
    #expect(try await store.list("").isEmpty)
  }

  @Test func nothingIsCommittedBehindAnotherLedgerInItsPlace() async throws {
    defer { end() }
    let ledger = try await made(by: "a")
    try await commit(ledger, through: 3)
    try remove()
    let other = try await made(by: "b")
    try await commit(other, through: 3)
    let before = try await store.list("").map(\.path)
    #expect(await replaced(ledger, through: 4)?.message.contains("entry 3 is a different one") == true)
    // Also where the other one was collected, so that a missing entry says nothing.
    _ = try await other.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 3), worker: "b")
    #expect(try await store.get(layout.entry(3)) == nil)
    #expect(await replaced(ledger, through: 4)?.code == .ledgerReplaced)
    #expect(!before.contains(layout.entry(4)))
    #expect(try await store.get(layout.entry(4)) == nil)
    try await commit(other, through: 4)
  }

  /// A follower that reads entries must not take a lake that is gone for one that was collected: the advice would be to rebuild tables.
  @Test func anEntryThatNoCollectionTookIsTheSignOfAnotherLedger() async throws {
    defer { end() }
    let ledger = try await made(by: "a")
    try await commit(ledger, through: 12)
    try await store.delete(layout.entry(2))
    let lost = await #expect(throws: WeirError.self) { _ = try await ledger.entries(after: 1, through: 3) }
    #expect(lost?.code == .ledgerReplaced && lost?.message.contains("entry 2 is missing") == true)
    _ = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 12), worker: "a")
    let collected = await #expect(throws: WeirError.self) { _ = try await ledger.entries(after: 0, through: 3) }
    #expect(collected?.code == .ledgerCollected)
  }

  @Test func aWorkerGoesOnBehindEntriesThatWereCollected() async throws {
    defer { end() }
    let ledger = try await made(by: "a")
    try await commit(ledger, through: 3)
    let sleeper = try #require(try await Ledger.open(layout, store: store, clock: SystemClock(), random: random))
    _ = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 3), worker: "a")
    #expect(try await store.list(layout.entries).isEmpty)
    try await commit(ledger, through: 4)
    // One whose fold came from the snapshot, and one that fell behind while more was collected.
    let opened = try #require(try await Ledger.open(layout, store: store, clock: SystemClock(), random: random))
    _ = try await opened.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 4), worker: "b")
    let late = try #require(try await Ledger.open(layout, store: store, clock: SystemClock(), random: random))
    try await commit(late, through: 6)
    _ = try await late.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 6), worker: "b")
    let draft = EntryDraft(commitID: sleeper.makeAttemptID(), worker: "s", planHash: "p")
    // Its number was free again: what it put there does not count.
    guard case .fenced = try await sleeper.commit(draft, startedNanoseconds: sleeper.now) else {
      Issue.record("an entry at a number that was collected was taken for one of the ledger")
      return
    }
    try await commit(sleeper, through: 7)
    #expect(try await late.refresh().number == 7)
  }
}
