import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirProtocol

/// What a collection takes and what stays, object by object, and what a stop in its middle leaves.
@Suite struct CollectionTests {
  /// A store in memory that knows when each object was made.
  private final class AgedStore: ObjectStore {
    let memory = MemoryStore()
    private let clock: ManualClock
    private let made = Mutex<[String: Int64]>([:])
    /// Requests that change something, in order.
    let changes = Mutex<[StoreRequest]>([])
    let failure = Mutex<(@Sendable (StoreRequest) -> Bool)?>(nil)
    let place = "memory"

    init(_ clock: ManualClock) { self.clock = clock }

    private func note(_ request: StoreRequest, _ paths: [String] = []) throws {
      if failure.withLock({ $0?(request) }) == true { throw WeirError(.storage, "no answer") }
      changes.withLock { $0.append(request) }
      made.withLock { made in for path in paths where made[path] == nil { made[path] = clock.wallMicroseconds } }
    }

    func write(_ new: [NewObject]) async throws {
      try note(.write(new.map(\.path)), new.map(\.path))
      try await memory.write(new)
    }
    func putIfAbsent(_ object: NewObject) async -> PutOutcome {
      do { try note(.put(object.path), [object.path]) } catch { return .unknown("no answer") }
      return await memory.putIfAbsent(object)
    }
    func replace(_ object: NewObject) async throws { try await memory.replace(object) }
    func get(_ path: String) async throws -> [UInt8]? { try await memory.get(path) }
    func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]? {
      try await memory.get(path, offset: offset, count: count)
    }
    func list(_ prefix: String) async throws -> [ObjectInfo] {
      let made = made.withLock { $0 }
      return try await memory.list(prefix).map { ObjectInfo(path: $0.path, bytes: $0.bytes, modifiedMicroseconds: made[$0.path] ?? 0) }
    }
    /// Two objects at a time.
    func page(of prefix: String, after next: String?) async throws -> ObjectPage {
      let rest = try await list(prefix).filter { $0.path > next ?? "" }
      return ObjectPage(Array(rest.prefix(2)), next: rest.count > 2 ? rest[1].path : nil)
    }
    func sync(_ path: String) async throws {}
    func delete(_ path: String) async throws {
      try note(.delete(path))
      try await memory.delete(path)
    }
  }

  private static let day = CollectionPolicy.dayMicroseconds
  private let clock = ManualClock(.moves)
  private let store: AgedStore
  private let layout = LedgerLayout(pipeline: "p")
  private let lane = LaneID(shard: "s")

  init() { store = AgedStore(clock) }

  private func make(merge: Bool = false) async throws -> Ledger {
    let genesis = Genesis(
      ledgerID: "l", runID: "l", stream: "s", plan: .null, planHash: "p", lanes: [lane] + (merge ? [.merge] : []))
    return try await Ledger.create(layout, genesis: genesis, worker: "w", store: store, clock: clock, random: CountingRandom())
  }

  private func reopened() async throws -> Ledger {
    try #require(try await Ledger.open(layout, store: store, clock: clock, random: CountingRandom()))
  }

  private func blob(_ name: String) -> BlobRef { BlobRef(path: layout.blobs + name, length: 1, hash: "h") }

  /// An entry whose lane's state is in a blob of this name.
  private func commit(
    _ ledger: Ledger, state: String? = nil, partials: String? = nil, _ decisions: [Decision] = [], merged: Int64? = nil
  ) async throws {
    let fold = await ledger.fold
    for name in [state, partials].compactMap(\.self) where store.memory.all[layout.blobs + name] == nil {
      try await store.write([NewObject(path: layout.blobs + name, bytes: [1])])
    }
    var lanes = [
      LaneCommit(
        lane: lane, epoch: fold.nextEpoch(of: lane), from: fold[lane]?.position ?? 0, to: fold[lane]?.position ?? 0, watermark: 0,
        decisions: decisions, state: state.map { StateRef(base: blob($0)) } ?? fold[lane]?.state)
    ]
    if let merged {
      lanes.append(
        LaneCommit(
          lane: .merge, epoch: fold.nextEpoch(of: .merge), from: fold.mergeLane.position ?? 0, to: .offset(merged), watermark: 0))
    }
    let draft = EntryDraft(
      commitID: ledger.makeAttemptID(), worker: "w", planHash: "p", lanes: lanes, partials: partials.map { blob($0) })
    guard case .committed = try await ledger.commit(draft, startedNanoseconds: clock.monotonicNanoseconds) else {
      throw WeirError(.internal, "not committed")
    }
  }

  private func pass(_ microseconds: Int64) { clock.advance(by: microseconds * 1000) }
  private var entries: [Int64] {
    store.memory.all.keys.filter { $0.hasPrefix(layout.entries) }.compactMap { LedgerLayout.number(in: $0) }.sorted()
  }

  // MARK: Entries

  @Test(arguments: Cases.seeds(1..<25, debugStep: 4))
  func `exactly those entries go that are old, applied and merged, and a start finds the same ledger`(_ seed: UInt64) async throws {
    var random = SplitMix64(seed: seed)
    let ledger = try await make(merge: true)
    var made: [Int64: Int64] = [0: clock.wallMicroseconds]
    var merged: Int64 = 0
    for _ in 0..<2 + random.below(10) {
      pass(Int64(random.below(10)) * 3_600_000_000)
      let merges = random.chance(0.4)
      if merges { merged = await ledger.fold.number }
      try await commit(ledger, merged: merges ? merged : nil)
      made[await ledger.fold.number] = clock.wallMicroseconds
    }
    let head = await ledger.fold.number
    let keep = Int64(random.below(30)) * 3_600_000_000
    let applied = Int64(random.below(Int(head) + 3)) - 1
    let now = clock.wallMicroseconds
    let moves = now - made[head]! >= Ledger.barrierMicroseconds
    let report = try await ledger.collect(CollectionPolicy(keepMicroseconds: keep, appliedThrough: applied), worker: "w")
    let last = head + (moves ? 1 : 0)
    var expected: [Int64] = []
    while let next = made[Int64(expected.count)], Int64(expected.count) <= min(applied, merged, last), now - next >= keep {
      expected.append(Int64(expected.count))
    }
    #expect(report.entriesDeleted == expected && report.snapshot == last)
    #expect(entries == Array(Int64(expected.count)...last))
    #expect(try await ledger.collectedThrough() == Int64(expected.count) - 1)
    let (found, known) = (try await reopened().fold, await ledger.fold)
    #expect(found == known)
    // What follows is numbered on.
    try await commit(try await reopened())
    #expect(entries.last == last + 1)
  }

  @Test func `an entry goes exactly when it has its age`() async throws {
    let ledger = try await make()
    pass(1)
    try await commit(ledger)
    pass(Self.day - 1)
    let policy = CollectionPolicy(keepMicroseconds: Self.day, appliedThrough: 1)
    #expect(try await ledger.collect(policy, worker: "w").entriesDeleted == [0])
    pass(1)
    #expect(try await ledger.collect(CollectionPolicy(keepMicroseconds: Self.day, appliedThrough: 1), worker: "w").entriesDeleted == [1])
  }

  @Test func `snapshot, marker and mark are there before an entry goes, and the oldest goes first`() async throws {
    let ledger = try await make()
    for _ in 0..<3 { try await commit(ledger) }
    store.changes.withLock { $0 = [] }
    _ = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 2), worker: "w")
    let changes = store.changes.withLock { $0 }
    let expected: [StoreRequest] = [
      .put(layout.snapshot(3)), .put(layout.pointer(0)), .put(layout.collected(2)), .delete(layout.entry(0)), .delete(layout.entry(1)),
      .delete(layout.entry(2)),
    ]
    #expect(changes == expected)
    store.changes.withLock { $0 = [] }
    try await commit(ledger)
    _ = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 3), worker: "w")
    #expect(
      store.changes.withLock { $0 }.dropFirst() == [
        .put(layout.snapshot(4)), .put(layout.pointer(1)), .put(layout.collected(3)), .delete(layout.entry(3)),
        .delete(layout.collected(2)), .delete(layout.snapshot(3)),
      ])
  }

  @Test func `wherever a collection is stopped, the ledger opens as it was, and the next one finishes it`() async throws {
    var stops = 0
    while true {
      let test = CollectionTests()
      let ledger = try await test.make()
      for name in ["a", "b", "c"] { try await test.commit(ledger, state: name) }
      test.pass(2 * Self.day)
      try await test.commit(ledger, state: "d")
      let fold = await ledger.fold
      let left = Mutex(stops)
      test.store.failure.withLock {
        $0 = { _ in
          left.withLock { left in
            left -= 1
            return left < 0
          }
        }
      }
      let policy = CollectionPolicy(keepMicroseconds: 0, appliedThrough: 3)
      let ended = (try? await ledger.collect(policy, worker: "w")) != nil
      test.store.failure.withLock { $0 = nil }
      #expect(try await test.reopened().fold == fold, "stopped after \(stops) changes")
      #expect(test.store.memory.all[test.layout.blobs + "d"] != nil)
      let next = try await test.reopened()
      _ = try await next.collect(policy, worker: "w")
      #expect(test.entries == [4])
      #expect(test.store.memory.all.keys.filter { $0.hasPrefix(test.layout.blobs) } == [test.layout.blobs + "d"])
      if ended { break }
      stops += 1
    }
    #expect(stops > 8, "each change was the last one once")
  }

  @Test func `without a mark that is known to be written no entry goes`() async throws {
    let ledger = try await make()
    for _ in 0..<3 { try await commit(ledger) }
    store.failure.withLock { $0 = { if case .put(let path) = $0 { path.contains("/collected/") } else { false } } }
    await #expect { _ = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 3), worker: "w") } throws: {
      ($0 as? WeirError)?.code == .storage
    }
    #expect(entries == [0, 1, 2, 3])
  }

  @Test func `a ledger that did not move for 22 hours is moved before anything is swept`() async throws {
    for (age, isMoved) in [(Ledger.barrierMicroseconds - 1, false), (Ledger.barrierMicroseconds, true)] {
      let test = CollectionTests()
      let ledger = try await test.make()
      try await test.commit(ledger)
      test.pass(age)
      let report = try await ledger.collect(CollectionPolicy(appliedThrough: 1), worker: "w")
      #expect(report.snapshot == (isMoved ? 2 : 1))
    }
  }

  // MARK: Blobs

  @Test func `a blob goes when it is a day old and neither the fold nor an entry that stays names it`() async throws {
    let ledger = try await make()
    let lookup = layout.lookup(hash: "h", attempt: "a")
    try await store.write([NewObject(path: lookup, bytes: [1]), NewObject(path: layout.lookup(hash: "g", attempt: "a"), bytes: [1])])
    try await store.write([NewObject(path: layout.blobs + "stray", bytes: [1])])
    try await commit(ledger, state: "a", partials: "pa", [.lookup(name: "l", hash: "h", path: lookup)])
    try await commit(ledger, state: "b", partials: "pb")
    try await commit(ledger, state: "c", partials: "pc")
    pass(Self.day - 1)
    try await store.write([NewObject(path: layout.blobs + "young", bytes: [1])])
    try await commit(ledger)
    var report = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 2), worker: "w")
    #expect(report.blobsDeleted == [], "nothing is a day old")
    pass(1)
    report = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 2), worker: "w")
    // Entries 3 and 4 stay: they name `c`, `pc`; the fold names `c` and the lookup.
    let names = ["a", "b", "pa", "pb", "stray"].map { layout.blobs + $0 } + [layout.lookup(hash: "g", attempt: "a")]
    #expect(Set(report.blobsDeleted) == Set(names))
    #expect(store.memory.all[lookup] != nil && store.memory.all[layout.blobs + "young"] != nil)
    #expect(store.memory.all[layout.blobs + "c"] != nil && store.memory.all[layout.blobs + "pc"] != nil)
  }

  @Test func `the version of a lookup that a refresh replaced stays until the next refresh, and as long as an entry names it`() async throws
  {
    let ledger = try await make()
    let paths = ["h", "g", "f"].map { layout.lookup(hash: $0, attempt: "a") }
    for path in paths[..<2] { try await store.write([NewObject(path: path, bytes: [1])]) }
    try await commit(ledger, [.lookup(name: "l", hash: "h", path: paths[0])])
    #expect(await ledger.fold.lookups["l"]?.previous == nil)
    try await commit(ledger, [.lookupRefreshed(name: "l", hash: "g", path: paths[1])])
    #expect(await ledger.fold.lookups["l"]?.previous == LookupVersion.Kept(hash: "h", path: paths[0]))
    pass(Self.day)
    try await commit(ledger)
    var report = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 2), worker: "w")
    // No entry that stays names it.
    #expect(report.blobsDeleted == [] && store.memory.all[paths[0]] != nil)
    #expect(try await reopened().fold == ledger.fold)
    try await commit(ledger, [.lookupUsed(name: "l", hash: "h", path: paths[0])])
    try await store.write([NewObject(path: paths[2], bytes: [1])])
    try await commit(ledger, [.lookupRefreshed(name: "l", hash: "f", path: paths[2])])
    pass(Self.day)
    try await commit(ledger)
    report = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 3), worker: "w")
    #expect(report.blobsDeleted == [], "entry 4 names it")
    pass(Self.day)
    try await commit(ledger)
    report = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 5), worker: "w")
    #expect(report.blobsDeleted == [paths[0]])
  }

  @Test func `a file belongs to the newest entry that names it`() throws {
    var names = EntryNames()
    func entry(_ number: Int64, _ state: String) throws -> LedgerEntry {
      var fold = try LedgerFold(genesis: SampleLedger.first)
      var entry = SampleLedger.draft(fold, 5).sealed(on: fold)
      try fold.apply(entry)
      entry.number = number
      entry.lanes = [
        LaneCommit(
          lane: lane, epoch: 1, from: 0, to: 0, watermark: 0,
          state: StateRef(base: BlobRef(path: state, length: 1, hash: "h"), deltas: [BlobRef(path: "d", length: 1, hash: "h")]))
      ]
      entry.partials = nil
      return entry
    }
    #expect(names.readThrough == nil)
    // They are read at the same time, and come in any order.
    for (number, state) in [(4, "a"), (3, "a"), (3, "b"), (5, "c")] as [(Int64, String)] { names.add(try entry(number, state)) }
    names.read(through: 5)
    #expect(names.newest == ["a": 4, "b": 3, "c": 5, "d": 5] && names.readThrough == 5)
    names.drop(before: 4)
    #expect(names.newest == ["a": 4, "c": 5, "d": 5])
    names.drop(before: 6)
    #expect(names.newest.isEmpty)
  }

  @Test(
    arguments: [
      ("p/ledger/00000000000000000042.json", 42), ("00000000000000000000.json", 0), ("p/ledger/00000000000000000042.jso", nil),
      ("p/ledger/0000000000000000042.json", nil), ("p/ledger/000000000000000000042.json", nil), ("p/ledger/+0000000000000000042.json", nil),
      ("p/ledger/99999999999999999999.json", nil), ("p/ledger/00000000000000000042.json.tmp", nil),
    ] as [(String, Int64?)])
  func `only names of twenty digits are entries`(_ path: String, _ number: Int64?) { #expect(LedgerLayout.number(in: path) == number) }
}
