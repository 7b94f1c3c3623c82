import Testing
import WeirConfiguration
import WeirCore
import WeirTesting

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

  /// The rule, said once more and without blocks. `times`: microseconds; nil: not a valid record. `out_of_order` is 5 s.
  /// - Parameters:
  ///   - sizes: bytes of the records.
  ///   - ahead: `max_ahead`.
  static func naive(_ times: [Int64?], sizes: [Int64], ahead: Int64, rejects: Bool) -> [Row] {
    var (rows, highest): ([Row], Int64?) = ([], nil)
    let starts = sizes.reduce(into: [Int64(0)]) { $0.append($0.last! + $1) }
    let step = Double((ahead + 5_000_000) / 8)
    func part(_ time: Int64) -> Double { (Double(time) / step).rounded(.down) }
    for (i, time) in times.enumerated() {
      var (isRejected, counts) = (time == nil, time != nil)
      if let time {
        let isJump = highest.map { time > $0 + ahead } ?? true
        if isJump || part(time) > part(highest!) {
          var near = i + 1
          while near < times.count, near == i + 1 || starts[near] < starts[i] + 2 << 20 { near += 1 }
          let fits = i + 1 < times.count && starts.last! >= starts[i] + 2 << 20
          func said(below: Int64) -> (lead: Int, isDecided: Bool) {
            var (high, low, next) = (0, 0, i + 1)
            while next < near {
              if let other = times[next] {
                if other < time - below { low += 1 } else { high += 1 }
              }
              if high == 512 || low == 512 || low == high + 5 { return (high - low, true) }
              next += 1
            }
            return (high - low, false)
          }
          let late = said(below: 5_000_000 + (ahead + 5_000_000) / 8)
          counts = !(late.isDecided && late.lead < 0)
          if isJump, !(late.isDecided && late.lead > 0) {
            let wrong = said(below: ahead + 5_000_000)
            if !wrong.isDecided, !fits, highest != nil { counts = false }
            if !wrong.isDecided, wrong.lead == 0, !(highest == nil && !fits && times[(i + 1)..<near].allSatisfy { $0 == nil }) {
              counts = false
            }
            if wrong.lead < 0 { (counts, isRejected) = (false, rejects) }
          }
        }
        if counts { highest = max(highest ?? time, time) }
      }
      rows.append(Row(watermark: highest.map { $0 - 5_000_000 } ?? Watermark.minimum, isRejected: isRejected))
    }
    return rows
  }

  /// Runs the records through the sequencer in blocks of the given sizes; a new one, from the recorded watermark, after every
  /// `restarts` blocks that went on, and at the end of each part of a capture that grows.
  /// - Parameters:
  ///   - padding: bytes more in each record.
  ///   - parts: how many records are there when the capture is read, before it is read whole.
  static func sequenced(
    _ times: [Int64?], _ compiled: CompiledPlan, sizes: () -> Int, restarts: Int = 0, padding: (Int) -> Int = { _ in 0 }, parts: [Int] = []
  ) throws -> [Row] {
    let preparer = BlockPreparer(compiled, nil)
    let lines = times.enumerated().map { line($1, padding: padding($0)) }
    let starts = lines.reduce(into: [Int64(0)]) { $0.append($0.last! + Int64($1.count)) }
    var whole: [UInt8] = []
    for line in lines { whole += line }
    func bytes(_ from: Int, _ to: Int) -> [UInt8] { Array(whole[Int(starts[from])..<Int(starts[to])]) }
    var rows: [Row] = []
    var watermark = Watermark.minimum
    var parts = parts
    while true {
      let end = parts.first ?? times.count
      let maximum = Sequencer.maximum(of: watermark, compiled.plan.record.time)
      var events = ConfirmedEvents(
        Sequencer(compiled.plan, maximum: maximum, judge: .stream), keepOpen: !parts.isEmpty, prepare: { preparer.prepare($0) })
      var (at, ready): (Int, [SequencedEvent]) = (rows.count, [])
      var blocks = 0
      let hash = RunningHash()
      bytes(0, at).withUnsafeBytes { hash.update($0) }
      while at < end, restarts == 0 || ready.count < restarts {
        let count = min(sizes(), end - at)
        let text = bytes(at, at + count)
        var raw = RawBlock(lines: text, position: starts[at])
        raw.hashBefore = HashBefore(hash)
        text.withUnsafeBytes { hash.update($0) }
        raw.prefixHash = hash.digest
        ready += try events.admit(.block(preparer.prepare(raw), end: ShardPoint(starts[at + count])))
        at += count
      }
      if at == end { ready += try events.admit(.end) }
      var (isCut, cut): (Bool, Int64) = (false, starts[rows.count])
      for event in ready {
        switch event {
        case .block(let block, let next, let after) where !isCut:
          for row in 0..<block.count {
            rows.append(
              Row(watermark: block.columns.watermark[row], isRejected: block.columns.verdict[row] == PreparedBlock.Verdict.rejected))
          }
          watermark = after
          blocks += 1
          cut = next
          isCut = restarts > 0 && blocks == restarts
        case .cut(let position, let hash, let after) where !isCut:
          let before = bytes(0, rows.count)
          #expect(position == starts[rows.count] && after == watermark && hash == before.withUnsafeBytes { Hash128($0) })
        default: break
        }
      }
      #expect(cut == starts[rows.count])
      if !isCut, !parts.isEmpty { parts.removeFirst() }
      if rows.count == times.count { return rows }
    }
  }

  private static func line(_ time: Int64?, padding: Int) -> [UInt8] {
    let text = time.map { "{\"t\":\($0 / 1000)" } ?? "{\"u\":1"
    // No text of this length: making one takes longer than everything else here.
    return Array("\(text),\"x\":\"".utf8) + [UInt8](repeating: UInt8(ascii: "y"), count: padding) + Array("\"}\n".utf8)
  }

  static func sizes(_ times: [Int64?], padding: (Int) -> Int = { _ in 0 }) -> [Int64] {
    times.enumerated().map { Int64(line($1, padding: padding($0)).count) }
  }

  /// Disorder, silences of days, single wrong clocks and bursts of them, invalid records.
  static func stream(_ state: inout UInt64, count: Int) -> [Int64?] {
    func next(_ below: UInt64) -> Int64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int64((state >> 33) % below)
    }
    var now: Int64 = 1_700_000_000_000
    var (times, burst): ([Int64?], Int64) = ([], 0)
    // The first ones are right; some streams are quiet, and some have many wrong clocks.
    let (pace, often) = ([200, 30_000, 600_000][Int(next(3))] as UInt64, [400, 400, 11][Int(next(3))] as UInt64)
    for i in 0..<count {
      now += next(pace)
      if next(700) == 0 { now += next(9) * 86_400_000 }
      if i > 20, next(often) == 0 { burst = often > 11 && next(3) == 0 ? next(400) : 1 }
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

  @Test(arguments: Cases.seeds(0..<24, debugStep: 5))
  func verdictsAndWatermarksAreThoseOfTheNaiveFoldWhateverTheBlocksAndRestarts(seed: UInt64) throws {
    var state = seed &* 7_919 &+ 1
    let times = ClockGuardTests.stream(&state, count: 1_300)
    for (text, ahead, rejects) in [("", Int64(86_400_000_000), false), (", max_ahead: 1h", 3_600_000_000, true)] {
      let compiled = try ClockGuardTests.plan(text)
      let expected = ClockGuardTests.naive(times, sizes: ClockGuardTests.sizes(times), ahead: ahead, rejects: rejects)
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

  /// What a record does not say yet at the end of a part of a capture, the next part says.
  @Test(arguments: Cases.seeds(0..<30, debugStep: 7))
  func aCaptureThatIsReadInPartsHasTheRowsOfOneThatIsReadAtOnce(seed: UInt64) throws {
    var state = seed &* 104_729 &+ 3
    let times = ClockGuardTests.stream(&state, count: 1_300)
    var cuts = seed
    func random(_ below: Int) -> Int {
      cuts = cuts &* 6_364_136_223_846_793_005 &+ 1
      return Int((cuts >> 33) % UInt64(below))
    }
    for (text, ahead, rejects) in [("", Int64(86_400_000_000), false), (", max_ahead: 1h", 3_600_000_000, true)] {
      let expected = ClockGuardTests.naive(times, sizes: ClockGuardTests.sizes(times), ahead: ahead, rejects: rejects)
      let parts = (0..<random(7)).map { _ in 10 + random(1_290) }.sorted()
      let found = try ClockGuardTests.sequenced(times, try ClockGuardTests.plan(text), sizes: { 1 + random(500) }, parts: parts)
      #expect(found == expected, "seed \(seed), \(text), \(parts)")
    }
  }

  /// A capture with few records is not held up at the end of a part; a jump is.
  @Test func theFirstRecordsOfAPartDoNotWait() throws {
    let day: Int64 = 86_400_000_000
    let preparer = BlockPreparer(try ClockGuardTests.plan(""), nil)
    for (times, passed) in [([0], 1), ([0, 1_000_000], 2), ([0, day / 2, day, day * 3 / 2], 4), ([0, 1_000_000, 9 * day, 9 * day], 2)] {
      var events = ConfirmedEvents(
        Sequencer(try ClockGuardTests.plan("").plan, maximum: nil, judge: .stream), keepOpen: true, prepare: { preparer.prepare($0) })
      let hash = RunningHash()
      var raw = RawBlock(lines: times.flatMap { ClockGuardTests.line($0, padding: 0) })
      raw.hashBefore = HashBefore(hash)
      var ready = try events.admit(.block(preparer.prepare(raw), end: ShardPoint(Int64(raw.count))))
      ready += try events.admit(.end)
      var records = 0
      for case .block(let block, _, _) in ready { records += block.count }
      #expect(records == passed && (events.waitsFrom == nil) == (passed == times.count))
    }
  }

  /// Long records are judged by as many of them as fit.
  @Test(arguments: Cases.seeds(0..<6, debugStep: 3))
  func longRecordsAreJudgedByThoseThatFit(seed: UInt64) throws {
    var state = seed &* 31 &+ 5
    let times = ClockGuardTests.stream(&state, count: 40)
    let padding: (Int) -> Int = { i in [700_000, 60_000, 2_500_000, 10][(i + Int(seed)) % (seed < 3 ? 1 : 4)] }
    let compiled = try ClockGuardTests.plan(", max_ahead: 1h")
    let sizes = ClockGuardTests.sizes(times, padding: padding)
    let expected = ClockGuardTests.naive(times, sizes: sizes, ahead: 3_600_000_000, rejects: true)
    for count in [1, 7] {
      #expect(
        try ClockGuardTests.sequenced(times, compiled, sizes: { count }, restarts: 2, padding: padding) == expected, "\(seed), \(count)")
    }
  }

  /// The records that are held are bounded in bytes: the block before passes as soon as 2 MiB after it are known.
  @Test func aRecordWaitsForTwoMebibytesAtMost() throws {
    let preparer = BlockPreparer(try ClockGuardTests.plan(""), nil)
    var events = ConfirmedEvents(
      Sequencer(try ClockGuardTests.plan("").plan, maximum: nil, judge: .stream), keepOpen: false, prepare: { preparer.prepare($0) })
    var (position, ready): (Int64, Int) = (0, 0)
    for i in 0..<100 {
      let raw = RawBlock(lines: ClockGuardTests.line(Int64(i) * 86_400_000_000 * 3, padding: 300_000), position: position)
      position += Int64(raw.count)
      for case .block in try events.admit(.block(preparer.prepare(raw), end: ShardPoint(position))) { ready += 1 }
      #expect(i - ready <= 7)
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

  /// Two records a minute, by day only; one till of ten is three hours ahead. Later records say nothing for it.
  @Test func aWrongClockInAQuietStreamMakesNoRecordLate() throws {
    let (minute, hour): (Int64, Int64) = (60_000_000, 3_600_000_000)
    var times: [Int64?] = []
    var wrong: Set<Int> = []
    for i in 0..<(3 * 1_440) as Range<Int64> {
      let isWrong = i * 7_919 % 10 == 3
      if isWrong { wrong.insert(times.count) }
      times.append(i / 1_440 * 24 * hour + i % 1_440 * minute / 2 + (isWrong ? 3 * hour : 0))
    }
    for text in [", max_ahead: 1h", ", max_ahead: 30m"] {
      let rows = try ClockGuardTests.sequenced(times, try ClockGuardTests.plan(text), sizes: { 400 })
      let late = times.indices.filter { !wrong.contains($0) && times[$0]! < (($0 == 0 ? nil : rows[$0 - 1].watermark) ?? .min) }
      #expect(late.count <= 3 * 5 && !times.indices.contains { rows[$0].isRejected && !wrong.contains($0) })
      #expect(rows.count(where: \.isRejected) >= wrong.count * 98 / 100)
    }
  }

  /// A silence that is longer than the error, soon after the wrong record.
  @Test(arguments: [1, 20, 200, 500])
  func aWrongClockBeforeASilenceMakesFewRecordsLate(right: Int) throws {
    let day: Int64 = 86_400_000_000
    let times: [Int64?] =
      (0..<1_000).map { $0 * 1_000_000 } + [2 * day] + (1_000..<1_000 + Int64(right)).map { $0 * 1_000_000 }
      + (0..<1_200).map { 3 * day + $0 * 1_000_000 }
    for text in ["", ", max_ahead: 1h"] {
      let rows = try ClockGuardTests.sequenced(times, try ClockGuardTests.plan(text), sizes: { 90 })
      #expect(rows[1_000].watermark < day || right < 5)
      // The silence itself is followed.
      #expect(rows[1_001 + right].watermark == 3 * day - 5_000_000)
      #expect(rows.dropFirst(1_001).allSatisfy { !$0.isRejected })
    }
  }

  /// Steps that are each within the limit must not add up: a forecast in the middle of a stream.
  @Test(
    arguments: [
      (48, 3_000_000_000, ", max_ahead: 1h"), (168, 3_600_000_000, ", max_ahead: 1h"), (30, 82_800_000_000, ""), (168, 3_600_000_000, ""),
    ] as [(Int64, Int64, String)])
  func aLadderOfTimesMakesNoRecordLateByMoreThanAQuarterOfTheLimit(points: Int64, step: Int64, text: String) throws {
    let times: [Int64?] =
      (3_500..<5_000).map { $0 * 1_000_000 } + (1...points).map { 5_000_000_000 + $0 * step } + (5_000..<6_500).map { $0 * 1_000_000 }
    let rows = try ClockGuardTests.sequenced(times, try ClockGuardTests.plan(text), sizes: { 333 })
    let ahead: Int64 = text.isEmpty ? 86_400_000_000 : 3_600_000_000
    let late = zip(rows, times).dropFirst(1_500 + Int(points)).filter { $0.watermark > $1! + ahead / 4 || $0.isRejected }
    #expect(late.count == 0)
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
      let undecided = try sequencer.sequence(&block)
      #expect(undecided == nil)
      #expect(block.columns.verdict.map { $0 == PreparedBlock.Verdict.rejected } == rejected)
    }
  }
}
