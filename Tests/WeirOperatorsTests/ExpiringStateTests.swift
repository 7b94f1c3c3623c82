import Testing
import WeirCore
import WeirOperators

/// Keyed state with a `ttl` against a naive reference written here.
struct ExpiringStateTests {
  struct Random {
    var state: UInt64
    mutating func next(_ n: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % n
    }
  }

  struct Record {
    var key: UInt8
    var time: Int64
    var watermark: Int64
    var amount: Int64
  }

  static let ttl: Int64 = 50
  static let layout = AggregateLayout([
    Measure(name: "rows", function: .count, argument: nil, type: .int64),
    Measure(name: "last", function: .max, argument: Expr(node: .column(0), type: .int64, text: "v"), type: .int64),
  ])

  static func store() -> KeyedStore { KeyedStore(layout: layout, ttl: ttl) }

  private static func records(_ random: inout Random, _ count: Int) -> [Record] {
    var (now, most) = (Int64(0), Int64.min)
    return (0..<count).map { i in
      now += Int64(random.next(random.next(20) == 0 ? 200 : 6))
      let time = now - Int64(random.next(random.next(5) == 0 ? 150 : 10))
      most = max(most, time)
      return Record(key: UInt8(random.next(12)), time: time, watermark: most - 20, amount: Int64(i))
    }
  }

  static func fold(_ records: ArraySlice<Record>, into store: KeyedStore) {
    let all = Array(records)
    let column = Column(type: .int64, values: .int64(all.map(\.amount)), validity: nil)
    Array<UInt32>(0..<UInt32(all.count)).withUnsafeBufferPointer {
      store.update(
        rows: $0, times: all.map(\.time), watermarks: all.map(\.watermark), hashes: all.map { Hash128(low: UInt64($0.key), high: 1) },
        arguments: [nil, column], key: { [all[$0].key] })
    }
  }

  static func saved(_ store: KeyedStore, base: Bool) -> [UInt8] {
    var out = ByteWriter()
    store.save(base: base, into: &out)
    return out.pieces.flatMap(\.self)
  }

  static func restored(_ blobs: [[UInt8]]) throws -> KeyedStore {
    let store = store()
    for blob in blobs {
      var reader = ByteReader(blob[...], what: "test")
      try store.restore(from: &reader)
    }
    return store
  }

  static func values(_ value: UnsafeRawBufferPointer) -> [Int64] {
    ((try? StateValue.decode(Array(value))) ?? []).map { if case .int64(let number) = $0 { number } else { -1 } }
  }

  static func rows(_ store: KeyedStore) -> [UInt8: [Int64]] {
    var batch = StateBatch(table: "t", lane: "0", fence: Fence(generation: 0, position: 0))
    store.allRows(into: &batch)
    var rows: [UInt8: [Int64]] = [:]
    batch.forEachInKeyOrder { key, value in
      rows[key[0]] = value.map(values)
      return true
    }
    return rows
  }

  /// Applies what a flush takes to a table.
  static func flush(_ store: KeyedStore, max: Int = .max, to table: inout [UInt8: [Int64]]) {
    var batch = StateBatch(table: "t", lane: "0", fence: Fence(generation: 0, position: 0))
    store.takeUnflushed(max: max, into: &batch)
    batch.forEachInKeyOrder { key, value in
      table[key[0]] = value.map(values)
      return true
    }
  }

  /// The rows after some records, and how many came too late.
  static func expected(_ records: ArraySlice<Record>) -> (rows: [UInt8: [Int64]], late: Int64) {
    let clock = records.last?.watermark ?? Int64.min
    let onTime = records.filter { $0.time + ttl > $0.watermark }
    var rows: [UInt8: [Int64]] = [:]
    for (key, all) in Dictionary(grouping: onTime, by: \.key) {
      let sorted = all.sorted { $0.time < $1.time }
      let start = sorted.indices.last { $0 > 0 && sorted[$0].time - sorted[$0 - 1].time >= ttl } ?? 0
      guard let newest = sorted.last, newest.time + ttl > clock else { continue }
      rows[key] = [Int64(sorted.count - start), sorted[start...].map(\.amount).max() ?? -1]
    }
    return (rows, Int64(records.count - onTime.count))
  }

  @Test(arguments: 1...8) func `blocks, cuts, flushes and restarts change no row`(seed: Int) throws {
    var random = Random(state: UInt64(seed))
    let records = ExpiringStateTests.records(&random, 1500)
    var store = ExpiringStateTests.store()
    var (table, blobs, late, at) = ([UInt8: [Int64]](), [[UInt8]](), Int64(0), 0)
    while at < records.count {
      let end = min(records.count, at + 1 + random.next(40))
      ExpiringStateTests.fold(records[at..<end], into: store)
      at = end
      let (expected, lateExpected) = ExpiringStateTests.expected(records[..<at])
      store.advance(to: records[at - 1].watermark)
      #expect(ExpiringStateTests.rows(store) == expected)
      if random.next(2) == 0 {
        while store.unflushedCount > 0 { ExpiringStateTests.flush(store, max: 1 + random.next(9), to: &table) }
        #expect(table == expected)
      }
      guard random.next(3) == 0 else { continue }
      late += store.takeLate()
      #expect(late == lateExpected)
      store.retire()
      let isBase = blobs.isEmpty || random.next(4) == 0
      let blob = ExpiringStateTests.saved(store, base: isBase)
      blobs = isBase ? [blob] : blobs + [blob]
      guard random.next(2) == 0 else { continue }
      // A worker that takes over flushes first, so that the table is at the cut.
      while store.unflushedCount > 0 { ExpiringStateTests.flush(store, to: &table) }
      let twin = try ExpiringStateTests.restored(blobs)
      #expect(twin.count == store.count)
      #expect(ExpiringStateTests.saved(twin, base: true) == ExpiringStateTests.saved(store, base: true))
      (store, blobs) = (twin, [ExpiringStateTests.saved(twin, base: true)])
    }
  }

  @Test(arguments: 1...4) func `partials in any order make the same rows`(seed: Int) {
    var random = Random(state: UInt64(seed))
    let records = ExpiringStateTests.records(&random, 600)
    let whole = ExpiringStateTests.store()
    ExpiringStateTests.fold(records[...], into: whole)
    var parts: [KeyedStore] = []
    var at = 0
    while at < records.count {
      let end = min(records.count, at + 1 + random.next(60))
      parts.append(ExpiringStateTests.store())
      ExpiringStateTests.fold(records[at..<end], into: parts[parts.count - 1])
      at = end
    }
    let merged = ExpiringStateTests.store()
    while !parts.isEmpty { merged.merge(parts.remove(at: random.next(parts.count))) }
    for store in [whole, merged] { store.advance(to: records[records.count - 1].watermark) }
    #expect(ExpiringStateTests.rows(merged) == ExpiringStateTests.expected(records[...]).rows)
    #expect(ExpiringStateTests.saved(merged, base: true) == ExpiringStateTests.saved(whole, base: true))
  }

  @Test func `memory follows the live keys, and the end of the input is no time`() {
    let store = KeyedStore(layout: ExpiringStateTests.layout, ttl: 100)
    var most = 0
    for round in 0..<60 {
      let rows = 0..<1000
      let column = Column(type: .int64, values: .int64(rows.map { Int64($0) }), validity: nil)
      let keys = rows.map { UInt64(round * 1000 + $0) }
      let time = Int64(round * 100)
      Array<UInt32>(0..<1000).withUnsafeBufferPointer {
        store.update(
          rows: $0, times: rows.map { _ in time }, watermarks: rows.map { _ in time }, hashes: keys.map { Hash128(low: $0, high: 1) },
          arguments: [nil, column], key: { row in withUnsafeBytes(of: keys[row].bigEndian) { Array($0) } })
      }
      store.advance(to: time)
      var batch = StateBatch(table: "t", lane: "0", fence: Fence(generation: 0, position: 0))
      store.takeUnflushed(into: &batch)
      store.retire()
      _ = ExpiringStateTests.saved(store, base: false)
      #expect(store.count <= 2000)
      most = max(most, store.byteCount)
    }
    #expect(most < 2_000_000, "60,000 keys were there, and 2,000 at once")
    store.advance(to: Watermark.maximum)
    var batch = StateBatch(table: "t", lane: "0", fence: Fence(generation: 0, position: 0))
    store.allRows(into: &batch)
    #expect(batch.count == 1000)
  }
}
