import Glibc
import WeirConfiguration
import WeirCore
import WeirEngine
import WeirLMDB
import WeirOperators

extension FuzzTarget {
  // MARK: Blobs of lanes

  private static let statePlan = """
    pipeline: p
    source: {capture: {stream: s}}
    record:
      key: k
      time: {field: t, out_of_order: 1s}
      fields: {id: string, k: string, t: timestamp_ms!, n: int64, x: double, a: "decimal(12,2)", note: string}
    dedup: {id: id, within: 20s}
    gold:
      lane: {by: [k], window: {hopping: 20s, every: 10s, lateness: 5s}, measure: {rows: count(), total: sum(n), mean: avg(x), high: max(note)}}
      merged: {by: [note], window: {tumbling: 10s}, measure: {rows: count(), least: min(a)}}
    state:
      users: {by: [k], measure: {rows: count(), total: sum(a), last: max(t), first: min(note), mean: avg(n)}}
      notes: {by: [note], measure: {rows: count(), x_total: sum(x)}}
    """

  private enum State {
    static let compiled = Result { CompiledPlan(try loadPipeline(yaml: statePlan, file: "/nowhere/plan.yaml").plan, lookups: []) }
  }

  private static func columns(_ count: Int) -> [ColumnType: Column] {
    let arena = Arena()
    let decimal = ColumnType.decimal(precision: 12, scale: 2)
    return [
      .int64: Column(type: .int64, values: .int64((0..<count).map { Int64($0) * 7 - 3 })),
      .timestamp: Column(type: .timestamp, values: .int64((0..<count).map { Int64($0) * 1_000_000 })),
      .double: Column(type: .double, values: .double((0..<count).map { Double($0) / 3 })),
      decimal: Column(type: decimal, values: .decimal((0..<count).map { Int128($0) * 100 })),
      .string: Column(type: .string, values: .string((0..<count).map { arena.copy("text \($0)") }), owners: [arena]),
    ]
  }

  private static func arguments(_ aggregate: CompiledPlan.Aggregate, _ columns: [ColumnType: Column]) -> [Column?] {
    aggregate.layout.argumentTypes.map { $0.flatMap { columns[$0] } }
  }

  private static func key(_ row: Int) -> [UInt8] { StateKey.encode([.string("k\(row % 3)")]) }

  private static func update(_ store: WindowStore, _ aggregate: CompiledPlan.Aggregate, from time: Int64) {
    let times = (0..<6).map { time + Int64($0) * 7_000_000 }
    var counts = WindowCounts()
    var late: [LateRow] = []
    [UInt32](0..<6).withUnsafeBufferPointer {
      store.update(
        rows: $0, times: times, watermarks: times.map { $0 - 1_000_000 }, hashes: (0..<6).map { Hash128(low: UInt64($0 % 3), high: 9) },
        arguments: arguments(aggregate, columns(6)), key: key, counts: &counts, late: &late)
    }
  }

  private static func update(_ store: KeyedStore, _ aggregate: CompiledPlan.Aggregate) {
    [UInt32](0..<6).withUnsafeBufferPointer {
      store.update(
        rows: $0, hashes: (0..<6).map { Hash128(low: UInt64($0 % 3), high: 9) }, arguments: arguments(aggregate, columns(6)), key: key)
    }
  }

  /// A blob as a lane writes it, with something in each of its stores.
  private static func laneBlob(isBase: Bool) throws -> [UInt8] {
    var out = ByteWriter()
    out.write(UInt8(2))
    out.write(UInt8(isBase ? 1 : 0))
    out.write(Watermark.minimum)
    out.write(UInt8(1))
    let index = DedupIndex(withinMicroseconds: 20_000_000)
    for id in 0..<5 { _ = index.insert(Hash128(low: UInt64(id), high: UInt64(id) << 60), watermark: Int64(id) * 1_000_000) }
    index.save(base: isBase, into: &out)
    for aggregate in try State.compiled.get().aggregates where aggregate.isFinishedInLane {
      write(aggregate, isBase: isBase, to: &out)
    }
    return out.bytes
  }

  private static func write(_ aggregate: CompiledPlan.Aggregate, isBase: Bool, to out: inout ByteWriter) {
    if let window = aggregate.window {
      let store = WindowStore(window, layout: aggregate.layout)
      update(store, aggregate, from: 100_000_000)
      store.save(into: &out)
    } else {
      let store = KeyedStore(layout: aggregate.layout)
      update(store, aggregate)
      store.save(base: isBase, into: &out)
    }
  }

  static let laneState = FuzzTarget(
    "lane-state", words: ["k0\u{0}\u{1}", "text 1"],
    seeds: { [Parts.join(try laneBlob(isBase: true), try laneBlob(isBase: false)), Parts.join(try laneBlob(isBase: true), [])] }
  ) { input in
    let blobs = Parts.split(input, 2).filter { !$0.isEmpty }
    func lane() throws -> LaneState {
      LaneState(
        LaneID(shard: "s"), generation: 1, compiled: try State.compiled.get(), run: RunInfo(shard: "s", runID: "r"), scratch: Scratch())
    }
    let restored = try lane()
    try restored.restore(blobs: blobs, position: 10, watermark: 130_000_000)
    func rows(_ lane: LaneState) -> [[UInt8]] {
      lane.allStateRows().flatMap { $0.rows.map { $0.key + [0xFF] + ($0.value ?? []) } }.sorted { $0.lexicographicallyPrecedes($1) }
    }
    let before = rows(restored)
    // The next base has all of it.
    let epoch = try restored.cut()
    expect(rows(restored) == before, "a cut changed the rows of the state")
    guard epoch.stateIsBase else { return }
    let again = try lane()
    do { try again.restore(blobs: [Array(epoch.state.joined())], position: 10, watermark: 130_000_000) } catch {
      fail("its own state is refused: \(error)")
    }
    expect(rows(again) == before, "saved and restored it has other rows")
    try again.advance(position: 11, watermark: Watermark.maximum)
    _ = try again.cut()
  }

  /// Stores of the merge lane: restored, merged into others, emitted.
  static let mergedState = FuzzTarget(
    "merged-state", words: ["k0\u{0}\u{1}", "text 1"],
    seeds: {
      try State.compiled.get().aggregates.indices.map { i in
        var out = ByteWriter()
        write(try State.compiled.get().aggregates[i], isBase: true, to: &out)
        return [UInt8(i)] + out.bytes
      }
    }
  ) { input in
    let aggregates = try State.compiled.get().aggregates
    let aggregate = aggregates[Int(input.first ?? 0) % aggregates.count]
    var reader = ByteReader(input.dropFirst(), what: "hostile")
    guard let window = aggregate.window else {
      let (store, merged) = (KeyedStore(layout: aggregate.layout), KeyedStore(layout: aggregate.layout))
      try store.restore(from: &reader)
      update(merged, aggregate)
      merged.merge(store)
      update(store, aggregate)
      var batch = StateBatch(table: "t", lane: "merge", fence: Fence(generation: 0, position: 1))
      for store in [store, merged] { store.allRows(into: &batch) }
      for row in batch.rows { _ = try row.value.map { try StateValue.decode($0) } }
      return
    }
    let (store, merged) = (WindowStore(window, layout: aggregate.layout), WindowStore(window, layout: aggregate.layout))
    try store.restore(from: &reader)
    merged.merge(store)
    update(merged, aggregate, from: 120_000_000)
    update(store, aggregate, from: 120_000_000)
    for store in [store, merged] {
      for watermark in [Int64(130_000_000), Watermark.maximum] {
        let results = store.finish(watermark: watermark)
        for i in 0..<min(results.count, 5000) { _ = (results.key(i), results.measures(i)) }
      }
    }
  }

  // MARK: The state table

  private static let keyTypes: [[ColumnType]] = [
    [.string], [.string, .int64], [.int64, .string], [.double, .bool], [.decimal(precision: 38, scale: 2), .timestamp], [.binary, .string],
    [],
  ]
  private static let literals: [Literal] = [
    .string("a\u{0}b"), .int64(-1), .double(-0.0), .bool(true), .decimal(Int128.max, precision: 38, scale: 2), .timestamp(5),
    .binary([0, 1, 0xFF]),
    .null, .string(""), .double(.nan),
  ]

  static let stateKey = FuzzTarget(
    "state-key", words: ["\u{0}\u{1}", "\u{0}\u{FF}", "\u{0}\u{0}", "\u{1}"],
    seeds: {
      [
        [0] + StateKey.encode([.string("a\u{0}b")]), [1] + StateKey.encode([.string("k"), .int64(-5)]),
        [1] + StateKey.encode([.null, .null]),
        [2] + StateKey.encode([.int64(.min), .string("")]), [3] + StateKey.encode([.double(-1.5), .bool(true)]),
        [4] + StateKey.encode([.decimal(-7, precision: 38, scale: 2), .timestamp(9)]),
        [5] + StateKey.encode([.binary([0, 1]), .string("é")]),
        [6] + StateValue.encode(literals),
      ]
    }
  ) { input in
    let types = keyTypes[Int(input.first ?? 0) % keyTypes.count]
    let bytes = Array(input.dropFirst())
    if let values = try? StateKey.decode(bytes, types: types) {
      let again = try StateKey.decode(StateKey.encode(values), types: types)
      expect(zip(values, again).allSatisfy(same) && values.count == again.count, "encoded and decoded they are other values: \(values)")
    }
    let values = try StateValue.decode(bytes)
    expect(zip(values, try StateValue.decode(StateValue.encode(values))).allSatisfy(same), "encoded and decoded they are other values")
  }

  private static func batch(_ rows: Int) -> StateBatch {
    var batch = StateBatch(table: "t", lane: "s/0of2", fence: Fence(generation: 1, position: 5))
    for row in 0..<rows {
      batch.append(
        key: StateKey.encode([.string("key \(row * 37 % rows)" + (row % 9 == 0 ? String(repeating: "k", count: 600) : ""))])[...]
      ) {
        StateValue.begin(&$0)
        StateValue.append(.int64(Int64(row)), to: &$0)
        if row % 7 == 0 { StateValue.append(.string(String(repeating: "v", count: 5000)), to: &$0) }
      }
    }
    return batch
  }

  /// A row's bytes as they are, and with the checksum that they have; a value of the meta database.
  static let stateRow = FuzzTarget(
    "state-row", words: ["s/0of2", "\u{0}WS1", "\u{3}", "\u{4}", "\u{1}"],
    seeds: {
      var batch = Self.batch(3)
      batch.remove(key: Array("deleted".utf8)[...])
      let layout = RowLayout(batch)
      var rows: [[UInt8]] = []
      batch.forEachInKeyOrder { key, value in
        rows.append(
          [UInt8](unsafeUninitializedCapacity: layout.count(key, value)) { buffer, count in
            count = layout.count(key, value)
            layout.write(key, value, to: UnsafeMutableRawPointer(buffer.baseAddress!))
          })
        return true
      }
      return rows + [MetaLayout.encode(Array("name".utf8), Array("value".utf8))]
    }
  ) { input in
    let seed = RowLayout.seed("t")
    func read(_ bytes: [UInt8]) {
      bytes.withUnsafeBytes { raw in
        guard let row = RowLayout.Stored(raw, seed: seed) else { return }
        _ = (row.lane.reduce(0) { $0 &+ Int($1) }, row.fence)
        _ = try? row.value.map { try StateValue.decode(Array($0)) }
        _ = try? StateKey.decode(Array(row.key), types: [.string])
      }
    }
    read(input)
    if input.count >= 8 {
      let body = Array(input.dropLast(8))
      let sum = body.withUnsafeBytes { Hash128($0, seed: seed).low }
      read(body + (0..<8).map { UInt8(truncatingIfNeeded: sum >> UInt64(8 * $0)) })
    }
    let name = Array("name".utf8)
    if let value = MetaLayout.decode(name, input) {
      expect(MetaLayout.decode(name, MetaLayout.encode(name, value)) == value, "encoded and decoded it is another value")
    }
  }

  private enum Threads { static let all = BlockingThreads(count: 1) }

  private static func stateFileBytes(rows: Int) throws -> [UInt8] {
    let path = Workspace.path + "/store-seed-\(rows)"
    return try wait {
      let table = try LMDBStateTable(path: path, thread: Threads.all)
      for _ in 0..<3 { _ = try await table.write(StateWrite([batch(rows)], meta: [("mark", Array("1".utf8))], owners: [])) }
      try await table.finish()
      try await table.close()
      return Workspace.bytes(path + "/data.mdb")
    }
  }

  /// The state table's file, read as `weir state` and a worker that opens it do.
  static let stateFile = FuzzTarget("state-file", seeds: { [try stateFileBytes(rows: 3), try stateFileBytes(rows: 40)] }) { input in
    let directory = Workspace.directory("store")
    unlink(directory + "/lock.mdb")
    _ = Workspace.file("store/data.mdb", input)
    try wait {
      let table = try LMDBStateTable(path: directory, readOnly: true, thread: Threads.all)
      let key = StateKey.encode([.string("key 1")])
      _ = try? await table.read(table: "t", key: key)
      _ = try? await table.page(of: "t", prefix: key, from: nil, rowsMax: 10)
      _ = try? await table.listMeta(prefix: "")
      let isReadable = (try? await table.forEachRow(of: "t") { _ in }) != nil
      let isSound = (try? await table.check()) != nil
      try? await table.close()
      expect(!isSound || isReadable, "the check passes, and the rows cannot be read")
    }
  }
}
