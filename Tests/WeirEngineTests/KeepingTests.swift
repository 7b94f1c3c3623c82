import Synchronization
import Testing
import WeirCore
import WeirOperators
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// Snapshots and collections beside the commits: a failure that passes is no failure of a commit.
@Suite struct KeepingTests {
  /// A lake of which some requests fail.
  private final class Box: Sendable {
    let failing = Mutex<(code: WeirError.Code, path: String)?>(nil)
    func see(_ request: StoreRequest) throws {
      guard let (code, path) = failing.withLock({ $0 }) else { return }
      switch request {
      case .put(let some) where some.contains(path), .list(let some) where some.contains(path): throw WeirError(code, "no")
      default: break
      }
    }
  }

  private func snapshots(_ bench: PartsBench) -> [String] {
    bench.memory.all.keys.filter { $0.hasPrefix(bench.ledger.layout.snapshots) }.sorted()
  }

  @Test func `every hundredth entry leaves a snapshot of its own, and no other does`() async throws {
    let bench = try await PartsBench()
    let (committer, id) = (bench.committer(), LaneID(shard: "t/0"))
    await committer.hold(id, nil)
    for number in 1...201 as ClosedRange<Int64> {
      _ = try await committer.commit(empty: [await bench.ledger.fold.emptyEpoch(of: id)]).fold()
      #expect(snapshots(bench).count == Int(number / LedgerKeeping.snapshotEvery))
    }
    #expect(snapshots(bench) == [bench.ledger.layout.snapshot(100), bench.ledger.layout.snapshot(200)])
    try await LedgerKeeping.snapshot(bench.ledger, number: 0)
    #expect(snapshots(bench).count == 2)
  }

  @Test func `a snapshot that fails and may be tried again is left to the next time, and another failure is one`() async throws {
    let box = Box()
    let bench = try await PartsBench(wrap: { InterceptedStore($0, before: { try box.see($0) }) })
    box.failing.withLock { $0 = (.storage, "/pointers/") }
    try await LedgerKeeping.snapshot(bench.ledger, number: 100)
    #expect(try await LedgerKeeping.collect(bench.ledger, keep: 0, appliedThrough: 0))
    #expect(bench.memory.all[bench.ledger.layout.entry(0)] != nil, "nothing was collected")
    box.failing.withLock { $0 = (.ledgerCorrupt, "/ledger/") }
    await #expect(throws: WeirError.self) { try await LedgerKeeping.collect(bench.ledger, keep: 0, appliedThrough: 0) }
    box.failing.withLock { $0 = nil }
    #expect(try await LedgerKeeping.collect(bench.ledger, keep: 0, appliedThrough: 0))
    #expect(bench.memory.all[bench.ledger.layout.entry(0)] == nil)
  }

  @Test func `what one collection has left comes after a sixtieth of the interval`() {
    // Kept for eight minutes: every minute.
    var schedule = KeepingSchedule(keepMicroseconds: 480_000_000, now: 0)
    #expect(schedule.dueAt == 60_000_000_000)
    #expect(!schedule.isDue(at: 59_999_999_999) && schedule.isDue(at: 60_000_000_000))
    schedule.isDueSooner()
    #expect(schedule.dueAt == 61_000_000_000)
    #expect(!schedule.isDue(at: 60_999_999_999) && schedule.isDue(at: 61_000_000_000))
    #expect(schedule.dueAt == 121_000_000_000)
    #expect(KeepingSchedule(keepMicroseconds: 0, now: 5).dueAt == 1_000_000_005)
  }
}
