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
  private let clock: ManualClock
  private let layout = LedgerLayout(pipeline: "p")

  init() {
    let (requests, collection, clock) = (Requests(), Collection(), ManualClock(.ends))
    (self.requests, self.collection, self.clock) = (requests, collection, clock)
    store = InterceptedStore(DatedStore(clock), before: { try await collection.strike($0) }, after: { requests.count($0, $1) })
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
      // The entry before, and the pointer after: the marker that is not there yet, and two more reads when one is written.
      #expect(cost.gets == (number % 100 == 0 ? 3 : 2) && cost.lists == 0, "entry \(number): \(cost)")
    }
    let opened = try #require(try await Ledger.open(layout, store: store, clock: clock, random: random))
    let cost = requests.take()
    #expect(await opened.fold.number == 1050)
    // The snapshot, the 50 entries after it, and the number that is free; 8 reads find the last of 10 markers, then the marker and twice the one
    // that is not there. Listed once: markers after the last, the snapshots (all, and from the newest on), of the entries the last.
    #expect(cost.gets == 52 + 8 + 1 + 2 && cost.lists == 4 && cost.listed == 10 + 1 + 1, "\(cost)")
  }

  // MARK: The snapshot pointer

  private func opened() async throws -> Ledger? {
    try await Ledger.open(layout, store: store, clock: clock, random: random)
  }

  /// A ledger with entries through 350 and markers 0, 1 and 2.
  private func made() async throws -> Ledger {
    let genesis = Genesis(ledgerID: "l", runID: "l", stream: "s", plan: .null, planHash: "p", lanes: [LaneID(shard: "s")])
    let ledger = try await Ledger.create(layout, genesis: genesis, worker: "w", store: store, clock: clock, random: random)
    for _ in 0..<350 { try await commit(ledger) }
    return ledger
  }

  @Test(arguments: [0, 1] as [Int64]) func `a marker that was lost is named, and nothing is opened`(_ lost: Int64) async throws {
    _ = try await made()
    try await store.delete(layout.pointer(lost))
    let error = await #expect(throws: WeirError.self) { try await opened() }
    #expect(error?.code == .ledgerCorrupt && error?.message.contains(layout.pointer(lost)) == true, "\(String(describing: error))")
  }

  @Test func `a marker with another number in it is refused`() async throws {
    _ = try await made()
    let bytes = try #require(try await store.get(layout.pointer(2)))
    try await store.replace(
      NewObject(path: layout.pointer(2), bytes: Array(String(decoding: bytes, as: UTF8.self).replacing("300", with: "200").utf8)))
    let error = await #expect(throws: WeirError.self) { try await opened() }
    #expect(error?.code == .ledgerCorrupt && error?.message.contains(layout.pointer(2)) == true)
  }

  @Test func `without its newest snapshot a ledger opens by an older one, or names it when entries were collected`() async throws {
    _ = try await made()
    try await store.delete(layout.snapshot(300))
    #expect(try await opened()?.fold.number == 350)
    for number in 0...300 as ClosedRange<Int64> { try await store.delete(layout.entry(number)) }
    let error = await #expect(throws: WeirError.self) { try await opened() }
    #expect(error?.code == .ledgerCorrupt && error?.message.contains(layout.snapshot(300)) == true, "\(String(describing: error))")
  }

  /// The worker that wrote the newer one stopped before it wrote the marker: readers that know the marker begin at the older one.
  @Test func `collection keeps the snapshot of the pointer although a newer one is there`() async throws {
    let ledger = try await made()
    let late = try #require(try await opened())
    for _ in 0..<20 { try await commit(ledger) }
    try await store.write([NewObject(path: layout.snapshot(365), bytes: [])])
    let collected = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 360), worker: "w")
    #expect(collected.snapshot == 370 && collected.entriesDeleted.last == 360)
    #expect(try await late.refresh().number == 370)

    try await store.write([NewObject(path: layout.snapshot(400), bytes: [])])
    for _ in 0..<10 { try await commit(ledger) }
    _ = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 380), worker: "w")
    #expect(try await late.refresh().number == 380)
    #expect(try await store.get(layout.snapshot(380)) != nil)
  }

  // MARK: Collection

  @Test func `a collection reads each kept entry once, and a bounded number of them`() async throws {
    let ledger = try await made()
    try await store.write([NewObject(path: layout.blobs + "old", bytes: [1])])
    let policy = CollectionPolicy(appliedThrough: 350)
    for _ in 0..<EntryNames.readsMax { try await commit(ledger) }
    // The blob is two days old, and no entry is seven.
    clock.advance(by: 2 * CollectionPolicy.dayMicroseconds * 1000)
    var report = try await ledger.collect(policy, worker: "w")
    // One entry was added for the collection itself.
    #expect(report.entriesUnread > 0 && report.blobsDeleted == [], "what the others name is not known")
    report = try await ledger.collect(policy, worker: "w")
    #expect(report.entriesUnread == 0 && report.blobsDeleted == [layout.blobs + "old"])
    try await store.write([NewObject(path: layout.blobs + "newer", bytes: [1])])
    clock.advance(by: 2 * CollectionPolicy.dayMicroseconds * 1000)
    _ = requests.take()
    report = try await ledger.collect(policy, worker: "w")
    let cost = requests.take()
    #expect(report.blobsDeleted == [layout.blobs + "newer"] && cost.gets < 20, "\(cost)")
  }

  @Test func `the last of many markers is found with few reads`() async throws {
    for number in 0..<1000 as Range<Int64> {
      let snapshots = SnapshotPointer(layout, store)
      if number % 250 == 0 { _ = try await snapshots.read() }
      let digest = ContentHash(of: Array("snapshot \(number)".utf8)).hex
      try await store.write([
        NewObject(path: layout.pointer(number), bytes: Array(#"{"snapshot":\#(number),"sha256":"\#(digest)"}"#.utf8))
      ])
    }
    _ = requests.take()
    #expect(try await SnapshotPointer(layout, store).read() == 999)
    let cost = requests.take()
    #expect(cost.gets <= 24 && cost.listed == 0, "\(cost)")
  }

  /// Each ends with entry 41 collected, and a worker that still holds the fold through 40.
  enum Collector: CaseIterable {
    /// Of this version.
    case marks
    /// Of this version, stopped between snapshot and marker; another one opens the ledger.
    case stopped
    /// Of the version before, which knows no markers; the sleeper has seen no entry of the current format.
    case older
  }

  @Test(arguments: Collector.allCases) func `a number that was collected is not free for a worker that slept`(_ collector: Collector)
    async throws
  {
    let genesis = Genesis(ledgerID: "l", runID: "l", stream: "s", plan: .null, planHash: "p", lanes: [LaneID(shard: "s")])
    let ledger = try await Ledger.create(layout, genesis: genesis, worker: "w", store: store, clock: clock, random: random)
    for _ in 0..<40 { try await commit(ledger) }
    if collector == .older {
      for number in 0...40 as ClosedRange<Int64> { try await rewriteInFormat1(number) }
    }
    let sleeper = try #require(try await opened())
    let awake = try #require(try await opened())
    for _ in 0..<10 { try await commit(awake) }
    try await awake.snapshot()
    if collector != .marks { try await store.delete(layout.pointer(0)) }
    for number in 0...50 as ClosedRange<Int64> { try await store.delete(layout.entry(number)) }
    let slow = collector == .stopped ? try #require(try await opened()) : sleeper
    if collector == .stopped { #expect(await slow.fold.number == 50) }
    let draft = EntryDraft(
      commitID: slow.makeAttemptID(), worker: "w", planHash: "p",
      lanes: [LaneCommit(lane: LaneID(shard: "s"), epoch: 1, from: .offset(0), to: .offset(0), watermark: 0)])
    let outcome = try await slow.commit(draft, startedNanoseconds: 0)
    switch (collector, outcome) {
    case (.stopped, .committed(let number, _)): #expect(number == 51)
    case (.marks, .fenced), (.older, .fenced): break
    default: Issue.record("\(collector): \(outcome)")
    }
  }

  /// The entry as the version before wrote it, with the hash of the one before.
  private func rewriteInFormat1(_ number: Int64) async throws {
    let path = layout.entry(number)
    var entry = try LedgerEntry(bytes: try #require(try await store.get(path)))
    entry.format = 1
    if number > 0, let bytes = try await store.get(layout.entry(number - 1)) { entry.previousHash = try LedgerEntry(bytes: bytes).hash }
    try await store.replace(NewObject(path: path, bytes: entry.sealed().bytes))
  }
}
