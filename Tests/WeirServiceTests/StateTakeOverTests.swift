import Foundation
import Synchronization
import Testing
import WeirCore
import WeirLMDB
import WeirLocal
import WeirTesting

@testable import WeirEngine
@testable import WeirProtocol

/// A lane's rows after a worker was replaced at a bad moment, on each kind of state table: they are those of the worker that has the lane.
@Suite struct StateTakeOverTests {
  enum Kind: CaseIterable {
    /// A few pages or rows are a transaction, so that flushes take several.
    case lmdb, memory
    /// Requests fail and are repeated.
    case unreliable
  }

  private struct Stopped: Error {}

  // MARK: Tables

  /// An empty table, and what happens between two transactions of its next write that takes several.
  private final class Bench: Sendable {
    let table: any StateTable
    private let folder = NSTemporaryDirectory() + "weir-take-over-" + UUID().uuidString
    private let thread = BlockingThreads(count: 1)
    private let next: Next

    private final class Next: Sendable {
      let body = Mutex<(@Sendable () async throws -> Void)?>(nil)

      func strike() async throws {
        let body = body.withLock { body in
          defer { body = nil }
          return body
        }
        try await body?()
      }
    }

    init(_ kind: Kind) throws {
      let next = Next()
      self.next = next
      table =
        switch kind {
        case .lmdb: try LMDBStateTable(path: folder, pagesMax: 2, thread: thread) { try await next.strike() }
        case .memory: MemoryStateTable(rowsMax: 7) { if $0 == .betweenTransactions { try await next.strike() } }
        case .unreliable: UnreliableStateTable(rowsMax: 7) { try await next.strike() }
        }
    }

    deinit {
      thread.stop()
      try? FileManager.default.removeItem(atPath: folder)
    }

    func onNextPart(_ body: @escaping @Sendable () async throws -> Void) { next.body.withLock { $0 = body } }

    /// By key, the value of each row.
    func rows() async throws -> [String: Int64] {
      var rows: [String: Int64] = [:]
      try await table.forEachRow(of: "t") { row in
        rows[String(decoding: row.key, as: UTF8.self)] = (row.value ?? []).withUnsafeBytes { $0.loadUnaligned(as: Int64.self) }
      }
      return rows
    }
  }

  // MARK: Workers

  /// Counts of a lane's records by a column that comes from a lookup.
  private struct Counts: Sendable {
    var position: Int64 = 0
    var generation: Int64 = 0
    /// Rows of a restored lane count as flushed.
    var rows: [String: Int64] = [:]

    /// Record number n has the key n modulo `keys`; a lookup of version 1 gives other keys to half of the records.
    mutating func read(to end: Int64, lookup: Int, keys: Int64 = 400) -> Set<String> {
      var changed: Set<String> = []
      for record in position..<end {
        let key = "key-\(1000 + record % keys)\(lookup == 1 && record % 2 == 1 ? "-other" : "")"
        rows[key, default: 0] += 1
        changed.insert(key)
      }
      position = end
      return changed
    }
  }

  /// The lane as one worker has it.
  private actor Lane: StateRowSource {
    let ids = [StateTakeOverTests.id]
    nonisolated let news = StateNews()
    private(set) var counts: Counts
    private var changed: Set<String> = []

    init(_ counts: Counts) { self.counts = counts }

    func read(to end: Int64, lookup: Int = 0) {
      changed.formUnion(counts.read(to: end, lookup: lookup))
      news.mark()
    }

    private func rows(_ keys: some Collection<String>, left: Int) -> LaneRows {
      let fence = Fence(generation: counts.generation, position: counts.position)
      var batch = StateBatch(table: "t", lane: ids[0].text, fence: fence)
      for key in keys.sorted() {
        // Of a size at which a page has some fifty.
        batch.append(key: Array(key.utf8)[...]) { out in
          out.write(counts.rows[key] ?? 0)
          for _ in 0..<60 { out.write(UInt8(7)) }
        }
      }
      return LaneRows([batch], mark: FlushMark(lane: ids[0], generation: counts.generation, position: counts.position), left: left)
    }

    func takeStateRows(max: Int) -> [LaneRows] {
      let some = changed.sorted().prefix(max)
      changed.subtract(some)
      if !changed.isEmpty { news.mark() }
      return [rows(Array(some), left: changed.count)]
    }

    func allStateRows(of id: LaneID) -> LaneRows? { rows(Array(counts.rows.keys), left: 0) }
    func markAllUnflushed(_ id: LaneID) {
      changed = Set(counts.rows.keys)
      news.mark()
    }
  }

  private static let id = LaneID(shard: "s/0")

  /// A worker that has the lane from an entry on.
  private struct Worker: Sendable {
    let lane: Lane
    let flusher: StateFlusher
    private let name: [UInt8]
    private let variant: EngineVariant

    init(_ name: String, _ counts: Counts, _ bench: Bench, rowsMax: Int = .max, _ variant: EngineVariant = []) {
      let lane = Lane(counts)
      (self.lane, self.name, self.variant) = (lane, Array(name.utf8), variant)
      flusher = StateFlusher(
        lanes: { [lane] }, news: Alarm(), state: bench.table, clock: SystemClock(), spec: StoreSpec(), rowsMax: rowsMax, owner: self.name,
        variant: variant)
    }

    /// As a session does after the entry that takes the lane over.
    func takeOver(_ ledger: Committed, _ bench: Bench) async throws {
      try await claim(ledger, bench)
      try await recover(ledger, bench)
    }

    func claim(_ ledger: Committed, _ bench: Bench) async throws {
      try await FlushMark.own([StateTakeOverTests.id], name, bench.table, ledger.fold)
    }

    func recover(_ ledger: Committed, _ bench: Bench) async throws {
      try await FlushMark.recover([lane], bench.table, ledger.fold, owner: name, variant)
    }
  }

  /// What the ledger has of the lane.
  private struct Committed: Sendable {
    var counts = Counts()
    var epoch: Int64 = 1
    /// Where the generation started, in the positions of the one before.
    var start: Int64?

    var fold: LedgerFold {
      let id = StateTakeOverTests.id
      var lane = LaneFold(generation: counts.generation, floor: Watermark.minimum, at: .offset(counts.position))
      lane.generationStart = start.map { .offset($0) }
      lane.epoch = epoch
      return LedgerFold(
        genesis: Genesis(ledgerID: "l", runID: "r", stream: "s", plan: .null, planHash: "p", lanes: [id]), number: epoch, hash: "h",
        lanes: [id: lane], lookups: [:], tables: [:], partitioners: [:], mergedWatermark: Watermark.minimum)
    }

    mutating func commit(_ worker: Worker) async {
      counts = await worker.lane.counts
      epoch += 1
    }

    /// An empty epoch names the lane for a worker that takes it over.
    mutating func nextWorker(
      _ name: String, _ bench: Bench, rowsMax: Int = .max, _ variant: EngineVariant = []
    ) async throws -> Worker {
      epoch += 1
      let worker = Worker(name, counts, bench, rowsMax: rowsMax, variant)
      try await worker.takeOver(self, bench)
      return worker
    }
  }

  /// A worker that has read and flushed 200 records, which the ledger has.
  private func begun(_ bench: Bench) async throws -> (Worker, Committed) {
    var ledger = Committed()
    let worker = try await ledger.nextWorker("a", bench)
    await worker.lane.read(to: 200)
    try await worker.flusher.flush()
    await ledger.commit(worker)
    return (worker, ledger)
  }

  private func expectFenced(_ body: () async throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) async {
    let error = await #expect(throws: WeirError.self, sourceLocation: sourceLocation) { try await body() }
    #expect(error?.code == .stateFenced, sourceLocation: sourceLocation)
  }

  /// The table has the lane's rows, all of them and no others, and its mark says so.
  private func expectRows(of worker: Worker, _ bench: Bench, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    try await worker.flusher.flush()
    let counts = await worker.lane.counts
    let rows = try await bench.rows()
    #expect(rows == counts.rows, sourceLocation: sourceLocation)
    let mark = FlushMark(lane: StateTakeOverTests.id, generation: counts.generation, position: counts.position).entry
    #expect(try await bench.table.readMeta(mark.0) == mark.1, sourceLocation: sourceLocation)
  }

  // MARK: Zombies

  @Test(arguments: Kind.allCases) func `a worker that was replaced flushes nothing`(kind: Kind) async throws {
    let bench = try Bench(kind)
    var (zombie, ledger) = try await begun(bench)
    await zombie.lane.read(to: 900)
    let worker = try await ledger.nextWorker("b", bench)
    await worker.lane.read(to: 300)
    try await worker.flusher.flush()
    await expectFenced { try await zombie.flusher.flush() }
    await expectFenced { try await zombie.flusher.flush() }
    try await expectRows(of: worker, bench)
  }

  /// The other takes over between two transactions of the flush, recovers, and flushes; the rest of the flush finds another owner.
  @Test(arguments: Kind.allCases) func `a worker that is replaced in the middle of its flush leaves no row`(kind: Kind) async throws {
    let bench = try Bench(kind)
    let (zombie, ledger) = try await begun(bench)
    await zombie.lane.read(to: 900)
    let next = Mutex<Worker?>(nil)
    bench.onNextPart {
      var ledger = ledger
      let worker = try await ledger.nextWorker("b", bench)
      await worker.lane.read(to: 250, lookup: 1)
      try await worker.flusher.flush()
      next.withLock { $0 = worker }
    }
    await expectFenced { try await zombie.flusher.flush() }
    let worker = try #require(next.withLock { $0 })
    try await expectRows(of: worker, bench)
  }

  /// It sleeps between its entry and its claim, or between its claim and its recovery.
  @Test(arguments: Kind.allCases, [false, true]) func `a worker that sleeps while it takes the lane over takes nothing back`(
    kind: Kind, hasClaimed: Bool
  ) async throws {
    let bench = try Bench(kind)
    var (first, ledger) = try await begun(bench)
    await first.lane.read(to: 500)
    try await first.flusher.flush()
    ledger.epoch += 1
    let (sleeper, seen) = (Worker("b", ledger.counts, bench), ledger)
    if hasClaimed { try await sleeper.claim(seen, bench) }
    let worker = try await ledger.nextWorker("c", bench)
    await worker.lane.read(to: 700)
    try await worker.flusher.flush()
    if hasClaimed {
      // Its fold is old: there the rows of the other are ahead of the ledger.
      await expectFenced { try await sleeper.recover(seen, bench) }
    } else {
      await expectFenced { try await sleeper.takeOver(seen, bench) }
    }
    try await expectRows(of: worker, bench)
  }

  // MARK: Rows that ran ahead

  @Test(arguments: Kind.allCases) func `rows of records that come again with another lookup are replaced`(kind: Kind) async throws {
    let bench = try Bench(kind)
    var (first, ledger) = try await begun(bench)
    await first.lane.read(to: 600, lookup: 1)
    try await first.flusher.flush()
    #expect(try await bench.rows().keys.contains { $0.hasSuffix("other") })
    let worker = try await ledger.nextWorker("b", bench)
    #expect(try await bench.rows() == ledger.counts.rows, "the rows are those of the ledger before a record is read")
    await worker.lane.read(to: 450, lookup: 0)
    try await expectRows(of: worker, bench)
    #expect(try await !bench.rows().keys.contains { $0.hasSuffix("other") })
  }

  /// The source lost the records from 200 on, of which rows were flushed. The lane continues at 700, in a new generation.
  @Test(arguments: Kind.allCases) func `rows of records that were trimmed are taken back`(kind: Kind) async throws {
    let bench = try Bench(kind)
    var (first, ledger) = try await begun(bench)
    await first.lane.read(to: 650, lookup: 1)
    try await first.flusher.flush()
    (ledger.counts.generation, ledger.start, ledger.counts.position) = (1, 200, 700)
    let worker = try await ledger.nextWorker("b", bench)
    await worker.lane.read(to: 800)
    try await expectRows(of: worker, bench)
    let third = try await ledger.nextWorker("c", bench)
    #expect(try await bench.rows() == ledger.counts.rows)
    try await expectRows(of: third, bench)
  }

  // MARK: Flushes that do not end

  /// The worker stops between two transactions of its flush: rows are missing, and others are ahead of the ledger.
  @Test(arguments: Kind.allCases, [Int.max, 90]) func `a flush that ends in the middle is taken back and done again`(
    kind: Kind, rowsMax: Int
  ) async throws {
    let bench = try Bench(kind)
    var ledger = Committed()
    let first = try await ledger.nextWorker("a", bench, rowsMax: rowsMax)
    await first.lane.read(to: 200)
    try await first.flusher.flush()
    await ledger.commit(first)
    await first.lane.read(to: 900, lookup: 1)
    bench.onNextPart { throw Stopped() }
    await #expect(throws: Stopped.self) { try await first.flusher.flush() }
    await #expect(throws: Stopped.self, "its rows are in no lane and not in the table") { try await first.flusher.flush() }
    let mark = String(decoding: try await bench.table.readMeta(FlushMark.name(Self.id)) ?? [], as: UTF8.self)
    #expect(mark.hasPrefix(FlushMark.begun))
    let worker = try await ledger.nextWorker("b", bench)
    await worker.lane.read(to: 300)
    try await expectRows(of: worker, bench)
  }

  /// The ledger has all that the flush was of, and rows are missing.
  @Test(arguments: Kind.allCases) func `a flush that ends in the middle and is committed is done again`(kind: Kind) async throws {
    let bench = try Bench(kind)
    var (first, ledger) = try await begun(bench)
    await first.lane.read(to: 900)
    bench.onNextPart { throw Stopped() }
    await #expect(throws: Stopped.self) { try await first.flusher.flush() }
    await ledger.commit(first)
    let worker = try await ledger.nextWorker("b", bench)
    try await expectRows(of: worker, bench)
  }

  // MARK: Any order

  @Test(arguments: Kind.allCases) func `whatever happens, the rows are those of the last worker`(kind: Kind) async throws {
    for seed in 0..<(kind == .lmdb ? 3 : 25) as Range<UInt64> {
      let isRight = try await hasRightRows(after: seed, kind)
      #expect(isRight, "seed \(seed)")
    }
  }

  /// Bugs that the simulation plants, too.
  @Test(arguments: [EngineVariant.rowsAheadStay, .rowsBehindStay, .gapRowsStay, .flushesOthersLanes, .recoversOthersLanes])
  func `a bug of the engine is found`(bug: EngineVariant) async throws {
    for seed in 0..<400 as Range<UInt64> where try await !hasRightRows(after: seed, .memory, bug) { return }
    Issue.record("not found")
  }

  /// Workers read, flush, commit, stop in the middle, sleep, take over from each other and lose records, in an order of the seed. Then one
  /// more takes over.
  /// - Returns: whether the table has its rows, all of them and no others.
  private func hasRightRows(after seed: UInt64, _ kind: Kind, _ bug: EngineVariant = []) async throws -> Bool {
    let bench = try Bench(kind)
    var random = SplitMix64(seed: seed)
    var ledger = Committed()
    var workers = [try await ledger.nextWorker("0", bench, bug)]
    for step in 1...40 {
      let worker = workers[workers.count - 1]
      switch random.below(10) {
      case 0, 1: await worker.lane.read(to: await worker.lane.counts.position + Int64(random.below(150)), lookup: random.below(2))
      case 2, 3: try await worker.flusher.flush()
      case 4: await ledger.commit(worker)
      case 5:
        // It stops within its flush, if that takes more than one transaction.
        bench.onNextPart { throw Stopped() }
        do { try await worker.flusher.flush() } catch is Stopped { workers.append(try await ledger.nextWorker("\(step)", bench, bug)) }
        bench.onNextPart {}
      case 6:
        let zombie = workers[random.below(workers.count)]
        await zombie.lane.read(to: await zombie.lane.counts.position + 10, lookup: 1)
        do { try await zombie.flusher.flush() } catch is Stopped {} catch let error as WeirError where error.code == .stateFenced {}
      case 7:
        // The source lost what comes after the ledger's position.
        (ledger.counts.generation, ledger.start) = (ledger.counts.generation + 1, ledger.counts.position)
        ledger.counts.position += Int64(random.below(200))
        workers.append(try await ledger.nextWorker("\(step)", bench, bug))
      case 8:
        // One sleeps between its claim and its recovery, while another takes over, reads and flushes.
        ledger.epoch += 1
        let (sleeper, seen) = (Worker("sleeper \(step)", ledger.counts, bench, bug), ledger)
        try await sleeper.claim(seen, bench)
        let next = try await ledger.nextWorker("\(step)", bench, bug)
        await next.lane.read(to: ledger.counts.position + 100)
        try await next.flusher.flush()
        do { try await sleeper.recover(seen, bench) } catch let error as WeirError where error.code == .stateFenced {}
        workers.append(next)
      default: workers.append(try await ledger.nextWorker("\(step)", bench, bug))
      }
    }
    let worker = try await ledger.nextWorker("last", bench, bug)
    try await worker.flusher.flush()
    let counts = await worker.lane.counts
    let mark = FlushMark(lane: Self.id, generation: counts.generation, position: counts.position).entry
    let (rows, found) = (try await bench.rows(), try await bench.table.readMeta(mark.0))
    return rows == counts.rows && found == mark.1
  }
}
