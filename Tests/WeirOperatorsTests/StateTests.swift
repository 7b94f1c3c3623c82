import Foundation
import Testing
import WeirCore
import WeirOperators

/// Dedup, windows, keys and dealing against naive references written here.
struct StateTests {
  private struct Random {
    var state: UInt64
    mutating func next(_ n: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % n
    }
  }

  @Test(arguments: [1, 2, 3, 4]) func dedupKeepsExactlyTheHorizonAlsoOverSavesAndRestores(seed: Int) throws {
    var random = Random(state: UInt64(seed))
    var index = DedupIndex(withinMicroseconds: 50)
    var blobs: [[UInt8]] = []
    var seen: [Int: Int64] = [:]
    var watermark: Int64 = -1000
    for step in 0..<20_000 {
      watermark += Int64(random.next(3))
      let id = random.next(60)
      // (0, 0) must be an id like any other.
      let hash = Hash128(low: UInt64(id), high: UInt64(id) << 40)
      let isNew = seen[id].map { watermark - $0 > 50 } ?? true
      if isNew { seen[id] = watermark }
      #expect(index.insert(hash, watermark: watermark) == isNew)
      if step % 2500 == 2499 {
        let base = blobs.isEmpty || random.next(2) == 0
        var out = ByteWriter()
        index.save(base: base, into: &out)
        blobs = base ? [out.bytes] : blobs + [out.bytes]
        index = DedupIndex(withinMicroseconds: 50)
        for blob in blobs {
          var reader = ByteReader(blob[...], what: "test")
          try index.restore(from: &reader)
        }
      }
    }
  }

  /// Two shards become one that begins at the lesser watermark. Ids keep their distance to the clock, so none is forgotten earlier than it would
  /// have been, and a restart changes nothing.
  @Test func idsOfTwoIndexesAreRememberedInOneAtLeastAsLong() throws {
    func hash(_ id: Int) -> Hash128 { Hash128(low: UInt64(id), high: UInt64(id) << 40) }
    let (ahead, behind) = (DedupIndex(withinMicroseconds: 50), DedupIndex(withinMicroseconds: 50))
    for id in 0..<40 { _ = ahead.insert(hash(id), watermark: Int64(160 + id)) }
    for id in 100..<140 { _ = behind.insert(hash(id), watermark: Int64(60 + id - 100)) }
    var child = DedupIndex(withinMicroseconds: 50)
    child.inherit([(ahead, rise: 0), (behind, rise: 100)])
    #expect(child.count == 80 && child.unsavedCount == 80)
    var out = ByteWriter()
    child.save(base: true, into: &out)
    child = DedupIndex(withinMicroseconds: 50)
    var reader = ByteReader(out.bytes[...], what: "test")
    try child.restore(from: &reader)
    // The child's own watermark is 100 here; its clock stands at 200 until that has passed it.
    for id in [0, 39, 100, 139] { #expect(!child.insert(hash(id), watermark: 200), "\(id) is known") }
    #expect(child.insert(hash(0), watermark: 211) && child.insert(hash(100), watermark: 211), "50 after 160")
    #expect(!child.insert(hash(39), watermark: 249) && child.insert(hash(139), watermark: 250))
  }

  @Test func `a measure of a state table that no double can hold counts once, whatever cuts and restarts there are`() throws {
    let argument = Expr(node: .column(0), type: .double, text: "v")
    let layout = AggregateLayout([.sum, .avg, .max].map { Measure(name: "m", function: $0, argument: argument, type: .double) })
    func fold(_ values: [(UInt8, Double)], into store: KeyedStore) {
      let column = Column(type: .double, values: .double(values.map(\.1)), validity: nil)
      Array<UInt32>(0..<UInt32(values.count)).withUnsafeBufferPointer {
        store.update(
          rows: $0, hashes: values.map { Hash128(low: UInt64($0.0), high: 1) }, arguments: [column, column, column],
          key: { [values[$0].0] })
      }
    }
    /// The count of a cut, and the store as it is restored after it, or as it is.
    func cut(_ store: KeyedStore, restarts: Bool) throws -> (Int64, KeyedStore) {
      let count = store.takeOutOfRange()
      var out = ByteWriter()
      store.save(base: restarts, into: &out)
      guard restarts else { return (count, store) }
      let restored = KeyedStore(layout: layout)
      var reader = ByteReader(out.bytes[...], what: "test")
      try restored.restore(from: &reader)
      return (count, restored)
    }
    let big = 1.7e308
    let records: [(UInt8, Double)] = [
      (1, big), (2, 1), (1, big), (1, 1), (2, big), (2, big), (1, big), (1, big), (3, big), (3, -big), (3, big),
    ]
    for restarts in [false, true] {
      for every in 1...records.count {
        var store = KeyedStore(layout: layout)
        var total: Int64 = 0
        for start in stride(from: 0, to: records.count, by: every) {
          fold(Array(records[start..<min(start + every, records.count)]), into: store)
          var batch = StateBatch(table: "t", lane: "0", fence: Fence(generation: 0, position: 0))
          store.takeUnflushed(into: &batch)
          let (count, next) = try cut(store, restarts: restarts)
          total += count
          store = next
        }
        // The sums of groups 1 and 2; means are in range.
        #expect(total == 2, "a cut after every \(every) records, \(restarts)")
      }
    }
    // Groups with several such measures, and one that comes back into range and leaves it again.
    let store = KeyedStore(
      layout: AggregateLayout([.sum, .sum].map { Measure(name: "m", function: $0, argument: argument, type: .double) }))
    func next(_ value: Double) -> Int64 {
      let column = Column(type: .double, values: .double([value]), validity: nil)
      [UInt32(0)].withUnsafeBufferPointer {
        store.update(rows: $0, hashes: [Hash128(low: 1, high: 1)], arguments: [column, column], key: { _ in [1] })
      }
      return store.takeOutOfRange()
    }
    #expect([next(big), next(big), next(0), next(-big), next(big)] == [0, 2, 0, 0, 2])
  }

  @Test(arguments: [
    [-0.0, 0.0], [1.7e308, 1.7e308, -1.7e308, -1.7e308, 1], [1.7e308, 1.7e308, 3], [0.1, 0.2, -0.3, 1e-17],
    [1e-310, 3e-310, 5e-324, 1e-300], [1.7e308, -1.7e308, 1e-310, 1],
  ])
  func measuresOfDoublesDoNotShowHowTheRecordsWereDealt(values: [Double]) {
    let argument = Expr(node: .column(0), type: .double, text: "v")
    let layout = AggregateLayout(
      [.min, .max, .sum, .avg].map { Measure(name: "m", function: $0, argument: argument, type: .double) })
    var all: Set<[UInt64]> = []
    // Every deal over three lanes, in both orders.
    for deal in 0..<Int(pow(3, Double(values.count))) {
      for order in [Array(values.indices), values.indices.reversed()] {
        let lanes = (0..<3).map { _ in CellStore(layout) }
        let merged = CellStore(layout)
        _ = merged.add()
        for store in lanes { _ = store.add() }
        for row in order {
          let lane = deal / Int(pow(3, Double(row))) % 3
          let column = Column(type: .double, values: .double([values[row]]), validity: nil)
          lanes[lane].update(cells: [0], rows: [0], arguments: Array(repeating: column, count: 4))
        }
        for store in lanes { merged.merge(0, with: store, 0) }
        all.insert(merged.results(0).map { if case .double(let value) = $0 { value.bitPattern } else { 0 } })
      }
    }
    #expect(all.count == 1)
    let expected: [Double] = [values.min()!, values.max()!]
    let got = all.first!.map { Double(bitPattern: $0) }
    #expect(Array(got[..<2]) == expected)
    if values.count == 2 { #expect(got[0].sign == .minus && got[1].sign == .plus) }
    if values.count == 5 { #expect(got[2] == 1) }
    // Out of range is null, which has no bits here; the mean is not.
    if values.count == 3 { #expect(all.first![2] == 0 && got[3] == 1.7e308 / 1.5) }
    if values[0] == 1e-310 { #expect(got[2] == 1e-300 + 4e-310 && got[3] == (1e-300 + 4e-310) / 4) }
    if values.count == 4, values[0] == 1.7e308 { #expect(got[2] == 1) }
  }

  private func results(_ function: Measure.Function, _ column: Column, of rows: Int) -> Literal {
    let store = CellStore(
      AggregateLayout([
        Measure(name: "m", function: function, argument: Expr(node: .column(0), type: column.type, text: "v"), type: .double)
      ]))
    _ = store.add()
    let (cells, numbers) = ([Int32](repeating: 0, count: rows), (0..<UInt32(rows)).map { $0 })
    cells.withUnsafeBufferPointer { cells in
      numbers.withUnsafeBufferPointer { store.update(cells: cells, rows: $0, arguments: [column]) }
    }
    return store.results(0)[0]
  }

  @Test func sumsOfVerySmallDoublesKeepEveryDigit() {
    // Below the normal numbers all sums are exact.
    var random = Random(state: 6)
    let units = (0..<500).map { _ in Int64(random.next(1 << 30)) - 1 << 29 }
    let column = Column(type: .double, values: .double(units.map { Double($0) * Double.leastNonzeroMagnitude }))
    #expect(results(.sum, column, of: units.count) == .double(Double(units.reduce(0, +)) * Double.leastNonzeroMagnitude))
  }

  @Test(arguments: [[Double.infinity, 1], [.infinity, -.infinity], [.nan, 1], [1.7e308, 1.7e308]])
  func aSumThatIsNoNumberIsNull(values: [Double]) {
    #expect(results(.sum, Column(type: .double, values: .double(values)), of: values.count) == .null)
  }

  /// The nearest double to N / D, by comparing both neighbours in integers.
  @Test(arguments: [0, 1, 2, 3]) func aMeanIsTheDoubleNearestToIt(kind: Int) {
    var random = Random(state: UInt64(kind))
    for _ in 0..<3000 {
      let count = 1 + random.next(40)
      let values = (0..<count).map { _ in Int64(random.next(1 << 31)) << Int64(random.next(21)) - (kind == 1 ? 1 << 40 : 0) }
      let column: Column
      var divisor = Int128(count)
      switch kind {
      case 0, 1: column = Column(type: .double, values: .double(values.map { Double($0) }))
      case 2: column = Column(type: .int64, values: .int64(values))
      default:
        column = Column(type: .decimal(precision: 30, scale: 2), values: .decimal(values.map { Int128($0) }))
        divisor *= 100
      }
      guard case .double(let mean) = results(.avg, column, of: count) else { Issue.record("a mean is a double"); return }
      let sum = values.reduce(Int128(0)) { $0 + Int128($1) }
      func distance(_ value: Double) -> Int128 {
        // value = significand × 2^exponent, both sides times 2^-exponent.
        let exponent = Int(value.exponent) - 52
        let significand = Int128(value.significand * 4_503_599_627_370_496) * (value < 0 ? -1 : 1)
        let shift = Int128(1) << max(0, -exponent)
        let left = exponent > 0 ? (significand << exponent) * divisor : significand * divisor
        return Int128((left - sum * shift).magnitude)
      }
      guard mean != 0, mean.exponent > -40 else { continue }
      // Neighbours may have another exponent: only those with the same are compared.
      for neighbour in [mean.nextUp, mean.nextDown] where neighbour.exponent == mean.exponent {
        #expect(distance(mean) <= distance(neighbour), "\(sum) / \(divisor) is not \(mean)")
      }
    }
  }

  @Test(arguments: [(10, 10, 0), (10, 10, 7), (30, 10, 0), (60, 5, 11)])
  func windowsEqualANaiveFoldOfEveryRecordOverEveryWindow(size: Int, slide: Int, lateness: Int) {
    var random = Random(state: UInt64(size * 100 + slide + lateness))
    let measures = [
      Measure(name: "n", function: .count, argument: nil, type: .int64),
      Measure(
        name: "s", function: .sum, argument: Expr(node: .column(0), type: .int64, text: "v"), type: .decimal(precision: 38, scale: 0)),
    ]
    let spec = WindowSpec(size: Int64(size), slide: Int64(slide), lateness: Int64(lateness))
    let store = WindowStore(spec, layout: AggregateLayout(measures))
    let merged = WindowStore(spec, layout: AggregateLayout(measures))
    struct Key: Hashable { var group: Int; var start: Int64 }
    var expected: [Key: (n: Int64, sum: Int64)] = [:]
    struct Missed: Hashable { var time: Int64; var start: Int64 }
    var expectedLate: [Missed: Int] = [:]
    var results = WindowResults(measures: 2)
    var mergedResults = WindowResults(measures: 2)
    var counts = WindowCounts()
    var late: [LateRow] = []
    var maximum: Int64 = -500
    for _ in 0..<200 {
      var times: [Int64] = []
      var marks: [Int64] = []
      var groups: [Int] = []
      var values: [Int64] = []
      for _ in 0..<20 {
        let time = maximum - Int64(random.next(60)) + Int64(random.next(8))
        maximum = max(maximum, time)
        times.append(time)
        marks.append(maximum - 5)
        groups.append(random.next(3))
        values.append(Int64(random.next(100)))
      }
      for i in 0..<20 {
        var start = Int64((Double(times[i]) / Double(slide)).rounded(.down)) * Int64(slide)
        while start > times[i] - Int64(size) {
          if start + Int64(size) + Int64(lateness) <= marks[i] {
            expectedLate[Missed(time: times[i], start: start), default: 0] += 1
          } else {
            let key = Key(group: groups[i], start: start)
            let old = expected[key] ?? (0, 0)
            expected[key] = (old.n + 1, old.sum + values[i])
          }
          start -= Int64(slide)
        }
      }
      let partial = WindowStore(spec, layout: AggregateLayout(measures))
      for target in [store, partial] {
        var some = WindowCounts()
        var rows: [LateRow] = []
        Array<UInt32>(0..<20).withUnsafeBufferPointer {
          target.update(
            rows: $0, times: times, watermarks: marks, hashes: groups.map { Hash128(low: UInt64($0), high: 9) },
            arguments: [nil, Column(type: .int64, values: .int64(values))], key: { [UInt8(groups[$0])] }, counts: &some, late: &rows)
        }
        if target === store {
          counts += some
          late += rows
        }
      }
      merged.merge(partial)
      if random.next(3) == 0 {
        results.append(store.finish(watermark: maximum - 5))
        mergedResults.append(merged.finish(watermark: maximum - 5))
      }
    }
    results.append(store.finish(watermark: Watermark.maximum))
    mergedResults.append(merged.finish(watermark: Watermark.maximum))
    for all in [results, mergedResults] {
      var seen: [Key: (n: Int64, sum: Int64)] = [:]
      for i in 0..<all.count {
        guard case .int64(let n)? = all.measures(i).first, case .decimal(let sum, _, _)? = all.measures(i).last else { continue }
        let key = Key(group: Int(all.key(i).first!), start: all.starts[i])
        #expect(seen[key] == nil, "a window came twice")
        seen[key] = (n, Int64(sum))
        #expect(all.ends[i] == all.starts[i] + Int64(size))
      }
      #expect(seen.keys == expected.keys || Set(seen.keys) == Set(expected.keys))
      for (key, value) in expected { #expect(seen[key]?.n == value.n && seen[key]?.sum == value.sum) }
    }
    var missed: [Missed: Int] = [:]
    for row in late {
      for number in 0..<row.missed {
        let window = store.math.missedWindow(number, from: row.pane)
        #expect(window.end == window.start + Int64(size))
        missed[Missed(time: row.time, start: window.start), default: 0] += 1
      }
    }
    #expect(missed == expectedLate && counts.late == Int64(expectedLate.values.reduce(0, +)))
    #expect(counts.onTime + counts.corrected + counts.late == Int64(200 * 20 * size / slide))
  }

  @Test func murmur2IsKafkas() {
    let vectors: [(String, Int32)] = [
      ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
      ("a-little-bit-longer-string", -1_486_304_829), ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
      ("abc", 479_470_107),
    ]
    for (text, expected) in vectors {
      #expect(Int32(bitPattern: Array(text.utf8).withUnsafeBufferPointer { murmur2($0) }) == expected)
    }
  }

  @Test func md5IsRFC1321sAndRangesCoverEverything() {
    let vectors = [
      ("", "d41d8cd98f00b204e9800998ecf8427e"), ("abc", "900150983cd24fb0d6963f7d28e17f72"),
      ("12345678901234567890123456789012345678901234567890123456789012345678901234567890", "57edf4a22be3c955ac49da2e2107b67a"),
    ]
    for (text, hex) in vectors {
      #expect(Array(text.utf8).withUnsafeBufferPointer { MD5.hash($0) } == UInt128(hex, radix: 16))
    }
    let dealer = LaneDealer(.md5, lanes: 7)
    var next: UInt128 = 0
    for lane in 0..<7 {
      let (first, last) = dealer.hashRange(lane)
      #expect(first == next)
      next = last &+ 1
    }
    #expect(next == 0)
    // What Kinesis gives the second of two shards, and powers of two, by which 2^128 divides.
    #expect(LaneDealer(.md5, lanes: 2).hashRange(1).0 == UInt128("170141183460469231731687303715884105728"))
    for bits in 2...15 { #expect(LaneDealer(.md5, lanes: 1 << bits).hashRange(1).0 == UInt128(1) << UInt128(128 - bits)) }
  }

  @Test func stateKeysAreOrderedLikeTheirValuesAndReadBack() throws {
    let values: [[Literal]] = [
      [.null, .int64(1)], [.string(""), .int64(1)], [.string("\0"), .int64(1)], [.string("a"), .null], [.string("a"), .int64(-5)],
      [.string("a"), .int64(7)], [.string("a\0b"), .int64(0)], [.string("ab"), .int64(-9)], [.string("é"), .int64(0)],
    ]
    let keys = values.map(StateKey.encode)
    for (a, b) in zip(keys, keys.dropFirst()) { #expect(a.lexicographicallyPrecedes(b)) }
    for (key, value) in zip(keys, values) { #expect(try StateKey.decode(key, types: [.string, .int64]) == value) }
    #expect(keys[3].starts(with: StateKey.prefix("a")))
    let row: [Literal] = [
      .null, .bool(true), .double(-0.5), .decimal(-12, precision: 38, scale: 3), .string("x"), .timestamp(5), .binary([0, 255]),
    ]
    #expect(try StateValue.decode(StateValue.encode(row)) == row)
  }

  @Test func doubleSumsDoNotDependOnTheirOrder() {
    let layout = AggregateLayout([
      Measure(name: "s", function: .sum, argument: Expr(node: .column(0), type: .double, text: "x"), type: .double)
    ])
    var random = Random(state: 5)
    var values = (0..<1000).map { _ in Double(random.next(1_000_000)) / 7 * (random.next(2) == 0 ? 1 : 1e-9) }
    var sums = Set<UInt64>()
    for _ in 0..<20 {
      values.sort { _, _ in random.next(2) == 0 }
      let store = CellStore(layout)
      _ = store.add()
      store.update(
        cells: [Int32](repeating: 0, count: 1000), rows: (0..<1000).map { $0 }, arguments: [Column(type: .double, values: .double(values))])
      if case .double(let sum) = store.results(0)[0] { sums.insert(sum.bitPattern) }
    }
    #expect(sums.count == 1)
  }
}

extension CellStore {
  fileprivate func results(_ cell: Int) -> [Literal] {
    var all: [Literal] = []
    results(cell, into: &all)
    return all
  }

  fileprivate func update(cells: [Int32], rows: [UInt32], arguments: [Column?]) {
    cells.withUnsafeBufferPointer { cells in rows.withUnsafeBufferPointer { update(cells: cells, rows: $0, arguments: arguments) } }
  }
}
