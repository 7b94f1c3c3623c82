import Testing
import WeirCore
import WeirOperators
import WeirTesting

/// Numbers that no writer writes, in the blobs of lane state. What does not throw must be fit for use: a trap ends the test process.
struct HostileStateTests {
  private let measures = [
    Measure(name: "n", function: .count, argument: nil, type: .int64),
    Measure(
      name: "s", function: .sum, argument: Expr(node: .column(0), type: .int64, text: "v"), type: .decimal(precision: 38, scale: 0)),
    Measure(name: "m", function: .max, argument: Expr(node: .column(0), type: .int64, text: "v"), type: .int64),
    Measure(name: "a", function: .avg, argument: Expr(node: .column(1), type: .double, text: "d"), type: .double),
  ]
  private let textual = Measure(name: "t", function: .min, argument: Expr(node: .column(2), type: .string, text: "t"), type: .string)

  /// Every run of four and of eight bytes replaced, and every end cut off.
  private func mutants(_ bytes: [UInt8]) -> [[UInt8]] {
    let wide: [UInt64] = [0, 1, .max, 1 << 31, 1 << 56, 1 << 60 + 1, 1 << 62, 1 << 63, (1 << 63) - 1, 0x7FF0_0000_0000_0000]
    var all = bytes.indices.map { Array(bytes[..<$0]) }
    for size in [4, 8] where bytes.count >= size {
      for at in 0...bytes.count - size {
        for value in wide {
          var mutant = bytes
          for i in 0..<size { mutant[at + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * i)) }
          all.append(mutant)
        }
      }
    }
    return all
  }

  private func columns(_ count: Int) -> [Column] {
    let arena = Arena()
    return [
      Column(type: .int64, values: .int64((0..<count).map(Int64.init))),
      Column(type: .double, values: .double((0..<count).map(Double.init))),
      Column(type: .string, values: .string((0..<count).map { arena.copy("text \($0)") }), owners: [arena]),
    ]
  }

  private func update(_ store: WindowStore, _ measures: [Measure], from time: Int64) {
    let columns = columns(6)
    let arguments: [Column?] = measures.map { measure in
      switch measure.argument?.node {
      case .column(let number)?: columns[number]
      default: nil
      }
    }
    let times = (0..<6).map { time + Int64($0) * 7 }
    var counts = WindowCounts()
    var late: [LateRow] = []
    Array<UInt32>(0..<6).withUnsafeBufferPointer {
      store.update(
        rows: $0, times: times, watermarks: times.map { $0 - 5 }, hashes: (0..<6).map { Hash128(low: UInt64($0 % 2), high: 9) },
        arguments: arguments, key: { [UInt8($0 % 2)] }, counts: &counts, late: &late)
    }
  }

  @Test(arguments: [false, true]) func windowsWithHostileNumbersAreRefusedOrHarmless(hasTexts: Bool) throws {
    let measures = hasTexts ? measures + [textual] : measures
    let spec = WindowSpec(size: 20, slide: 10, lateness: 5)
    let store = WindowStore(spec, layout: AggregateLayout(measures))
    update(store, measures, from: 100)
    _ = store.finish(watermark: 110)
    var out = ByteWriter()
    store.save(into: &out)
    var taken = 0
    let step = Cases.step(debug: 8)
    for (i, mutant) in mutants(out.bytes).enumerated() where i % step == 0 {
      let other = WindowStore(spec, layout: AggregateLayout(measures))
      var reader = ByteReader(mutant[...], what: "test")
      guard (try? other.restore(from: &reader)) != nil else { continue }
      taken += 1
      let merged = WindowStore(spec, layout: AggregateLayout(measures))
      merged.merge(other)
      update(merged, measures, from: 120)
      update(other, measures, from: 120)
      for store in [other, merged] {
        for watermark in [Int64(130), Watermark.maximum] {
          let results = store.finish(watermark: watermark)
          for i in 0..<results.count { _ = (results.key(i), results.measures(i)) }
        }
      }
    }
    #expect(taken > 100 / step)
  }

  @Test func aShortBlobMakesNoSegmentsOfIdsThatItDoesNotHave() throws {
    // The number of segments is in its first byte, as a power of two.
    for bits in UInt8(4)...16 {
      let index = DedupIndex(withinMicroseconds: 50)
      let before = index.bytes
      var reader = ByteReader([bits] + [UInt8](repeating: 0, count: 60), what: "test")
      #expect(throws: WeirError.self) { try index.restore(from: &reader) }
      #expect(index.bytes == before, "\(bits) bits")
    }
  }

  @Test func idsWithHostileNumbersAreRefusedOrHarmless() throws {
    let index = DedupIndex(withinMicroseconds: 50)
    for id in 0..<4 { _ = index.insert(Hash128(low: UInt64(id), high: UInt64(id) << 60), watermark: Int64(id) * 1000) }
    var out = ByteWriter()
    index.save(base: true, into: &out)
    var taken = 0
    for mutant in mutants(out.bytes) {
      let other = DedupIndex(withinMicroseconds: 50)
      var reader = ByteReader(mutant[...], what: "test")
      guard (try? other.restore(from: &reader)) != nil else { continue }
      taken += 1
      for id in 0..<8 { _ = other.insert(Hash128(low: UInt64(id), high: UInt64(id) << 60), watermark: 10_000 + Int64(id)) }
      other.expire()
      var again = ByteWriter()
      other.save(base: true, into: &again)
    }
    #expect(taken > 10)
  }
}
