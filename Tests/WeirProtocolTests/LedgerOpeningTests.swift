import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirProtocol

/// The requests to a store in memory, counted.
private final class Requests: Sendable {
  struct Count {
    var gets = 0
    var lists = 0
    /// Objects in the answers.
    var listed = 0
  }
  private let counted = Mutex(Count())

  /// What was asked since the last call.
  func take() -> Count {
    counted.withLock { count in
      defer { count = Count() }
      return count
    }
  }

  func count(_ request: StoreRequest, _ amount: Int) {
    switch request {
    case .get: counted.withLock { $0.gets += 1 }
    case .list: counted.withLock { ($0.lists, $0.listed) = ($0.lists + 1, $0.listed + amount) }
    default: break
    }
  }
}

/// Another worker collects the ledger just when one of its entries is synced.
private final class Collection: Sendable {
  let path = Mutex<String?>(nil)
  let collect = Mutex<(@Sendable () async throws -> Void)?>(nil)

  func strike(_ request: StoreRequest) async throws {
    guard case .sync(let synced) = request else { return }
    let vanishes = path.withLock { path in
      defer { if path == synced { path = nil } }
      return path == synced
    }
    guard vanishes else { return }
    try await collect.withLock { $0 }?()
    throw WeirError(.storage, "no such file \(synced)")
  }
}

/// What a ledger of many entries costs.
struct LedgerOpeningTests {
  private let requests: Requests
  private let collection: Collection
  private let store: InterceptedStore
  private let random = CountingRandom()
  private let clock = ManualClock(.ends)
  private let layout = LedgerLayout(pipeline: "p")

  init() {
    let (requests, collection) = (Requests(), Collection())
    (self.requests, self.collection) = (requests, collection)
    store = InterceptedStore(MemoryStore(), before: { try await collection.strike($0) }, after: { requests.count($0, $1) })
  }

  private func commit(_ ledger: Ledger) async throws {
    let draft = EntryDraft(commitID: ledger.makeAttemptID(), worker: "w", planHash: "p")
    guard case .committed(let number, _) = try await ledger.commit(draft, startedNanoseconds: 0) else {
      Issue.record("not committed")
      return
    }
    if number % 100 == 0 { try await ledger.snapshot() }
  }

  @Test func `an entry that is collected between its reading and its syncing is no fault`() async throws {
    let genesis = Genesis(ledgerID: "l", runID: "l", stream: "s", plan: .null, planHash: "p", lanes: [LaneID(shard: "s")])
    let ledger = try await Ledger.create(layout, genesis: genesis, worker: "w", store: store, clock: clock, random: random)
    for _ in 0..<20 { try await commit(ledger) }
    collection.path.withLock { $0 = layout.entry(5) }
    collection.collect.withLock { [store, layout] in
      $0 = {
        try await ledger.snapshot()
        for number in 0..<20 as Range<Int64> { try await store.delete(layout.entry(number)) }
      }
    }
    let opened = try await Ledger.open(layout, store: store, clock: clock, random: random)
    #expect(await opened?.fold.number == 20)
    #expect(collection.path.withLock { $0 } == nil)
  }

  @Test func `commits and opening cost the same however many entries the ledger keeps`() async throws {
    let genesis = Genesis(ledgerID: "l", runID: "l", stream: "s", plan: .null, planHash: "p", lanes: [LaneID(shard: "s")])
    let ledger = try await Ledger.create(layout, genesis: genesis, worker: "w", store: store, clock: clock, random: random)
    for number in 1...1050 {
      _ = requests.take()
      try await commit(ledger)
      let cost = requests.take()
      // The entry before, and the pointer after: the newest snapshot, and one more right after it was made.
      #expect(cost.gets == 1 && cost.lists == 1 && cost.listed <= 2, "entry \(number): \(cost)")
    }
    let opened = try #require(try await Ledger.open(layout, store: store, clock: clock, random: random))
    let cost = requests.take()
    #expect(await opened.fold.number == 1050)
    // The snapshot, the 50 entries after it, and the number that is free; the snapshots twice, and of the entries the last.
    #expect(cost.gets == 52 && cost.lists == 3 && cost.listed == 2 * 10 + 1, "\(cost)")
  }
}
