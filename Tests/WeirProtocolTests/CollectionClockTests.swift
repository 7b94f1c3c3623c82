import Testing
import WeirCore
import WeirTesting

@testable import WeirProtocol

/// Collections by workers whose clocks are not the store's.
struct CollectionClockTests {
  private let storeClock: ManualClock
  private let store: DatedStore
  private let layout = LedgerLayout(pipeline: "p")
  private static let hour: Int64 = 3_600_000_000_000

  init() {
    storeClock = ManualClock(.ends)
    store = DatedStore(storeClock)
  }

  private func pass(hours: Int64) { storeClock.advance(by: hours * CollectionClockTests.hour) }

  private func blob(_ name: String) async throws {
    try await store.write([NewObject(path: layout.blobs + name, bytes: [1])])
  }

  private func ledger(clockHours: Int64) async throws -> Ledger {
    let clock = ManualClock(.ends, now: clockHours * CollectionClockTests.hour)
    let genesis = Genesis(ledgerID: "l", runID: "l", stream: "s", plan: .null, planHash: "p", lanes: [LaneID(shard: "s")])
    return try await Ledger.create(layout, genesis: genesis, worker: "w", store: store, clock: clock, random: CountingRandom())
  }

  private func swept(_ ledger: Ledger) async throws -> [String] {
    try await ledger.collect(CollectionPolicy(appliedThrough: .max), worker: "w").blobsDeleted.map {
      String($0.dropFirst(layout.blobs.count))
    }
  }

  @Test(arguments: [30, 100, 100_000] as [Int64])
  func `a worker whose clock is ahead sweeps no blob that an attempt may still commit`(ahead: Int64) async throws {
    try await blob("old")
    pass(hours: 30)
    try await blob("of another's attempt")
    pass(hours: 1)
    #expect(try await swept(ledger(clockHours: 31 + ahead)) == ["old"])
  }

  @Test func `with the store's clock what is a day old is swept, and not before`() async throws {
    try await blob("a")
    pass(hours: 2)
    try await blob("b")
    pass(hours: 23)
    #expect(try await swept(ledger(clockHours: 25)) == ["a"])
  }

  @Test func `a worker whose clock is slow sweeps later`() async throws {
    try await blob("a")
    pass(hours: 100)
    #expect(try await swept(ledger(clockHours: 20)) == [])
  }
}
