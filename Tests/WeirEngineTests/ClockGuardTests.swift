import Testing
import WeirConfiguration
import WeirCore

@testable import WeirEngine

/// The guard against wrong clocks in a capture, against a naive fold over the whole list of event times.
@Suite struct ClockGuardTests {
  static func plan(_ maxAhead: String, outOfOrder: String = "5s") throws -> CompiledPlan {
    let yaml = """
      pipeline: p
      source: {capture: {stream: s}}
      record:
        format: json
        time: {field: t, out_of_order: \(outOfOrder)\(maxAhead)}
        fields: {t: timestamp_ms!}
      """
    return CompiledPlan(try loadPipeline(yaml: yaml, file: "p.yaml").plan, lookups: [])
  }

  struct Row: Equatable, CustomStringConvertible {
    var watermark: Int64
    var isRejected: Bool
    var description: String { "\(watermark)\(isRejected ? " rejected" : "")" }
  }

  /// The rule, said once more and without blocks. `times`: microseconds; nil: not a valid record.
  static func naive(_ times: [Int64?], ahead: Int64, rejects: Bool) -> [Row] {
    var (rows, highest): ([Row], Int64?) = ([], nil)
    for (i, time) in times.enumerated() {
      var isRejected = time == nil
      if let time {
        var counts = true
        let watermark = highest.map { $0 - 5_000_000 }
        if highest.map({ time > $0 + ahead }) ?? true {
          let followers = times[(i + 1)...].lazy.compactMap { $0 }.prefix(1_023)
          let high = followers.filter { $0 >= time - ahead - 5_000_000 }.count
          let low = followers.count - high
          if watermark == nil, high < 512, low < 512 {
            counts = high > low || followers.isEmpty
            isRejected = rejects && high < low
          } else {
            counts = high >= 512
            isRejected = rejects && !counts && (low >= 512 || high < low)
          }
        }
        if counts { highest = max(highest ?? time, time) }
      }
      rows.append(Row(watermark: highest.map { $0 - 5_000_000 } ?? Watermark.minimum, isRejected: isRejected))
    }
    return rows
  }

  /// Runs the records through the sequencer in blocks of the given sizes; a new one, from the recorded watermark, after every
  /// `restarts` blocks that went on.
  static func sequenced(_ times: [Int64?], _ compiled: CompiledPlan, sizes: () -> Int, restarts: Int) throws -> [Row] {
    let preparer = BlockPreparer(compiled, nil)
    var rows: [Row] = []
    var watermark = Watermark.minimum
    while true {
      let maximum = Sequencer.maximum(of: watermark, compiled.plan.record.time)
      var events = ConfirmedEvents(Sequencer(compiled.plan, maximum: maximum, judge: .stream), keepOpen: false)
      var (at, ready): (Int, [SequencedEvent]) = (rows.count, [])
      var blocks = 0
      while at < times.count {
        let count = min(sizes(), times.count - at)
        let lines = times[at..<at + count].map { Array(($0.map { "{\"t\":\($0 / 1000)}\n" } ?? "{}\n").utf8) }
        ready += try events.admit(
          .block(preparer.prepare(RawBlock(records: lines, position: Int64(at))), end: ShardPoint(Int64(at + count))))
        at += count
      }
      ready += try events.admit(.end)
      for case .block(let block, _, let after) in ready {
        for row in 0..<block.count {
          rows.append(
            Row(watermark: block.columns.watermark[row], isRejected: block.columns.verdict[row] == PreparedBlock.Verdict.rejected))
        }
        watermark = after
        blocks += 1
        if restarts > 0, blocks == restarts { break }
      }
      if rows.count == times.count { return rows }
    }
  }

  /// Disorder, silences of days, single wrong clocks and bursts of them, invalid records.
  static func stream(_ state: inout UInt64, count: Int) -> [Int64?] {
    func next(_ below: UInt64) -> Int64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int64((state >> 33) % below)
    }
    var now: Int64 = 1_700_000_000_000
    var (times, burst): ([Int64?], Int64) = ([], 0)
    for _ in 0..<count {
      now += next(200)
      if next(700) == 0 { now += next(9) * 86_400_000 }
      if next(400) == 0 { burst = next(3) == 0 ? next(400) : 1 }
      if next(50) == 0 {
        times.append(nil)
      } else if burst > 0 {
        burst -= 1
        times.append((now + 40 * 86_400_000 + next(1000)) * 1000)
      } else {
        times.append((now - next(6_000)) * 1000)
      }
    }
    return times
  }

  @Test(arguments: 0..<40 as Range<UInt64>)
  func verdictsAndWatermarksAreThoseOfTheNaiveFoldWhateverTheBlocksAndRestarts(seed: UInt64) throws {
    var state = seed &* 7_919 &+ 1
    let times = ClockGuardTests.stream(&state, count: 1_500)
    for (text, ahead, rejects) in [("", Int64(86_400_000_000), false), (", max_ahead: 1h", 3_600_000_000, true)] {
      let compiled = try ClockGuardTests.plan(text)
      let expected = ClockGuardTests.naive(times, ahead: ahead, rejects: rejects)
      var sizesState = seed
      func size() -> Int {
        sizesState = sizesState &* 6_364_136_223_846_793_005 &+ 1
        return 1 + Int((sizesState >> 33) % (seed % 2 == 0 ? 900 : 40))
      }
      for restarts in [0, 3] {
        let found = try ClockGuardTests.sequenced(times, compiled, sizes: size, restarts: restarts)
        #expect(found == expected, "seed \(seed), \(text), \(restarts)")
      }
    }
  }

  @Test func theFirstRecordsAfterALongSilenceAreAcceptedAndMoveTheWatermark() throws {
    let hour: Int64 = 3_600_000_000
    for count in [100, 1_100] as [Int64] {
      let times: [Int64?] = (0..<100).map { $0 * 1_000_000 } + (0..<count).map { 72 * hour + $0 * 1_000_000 }
      let rows = try ClockGuardTests.sequenced(times, try ClockGuardTests.plan(", max_ahead: 1h"), sizes: { 7 }, restarts: 0)
      #expect(!rows.contains { $0.isRejected })
      // With few of them before the end it is not decided whether the stream moved on: they are accepted, and make no record late.
      #expect(rows[100].watermark == (count > 1_000 ? 72 * hour - 5_000_000 : Int64(94_000_000)))
    }
  }

  /// The disorder that the plan declares is no wrong clock, also where it is larger than `max_ahead`.
  @Test(arguments: ["", ", max_ahead: 1d", ", max_ahead: 12h", ", max_ahead: 10s"])
  func recordsWithinTheDeclaredDisorderAreNeverSuspicious(text: String) throws {
    let day: Int64 = 86_400_000_000
    let times: [Int64?] = (0..<2_000).map { i in 1_700_000_000_000_000 + i * 1_000_000 - (i % 5 < 3 ? day + i * 400_000_000 % day : 0) }
    let rows = try ClockGuardTests.sequenced(times, try ClockGuardTests.plan(text, outOfOrder: "2d"), sizes: { 90 }, restarts: 0)
    var highest = Int64.min
    for (row, time) in zip(rows, times) {
      highest = max(highest, try #require(time))
      #expect(row == Row(watermark: highest - 2 * day, isRejected: false))
    }
  }

  /// Whatever comes after a burst at the end of the input, or of a part of it, is not late by it.
  @Test func aBurstOfWrongClocksBeforeTheEndMakesNoRecordLate() throws {
    let far: Int64 = 4_000_000_000_000_000
    for (bad, good) in [(2, 1), (40, 30), (400, 300), (511, 1), (5, 0)] {
      let times: [Int64?] =
        (0..<100).map { $0 * 1_000_000 } + (0..<bad).map { far + Int64($0) } + (0..<good).map { (100 + Int64($0)) * 1_000_000 }
      for text in ["", ", max_ahead: 1h"] {
        let rows = try ClockGuardTests.sequenced(times, try ClockGuardTests.plan(text), sizes: { 50 }, restarts: 0)
        #expect(rows[times.count - 1].watermark == Int64(99 + good) * 1_000_000 - 5_000_000, "\(bad) wrong, \(good) right, \(text)")
      }
    }
  }

  @Test func oneWrongClockMakesNobodyLateAlsoAsTheFirstRecord() throws {
    let far: Int64 = 4_000_000_000_000_000
    for at in [0, 50] {
      var times: [Int64?] = (0..<100).map { $0 * 1_000_000 }
      times[at] = far
      for (text, isRejected) in [("", false), (", max_ahead: 1h", true)] {
        let rows = try ClockGuardTests.sequenced(times, try ClockGuardTests.plan(text), sizes: { 9 }, restarts: 0)
        #expect(rows[at].isRejected == isRejected)
        #expect(rows[99].watermark == Int64(94_000_000))
      }
    }
  }

  @Test func aGuardThatIsOffTrustsEveryRecord() throws {
    let times: [Int64?] = [0, 4_000_000_000_000_000, 1_000_000]
    let rows = try ClockGuardTests.sequenced(times, try ClockGuardTests.plan(", max_ahead: off"), sizes: { 9 }, restarts: 0)
    #expect(!rows.contains { $0.isRejected })
    #expect(rows[2].watermark == Int64(3_999_999_995_000_000))
  }

  /// A live record is judged by the clock in the ledger, and by how old that may be, never by its producer's.
  @Test func aLiveRecordIsJudgedByTheRecordedClock() throws {
    let compiled = try ClockGuardTests.plan(", max_ahead: 1h")
    let preparer = BlockPreparer(compiled, nil)
    let (hour, clock): (Int64, Int64) = (3_600_000_000, 1_700_000_000_000_000)
    let most = clock + hour + ClockGuard.refreshMicroseconds(ahead: hour)
    let lines = [most, most + 1_000].map { Array("{\"t\":\($0 / 1000)}\n".utf8) }
    for (recorded, rejected) in [(clock, [false, true]), (nil, [false, false])] as [(Int64?, [Bool])] {
      var sequencer = Sequencer(compiled.plan, maximum: nil, judge: .clock(recorded))
      var block = preparer.prepare(RawBlock(records: lines, position: 0))
      let isDone = try sequencer.sequence(&block)
      #expect(isDone)
      #expect(block.columns.verdict.map { $0 == PreparedBlock.Verdict.rejected } == rejected)
    }
  }
}
