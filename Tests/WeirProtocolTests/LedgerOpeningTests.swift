import Synchronization
import Testing
import WeirCore

@testable import WeirProtocol

/// A store in memory that counts requests.
private final class CountingStore: ObjectStore {
  struct Count {
    var gets = 0
    var lists = 0
    /// Objects in the answers.
    var listed = 0
  }

  private let objects = Mutex<[String: [UInt8]]>([:])
  private let counted = Mutex(Count())

  let place = "memory"

  /// What was asked since the last call.
  func take() -> Count {
    counted.withLock { count in
      defer { count = Count() }
      return count
    }
  }

  func write(_ new: [NewObject]) async throws { objects.withLock { for object in new { $0[object.path] = object.bytes } } }
  func putIfAbsent(_ object: NewObject) async -> PutOutcome {
    objects.withLock {
      if $0[object.path] != nil { return .exists }
      $0[object.path] = object.bytes
      return .created
    }
  }
  func replace(_ object: NewObject) async throws { objects.withLock { $0[object.path] = object.bytes } }
  func get(_ path: String) async throws -> [UInt8]? {
    counted.withLock { $0.gets += 1 }
    return objects.withLock { $0[path] }
  }
  func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]? {
    try await get(path).map { Array($0.dropFirst(Int(offset)).prefix(count)) }
  }
  func list(_ prefix: String) async throws -> [ObjectInfo] { try await list(prefix, from: "") }
  func list(_ prefix: String, from first: String) async throws -> [ObjectInfo] {
    let paths = objects.withLock { $0.keys.filter { $0.hasPrefix(prefix) && $0 >= first } }.sorted()
    counted.withLock { ($0.lists, $0.listed) = ($0.lists + 1, $0.listed + paths.count) }
    return paths.map { ObjectInfo(path: $0, bytes: 0, modifiedMicroseconds: 0) }
  }
  func sync(_ path: String) async throws {
    let vanishes = vanishing.withLock { vanishing in
      defer { if vanishing == path { vanishing = nil } }
      return vanishing == path
    }
    guard vanishes else { return }
    try await collect.withLock { $0 }?()
    throw WeirError(.storage, "no such file \(path)")
  }

  /// Another worker collects the ledger when this entry is synced.
  let vanishing = Mutex<String?>(nil)
  let collect = Mutex<(@Sendable () async throws -> Void)?>(nil)
  func delete(_ path: String) async throws { objects.withLock { $0[path] = nil } }
}

private struct StillClock: Clock {
  let monotonicNanoseconds: Int64 = 0
  let wallMicroseconds: Int64 = 0
  func sleep(nanoseconds: Int64) async {}
}

private final class Numbers: RandomSource {
  private let last = Atomic<UInt64>(0)
  func next() -> UInt64 { last.add(1, ordering: .relaxed).newValue }
}

/// What a ledger of many entries costs.
struct LedgerOpeningTests {
  private let store = CountingStore()
  private let random = Numbers()
  private let layout = LedgerLayout(pipeline: "p")

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
    let ledger = try await Ledger.create(layout, genesis: genesis, worker: "w", store: store, clock: StillClock(), random: random)
    for _ in 0..<20 { try await commit(ledger) }
    store.vanishing.withLock { $0 = layout.entry(5) }
    store.collect.withLock { [store, layout] in
      $0 = {
        try await ledger.snapshot()
        for number in 0..<20 as Range<Int64> { try await store.delete(layout.entry(number)) }
      }
    }
    let opened = try await Ledger.open(layout, store: store, clock: StillClock(), random: random)
    #expect(await opened?.fold.number == 20)
    #expect(store.vanishing.withLock { $0 } == nil)
  }

  @Test func `commits and opening cost the same however many entries the ledger keeps`() async throws {
    let genesis = Genesis(ledgerID: "l", runID: "l", stream: "s", plan: .null, planHash: "p", lanes: [LaneID(shard: "s")])
    let ledger = try await Ledger.create(layout, genesis: genesis, worker: "w", store: store, clock: StillClock(), random: random)
    for number in 1...1050 {
      _ = store.take()
      try await commit(ledger)
      let cost = store.take()
      // The entry before, and the pointer after: the newest snapshot, and one more right after it was made.
      #expect(cost.gets == 1 && cost.lists == 1 && cost.listed <= 2, "entry \(number): \(cost)")
    }
    let opened = try #require(try await Ledger.open(layout, store: store, clock: StillClock(), random: random))
    let cost = store.take()
    #expect(await opened.fold.number == 1050)
    // The snapshot, the 50 entries after it, and the number that is free; the snapshots twice, and of the entries the last.
    #expect(cost.gets == 52 && cost.lists == 3 && cost.listed == 2 * 10 + 1, "\(cost)")
  }
}
