import Testing
import WeirCore
import WeirTesting

@testable import WeirOperators

/// Windows that close at once and belong to more partitions than one cut may write to.
@Suite struct WindowPartsTests {
  private struct Row: Hashable {
    var group: UInt16
    var start: Int64
    var count: Int64
    var sum: Int64
  }

  private struct Random {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state >> 33
    }
  }

  private struct Record {
    var time: Int64
    var group: UInt16
    var value: Int64
  }

  private static let measures = [
    Measure(name: "n", function: .count, argument: nil, type: .int64),
    Measure(name: "s", function: .sum, argument: Expr(node: .column(0), type: .int64, text: "v"), type: .decimal(precision: 38, scale: 0)),
  ]
  private static let layout = AggregateLayout(measures)

  private static func partition(_ group: UInt16) -> UInt16 { group / 3 }

  private static func store(_ spec: WindowSpec, partitions: Int?) -> WindowStore {
    let bound = partitions.map {
      PartitionBound($0) { key in
        let bytes = Array(key)
        return Hash128(low: UInt64(partition(UInt16(bytes[0]) << 8 | UInt16(bytes[1]))), high: 1)
      }
    }
    return WindowStore(spec, layout: layout, bound: bound)
  }

  private func add(_ records: [Record], watermark: Int64, to store: WindowStore) -> Int {
    var counts = WindowCounts()
    var late: [LateRow] = []
    Array<UInt32>(0..<UInt32(records.count)).withUnsafeBufferPointer {
      store.update(
        rows: $0, times: records.map(\.time), watermarks: records.map { _ in watermark },
        hashes: records.map { Hash128(low: UInt64($0.group), high: 9) },
        arguments: [nil, Column(type: .int64, values: .int64(records.map(\.value)))],
        key: { [UInt8(records[$0].group >> 8), UInt8(records[$0].group & 0xFF)] }, counts: &counts, late: &late)
    }
    return Int(counts.late)
  }

  private func rows(_ results: WindowResults) -> [Row] {
    var all = [results]
    while let more = results.backlog?.next() { all.append(more) }
    return all.flatMap { part in
      (0..<part.count).map { i in
        let key = Array(part.key(i))
        guard case .int64(let n)? = part.measures(i).first, case .decimal(let sum, _, _)? = part.measures(i).last else {
          return Row(group: 0, start: 0, count: -1, sum: -1)
        }
        return Row(group: UInt16(key[0]) << 8 | UInt16(key[1]), start: part.starts[i], count: n, sum: Int64(sum))
      }
    }
  }

  /// The window and group of each record, where it is not late: without panes, classes or cuts.
  private struct NaiveFold {
    let size: Int64
    let slide: Int64
    let lateness: Int64
    var cells: [Int64: [UInt16: (Int64, Int64)]] = [:]

    mutating func add(_ record: Record, watermark: Int64) {
      var start = record.time - record.time % slide
      while start > record.time - size {
        if start + size > watermark - lateness {
          let old = cells[start, default: [:]][record.group] ?? (0, 0)
          cells[start, default: [:]][record.group] = (old.0 + 1, old.1 + record.value)
        }
        start -= slide
      }
    }

    var rows: [Row] {
      cells.flatMap { start, groups in groups.map { Row(group: $0, start: start, count: $1.0, sum: $1.1) } }
    }
  }

  /// - Parameter slide: of windows of 60; equal: they tumble.
  @Test(arguments: [60, 20, 5], [1, 3, 10_000]) func partsHaveTheRowsOfANaiveFoldEachOnce(slide: Int64, partitions: Int) throws {
    var random = Random(state: UInt64(slide) &* 31 &+ UInt64(partitions))
    for _ in 0..<20 / Cases.step(debug: 5) {
      let lateness = Int64(random.next() % 3) * 15
      let spec = WindowSpec(size: 60, slide: slide, lateness: lateness)
      var store = WindowPartsTests.store(spec, partitions: partitions)
      var naive = NaiveFold(size: 60, slide: slide, lateness: lateness)
      var found: [Row] = []
      var (watermark, parts) = (Int64(0), 0)
      func cut() throws {
        repeat {
          let part = rows(store.finish(watermark: watermark))
          #expect(Set(part.map { WindowPartsTests.partition($0.group) }).count <= partitions)
          found += part
          parts += 1
          // What is left is in the lane's state: a worker may die between two parts.
          if random.next() % 3 == 0 { store = try restored(store, spec, partitions) }
          // Records may come between two parts, and the watermark may move.
          if store.isBehind, watermark < Watermark.maximum, random.next() % 3 == 0 { take() }
        } while store.isBehind
      }
      func take() {
        let records = (0..<Int(random.next() % 40)).map { _ in
          let time = max(0, watermark - 80 + Int64(random.next() % 200))
          return Record(time: time, group: UInt16(random.next() % 40), value: Int64(random.next() % 100))
        }
        for record in records { naive.add(record, watermark: watermark) }
        _ = add(records, watermark: watermark, to: store)
      }
      for _ in 0..<12 {
        take()
        watermark += Int64(random.next() % 90)
        try cut()
      }
      watermark = Watermark.maximum
      try cut()
      #expect(store.isEmpty && !store.isBehind)
      #expect(found.count == Set(found).count)
      #expect(Set(found) == Set(naive.rows))
      if partitions == 1 { #expect(parts > 13, "windows came in parts") }
      if partitions == 10_000 { #expect(parts == 13, "nothing is split without need") }
    }
  }

  private func restored(_ store: WindowStore, _ spec: WindowSpec, _ partitions: Int) throws -> WindowStore {
    var out = ByteWriter()
    store.save(into: &out)
    let next = WindowPartsTests.store(spec, partitions: partitions)
    var reader = ByteReader(out.pieces.flatMap { $0 }[...], what: "a test")
    try next.restore(from: &reader)
    next.isBehind = store.isBehind
    return next
  }

  /// The last cut of a lane whose shard is closed: its children take over open windows only.
  @Test func aWholeCutLeavesNothing() {
    let spec = WindowSpec(size: 60, slide: 60)
    let store = WindowPartsTests.store(spec, partitions: 1)
    _ = add((0..<30).map { Record(time: 5, group: $0, value: 1) }, watermark: 0, to: store)
    #expect(rows(store.finish(watermark: 100)).count == 3 && store.isBehind)
    #expect(rows(store.finish(watermark: 100, isWhole: true)).count == 27 && !store.isBehind && store.isEmpty)
  }
}
