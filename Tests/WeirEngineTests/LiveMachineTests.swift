import Testing
import WeirCore
import WeirOperators
import WeirProtocol
@testable import WeirEngine

@Suite struct LaneStandingTests {
  private let idle: Int64 = 100

  @Test func aShardWithoutRecordsForLongGoesIdleByADecision() {
    var lane = LaneStanding(isIdle: false)
    let result1 = lane.cut(at: 1_000, idleNanoseconds: idle)
    #expect(result1 == nil, "nobody says that it has nothing")
    lane.caughtUp(at: 1_000)
    lane.caughtUp(at: 1_090)
    #expect(lane.due(at: 1_099, idleNanoseconds: idle) == nil)
    let result2 = lane.cut(at: 1_100, idleNanoseconds: idle)
    #expect(result2 == .idle)
    let result3 = lane.cut(at: 9_000, idleNanoseconds: idle)
    #expect(result3 == nil, "it is on its way")
    let result4 = lane.committed()
    #expect(result4 == false)
    #expect(lane.state == .idle)
  }

  @Test func aRecordStartsTheIdleTimeAgain() {
    var lane = LaneStanding(isIdle: false)
    lane.caughtUp(at: 0)
    let result5 = lane.arrived(at: idle)
    #expect(result5)
    #expect(lane.due(at: 1_000_000, idleNanoseconds: idle) == nil)
    lane.caughtUp(at: 1_000_000)
    #expect(lane.due(at: 1_000_050, idleNanoseconds: idle) == nil)
    #expect(lane.due(at: 1_000_100, idleNanoseconds: idle) == .idle)
  }

  /// The race: the decision is on its way to the ledger, and a record comes.
  @Test func aRecordIsHeldFromTheIdleDecisionUntilTheWakingEntry() {
    var lane = LaneStanding(isIdle: false)
    lane.caughtUp(at: 0)
    let result6 = lane.cut(at: idle, idleNanoseconds: idle)
    #expect(result6 == .idle)
    let result7 = lane.arrived(at: idle)
    #expect(result7 == false)
    #expect(lane.due(at: idle, idleNanoseconds: idle) == nil, "one decision after the other")
    let result8 = lane.committed()
    #expect(result8 == false)
    let result9 = lane.cut(at: idle + 1, idleNanoseconds: idle)
    #expect(result9 == .wake)
    let result10 = lane.arrived(at: idle)
    #expect(result10 == false)
    let result11 = lane.committed()
    #expect(result11, "now it goes on")
    let result12 = lane.arrived(at: idle)
    #expect(result12)
  }

  @Test func aLaneThatTheLedgerHasAsIdleWakesByADecision() {
    var lane = LaneStanding(isIdle: true)
    #expect(lane.due(at: 0, idleNanoseconds: idle) == nil)
    let result13 = lane.arrived(at: idle)
    #expect(result13 == false)
    let result14 = lane.cut(at: 0, idleNanoseconds: idle)
    #expect(result14 == .wake)
  }
}

/// The recorded clock by which event times are judged.
@Suite struct LaneClockTests {
  private let idle: Int64 = 1_000_000

  @Test func recordsAreHeldWhileTheRecordedClockIsOldAndGoOnWhenAFreshOneIsCommitted() {
    var lane = LaneStanding(isIdle: false, refreshNanoseconds: 100, clockReadAt: 0)
    var goesOn = lane.arrived(at: 99)
    #expect(goesOn)
    goesOn = lane.arrived(at: 100)
    #expect(!goesOn, "the clock is old")
    #expect(lane.due(at: 100, idleNanoseconds: idle) == .clock)
    var due = lane.cut(at: 110, idleNanoseconds: idle)
    #expect(due == .clock)
    due = lane.cut(at: 120, idleNanoseconds: idle)
    #expect(due == nil, "it is on its way")
    goesOn = lane.committed()
    #expect(goesOn)
    goesOn = lane.arrived(at: 209)
    #expect(goesOn, "good from the time when it was read")
    goesOn = lane.arrived(at: 210)
    #expect(!goesOn)
  }

  @Test func aWakingLaneNeedsNoSecondEntryForItsClock() {
    var lane = LaneStanding(isIdle: true, refreshNanoseconds: 100, clockReadAt: 0)
    var goesOn = lane.arrived(at: 500)
    #expect(!goesOn)
    let due = lane.cut(at: 510, idleNanoseconds: idle)
    #expect(due == .wake)
    goesOn = lane.committed()
    #expect(goesOn)
    goesOn = lane.arrived(at: 520)
    #expect(goesOn)
  }

  @Test func aLaneThatHasNothingDoesNotAskForAClock() {
    var lane = LaneStanding(isIdle: false, refreshNanoseconds: 100, clockReadAt: 0)
    lane.caughtUp(at: 50)
    #expect(lane.due(at: 900, idleNanoseconds: idle) == nil)
    #expect(lane.due(at: 50 + idle, idleNanoseconds: idle) == .idle)
  }
}

@Suite struct EpochTriggerTests {
  @Test func cutsByAgeByBytesAndByDecision() {
    var trigger = EpochTrigger(everyNanoseconds: 10, bytesMax: 100, now: 0)
    #expect(!trigger.isDue(at: 9, bytes: 99, isWanted: false))
    #expect(trigger.isDue(at: 10, bytes: 0, isWanted: false))
    #expect(trigger.isDue(at: 0, bytes: 100, isWanted: false))
    #expect(trigger.isDue(at: 0, bytes: 0, isWanted: true))
    trigger.cut(at: 10)
    #expect(!trigger.isDue(at: 19, bytes: 0, isWanted: false))
  }
}

@Suite struct PlacementTests {
  /// What Java's and librdkafka's producers do; from their own tests and from confluent-kafka.
  @Test(arguments: [
    (Partitioner.crc32, "kafka", UInt32(0xd067cf64)), (.crc32, "giberish123456789", 0x8f552b0c),
    (.fnv1a, "kafka", 0xd33c4e1), (.fnv1a, "giberish123456789", 0x77a58295),
    (.murmur2, "kafka", 0xd067cf64), (.murmur2, "giberish123456789", 0x8f552b0c),
  ]) func hashesAreThoseOfTheProducers(_ rule: Partitioner, _ key: String, _ expected: UInt32) {
    var key = key
    key.withUTF8 { bytes in
      switch rule {
      case .murmur2: #expect(rule.shard(of: bytes, count: 1 << 31) == Int(expected & 0x7fff_ffff))
      case .fnv1a: #expect(FNV1a.hash(bytes) == expected)
      case .crc32:
        // The check value of CRC-32/ISO-HDLC.
        #expect(Array("123456789".utf8).withUnsafeBufferPointer { CRC32.checksum($0) } == 0xCBF4_3926)
      }
    }
  }
}

@Suite struct MissingShardsTests {
  private func shards(_ names: [String]) -> [SourceShard] {
    names.map { SourceShard(name: $0, stream: String($0.split(separator: "/")[0]), number: 0) }
  }

  @Test func aStreamThatLostAShardIsAnotherOneAndAStreamThatIsGoneIsNot() {
    #expect(MissingShards(["a/0", "a/2", "a/1", "b/0"], of: shards(["a/0"])).names == ["a/1", "a/2"])
    #expect(MissingShards(["a/0"], of: shards(["a/0", "a/1", "b/0"])).names.isEmpty)
  }
}

@Suite struct GroupWatchTests {
  private func watch() -> GroupWatch { GroupWatch(silenceNanoseconds: 100, handOverNanoseconds: 10) }

  @Test func silenceCountsFromJoiningAndFromGivingBackAndEndsWithAnyAnswer() {
    var watch = watch()
    #expect(watch.verdict(at: 1_000) == .fine, "it has asked for nothing")
    watch.joined(at: 1_000)
    #expect(watch.verdict(at: 1_100) == .fine)
    #expect(watch.verdict(at: 1_101) == .silent(nanoseconds: 101))
    watch.assigned()
    #expect(watch.verdict(at: 9_000) == .fine)
    watch.revoked(at: 9_000, isLost: false)
    watch.released(at: 9_005)
    #expect(watch.verdict(at: 9_105) == .fine)
    #expect(watch.verdict(at: 9_106) == .silent(nanoseconds: 101))
  }

  @Test func aHandOverIsLateBehindItsDeadlineAndALossNever() {
    var watch = watch()
    watch.revoked(at: 0, isLost: false)
    #expect(watch.verdict(at: 10) == .fine)
    #expect(watch.verdict(at: 11) == .late)
    watch.revoked(at: 20, isLost: true)
    #expect(watch.verdict(at: 1_000) == .fine)
  }
}

@Suite struct KeepingScheduleTests {
  @Test func collectionComesEightTimesAKeepAndOnceAnHourAtMost() {
    let second: Int64 = 1_000_000_000
    var short = KeepingSchedule(keepMicroseconds: 80_000_000, now: 0)
    let result1 = short.isDue(at: 10 * second - 1)
    let result2 = short.isDue(at: 10 * second)
    let result3 = short.isDue(at: 11 * second)
    #expect(!result1 && result2 && !result3)
    var long = KeepingSchedule(keepMicroseconds: 7 * 86_400_000_000, now: 0)
    let result4 = long.isDue(at: 3_599 * second)
    let result5 = long.isDue(at: 3_600 * second)
    #expect(!result4 && result5)
    var none = KeepingSchedule(keepMicroseconds: 0, now: 0)
    let result6 = none.isDue(at: second - 1)
    #expect(!result6, "not with every commit")
    long.isDueSooner()
    #expect(long.dueAt == 3_660 * second, "what one collection has left is collected a minute later")
  }
}
