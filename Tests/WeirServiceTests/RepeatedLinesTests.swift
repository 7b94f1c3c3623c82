import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirEngine
@testable import WeirReport
@testable import WeirPlan
@testable import WeirObserve
@testable import WeirCommands
@testable import WeirProtocol

@Suite struct RepeatedLinesTests {
  private static let second: Int64 = 1_000_000_000
  private static let refused =
    "kafka FAIL: rdkafka#consumer-1: [thrd:127.0.0.1:4444/1]: 127.0.0.1:4444/1: Connect to ipv4#127.0.0.1:4444 failed: Connection refused (after 0ms in state CONNECT)"

  @Test func aLineThatComesAgainAndAgainIsToldAtGrowingIntervalsWithHowOftenItCame() {
    var lines = RepeatedLines()
    var told: [(second: Int64, untold: Int64)] = []
    for second in 0..<1000 as Range<Int64> {
      switch lines.came(RepeatedLinesTests.refused, at: second * RepeatedLinesTests.second) {
      case .tell: told.append((second, 0))
      case .tellAgain(let untold, _): told.append((second, untold))
      case .hold: break
      }
    }
    #expect(told.map(\.second) == [0, 60, 180, 420, 900])
    #expect(told.map(\.untold) == [0, 59, 119, 239, 479])
    #expect(lines.held == 995)
    let rest = lines.takeUntold()
    #expect(rest.map(\.times) == [1000] && rest.map(\.nanoseconds) == [999 * RepeatedLinesTests.second])
    #expect(lines.takeUntold().isEmpty)
  }

  @Test func theIntervalGrowsToItsBoundAndNoFurther() {
    var lines = RepeatedLines()
    let told = (0..<100_000 as Range<Int64>).filter { lines.came("x", at: $0 * RepeatedLinesTests.second) != .hold }
    let gaps = zip(told.dropFirst(), told).map { $0 - $1 }
    #expect(gaps.max() == RepeatedLines.intervalMax / RepeatedLinesTests.second && gaps.first == 60)
    #expect(gaps == gaps.sorted())
  }

  @Test func whatIsOverIsSaidOnceAndBeginsAnew() {
    var lines = RepeatedLines()
    for second in 0..<30 as Range<Int64> { _ = lines.came("a line", at: second * RepeatedLinesTests.second) }
    _ = lines.came("another, once", at: 0)
    let quiet = 29 * RepeatedLinesTests.second + RepeatedLines.quietNanoseconds
    #expect(lines.takeOver(at: quiet - 1).isEmpty)
    #expect(lines.takeOver(at: quiet) == [.init(words: "a line", times: 30, nanoseconds: 29 * RepeatedLinesTests.second)])
    #expect(lines.takeOver(at: quiet * 2).isEmpty)
    let again = lines.came("a line", at: quiet * 2)
    #expect(again == .tell)
  }

  @Test func kindsAreBoundedAndThoseBeyondTheBoundShareOne() {
    var lines = RepeatedLines()
    let told = (0..<1000).filter { lines.came("broker-\($0):9092 is away", at: 0) != .hold }
    #expect(told.count == RepeatedLines.kindsMax + 1)
    #expect(lines.held == Int64(1000 - told.count))
    // They are forgotten when they are over, and there is room again.
    _ = lines.takeOver(at: RepeatedLines.quietNanoseconds)
    let after = lines.came("broker-999:9092 is away", at: RepeatedLines.quietNanoseconds)
    #expect(after == .tell)
  }

  @Test(arguments: [
    (
      "Connect to ipv4#127.0.0.1:4444 failed (after 0ms in state CONNECT)",
      "Connect to ipv4#127.0.0.1:4444 failed (after 113ms in state CONNECT)"
    ),
    ("rdkafka#consumer-1: 1/3 brokers are down", "rdkafka#consumer-27: 3/3 brokers are down"),
    ("no answer for 36 s", "no answer for 12.5 s"), ("at 2026-01-31T00:00:00.123Z", "at 2026-11-21T23:59:59Z"),
    ("since 12:00:01", "since 07:31:59"),
    ("member rdkafka-8d3b1f0e-77aa-4bcd-abcd-0242ac120002", "member rdkafka-1234abcd-0000-4aaa-ffff-aaaaaaaaaaaa"),
    ("(after 0ms in state CONNECT) (_TRANSPORT)", "(after 0ms in state CONNECT, 4 identical error(s) suppressed) (_TRANSPORT)"),
    ("[thrd:10.0.0.1:9092/bootstrap]: 10.0.0.1:9092/1: gone", "[thrd:10.0.0.1:9092/1]: 10.0.0.1:9092/bootstrap: gone"),
    ("t [0]: gone", "t [11]: gone"),
  ]) func numbersTimesAndIdsMakeNoOtherKind(_ one: String, _ other: String) {
    #expect(LineKind.of(one) == LineKind.of(other))
  }

  @Test(arguments: [
    ("Connect to ipv4#127.0.0.1:4444 failed", "Connect to ipv4#127.0.0.1:4445 failed"), ("kafka-1:9092/1: gone", "kafka-2:9092/1: gone"),
    ("broker 10.0.0.1 refuses", "broker 10.0.0.2 refuses"), ("fe80::1 refuses", "fe80::2 refuses"),
    ("(1 identical error(s) suppressed) (_TRANSPORT)", "(1 identical error(s) suppressed) (_TIMED_OUT)"),
    ("cannot read a: gone", "cannot read b: gone"),
  ]) func anotherAddressCodeOrWordIsAnotherKind(_ one: String, _ other: String) {
    #expect(LineKind.of(one) != LineKind.of(other))
  }

  @Test func aLongLineMakesNoLongKind() {
    #expect(LineKind.of(String(repeating: "word ", count: 10_000)).utf8.count <= LineKind.bytesMax)
    #expect(LineKind.of("") == LineKind.of(" \n"))
  }
}

@Suite struct RepeatingLogTests {
  private final class Told: Sendable {
    private let all = Mutex("")
    var lines: [Substring] { all.withLock { $0.split(separator: "\n") } }
    var console: Console { Console { bytes, _ in self.all.withLock { $0 += String(decoding: bytes, as: UTF8.self) } } }
  }

  private struct NoHost: AdminHost {
    func start(_ address: AdminAddress, respond: @escaping @Sendable (AdminRequest) async -> AdminResponse) async throws -> Int { 0 }
    func stop() async {}
  }

  @Test func anErrorOfThePipelineFileIsOneLineOfJSONInWhichNoNameStandsTwice() async throws {
    let told = Told()
    let options = RunOptions(pipeline: "/not/there.yaml", lake: nil, store: nil, brokers: nil, json: false, logFormat: .json)
    #expect(try await RunCommand.run(options, host: NoHost(), console: told.console) == 2)
    let line = try JSONValue(parsing: Array(try #require(told.lines.first).utf8))
    let names = try #require(line.members).map(\.name)
    #expect(names.count == Set(names).count, "\(names)")
    #expect(
      told.lines.count == 1 && line["event"]?.string == "plan_error" && line["code"]?.string == "no_file"
        && line["level"]?.string == "error")
    #expect(line["message"]?.string?.contains("/not/there.yaml") == true && line["line"]?.int == 1)
  }

  private static let away = WeirError(.unavailable, "1/1 brokers are down (_ALL_BROKERS_DOWN)")

  @Test func aWorkerWhoseBrokersAreAwayTellsItOnceAMinuteAndThatItIsOverOnce() {
    let (clock, told) = (ManualClock(.ends), Told())
    let log = Log(told.console, format: .text, level: .info, clock: clock)
    let report = RunReport(log: log, json: false, isDebugging: false, clock: clock)
    for second in 0..<150 as Range<Int64> {
      clock.set(seconds: second)
      for _ in 0..<10 {
        report.log(3, "FAIL", "[thrd:127.0.0.1:4444/1]: Connect failed (after \(second)ms in state CONNECT)")
        report.tell(.trouble(RepeatingLogTests.away))
      }
      log.tellOver()
    }
    let lines = told.lines
    #expect(lines.count { $0.hasPrefix("kafka FAIL: ") } == 2)
    #expect(lines.contains { $0.hasSuffix("(after 60ms in state CONNECT) (and 599 more like it in the last 60 s)") })
    #expect(lines.count { $0.hasPrefix("weir: 1/1 brokers") } == 2)
    #expect(log.held == 3000 - 4)
    clock.set(seconds: 500)
    for _ in 0..<10 { log.tellOver() }
    #expect(
      told.lines.dropFirst(lines.count).map(String.init).sorted() == [
        "ended (none for 60 s): kafka FAIL: [thrd:127.0.0.1:4444/1]: Connect failed (after 0ms in state CONNECT): 1,500 times in 149 s",
        "ended (none for 60 s): weir: 1/1 brokers are down (_ALL_BROKERS_DOWN): 1,500 times in 149 s",
      ])
  }

  @Test func aLogOfJSONSaysItInFields() throws {
    let (clock, told) = (ManualClock(.ends), Told())
    var log = Log(told.console, format: .json, level: .info, clock: clock)
    log.fields = [.init("pipeline", .string("p"))]
    for second in 0...60 as ClosedRange<Int64> {
      clock.set(seconds: second)
      log.trouble(RepeatingLogTests.away)
    }
    log.trouble(RepeatingLogTests.away)
    log.end()
    let lines = try told.lines.map { try JSONValue(parsing: Array($0.utf8)) }
    #expect(lines.map { $0["event"]?.string } == ["trouble", "trouble", "repeats_ended"])
    #expect(lines[1]["suppressed"]?.int == 59 && lines[1]["suppressed_seconds"]?.int == 60 && lines[1]["code"]?.string == "unavailable")
    #expect(lines[2]["times"]?.int == 62 && lines[2]["seconds"]?.int == 60 && lines[2]["pipeline"]?.string == "p")
  }

  /// Of a state table with a sum that no double can hold.
  @Test func theSummaryOfAWorkerHasNoLineTwice() {
    let (clock, told) = (ManualClock(.ends), Told())
    let log = Log(told.console, format: .text, level: .info, clock: clock)
    let id = LaneID(shard: "t/0")
    var lane = LaneFold(generation: 0, floor: Watermark.minimum)
    var counts = WindowCounts()
    counts.outOfRange = 1
    lane.windows = ["state/u": counts]
    let fold = LedgerFold(
      genesis: Genesis(ledgerID: "l", runID: "r", stream: "s", plan: .null, planHash: "p", lanes: [id]), number: 1, hash: "h",
      lanes: [id: lane], lookups: [:], tables: [:], partitioners: [:], mergedWatermark: Watermark.minimum)
    var progress = WorkerProgress()
    (progress.memoryPeak, progress.memoryBudget) = (1 << 20, 64 << 20)
    RunReport(log: log, json: false, isDebugging: false, clock: clock).end(progress, fold)
    #expect(told.lines.count { $0.hasPrefix("null  ") } == 1 && told.lines.count { $0.hasPrefix("memory  ") } == 1, "\(told.lines)")
    #expect(Set(told.lines).count == told.lines.count, "\(told.lines)")
  }

  @Test func whatTheLevelLeavesOutIsNotCountedAndOtherLinesAreToldEachTime() {
    let (clock, told) = (ManualClock(.ends), Told())
    let log = Log(told.console, format: .text, level: .error, clock: clock)
    let report = RunReport(log: log, json: false, isDebugging: false, clock: clock)
    for _ in 0..<10 {
      report.log(3, "FAIL", "gone")
      report.tell(.gap(shard: "t/0", from: 1, to: 2, reason: "trimmed"))
    }
    #expect(told.lines.count == 10 && told.lines.allSatisfy { $0.hasPrefix("LOST: ") })
    #expect(log.held == 0)
  }
}
