import Testing
import WeirCore

@testable import WeirOperators

@Suite struct WindowBacklogTests {
  private struct Key: Hashable { var group: UInt8; var start: Int64 }

  private static let measures = [
    Measure(name: "n", function: .count, argument: nil, type: .int64),
    Measure(name: "s", function: .sum, argument: Expr(node: .column(0), type: .int64, text: "v"), type: .decimal(precision: 38, scale: 0)),
  ]

  private func add(_ rows: [(time: Int64, group: UInt8, value: Int64)], watermark: Int64, to store: WindowStore) {
    var counts = WindowCounts()
    var late: [LateRow] = []
    Array<UInt32>(0..<UInt32(rows.count)).withUnsafeBufferPointer {
      store.update(
        rows: $0, times: rows.map(\.time), watermarks: rows.map { _ in watermark },
        hashes: rows.map { Hash128(low: UInt64($0.group), high: 9) },
        arguments: [nil, Column(type: .int64, values: .int64(rows.map(\.value)))], key: { [rows[$0].group] }, counts: &counts, late: &late)
    }
  }

  private func rows(_ results: WindowResults) -> [(key: Key, n: Int64, sum: Int64)] {
    (0..<results.count).map { i in
      guard case .int64(let n)? = results.measures(i).first, case .decimal(let sum, _, _)? = results.measures(i).last else {
        return (Key(group: 0, start: 0), -1, -1)
      }
      return (Key(group: results.key(i).first!, start: results.starts[i]), n, Int64(sum))
    }
  }

  @Test func openWindowsAreCountedAndNotTheirPanes() {
    let store = WindowStore(WindowSpec(size: 60, slide: 1), layout: AggregateLayout(WindowBacklogTests.measures))
    #expect(store.openCount == 0)
    add([(0, 1, 1), (0, 2, 1)], watermark: Watermark.minimum, to: store)
    #expect(store.openCount == 60, "a record is in sixty windows that hop by one; another key is in the same")
    add([(5, 1, 1)], watermark: Watermark.minimum, to: store)
    #expect(store.openCount == 65, "those that end at 1 to 65")
    _ = store.finish(watermark: 10)
    #expect(store.openCount == 55, "those that end at 11 to 65")
    add([(200, 1, 1)], watermark: 20, to: store)
    #expect(store.openCount == 115)
    _ = store.finish(watermark: 230)
    #expect(store.openCount == 30)
    _ = store.finish(watermark: Watermark.maximum)
    #expect(store.openCount == 0)
    let tumbling = WindowStore(WindowSpec(size: 10, slide: 10), layout: AggregateLayout(WindowBacklogTests.measures))
    add([(-1, 1, 1), (1, 1, 1), (9, 2, 1), (35, 1, 1)], watermark: Watermark.minimum, to: tumbling)
    #expect(tumbling.openCount == 3)
  }

  /// A record is in 4,000 windows, so 40 records have up to 160,000 rows.
  @Test func finalWindowsThatAreTooManyForMemoryComeSomeAtATimeAndEqualANaiveFold() throws {
    let (size, slide): (Int64, Int64) = (4000, 1)
    let store = WindowStore(WindowSpec(size: size, slide: slide), layout: AggregateLayout(WindowBacklogTests.measures))
    var all: [(time: Int64, group: UInt8, value: Int64)] = []
    for i in 0..<40 { all.append((Int64(i * 37), UInt8(i % 39), Int64(i))) }
    add(all, watermark: 0, to: store)
    // Half of the windows are final; those that are not yet hold the same panes.
    let bound: Int64 = 3000
    var parts = [store.finish(watermark: bound)]
    let found = parts[0].backlog
    let backlog = try #require(found)
    // What comes meanwhile is in none of them, also not in a pane that they share.
    let more: [(time: Int64, group: UInt8, value: Int64)] = [(37, 1, 1_000_000), (1000, 99, 5)]
    add(more, watermark: 0, to: store)
    while let next = backlog.next() {
      #expect(next.count <= WindowResults.rowsMax)
      parts.append(next)
    }
    let early = parts.flatMap(rows)
    var last = store.finish(watermark: Watermark.maximum)
    parts = [last]
    while let next = last.backlog?.next() { parts.append(next) }
    last = parts[0]
    let late = parts.flatMap(rows)

    func fold(_ records: [(time: Int64, group: UInt8, value: Int64)], _ isWanted: (Int64) -> Bool) -> [Key: (Int64, Int64)] {
      var expected: [Key: (Int64, Int64)] = [:]
      for record in records {
        for start in (record.time - size + 1)...record.time where isWanted(start + size) {
          let key = Key(group: record.group, start: start)
          let old = expected[key] ?? (0, 0)
          expected[key] = (old.0 + 1, old.1 + record.value)
        }
      }
      return expected
    }
    for (rows, expected) in [(early, fold(all) { $0 <= bound }), (late, fold(all + more) { $0 > bound })] {
      #expect(rows.count == expected.count && Set(rows.map(\.key)) == Set(expected.keys))
      #expect(rows.allSatisfy { $0.n == expected[$0.key]?.0 && $0.sum == expected[$0.key]?.1 })
      #expect(zip(rows, rows.dropFirst()).allSatisfy { $0.key.start <= $1.key.start }, "by end")
    }
    #expect(store.isEmpty)
  }

  @Test func oneWindowOfVeryManyGroupsComesSomeRowsAtATime() throws {
    let store = WindowStore(WindowSpec(size: 10, slide: 10), layout: AggregateLayout(WindowBacklogTests.measures))
    let groups = WindowResults.rowsMax * 2 + 100
    var counts = WindowCounts()
    var late: [LateRow] = []
    Array<UInt32>(0..<UInt32(groups)).withUnsafeBufferPointer {
      store.update(
        rows: $0, times: Array(repeating: 5, count: groups), watermarks: Array(repeating: 0, count: groups),
        hashes: (0..<groups).map { Hash128(low: UInt64($0), high: 9) },
        arguments: [nil, Column(type: .int64, values: .int64((0..<groups).map(Int64.init)))],
        key: { row in withUnsafeBytes(of: UInt32(row).bigEndian) { Array($0) } }, counts: &counts, late: &late)
    }
    let first = store.finish(watermark: Watermark.maximum)
    var keys = (0..<first.count).map { Array(first.key($0)) }
    #expect(first.count == WindowResults.rowsMax)
    while let next = first.backlog?.next() { keys += (0..<next.count).map { Array(next.key($0)) } }
    #expect(keys == (0..<groups).map { row in withUnsafeBytes(of: UInt32(row).bigEndian) { Array($0) } }, "in order of first appearance")
  }
}
