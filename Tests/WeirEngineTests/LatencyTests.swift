import Testing
import WeirCore
import WeirTesting

@testable import WeirEngine

@Suite struct LatencyTests {
  @Test func bucketsAreAscendingAndAtMostASixtyFourthWide() {
    var last = -1
    var value: Int64 = 0
    while value < 1 << 45 {
      let bucket = LatencyHistogram.bucket(value)
      #expect(bucket >= last)
      #expect(LatencyHistogram.upperEnd(bucket) >= value && LatencyHistogram.upperEnd(bucket) - value <= max(0, value / 64))
      last = bucket
      value += max(1, value / 97)
    }
  }

  @Test func percentilesEqualThoseOfTheSortedLatencies() {
    let meter = LatencyMeter()
    var latencies: [Int64] = []
    // Blocks of 1 to 50 records, one nanosecond apart times 1,000, seen 3 blocks later.
    var due: Int64 = 0
    var position: Int64 = 0
    var waiting: [(through: Int64, due: [Int64])] = []
    for block in 1...400 {
      let count = Int64(block * 37 % 50 + 1)
      let times = (0..<count).map { due + 1000 * ($0 + 1) }
      meter.arrives(through: position + count, records: count, first: times[0], last: times[times.count - 1])
      due += 1000 * count
      position += count
      waiting.append((position, times))
      guard waiting.count > 3 else { continue }
      let seen = waiting.removeFirst()
      meter.visible(through: seen.through, now: due)
      latencies += seen.due.map { due - $0 }
    }
    latencies.sort()
    let summary = meter.summary!
    #expect(summary.records == Int64(latencies.count) && summary.max == latencies.last)
    for (share, got) in [(0.5, summary.p50), (0.9, summary.p90), (0.99, summary.p99), (0.999, summary.p999)] {
      let exact = latencies[Int((Double(latencies.count) * share).rounded(.up)) - 1]
      #expect(got >= exact && got - exact <= exact / 64, "\(share): \(got), not \(exact)")
    }
  }

  /// Blocks of whole lines, and the end.
  private func source(_ texts: [String]) -> ScriptedSource {
    var position: Int64 = 0
    let blocks = texts.map { text in
      let bytes = Array(text.utf8)
      let buffer = TextBuffer(bytes: bytes.count)
      buffer.base.update(from: bytes, count: bytes.count)
      let end = position + Int64(bytes.count)
      defer { position = end }
      return SourceEvent.block(RawBlock(text: buffer, count: bytes.count, framing: .lines, position: position), next: ShardPoint(end))
    }
    return ScriptedSource(blocks + [.end])
  }

  @Test func aPacedSourceHandsABlockOutWhenItsLastRecordIsDue() async throws {
    let clock = ManualClock(.moves, now: 5_000)
    let source = PacedSource(source(["a\nb\nc\n", "d\n", "e\nf"]), rate: 1000, clock: clock, meter: LatencyMeter())
    var times: [Int64] = []
    while case .block = try await source.next() { times.append(clock.monotonicNanoseconds - 5_000) }
    #expect(times == [3_000_000, 4_000_000, 6_000_000])
  }

  /// A replay stops at its next cut, which may be many blocks away.
  @Test func aPacedSourceOfARunThatIsToEndWaitsForNothing() async throws {
    let (clock, stop) = (ManualClock(.waits, now: 5_000), Flag())
    let source = PacedSource(source(["a\nb\nc\n", "d\n", "e\nf"]), rate: 0.001, clock: clock, meter: LatencyMeter(), stop: stop)
    async let first = source.next()
    while clock.sleepers == 0 { await Task.yield() }
    stop.raise()
    guard case .block = try await first else { return _ = Issue.record("no block") }
    var blocks = 1
    while case .block = try await source.next() { blocks += 1 }
    #expect(blocks == 3 && clock.monotonicNanoseconds == 5_000)
  }
}
