import Synchronization
import Testing
import WeirConfiguration
import WeirCore
import WeirOperators
import WeirParquet
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// Work on the test's own task: it computes, and does not block.
struct InlineThreads: BlockingRunner {
  func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T { try work() }
}

/// A record of the bench's stream.
struct SampleRecord: Sendable {
  var user = "u"
  var kind = "a"
  var id: String?
  /// 1000 or more fails the check.
  var n: Int64 = 1
  /// Seconds.
  var at: Int64 = 0
  /// Not JSON.
  var isBroken = false

  var line: String {
    isBroken
      ? "{\"user\":\n" : "{\"user\":\"\(user)\",\"kind\":\"\(kind)\",\"id\":\(id.map { "\"\($0)\"" } ?? "null"),\"n\":\(n),\"at\":\(at)}\n"
  }

  static func random(_ random: inout SplitMix64, around at: Int64) -> SampleRecord {
    var record = SampleRecord(
      user: "u\(random.below(4))", kind: "k\(random.below(3))", n: Int64(random.below(50)), at: max(0, at + Int64(random.below(30)) - 20))
    if random.chance(0.7) { record.id = "i\(random.below(60))" }
    if random.chance(0.1) { record.n = 1000 }
    if random.chance(0.05) { record.isBroken = true }
    return record
  }
}

/// A small pipeline's parts without a worker: lanes, a ledger and a lake in memory, and a clock that stands still.
///
/// `users` and `totals` are finished in the lanes, `kinds` and `kind_totals` in the merge lane.
final class PartsBench: Sendable {
  static let tables = """
    checks:
      - {name: small, that: n < 1000}
    dedup: {id: id, within: 1h}
    bronze: {}
    silver: {}
    gold:
      users: {by: [user], window: {tumbling: 10s}, measure: {rows: count(), total: sum(n)}}
      kinds: {by: [kind], window: {tumbling: 10s}, measure: {rows: count(), total: sum(n)}}
    state:
      totals: {by: [user], measure: {rows: count(), total: sum(n)}}
      kind_totals: {by: [kind], measure: {rows: count(), total: sum(n)}}
    """

  static func compiled(_ tables: String = PartsBench.tables, source: String = "kafka: {brokers: \"b:1\", topic: t, group: g}") throws
    -> CompiledPlan
  {
    let yaml = """
      pipeline: p
      source: {\(source)}
      record:
        format: json
        key: user
        time: {field: at, out_of_order: 2s}
        fields: {user: string!, kind: string!, id: string, n: int64!, at: timestamp_s!}
      \(tables)
      """
    return CompiledPlan(try loadPipeline(yaml: yaml, file: "p.yaml").plan, lookups: [])
  }

  static let run = RunInfo(shard: "t/0", runID: "r")

  let compiled: CompiledPlan
  let memory = MemoryStore()
  let clock = ManualClock(.moves)
  let environment: EngineEnvironment
  let ledger: Ledger
  let meter: LiveMeter

  init(
    shards: [String] = ["t/0"], compiled: CompiledPlan? = nil, state: (any StateTable)? = nil, tables: any TableFormat = NoTables(),
    sinks: SinkEnvironment? = nil, wrap: (any ObjectStore) -> any ObjectStore = { $0 }
  ) async throws {
    let compiled = try compiled ?? PartsBench.compiled()
    self.compiled = compiled
    environment = EngineEnvironment(
      lake: wrap(memory), tables: tables, state: state, clock: clock, random: CountingRandom(), threads: InlineThreads(), parallel: 2,
      sinks: sinks)
    let genesis = Genesis(
      ledgerID: "l", runID: "r", stream: "t", plan: .null, planHash: "h", lanes: shards.map { LaneID(shard: $0) } + [.merge])
    ledger = try await Ledger.create(
      LedgerLayout(pipeline: "p"), genesis: genesis, worker: "w", store: environment.lake, clock: clock, random: environment.random)
    meter = LiveMeter(clock: clock)
  }

  /// Another worker's view of the ledger.
  func otherLedger() async throws -> Ledger {
    try #require(try await Ledger.open(ledger.layout, store: memory, clock: clock, random: environment.random))
  }

  func committer(_ ledger: Ledger? = nil, checksFirstRecords: Bool = false) -> EpochCommitter {
    EpochCommitter(
      environment: environment, compiled: compiled, ledger: ledger ?? self.ledger, planHash: "h", run: PartsBench.run, worker: "w",
      meter: meter, checksFirstRecords: checksFirstRecords)
  }

  func restorer(_ ledger: Ledger? = nil) async -> Restorer {
    Restorer(compiled: compiled, store: environment.lake, fold: await (ledger ?? self.ledger).fold, run: PartsBench.run)
  }

  /// A lane as the ledger has it, and what it is fed from there on.
  func lane(_ shard: String = "t/0") async throws -> (actor: LaneActor, feed: Feed) {
    let fold = await ledger.fold
    let id = LaneID(shard: shard)
    let actor = try await restorer().shard(id)
    return (actor, Feed(compiled, at: fold[id]?.position?.ordinal ?? 0, watermark: fold[id]?.watermark ?? Watermark.minimum))
  }

  /// Has a committer commit what a lane was fed.
  func commit(_ committer: EpochCommitter, _ actor: LaneActor, _ decisions: [Decision] = []) async throws -> CommitEnd {
    let batch = EpochBatch(epochs: try await actor.cut(), decisions: [actor.id: decisions])
    return try await committer.commit(try await committer.encode(batch, number: await committer.ledger.fold.number + 1))
  }

  /// Of all entries, in their order.
  func files(of table: String) async throws -> [DataFile] {
    let other = try await otherLedger()
    return try await other.entries(after: 0, through: await other.fold.number).flatMap { $0.files(of: table) }
  }

  func reader(_ file: DataFile) throws -> ParquetReader { try ParquetReader(memory.all[file.path] ?? [], name: file.path) }

  /// Texts of some columns of a table, row by row, in the order of entries and files.
  func rows(of table: String, _ columns: [String]) async throws -> [String] {
    var rows: [String] = []
    for file in try await files(of: table) { rows += try PartsBench.rows(reader(file), columns) }
    return rows
  }

  static func rows(_ reader: ParquetReader, _ columns: [String]) throws -> [String] {
    var rows: [String] = []
    for group in 0..<reader.groups {
      let found = try columns.map { name in try reader.column(try #require(reader.leaves(below: [name]).first), group: group) }
      for row in 0..<reader.rows(inGroup: group) {
        rows.append(
          found.map { column in
            column.int(row).map { String($0) } ?? column.bytes(row).map { String(decoding: $0, as: UTF8.self) } ?? "null"
          }.joined(separator: " "))
      }
    }
    return rows
  }
}

/// What a shard's reader does with records before lanes see them.
struct Feed {
  private let compiled: CompiledPlan
  private(set) var sequencer: Sequencer
  private(set) var position: Int64

  init(_ compiled: CompiledPlan, at position: Int64 = 0, watermark: Int64 = Watermark.minimum) {
    self.compiled = compiled
    self.position = position
    sequencer = Sequencer(
      compiled.plan, maximum: Sequencer.maximum(of: watermark, compiled.plan.record.time), judge: .clock(nil))
  }

  mutating func prepared(_ records: [SampleRecord], dealer: LaneDealer? = nil) throws -> PreparedBlock {
    let raw = RawBlock(lines: Array(records.map(\.line).joined().utf8), position: position)
    position += Int64(raw.count)
    var block = BlockPreparer(compiled, dealer).prepare(raw)
    var followers = ClockGuard.Followers()
    followers.end = .closed
    #expect(try sequencer.sequence(&block, followers: followers) == nil)
    return block
  }

  mutating func block(_ records: [SampleRecord]) throws -> DealtBlocks {
    DealtBlocks(try prepared(records), end: position, watermark: sequencer.watermark)
  }
}

extension LaneActor {
  func consume(_ block: DealtBlocks) throws { try consume([block]) }
}

/// A lake without tables that follow.
struct NoTables: TableFormat {
  private struct Follower: TableFollower {
    mutating func follow(_ ledger: Ledger, to target: Int64, given: TableFold?, checksOnly: Bool) async throws {}
    func compare(with given: TableFold?, at number: Int64) async throws {}
  }

  func follower(of table: FollowedTable, _ environment: FollowerEnvironment) -> any TableFollower { Follower() }
  func checkAbsent(_ table: FollowedTable, in lake: any ObjectStore) async throws {}
  func verify(
    _ table: FollowedTable, with ledger: VerifiedLedger, _ result: inout VerifyResult, removed: inout Set<String>
  ) async throws {}
  func restore(
    _ table: FollowedTable, to ledger: Ledger, given: TableFold?, environment: FollowerEnvironment, isDry: Bool
  ) async throws -> TableRestoration? { nil }
}

/// What becomes of records, by the rules' words: one record after the other, in lists and sums.
struct NaiveLane {
  private struct Sum: Equatable {
    var rows: Int64 = 0
    var total: Int64 = 0
  }

  private(set) var counts = BucketCounts()
  private(set) var late: [String: Int64] = ["users": 0, "kinds": 0]
  private var onTime: [String: Int64] = ["users": 0, "kinds": 0]
  private var windows: [String: [String: Sum]] = ["users": [:], "kinds": [:]]
  private var totals: [String: [String: Sum]] = ["totals": [:], "kind_totals": [:]]
  private var seen: Set<String> = []
  private var maximum: Int64?
  /// Values of `n` of the accepted records, in order.
  private(set) var accepted: [Int64] = []

  /// Seconds; nil: none yet.
  var watermark: Int64? { maximum.map { $0 - 2 } }

  mutating func take(_ record: SampleRecord, floor: Int64? = nil) {
    guard !record.isBroken else { return counts.quarantined += 1 }
    maximum = max(maximum ?? record.at, record.at)
    guard record.n < 1000 else { return counts.quarantined += 1 }
    if let id = record.id, !seen.insert(record.user + "/" + id).inserted { return counts.duplicate += 1 }
    counts.accepted += 1
    accepted.append(record.n)
    let start = record.at / 10 * 10
    let judged = max(maximum! - 2, floor ?? Int64.min)
    for (table, key) in [("users", record.user), ("kinds", record.kind)] {
      guard start + 10 > judged else {
        late[table]! += 1
        continue
      }
      onTime[table]! += 1
      windows[table]!["\(key) \(start)", default: Sum()].rows += 1
      windows[table]!["\(key) \(start)", default: Sum()].total += record.n
    }
    for (table, key) in [("totals", record.user), ("kind_totals", record.kind)] {
      totals[table]![key, default: Sum()].rows += 1
      totals[table]![key, default: Sum()].total += record.n
    }
  }

  /// `key start rows total`, sorted.
  func windows(of table: String) -> [String] { windows[table]!.map { "\($0) \($1.rows) \($1.total)" }.sorted() }
  /// `key rows total`, sorted.
  func totals(of table: String) -> [String] { totals[table]!.map { "\($0) \($1.rows) \($1.total)" }.sorted() }
  func counts(of table: String) -> (onTime: Int64, late: Int64) { (onTime[table]!, late[table]!) }
}

extension WindowResults {
  /// As ``NaiveLane/windows(of:)`` has them.
  var texts: [String] {
    get throws {
      try (0..<count).map { i in
        guard case .string(let key)? = try StateKey.decode(Array(key(i)), types: [.string]).first else { return "no key" }
        return "\(key) \(starts[i] / 1_000_000) " + measures(i).map { "\($0.number)" }.joined(separator: " ")
      }
    }
  }
}

extension Literal {
  /// Of integers and decimals without digits after the point.
  var number: Int128 {
    switch self {
    case .int64(let value): Int128(value)
    case .decimal(let value, _, _): value
    default: -1
    }
  }
}

extension StateBatch {
  /// As ``NaiveLane/totals(of:)`` has them.
  var texts: [String] {
    get throws {
      try rows.map { row in
        guard case .string(let key)? = try StateKey.decode(row.key, types: [.string]).first else { return "no key" }
        return try "\(key) " + StateValue.decode(row.value ?? []).map { "\($0.number)" }.joined(separator: " ")
      }
    }
  }
}
