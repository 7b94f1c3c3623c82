import Synchronization
import Testing
import WeirCore
import WeirDelta
import WeirTesting

@testable import WeirEngine
@testable import WeirProtocol

/// What the markers of a topic say, whoever writes them and when, and what they cost.
struct SinkMarkersTests {
  /// Requests to a store, counted by kind.
  private final class Requests: Sendable {
    private let counted = Mutex<[String: Int]>([:])
    private let hook = Mutex<(path: String, act: @Sendable () async throws -> Void)?>(nil)

    /// What was asked since the last call.
    func take() -> [String: Int] {
      counted.withLock { count in
        defer { count = [:] }
        return count
      }
    }

    /// Lets something happen just before the next put of a path.
    func before(put path: String, _ act: @escaping @Sendable () async throws -> Void) { hook.withLock { $0 = (path, act) } }

    func sees(_ request: StoreRequest) async throws {
      counted.withLock { $0[SinkMarkersTests.name(request), default: 0] += 1 }
      guard case .put(let path) = request else { return }
      let act = hook.withLock { hook in
        guard hook?.path == path else { return nil as (@Sendable () async throws -> Void)? }
        defer { hook = nil }
        return hook?.act
      }
      try await act?()
    }
  }

  private static func name(_ request: StoreRequest) -> String {
    switch request {
    case .get: "get"
    case .list: "list"
    case .put: "put"
    case .delete: "delete"
    default: "other"
    }
  }

  private let requests = Requests()
  private let memory = MemoryStore()
  private let store: InterceptedStore
  private let layout = LedgerLayout(pipeline: "p")
  private let route = SinkSpec.Route(table: "gold/g", topic: "t")
  private let clock = ManualClock(.ends)
  private let random = CountingRandom()

  init() {
    let requests = requests
    store = InterceptedStore(memory, before: { try await requests.sees($0) })
  }

  private func ledger(through number: Int64) async throws -> Ledger {
    let genesis = Genesis(ledgerID: "l", runID: "l", stream: "s", plan: .null, planHash: "p", lanes: [LaneID(shard: "s")])
    let ledger = try await Ledger.create(layout, genesis: genesis, worker: "w", store: store, clock: clock, random: random)
    for _ in 0..<number { try await commit(ledger) }
    return ledger
  }

  private func commit(_ ledger: Ledger) async throws {
    let draft = EntryDraft(commitID: ledger.makeAttemptID(), worker: "w", planHash: "p")
    guard case .committed = try await ledger.commit(draft, startedNanoseconds: 0) else { return _ = Issue.record("not committed") }
  }

  private func marker(_ through: Int64, _ ledger: Ledger) async throws -> SinkMarker {
    SinkMarker(ledgerID: "l", through: through, proof: try await ledger.proof(of: through)?.value)
  }

  private var numbers: [Int64] {
    memory.all.keys.filter { $0.hasPrefix(layout.numberedSinkMarkers(table: "gold/g", topic: "t")) }.sorted()
      .compactMap { LedgerLayout.sinkMarkerNumber($0) }
  }

  /// As any worker that has just started reads it.
  private func read(_ ledger: Ledger) async throws -> Int64? { try await SinkMarkers(route, ledger, store).read()?.through }

  @Test func `a topic that advances costs two reads for its marker and no listing`() async throws {
    let ledger = try await ledger(through: 40)
    let (writer, looker) = (SinkMarkers(route, ledger, store), SinkMarkers(route, ledger, store))
    #expect(try await writer.read() == nil)
    try await writer.write(marker(0, ledger))
    #expect(try await looker.read()?.through == 0)
    for through in 1...40 as ClosedRange<Int64> {
      let next = try await marker(through, ledger)
      _ = requests.take()
      #expect(try await writer.read()?.through == through - 1)
      var cost = requests.take()
      #expect(cost == ["get": 2], "read \(through): \(cost)")
      try await writer.write(next)
      cost = requests.take()
      #expect(cost["list"] == nil && cost["put"] == 1 && cost["get"] == 1, "write \(through): \(cost)")
      if through % 3 == 0 {
        #expect(try await looker.read()?.through == through)
        cost = requests.take()
        #expect(cost["list"] == nil, "look \(through): \(cost)")
      }
    }
    #expect(numbers == Array(40 - SinkMarkers.kept + 1...40))
    #expect(try await read(ledger) == 40)
  }

  private func pump(_ ledger: Ledger, _ clock: any Clock) throws -> SinkPump {
    var plan = Plan(
      pipeline: "p", source: SourceSpec(stream: "s", settings: ScriptedSettings()), record: RecordSpec(fields: [], key: nil, time: nil),
      inputs: [])
    plan.sinks = SinkSpec(routes: [.init(table: plan.path(of: .quarantine), topic: "t")], settings: NoSettings())
    let environment = EngineEnvironment(
      lake: store, tables: DeltaFormat(), state: nil, clock: clock, random: random, threads: BlockingThreads(count: 1), parallel: 1,
      sinks: SinkEnvironment(make: { NoSink() }, tell: { _ in }), registry: nil, memory: MemoryBudget(configured: nil, available: nil),
      processMemory: nil)
    return try #require(SinkPump(environment: environment, ledger: ledger, ledgerID: "l", plan: plan))
  }

  /// Nothing new is in the ledger, or the topics have it: nothing is to be done before there is more.
  @Test func `a worker whose topics have everything wakes for nothing`() async throws {
    let (ledger, clock) = (try await ledger(through: 3), ManualClock(.waits))
    let (leader, other, isDone) = (try pump(ledger, clock), try pump(ledger, clock), Flag())
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await other.run(until: isDone) { false } }
      while clock.sleepers == 0 { await Task.yield() }
      tasks.addTask { try await leader.run(until: isDone) { true } }
      while await leader.through != 3 { await Task.yield() }
      // It looks at the markers until the topics have what it knows of.
      clock.advance(by: 1_000_000_000)
      while await other.through != 3 { await Task.yield() }
      for _ in 0..<500 { await Task.yield() }
      #expect(clock.sleepers == 0)
      try await commit(ledger)
      leader.news.ring()
      while await leader.through != 4 { await Task.yield() }
      isDone.raise()
      try await tasks.waitForAll()
    }
  }

  @Test func `a worker that leads and publishes lists nothing while the topic advances`() async throws {
    let ledger = try await ledger(through: 3)
    let pump = try pump(ledger, clock)
    try await pump.beside(until: Flag()) { _ in }
    for number in 4...30 as ClosedRange<Int64> {
      try await commit(ledger)
      _ = requests.take()
      try await pump.beside(until: Flag()) { _ in }
      let cost = requests.take()
      #expect(cost["list"] == nil && cost["put"] == 1, "entry \(number): \(cost)")
      #expect(await pump.through == number)
    }
  }

  @Test func `markers of older versions are read, and replaced by the first of this one`() async throws {
    let ledger = try await ledger(through: 6)
    let single = layout.olderSinkMarker(table: route.table, topic: route.topic)
    try await store.replace(NewObject(path: single, bytes: marker(1, ledger).bytes))
    #expect(try await read(ledger) == 1)
    let places = layout.sinkMarkers(table: route.table, topic: route.topic)
    for through in [3, 4] as [Int64] {
      try await store.replace(NewObject(path: places + LedgerLayout.digits(through) + ".json", bytes: marker(through, ledger).bytes))
    }
    let writer = SinkMarkers(route, ledger, store)
    #expect(try await writer.read()?.through == 4)
    try await writer.write(marker(5, ledger))
    #expect(memory.all.keys.filter { $0.hasPrefix(layout.sinks) } == [places + "markers/" + LedgerLayout.digits(0) + ".json"])
    #expect(try await read(ledger) == 5)
  }

  @Test func `files that are no markers are ignored, and left there`() async throws {
    let ledger = try await ledger(through: 6)
    let places = layout.sinkMarkers(table: route.table, topic: route.topic)
    let others = [places + ".DS_Store", places + "zzz.json", places + "markers/~.json", places + "markers/.DS_Store"]
    for path in others { try await store.replace(NewObject(path: path, bytes: [0])) }
    let writer = SinkMarkers(route, ledger, store)
    #expect(try await writer.read() == nil)
    for through in 1...6 as ClosedRange<Int64> { try await writer.write(marker(through, ledger)) }
    #expect(try await read(ledger) == 6 && numbers == Array(0...5))
    #expect(Set(others).isSubset(of: memory.all.keys))
  }

  @Test func `a marker that is written late sends the topic not back`() async throws {
    let ledger = try await ledger(through: 30)
    let (slow, other) = (SinkMarkers(route, ledger, store), SinkMarkers(route, ledger, store))
    for through in [1, 3, 4] as [Int64] { try await other.write(marker(through, ledger)) }
    #expect(try await slow.read()?.through == 4)
    try await other.write(marker(7, ledger))
    // It says less than the marker that is there, so it is not written.
    try await slow.write(marker(5, ledger))
    #expect(try await read(ledger) == 7 && numbers == [0, 1, 2, 3])
    // The same once more is no error.
    try await slow.write(marker(7, ledger))
    #expect(numbers == [0, 1, 2, 3])
    try await slow.write(marker(8, ledger))
    #expect(try await other.read()?.through == 8)
  }

  @Test func `a worker that slept until its marker's number was deleted leaves none there`() async throws {
    let ledger = try await ledger(through: 30)
    let (slow, other) = (SinkMarkers(route, ledger, store), SinkMarkers(route, ledger, store))
    try await other.write(marker(1, ledger))
    #expect(try await slow.read()?.through == 1)
    for through in 2...20 as ClosedRange<Int64> { try await other.write(marker(through, ledger)) }
    try await slow.write(marker(2, ledger))
    #expect(try await read(ledger) == 20 && numbers == Array(12...19))
    #expect(try await slow.read()?.through == 20)
    try await slow.write(marker(21, ledger))
    #expect(try await other.read()?.through == 21)
  }

  /// A put that arrives long after its writer gave up recreates a deleted marker, with the bytes that a sleeper knows.
  @Test func `a worker that slept takes no recreated marker for the newest where entries were collected`() async throws {
    let ledger = try await ledger(through: 3)
    try await pump(ledger, clock).beside(until: Flag()) { _ in }
    let end = "/markers/\(LedgerLayout.digits(1)).json"
    let known = try #require(memory.all.keys.first { $0.hasPrefix(layout.sinks) && $0.hasSuffix(end) })
    let late = try #require(memory.all[known])
    let slow = try #require(try await Ledger.open(layout, store: store, clock: clock, random: random))
    let sleeper = try pump(slow, clock)
    try await sleeper.beside(until: Flag()) { _ in }
    for _ in 0..<20 {
      try await commit(ledger)
      try await pump(ledger, clock).beside(until: Flag()) { _ in }
    }
    _ = try await ledger.collect(CollectionPolicy(keepMicroseconds: 0, appliedThrough: 23), worker: "w")
    #expect(memory.all[known] == nil && memory.all[layout.entry(4)] == nil)
    try await store.replace(NewObject(path: known, bytes: late))
    try await slow.refresh()
    try await sleeper.beside(until: Flag()) { _ in }
    #expect(await sleeper.through == slow.fold.number)
  }

  @Test func `a worker that found no marker and slept does not begin the row again`() async throws {
    let ledger = try await ledger(through: 30)
    let (slow, other) = (SinkMarkers(route, ledger, store), SinkMarkers(route, ledger, store))
    #expect(try await slow.read() == nil)
    let layout = layout
    requests.before(put: layout.sinkMarker(table: "gold/g", topic: "t", number: 0)) { [self] in
      for through in 1...20 as ClosedRange<Int64> { try await other.write(marker(through, ledger)) }
    }
    try await slow.write(marker(0, ledger))
    #expect(try await read(ledger) == 20 && numbers == Array(12...19))
    #expect(try await slow.read()?.through == 20)
  }

  @Test func `markers of another ledger at the same place count for nothing`() async throws {
    let ledger = try await ledger(through: 6)
    for (number, through) in [(3, 9), (4, 11)] as [(Int64, Int64)] {
      let foreign = SinkMarker(ledgerID: "another", through: through, proof: nil)
      try await store.replace(NewObject(path: layout.sinkMarker(table: "gold/g", topic: "t", number: number), bytes: foreign.bytes))
    }
    let writer = SinkMarkers(route, ledger, store)
    #expect(try await writer.read() == nil)
    try await writer.write(marker(2, ledger))
    #expect(try await writer.read()?.through == 2 && numbers == [3, 4, 5])
    #expect(try await read(ledger) == 2)
  }

  @Test func `whatever is deleted between two looks, no marker is told without a second look`() async throws {
    let ledger = try await ledger(through: 6)
    let writer = SinkMarkers(route, ledger, store)
    try await writer.write(marker(3, ledger))
    try await store.delete(layout.sinkMarker(table: "gold/g", topic: "t", number: 0))
    #expect(try await writer.read() == nil, "removed by a person, so that the topic begins again")
  }
}

private struct NoSettings: SinkSettings {
  static let adapter = "none"
  var place: String? { nil }
}

private struct ScriptedSettings: SourceSettings {
  static let adapter = "scripted"
  var live: LiveSourceTraits? { nil }
  var meaning: ScriptedSettings { self }
  func reads(_ stream: String) -> Bool { false }
}

/// Takes every record at once.
private struct NoSink: RecordSink {
  func send(_ records: [SinkRecord], to topic: String) async throws {}
  func flush(within nanoseconds: Int64) async throws -> Bool { true }
  func close() async {}
}
