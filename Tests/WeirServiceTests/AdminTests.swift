import Testing
import WeirCore

@testable import WeirEngine
@testable import WeirReport
@testable import WeirPlan
@testable import WeirObserve

@Suite struct AdminRequestTests {
  @Test func whatIsLeftOutOfAnAddressIsLoopbackAndThePortOfPrometheusExporters() throws {
    let texts = [
      "9464": "127.0.0.1:9464", "": "127.0.0.1:9464", "worker-1": "worker-1:9464", ":80": "127.0.0.1:80", "0.0.0.0:0": "0.0.0.0:0",
      "[::1]:99": "[::1]:99", "[::1]": "[::1]:9464",
    ]
    for (text, wanted) in texts { #expect(try AdminAddress(text).text == wanted) }
    #expect(try AdminAddress("[::1]:1").isLoopback && AdminAddress("127.0.0.9").isLoopback && !AdminAddress("0.0.0.0").isLoopback)
  }

  @Test(arguments: [
    "h:x", "h:70000", "h:-1", "a b:1", "http://h:1", "[::1]x", "256.1.1.1:1", "u@h:1", "[::g]:1", "[::1\0]:1", "::%[1]990:2", "::1:9464",
    "[::1].h:1", "[::1%]:1",
    "h:1:2",
  ])
  func whatIsNoAddressIsRefused(_ text: String) {
    #expect(throws: WeirError.self) { try AdminAddress(text) }
  }

  @Test func partsOfAPathAreDecodedOneByOne() {
    let request = AdminRequest(method: "GET", target: "/state/users/a%2Fb/%C3%A9/?null=x&null=%20y", hosts: [])
    #expect(request.path == ["state", "users", "a/b", "é", ""])
    #expect(request.query.map(\.value) == ["x", " y"])
    #expect(AdminRequest(method: "GET", target: "/live/", hosts: []).path == ["live"])
    for broken in ["/state/%zz", "/state/%4", "/state/%ff"] {
      #expect(AdminRequest(method: "GET", target: broken, hosts: []).isMalformed)
    }
    let absolute = AdminRequest(method: "GET", target: "http://localhost:1/state/t/k?null=x", hosts: [])
    #expect(absolute.path == ["state", "t", "k"] && absolute.query.map(\.value) == ["x"])
    #expect(AdminRequest(method: "GET", target: "http://localhost?a=b", hosts: []).path == [])
  }
}

@Suite struct StallTests {
  static let spec = {
    var spec = WorkerSpec()
    spec.stallMicroseconds = 10_000_000
    spec.deadMicroseconds = 30_000_000
    return spec
  }()

  /// A lane with 5 unread records that has stood still.
  static func snapshot(still seconds: Int64, _ activity: LaneReading.Activity, surveyed: Int64? = 1, unread: Int64 = 5) -> LiveSnapshot {
    var lane = LiveSnapshot.Lane(shard: "t/0")
    lane.isHeld = true
    lane.activity = activity
    lane.position = 100
    lane.stillNanoseconds = seconds * 1_000_000_000
    lane.bounds = ShardBounds(low: 0, high: .offset(100 + unread))
    var snapshot = LiveSnapshot()
    snapshot.lanes = [lane]
    snapshot.surveyNanoseconds = surveyed.map { $0 * 1_000_000_000 }
    snapshot.stage = .writing
    snapshot.stageNanoseconds = 7_000_000_000
    return snapshot
  }

  @Test(arguments: [
    (LiveSnapshot.Stage.idle, LaneReading.Activity.reading, "delivers no more records", false),
    (.idle, .working, "delivers no more records", true),
    (.writing, .reading, "files are being written to the lake for 40 s", true),
  ])
  func aReplayIsStalledAsAWholeAndAPipeThatPausesIsNoReasonToKillIt(
    stage: LiveSnapshot.Stage, activity: LaneReading.Activity, words: String, isOwn: Bool
  ) throws {
    var snapshot = Self.snapshot(still: 40, activity)
    snapshot.readsCapture = true
    snapshot.lanes[0].bounds = nil
    (snapshot.stage, snapshot.stageNanoseconds) = (stage, 40_000_000_000)
    // A lane of another partition, whose records come later in the capture.
    var other = snapshot.lanes[0]
    (other.shard, other.activity) = ("t/1", .reading)
    snapshot.lanes.append(other)
    if activity == .working { snapshot.lanes.removeLast() }
    var watch = Self.watch()
    let word = try #require(watch.look(snapshot, joining: nil).first)
    guard case .stalled(nil, 40, let waitsFor) = word else { Issue.record("\(word)"); return }
    #expect(waitsFor.contains(words))
    #expect((watch.death != nil) == isOwn)
    snapshot.lanes[0].stillNanoseconds = 1
    #expect(watch.look(snapshot, joining: nil) == [.goesOn(lane: nil)])
  }

  static func watch() -> StallWatch { StallWatch(spec, flushEveryMicroseconds: 1_000_000) }

  @Test(arguments: [(LaneReading.Activity.resolving, false, "registry"), (.bounded, true, "topic"), (.bounded, false, "commit")])
  func whoeverWaitsForARegistryOrATopicIsNotKilledForIt(_ activity: LaneReading.Activity, _ waitsForTopics: Bool, _ word: String) {
    var snapshot = StallTests.snapshot(still: 1000, activity)
    snapshot.waitsForTopics = waitsForTopics
    var watch = StallTests.watch()
    guard case .stalled(_, _, let waitsFor)? = watch.look(snapshot, joining: nil).first else {
      return #expect(Bool(false), "it is told either way")
    }
    #expect(waitsFor.contains(word) && (watch.death == nil) == (word != "commit"), "\(waitsFor)")
  }

  @Test func aGroupThatDoesNotAnswerIsTheWorkersMatterAsLongAsTheSourceAnswers() {
    func death(surveyed: Int64?) -> Bool {
      var snapshot = LiveSnapshot()
      snapshot.surveyNanoseconds = surveyed.map { $0 * 1_000_000_000 }
      var watch = StallTests.watch()
      _ = watch.look(snapshot, joining: 1_000_000_000_000)
      #expect(watch.findings.count == 1, "it is told either way")
      return watch.death != nil
    }
    #expect(death(surveyed: 5) && death(surveyed: nil))
    #expect(!death(surveyed: 31), "the source is away: a new process would not help")
  }

  @Test func aLaneThatDoesNotMoveWithRecordsToReadIsToldOnceWithWhatItWaitsFor() {
    var watch = StallTests.watch()
    #expect(watch.look(StallTests.snapshot(still: 9, .bounded), joining: nil) == [])
    let waitsFor = "the commit of an epoch that has reached its maximum size; files are being written to the lake for 7 s"
    #expect(watch.look(StallTests.snapshot(still: 11, .bounded), joining: nil) == [.stalled(lane: "t/0", seconds: 11, waitsFor: waitsFor)])
    #expect(watch.look(StallTests.snapshot(still: 12, .bounded), joining: nil) == [])
    #expect(watch.death == nil)
    #expect(watch.look(StallTests.snapshot(still: 111, .bounded), joining: nil).count == 1)
    #expect(watch.death?.lane == "t/0")
    #expect(watch.look(StallTests.snapshot(still: 0, .working), joining: nil) == [.goesOn(lane: "t/0")])
    #expect(watch.death == nil && watch.findings.isEmpty)
  }

  @Test func withoutRecordsToReadNothingIsStalled() {
    var watch = StallTests.watch()
    #expect(watch.look(StallTests.snapshot(still: 1000, .reading, unread: 0), joining: nil) == [])
  }

  @Test func aSourceThatDoesNotAnswerIsAStallButNoDeath() {
    var watch = StallTests.watch()
    #expect(watch.look(StallTests.snapshot(still: 100, .reading, surveyed: 100), joining: nil).count == 1)
    #expect(watch.death == nil)
    _ = watch.look(StallTests.snapshot(still: 100, .reading, surveyed: 2), joining: nil)
    #expect(watch.death != nil)
  }

  @Test func whatIsConsumedAndNotCommittedBeyondTheAgeOfAnEpochIsAStall() {
    var snapshot = StallTests.snapshot(still: 40, .reading, unread: 0)
    snapshot.monotonicNanoseconds = 50_000_000_000
    snapshot.lanes[0].ledger = LiveSnapshot.LedgerLane(
      position: 90, epoch: 3, generation: 0, watermark: 0, isIdle: false, accepted: 0, duplicate: 0, filtered: 0, quarantined: 0,
      stateBytes: 0, seenAt: 10_000_000_000)
    var watch = StallTests.watch()
    #expect(watch.look(snapshot, joining: nil).count == 1)
    #expect(watch.findings.first?.nanoseconds == 39_000_000_000)
    snapshot.lanes[0].position = 90
    snapshot.lanes[0].bounds = ShardBounds(low: 0, high: 90)
    #expect(watch.look(snapshot, joining: nil) == [.goesOn(lane: "t/0")])
  }

  @Test func aGroupThatDoesNotSayWhichPartitionsIsAStallOfTheWorker() {
    var watch = StallTests.watch()
    #expect(watch.look(LiveSnapshot(), joining: 9_000_000_000) == [])
    #expect(watch.look(LiveSnapshot(), joining: 31_000_000_000).count == 1)
    #expect(watch.death?.lane == nil && watch.death != nil)
  }
}

@Suite struct HealthTests {
  @Test func readyIsWhoHasItsLanesAndStartedStaysTrue() {
    var health = WorkerHealth(now: 0)
    #expect(!health.started.isWell && !health.ready().isWell && health.live(StallTests.watch()).isWell)
    health.saw(.joined(ledger: 3), now: 1)
    #expect(health.started.isWell && !health.ready().isWell && health.name == "joining")
    health.saw(.assigned([:]), now: 2)
    #expect(health.ready().isWell)
    health.saw(.trouble(WeirError(.topicMissing, "a broker is away")), now: 3)
    #expect(health.ready().isWell)
    health.saw(.trouble(WeirError(.fenced, "another")), now: 4)
    #expect(!health.ready().isWell && health.started.isWell && health.since == 4)
    health.saw(.joined(ledger: 4), now: 5)
    health.saw(.assigned(["t/0": 7]), now: 6)
    #expect(health.ready().isWell)
    health.saw(.revoked(["t/0"], isLost: false), now: 7)
    let shared = health.ready(groupIsShared: "the group is shared")
    #expect(shared.isWell && shared.words.contains("the group is shared"), "somebody has to know, and a new start mends nothing")
    #expect(health.ready().isWell, "the group says at once what it gets instead")
    health.saw(.revoked(["t/0"], isLost: true), now: 8)
    #expect(!health.ready().isWell && health.name == "joining" && health.since == 8)
    health.saw(.assigned(["t/0": 7]), now: 9)
    #expect(health.ready().isWell)
    health.drain(now: 7)
    health.saw(.assigned(["t/0": 7]), now: 8)
    #expect(!health.ready().isWell && health.phase == .draining && health.started.isWell)
  }
}

@Suite struct RatioTests {
  @Test func ratiosAreOfTheLastLooks() {
    var ratios = ActivityRatios()
    for second in 0..<30 as Range<Int64> {
      var lane = LiveSnapshot.Lane(shard: "t/0")
      lane.isHeld = true
      // At first it only waits, then it works three of four seconds.
      lane.spentNanoseconds =
        second < 15 ? [.reading: second] : [.reading: 15, .bounded: second - 15, .working: 3 * (second - 15)]
      var snapshot = LiveSnapshot()
      snapshot.lanes = [lane]
      ratios.look(snapshot)
    }
    #expect(ratios.ratios == ["t/0": .init(busy: 0.75, backpressured: 0.25, idle: 0)])
  }
}

@Suite struct LogTests {
  @Test func aMinuteHasSoManyLinesAndTheOthersAreCounted() {
    var budget = LineBudget(linesMax: 2)
    #expect((0..<5).map { _ in budget.admit(at: 1) } == [true, true, false, false, false])
    #expect(budget.takeUntold() == 3 && budget.takeUntold() == 0)
    let next = budget.admit(at: 60_000_000_000)
    #expect(next)
  }

  @Test func aTraceIsReadAsTheRecommendationSays() {
    let id = "4bf92f3577b34da6a3ce929d0e0e4736", span = "00f067aa0ba902b7"
    #expect(TraceContext(traceparent: "00-\(id)-\(span)-01")?.traceID == id)
    #expect(TraceContext(traceparent: "cc-\(id)-\(span)-01-more")?.spanID == span)
    let zeros = String(repeating: "0", count: 32)
    for wrong in [
      "", "00-\(id)-\(span)", "00-\(id)-\(span)-01-more", "ff-\(id)-\(span)-01", "00-\(zeros)-\(span)-01",
      "00-\(id)-0000000000000000-01", "00-\(id.uppercased())-\(span)-01", "0-\(id)-\(span)-01", "00-\(id)-\(span)-0g",
    ] { #expect(TraceContext(traceparent: wrong) == nil) }
    #expect(TraceContext(headers: "[[\"a\",null],[\"TraceParent\",\"00-\(id)-\(span)-00\"]]")?.traceID == id)
    for wrong in ["", "{}", "[[\"traceparent\",{\"hex\":\"00\"}]]", "[[\"trace\",\"00-\(id)-\(span)-00\"]]"] {
      #expect(TraceContext(headers: wrong) == nil)
    }
  }
}
