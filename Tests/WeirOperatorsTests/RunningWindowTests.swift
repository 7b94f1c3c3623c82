import Testing
import WeirCore

@testable import WeirOperators

/// Windows that overlap much are added up one from the other; an independent fold, record by record, must give the same.
@Suite struct RunningWindowTests {
  private struct Record {
    var time: Int64
    var group: UInt8
    var value: Int64
    var watermark: Int64
  }
  private struct Key: Hashable { var group: UInt8; var start: Int64 }
  private struct Sums: Equatable { var n: Int64 = 0; var sum: Int64 = 0; var least: Int64 = .max; var last = "" }

  private static func column(_ type: ColumnType) -> Expr { Expr(node: .column(0), type: type, text: "v") }
  private static let layout = AggregateLayout([
    Measure(name: "n", function: .count, argument: nil, type: .int64),
    Measure(name: "s", function: .sum, argument: column(.int64), type: .decimal(precision: 38, scale: 0)),
    Measure(name: "least", function: .min, argument: column(.int64), type: .int64),
    Measure(name: "last", function: .max, argument: column(.string), type: .string),
  ])

  /// Small numbers from a seed (xorshift).
  private struct Numbers {
    var state: UInt64
    mutating func below(_ bound: Int64) -> Int64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Int64(state % UInt64(bound))
    }
  }

  private func update(_ store: WindowStore, _ records: [Record]) {
    var counts = WindowCounts()
    var late: [LateRow] = []
    var texts = ColumnBuilder(.string)
    for record in records { texts.append(.string("v\(record.value)")) }
    let numbers = Column(type: .int64, values: .int64(records.map(\.value)))
    Array<UInt32>(0..<UInt32(records.count)).withUnsafeBufferPointer {
      store.update(
        rows: $0, times: records.map(\.time), watermarks: records.map(\.watermark),
        hashes: records.map { Hash128(low: UInt64($0.group), high: 3) }, arguments: [nil, numbers, numbers, texts.finish()],
        key: { [records[$0].group] }, counts: &counts, late: &late)
    }
  }

  private func add(_ results: WindowResults, to found: inout [Key: Sums], _ repeated: inout Int) {
    for i in 0..<results.count {
      var sums = Sums()
      let measures = Array(results.measures(i))
      if case .int64(let n) = measures[0] { sums.n = n }
      if case .decimal(let sum, _, _) = measures[1] { sums.sum = Int64(sum) }
      if case .int64(let least) = measures[2] { sums.least = least }
      if case .string(let text) = measures[3] { sums.last = text }
      if found.updateValue(sums, forKey: Key(group: results.key(i).first!, start: results.starts[i])) != nil { repeated += 1 }
    }
  }

  @Test(arguments: 1...30) func windowsOfAnyOverlapEqualAFoldRecordByRecord(seed: UInt64) {
    var random = Numbers(state: seed &* 0x9E37_79B9_7F4A_7C15 | 1)
    let slide = 1 + random.below(4)
    let size = slide * (2 + random.below(60))
    let lateness = random.below(3) * slide * 3
    let store = WindowStore(WindowSpec(size: size, slide: slide, lateness: lateness), layout: RunningWindowTests.layout)
    var (expected, found, repeated): ([Key: Sums], [Key: Sums], Int) = ([:], [:], 0)
    var (time, watermark): (Int64, Int64) = (0, Watermark.minimum)
    for _ in 0..<(3 + random.below(12)) {
      var records: [Record] = []
      for _ in 0..<random.below(60) {
        // Seldom a gap longer than a window, often records that miss some of their windows.
        time += random.below(20) == 0 ? size * 2 : random.below(slide * 3)
        let at = max(0, time - random.below(size))
        watermark = max(watermark, at - 2 * slide)
        records.append(Record(time: at, group: UInt8(random.below(9)), value: random.below(1000) - 500, watermark: watermark))
      }
      update(store, records)
      for record in records {
        let pane = record.time / slide * slide
        for end in stride(from: pane + slide, through: pane + size, by: Int64.Stride(slide)) {
          if end + lateness <= record.watermark { continue }
          let key = Key(group: record.group, start: end - size)
          var sums = expected[key] ?? Sums()
          let text = "v\(record.value)"
          sums = Sums(n: sums.n + 1, sum: sums.sum + record.value, least: min(sums.least, record.value), last: max(sums.last, text))
          expected[key] = sums
        }
      }
      guard watermark != Watermark.minimum else { continue }
      let results = store.finish(watermark: watermark)
      add(results, to: &found, &repeated)
      while let more = results.backlog?.next() { add(more, to: &found, &repeated) }
    }
    let results = store.finish(watermark: Watermark.maximum)
    add(results, to: &found, &repeated)
    while let more = results.backlog?.next() { add(more, to: &found, &repeated) }
    #expect(repeated == 0)
    #expect(found == expected, "slide \(slide), size \(size), lateness \(lateness)")
  }

  /// Hopping windows of two lanes whose keys a third takes over: one of them had written out more than the other, and what it had is not
  /// written again.
  @Test func openWindowsMoveWithTheirKeysAndNoneIsWrittenTwice() {
    func store() -> WindowStore { WindowStore(WindowSpec(size: 20, slide: 5), layout: RunningWindowTests.layout) }
    func finish(_ store: WindowStore, _ watermark: Int64, _ found: inout [Key: Sums], _ repeated: inout Int) {
      add(store.finish(watermark: watermark), to: &found, &repeated)
    }
    func record(_ time: Int64, _ group: UInt8) -> Record { Record(time: time, group: group, value: 1, watermark: 0) }
    let (ahead, behind, child) = (store(), store(), store())
    var (found, repeated): ([Key: Sums], Int) = ([:], 0)
    update(ahead, [record(42, 1), record(51, 1), record(43, 9)])
    update(behind, [record(41, 2), record(57, 2)])
    finish(ahead, 55, &found, &repeated)
    finish(behind, 45, &found, &repeated)
    child.inherit(ahead, reached: 55) { $0.first != 9 }
    child.inherit(behind, reached: 45) { _ in true }
    finish(child, 50, &found, &repeated)
    finish(child, Watermark.maximum, &found, &repeated)
    #expect(repeated == 0)
    // Each record is in four windows; those of group 9 that were not out stay behind.
    func starts(_ group: UInt8) -> [Int64] { found.keys.filter { $0.group == group }.map(\.start).sorted() }
    #expect(starts(1) == [25, 30, 35, 40, 45, 50] && starts(2) == [25, 30, 35, 40, 45, 50, 55] && starts(9) == [25, 30, 35])
    #expect(found[Key(group: 1, start: 40)]?.n == 2 && found[Key(group: 2, start: 40)]?.n == 2)
  }
}
