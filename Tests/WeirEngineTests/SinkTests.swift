import Synchronization
import Testing
import WeirCore
import WeirOperators
import WeirParquet
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// Rows of files as records of topics, and who sends them when. (Markers: SinkMarkersTests.)
@Suite struct SinkTests {
  // MARK: Rows

  private func rows(_ layout: TableLayout, by: [String], _ columns: [Column]) throws -> [SinkRecord] {
    let compiled = try PartsBench.compiled(
      "gold:\n  g: {by: [\(by.joined(separator: ", "))], window: {tumbling: 10s}, measure: {rows: count()}}")
    let sink = SinkRows(layout, plan: compiled.plan, ledgerID: "l")
    var encoder = TableEncoder(layout, run: PartsBench.run, lake: LakeSpec(), stem: "x")
    var chunks = [RowChunk(columns)]
    var records: [SinkRecord] = []
    while let files = try encoder.files({ chunks.popLast() }) {
      for file in files {
        let reader = try ParquetReader(file.bytes ?? [], name: "f")
        let group = try sink.group(0, of: reader, file: file.data)
        records += try sink.records(group, 0..<group.rows, entry: 7, first: Int64(records.count))
      }
    }
    return records
  }

  private func text(_ bytes: [UInt8]?) -> String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

  private func column(_ type: ColumnType, _ values: [Literal]) -> Column {
    var builder = ColumnBuilder(type)
    for value in values { builder.append(value) }
    return builder.finish()
  }

  @Test func `a gold row is JSON as its columns are, and its key the text of one by column`() throws {
    let types: [(String, ColumnType, [Literal])] = [
      ("user", .string, [.string("a\"b"), .null]), ("flag", .bool, [.bool(true), .null]), ("n", .int64, [.int64(Int64.min), .int64(0)]),
      ("x", .double, [.double(.nan), .double(-0.5)]), ("y", .double, [.double(.infinity), .null]),
      (
        "d", .decimal(precision: 38, scale: 2),
        [.decimal(-5, precision: 38, scale: 2), .decimal(Int128(Int64.max) * 100, precision: 38, scale: 2)]
      ),
      ("e", .decimal(precision: 9, scale: 1), [.decimal(-1, precision: 9, scale: 1), .null]),
      ("at", .timestamp, [.timestamp(1_000_001), .timestamp(-1)]),
    ]
    let names = types.map(\.0)
    let layout = TableLayout(
      TableDefinition(
        kind: .gold(0), name: "gold/g", columns: types.map { ColumnSchema($0.0, $0.1) }, partitionBy: [], rowColumns: names))
    let records = try rows(layout, by: ["user"], types.map { column($0.1, $0.2) })
    #expect(records.map { text($0.key) } == ["a\"b", nil])
    #expect(
      text(records[0].value)
        == #"{"user":"a\"b","flag":true,"n":-9223372036854775808,"x":"nan","y":"inf","d":-0.05,"e":-0.1,"at":"1970-01-01T00:00:01.000001Z"}"#
    )
    #expect(
      text(records[1].value)
        == #"{"user":null,"flag":null,"n":0,"x":-0.5,"y":null,"d":9223372036854775807.00,"e":null,"at":"1969-12-31T23:59:59.999999Z"}"#)
    #expect(
      records[1].headers == [.init("weir-ledger", "l"), .init("weir-entry", "7"), .init("weir-table", "gold/g"), .init("weir-row", "1")])
  }

  @Test func `several by columns make a list as key, and partition columns are where they are in the table`() throws {
    let layout = TableLayout(
      TableDefinition(
        kind: .gold(0), name: "gold/g", columns: [ColumnSchema("n", .int64), ColumnSchema("user", .string), ColumnSchema("kind", .string)],
        partitionBy: [PartitionColumn(transform: .identity, column: "kind", name: "kind")], rowColumns: ["user", "kind", "n"]))
    let records = try rows(
      layout, by: ["user", "kind"],
      [column(.string, [.string("u"), .null]), column(.string, [.string("k"), .null]), column(.int64, [.int64(1), .int64(2)])])
    #expect(Set(records.map { text($0.key) }) == [#"["u","k"]"#, "[null,null]"])
    #expect(Set(records.map { text($0.value) }) == [#"{"n":1,"user":"u","kind":"k"}"#, #"{"n":2,"user":null,"kind":null}"#])
  }

  @Test func `a table with nested columns ends with an error, and ends no process`() throws {
    let compiled = try PartsBench.compiled("gold:\n  g: {by: [user], window: {tumbling: 10s}, measure: {rows: count()}}")
    let definition = TableDefinition(
      kind: .gold(0), name: "gold/g", columns: [ColumnSchema("n", .int64)], partitionBy: [], rowColumns: ["n"])
    var encoder = TableEncoder(TableLayout(definition), run: PartsBench.run, lake: LakeSpec(), stem: "x")
    var chunks = [RowChunk([column(.int64, [.int64(1)])])]
    let file = try #require(try encoder.files { chunks.popLast() }?.first)
    // What another version of the plan made of the column.
    let nested = TableDefinition(
      kind: .gold(0), name: "gold/g", columns: [ColumnSchema("n", .list(element: .int64))], partitionBy: [], rowColumns: ["n"])
    let sink = SinkRows(TableLayout(nested), plan: compiled.plan, ledgerID: "l")
    let group = try sink.group(0, of: ParquetReader(file.bytes ?? [], name: "f"), file: file.data)
    #expect { try sink.records(group, 0..<1, entry: 1, first: 0) } throws: { ($0 as? WeirError)?.code == .internal }
  }

  @Test(arguments: [("t/3", "t", "3"), ("k/shardId-7", "k", "shardId-7"), ("flights", "flights", nil)] as [(String, String, String?)])
  func `a rejected record is sent as it was received, and says from where`(_ shard: String, _ stream: String, _ part: String?) async throws
  {
    let bench = try await PartsBench(shards: [shard])
    let (committer, id) = (bench.committer(), LaneID(shard: shard))
    await committer.hold(id, nil)
    let lane = try await bench.lane(shard)
    let records = [Array("{".utf8), Array("[]".utf8)]
    var raw = RawBlock(records: records)
    raw.details = RecordDetails(
      shard: shard, positions: [40, 44], arrivals: [1_000_000, 2_000_000], isAppendTime: true, keyOffset: [0, 0], keyLength: [-1, 1],
      headers: [nil, #"[["h","v"],["n",null]]"#])
    var block = BlockPreparer(bench.compiled, nil).prepare(raw)
    var sequencer = Sequencer(bench.compiled.plan, maximum: nil, judge: .clock(nil))
    #expect(try sequencer.sequence(&block) == nil)
    try await lane.actor.consume(DealtBlocks(block, end: 45, watermark: sequencer.watermark))
    _ = try await bench.commit(committer, lane.actor).fold()
    let file = try #require(try await bench.files(of: "quarantine/t").first)
    let layout = try #require(TableLayout.all(bench.compiled.plan).first { $0.kind == .quarantine })
    let sink = SinkRows(layout, plan: bench.compiled.plan, ledgerID: "l")
    let group = try sink.group(0, of: bench.reader(file), file: file)
    let sent = try sink.records(group, 0..<2, entry: 1, first: 0)
    #expect(sent.map { text($0.value) } == ["{", "[]"])
    func header(_ record: SinkRecord, _ name: String) -> String? { record.headers.last { $0.name == name }.flatMap { text($0.value) } }
    for (record, position) in zip(sent, ["40", "44"]) {
      #expect(header(record, "weir-topic") == stream && header(record, "weir-partition") == part)
      #expect(header(record, "weir-offset") == position && header(record, "weir-stage") == "decode")
      #expect(header(record, "weir-reason")?.isEmpty == false)
    }
    #expect(sent[1].headers.prefix(2) == [.init("h", "v"), .init("n", nil)], "the record's own come first")
    #expect(sent[0].headers.first?.name == "weir-topic")
  }

  // MARK: The pump

  /// A topic in memory.
  private final class Topic: RecordSink, Sendable {
    struct State {
      var sent: [SinkRecord] = []
      var stored: [SinkRecord] = []
      var batches: [Int] = []
      var made = 0
      var closed = 0
      /// Flushes that are not acknowledged.
      var unacknowledged = 0
      /// Sends that fail.
      var failing: [WeirError] = []
    }
    let state = Mutex(State())

    func send(_ records: [SinkRecord], to topic: String) async throws {
      try state.withLock { state in
        if !state.failing.isEmpty { throw state.failing.removeFirst() }
        state.sent += records
        state.batches.append(records.count)
      }
    }
    func flush(within nanoseconds: Int64) async throws -> Bool {
      state.withLock { state in
        if state.unacknowledged > 0 {
          state.unacknowledged -= 1
          return false
        }
        state.stored += state.sent
        state.sent = []
        return true
      }
    }
    func close() async {
      state.withLock { state in
        state.closed += 1
        state.sent = []
      }
    }
  }

  private let topic = Topic()

  private func bench(start: SinkSpec.Start = .earliest, behindMax: Int64 = 2) async throws -> PartsBench {
    var plan = try PartsBench.compiled().plan
    var sinks = SinkSpec(routes: [.init(table: "quarantine/t", topic: "q")], settings: NoSettings())
    (sinks.start, sinks.behindMax) = (start, behindMax)
    plan.sinks = sinks
    let topic = topic
    return try await PartsBench(
      compiled: CompiledPlan(plan, lookups: []),
      sinks: SinkEnvironment(
        make: {
          topic.state.withLock { $0.made += 1 }
          return topic
        }, tell: { _ in }))
  }

  private struct NoSettings: SinkSettings {
    static let adapter = "none"
    var place: String? { nil }
    func isTopic(_ name: String) -> Bool { true }
  }

  /// Commits an entry with a number of rejected records.
  private func reject(_ bench: PartsBench, _ committer: EpochCommitter, _ count: Int, _ lane: inout (actor: LaneActor, feed: Feed))
    async throws
  {
    try await lane.actor.consume(try lane.feed.block((0..<count).map { SampleRecord(n: 1000 + Int64($0), at: 1) }))
    _ = try await bench.commit(committer, lane.actor).fold()
  }

  private func pump(_ bench: PartsBench) throws -> SinkPump {
    try #require(SinkPump(environment: bench.environment, ledger: bench.ledger, ledgerID: "l", plan: bench.compiled.plan))
  }

  private func marks(_ records: [SinkRecord]) -> [String] {
    records.map { record in
      ["weir-entry", "weir-row"].map { name in record.headers.last { $0.name == name }.flatMap { text($0.value) } ?? "" }.joined(
        separator: "/")
    }
  }

  /// Publishes what there is, as at an orderly end.
  private func drain(_ pump: SinkPump) async throws {
    let isDone = Flag()
    isDone.raise()
    try await pump.run(until: isDone) { true }
  }

  @Test(arguments: [1, 999, 1000, 1001, 2500]) func `rows of an entry are numbered through, in chunks, once each`(_ count: Int) async throws
  {
    let bench = try await bench()
    let committer = bench.committer()
    await committer.hold(LaneID(shard: "t/0"), nil)
    var lane = try await bench.lane()
    try await reject(bench, committer, count, &lane)
    try await reject(bench, committer, 0, &lane)
    try await reject(bench, committer, 2, &lane)
    let pump = try pump(bench)
    #expect(await pump.through == -1)
    try await drain(pump)
    let stored = topic.state.withLock { $0.stored }
    #expect(marks(stored) == (0..<count).map { "1/\($0)" } + ["3/0", "3/1"])
    #expect(topic.state.withLock { $0.batches }.allSatisfy { $0 <= 1000 })
    #expect(await pump.through == 3)
    // Another worker finds nothing to do.
    try await drain(try self.pump(bench))
    #expect(topic.state.withLock { $0.stored }.count == stored.count)
  }

  @Test func `a sink that breaks is replaced, and what follows the marker is sent again`() async throws {
    let bench = try await bench()
    let committer = bench.committer()
    await committer.hold(LaneID(shard: "t/0"), nil)
    var lane = try await bench.lane()
    try await reject(bench, committer, 3, &lane)
    topic.state.withLock { $0.failing = [WeirError(.unavailable, "gone"), WeirError(.unavailable, "gone")] }
    let pump = try pump(bench)
    try await pump.beside(until: Flag()) { _ in }
    let state = topic.state.withLock { $0 }
    #expect(marks(state.stored) == ["1/0", "1/1", "1/2"] && state.made >= 3)
    topic.state.withLock { $0.failing = [WeirError(.config, "no such topic")] }
    try await reject(bench, committer, 1, &lane)
    await #expect { try await pump.beside(until: Flag()) { _ in } } throws: { ($0 as? WeirError)?.code == .config }
    #expect(await pump.through == 1, "nothing is said to be there that was not stored")
  }

  @Test func `rows that are not acknowledged are not said to be there, and an end does not wait for them for ever`() async throws {
    let bench = try await bench()
    let committer = bench.committer()
    await committer.hold(LaneID(shard: "t/0"), nil)
    var lane = try await bench.lane()
    try await reject(bench, committer, 3, &lane)
    topic.state.withLock { $0.unacknowledged = 1 << 40 }
    let pump = try pump(bench)
    let clock = bench.clock
    // Each flush is waited for as long as it takes: so the clock moves.
    let mover = Task {
      while !Task.isCancelled {
        clock.advance(by: 500_000_000)
        await Task.yield()
      }
    }
    try await drain(pump)
    mover.cancel()
    #expect(await pump.through < 1)
    #expect(topic.state.withLock { $0.stored }.isEmpty)
  }

  @Test func `reading waits when a topic is more entries behind than allowed, and not before`() async throws {
    let bench = try await bench(behindMax: 2)
    let committer = bench.committer()
    await committer.hold(LaneID(shard: "t/0"), nil)
    var lane = try await bench.lane()
    let pump = try pump(bench)
    #expect(await !pump.isBehind(100), "how far it is was not looked at yet")
    try await reject(bench, committer, 1, &lane)
    try await drain(pump)
    #expect(await pump.through == 1)
    #expect(await !pump.isBehind(3))
    #expect(await pump.isBehind(4))
    // It runs no longer: none may wait for it.
    await pump.admit(100)
  }

  @Test func `a route that begins at the newest entry sends nothing of before`() async throws {
    let bench = try await bench(start: .latest)
    let committer = bench.committer()
    await committer.hold(LaneID(shard: "t/0"), nil)
    var lane = try await bench.lane()
    try await reject(bench, committer, 3, &lane)
    try await drain(try pump(bench))
    #expect(topic.state.withLock { $0.stored }.isEmpty)
    try await reject(bench, committer, 2, &lane)
    try await drain(try pump(bench))
    #expect(marks(topic.state.withLock { $0.stored }) == ["2/0", "2/1"])
  }

  @Test(arguments: [true, false]) func `a file that is missing or another is corrupt, and nothing of it is sent`(_ isMissing: Bool)
    async throws
  {
    let bench = try await bench()
    let committer = bench.committer()
    await committer.hold(LaneID(shard: "t/0"), nil)
    var lane = try await bench.lane()
    try await reject(bench, committer, 3, &lane)
    let path = try #require(try await bench.files(of: "quarantine/t").first).path
    var bytes = bench.memory.all[path] ?? []
    bytes[10] ^= 1
    try await bench.memory.delete(path)
    if !isMissing { try await bench.memory.write([NewObject(path: path, bytes: bytes)]) }
    await #expect { try await drain(try pump(bench)) } throws: {
      let error = $0 as? WeirError
      let words = isMissing ? "missing" : "its bytes are not those"
      return error?.code == .corrupt && error?.message.contains("\(path): \(words)") == true
    }
    #expect(topic.state.withLock { $0.stored.isEmpty && $0.sent.isEmpty })
  }

  @Test func `a worker that does not lead sends nothing, and sees how far another is`() async throws {
    let bench = try await bench()
    let committer = bench.committer()
    await committer.hold(LaneID(shard: "t/0"), nil)
    var lane = try await bench.lane()
    try await reject(bench, committer, 1, &lane)
    let (leader, other) = (try pump(bench), try pump(bench))
    let isDone = Flag()
    isDone.raise()
    try await other.run(until: isDone) { false }
    #expect(topic.state.withLock { $0.stored }.isEmpty)
    try await drain(leader)
    let stop = Flag()
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await other.run(until: stop) { false } }
      while await other.through < 1 { await Task.yield() }
      stop.raise()
      try await tasks.waitForAll()
    }
    #expect(topic.state.withLock { $0.made } == 1)
  }

  @Test func `a plan without topics has no pump`() async throws {
    let bench = try await PartsBench()
    #expect(SinkPump(environment: bench.environment, ledger: bench.ledger, ledgerID: "l", plan: bench.compiled.plan) == nil)
  }
}
