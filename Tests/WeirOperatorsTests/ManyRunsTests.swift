import Testing
import WeirCore

@testable import WeirOperators

/// Keys with many runs of records at once: their times are far apart, compared with the `ttl`.
struct ManyRunsTests {
  private typealias Naive = ExpiringStateTests

  /// Times that make a run each, in an order that a producer may have.
  private static func times(_ order: String, _ count: Int) -> [Int64] {
    let far = Naive.ttl * 2
    var random = Naive.Random(state: 7)
    switch order {
    case "falling": return (0..<count).map { Int64(count - $0) * far }
    case "rising": return (0..<count).map { Int64($0) * far }
    case "from both ends": return (0..<count).map { Int64($0 % 2 == 0 ? $0 : 2 * count - $0) * far }
    default:
      var times = (0..<count).map { Int64($0) * far }
      for i in times.indices.reversed() { times.swapAt(i, random.next(i + 1)) }
      return times
    }
  }

  private static func records(_ times: [Int64]) -> [Naive.Record] {
    times.enumerated().map { Naive.Record(key: 0, time: $1, watermark: -1_000_000, amount: Int64($0)) }
  }

  @Test(arguments: ["falling", "rising", "from both ends", "mixed"]) func `a record looks at few runs, in whatever order records come`(
    order: String
  ) throws {
    func steps(_ count: Int) -> Int {
      let store = Naive.store()
      Naive.fold(ManyRunsTests.records(ManyRunsTests.times(order, count))[...], into: store)
      return store.steps
    }
    let (few, many) = (steps(4000), steps(32_000))
    // A search among 32,000 takes about twice 15 steps, and so does each of the splits and joins that add a run.
    #expect(many < 32_000 * 150, "\(many) steps")
    #expect(many <= few * 16, "\(few) steps for 4,000 records, \(many) for 32,000")
  }

  @Test(arguments: 1...12) func `many runs of a key join and part as those of a naive store`(seed: Int) throws {
    var random = Naive.Random(state: UInt64(seed) &* 77)
    let span = [3000, 12_000, 60_000][seed % 3]
    var records: [Naive.Record] = []
    let store = Naive.store()
    for round in 0..<30 {
      let more = (0..<60).map { i in
        Naive.Record(
          key: UInt8(random.next(3)), time: Int64(random.next(span)), watermark: -1_000_000, amount: Int64(round * 60 + i))
      }
      Naive.fold(more[...], into: store)
      records += more
      #expect(Naive.rows(store) == Naive.expected(records[...]).rows)
    }
    // The same records in the order of their times are added at the end of each list, so no index is asked.
    let sorted = Naive.store()
    Naive.fold(records.sorted { ($0.time, $0.amount) < ($1.time, $1.amount) }[...], into: sorted)
    #expect(Naive.saved(store, base: true) == Naive.saved(sorted, base: true))
    #expect(ManyRunsTests.runs(of: store) == ManyRunsTests.runs(of: records))
    let twin = try Naive.restored([Naive.saved(store, base: true)])
    #expect(Naive.saved(twin, base: true) == Naive.saved(store, base: true))
  }

  /// Oldest and newest times of all runs by key, as the bytes of the state have them: a hash, a counted key, a number of runs, and the runs.
  private static func runs(of store: KeyedStore) -> [UInt8: [[Int64]]] {
    var found: [UInt8: [[Int64]]] = [:]
    let bytes = Naive.saved(store, base: true)
    var at = 8
    func number<T: FixedWidthInteger>(_: T.Type) -> T {
      defer { at += MemoryLayout<T>.size }
      return (0..<MemoryLayout<T>.size).reduce(0) { $0 | T(truncatingIfNeeded: bytes[at + $1]) << T(8 * $1) }
    }
    let cell = cellBytes
    for _ in 0..<number(UInt32.self) {
      at += 16
      let length = Int(number(UInt32.self))
      let key = bytes[at]
      at += length
      for _ in 0..<number(UInt32.self) {
        found[key, default: []].append([number(Int64.self), number(Int64.self)])
        at += cell
      }
    }
    return found
  }

  private static var cellBytes: Int {
    func size(_ records: [Naive.Record]) -> Int {
      let store = Naive.store()
      Naive.fold(records[...], into: store)
      return Naive.saved(store, base: true).count
    }
    return size(records([0, 1000])) - size(records([0])) - 16
  }

  private static func runs(of records: [Naive.Record]) -> [UInt8: [[Int64]]] {
    Dictionary(grouping: records, by: \.key).mapValues { records in
      var runs: [[Int64]] = []
      for time in records.map(\.time).sorted() {
        if let last = runs.last, time - last[1] < Naive.ttl { runs[runs.count - 1][1] = time } else { runs.append([time, time]) }
      }
      return runs.reversed()
    }
  }

  @Test func `a store that takes keys over shows no row that had expired before`() {
    let parent = Naive.store()
    Naive.fold(
      [
        Naive.Record(key: 1, time: 100, watermark: 80, amount: 1), Naive.Record(key: 2, time: 140, watermark: 120, amount: 2),
      ], into: parent)
    let child = Naive.store()
    child.inherit(parent) { _ in true }
    // The parent had reached 160: its row of 100 had gone, and that of 140 goes at 190.
    child.inherit(clocks: 160) { _ in 160 }
    child.advance(to: 60)
    #expect(Naive.rows(child) == [2: [1, 2]])
    var table: [UInt8: [Int64]] = [1: [1, 1], 2: [1, 2]]
    Naive.flush(child, to: &table)
    #expect(table == [2: [1, 2]])
    // It comes back with a record that belongs to it.
    Naive.fold([Naive.Record(key: 1, time: 130, watermark: 160, amount: 3)], into: child)
    #expect(Naive.rows(child) == [1: [2, 3], 2: [1, 2]])
    child.advance(to: 185)
    #expect(Naive.rows(child) == [2: [1, 2]])
    child.advance(to: 190)
    #expect(Naive.rows(child) == [:])
    Naive.flush(child, to: &table)
    #expect(table == [:])
  }
}
