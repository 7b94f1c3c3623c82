import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirEngine

@Suite(.timeLimit(.minutes(10))) struct CoordinationTests {
  @Test func aRingThatComesWhileTheLoopWorksEndsItsNextWaitAndOnlyThatOne() async {
    let (alarm, clock) = (Alarm(), ManualClock(.waits))
    alarm.ring()
    alarm.ring()
    await alarm.wait(until: nil, clock)
    let isOver = Flag()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        await alarm.wait(until: 100, clock)
        isOver.raise()
      }
      while !alarm.isWaiting || clock.sleepers < 1 { await Task.yield() }
      #expect(!isOver.isRaised, "both rings were taken by the first wait")
      clock.advance(by: 100)
    }
    #expect(isOver.isRaised)
  }

  @Test func aRingEndsAWaitBeforeItsMomentAndItsSleepWithIt() async {
    let (alarm, clock) = (Alarm(), ManualClock(.waits))
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await alarm.wait(until: 100, clock) }
      while !alarm.isWaiting || clock.sleepers < 1 { await Task.yield() }
      alarm.ring()
    }
    #expect(clock.sleepers == 0)
    #expect(clock.monotonicNanoseconds == 0)
  }

  @Test func newsOfALaterMomentDoNotWakeALoopThatLooksEarlierAnyway() async {
    let (alarm, clock) = (Alarm(), ManualClock(.waits))
    let isOver = Flag()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        await alarm.wait(until: 100, clock)
        isOver.raise()
      }
      while !alarm.isWaiting || clock.sleepers < 1 { await Task.yield() }
      alarm.ring(by: 100)
      alarm.ring(by: 5000)
      #expect(clock.sleepers == 1 && !isOver.isRaised)
      alarm.ring(by: 99)
    }
    #expect(clock.monotonicNanoseconds == 0)
  }

  @Test func aWaitForAMomentThatHasPassedDoesNotSleep() async {
    let (alarm, clock) = (Alarm(), ManualClock(.waits))
    await alarm.wait(until: 0, clock)
    await Flag().wait(until: -5, clock)
    #expect(clock.sleepers == 0)
  }

  @Test func raisingAFlagEndsEveryWaitForItAndCallsItsWatchersOnce() async {
    let (flag, clock) = (Flag(), ManualClock(.waits))
    let calls = Mutex<[String]>([])
    flag.whenRaised { calls.withLock { $0.append("first") } }
    let unwanted = flag.whenRaised { calls.withLock { $0.append("unwanted") } }
    flag.forget(unwanted)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await flag.wait() }
      group.addTask { await flag.wait(until: 1_000_000, clock) }
      while clock.sleepers < 1 { await Task.yield() }
      flag.raise()
      flag.raise()
    }
    flag.whenRaised { calls.withLock { $0.append("late") } }
    await flag.wait()
    #expect(calls.withLock { $0 } == ["first", "late"])
    #expect(clock.sleepers == 0)
  }

  @Test func aWaitForAFlagEndsAtItsMomentAndWhenItsTaskIsCancelled() async {
    let (flag, clock) = (Flag(), ManualClock(.waits))
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await flag.wait(until: 100, clock) }
      while clock.sleepers < 1 { await Task.yield() }
      clock.advance(by: 100)
    }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await flag.wait() }
      group.cancelAll()
    }
    #expect(!flag.isRaised)
  }

  // MARK: What the loops wait for

  @Test func theWatchOverTheGroupIsDueWhenItsVerdictChangesAndNotBefore() {
    var watch = GroupWatch(silenceNanoseconds: 100, handOverNanoseconds: 10)
    #expect(watch.verdictIsDueAt == nil)
    watch.joined(at: 5)
    #expect(watch.verdictIsDueAt == 106)
    #expect(watch.verdict(at: 105) == .fine)
    #expect(watch.verdict(at: 106) == .silent(nanoseconds: 101))
    watch.assigned()
    #expect(watch.verdictIsDueAt == nil)
    watch.revoked(at: 200, isLost: false)
    #expect(watch.verdictIsDueAt == 211)
    #expect(watch.verdict(at: 210) == .fine)
    #expect(watch.verdict(at: 211) == .late)
  }

  /// The loop sleeps until ``LaneStanding/dueAt(idleNanoseconds:)``: were it later than ``LaneStanding/due(at:idleNanoseconds:)``, a cut
  /// would be late; were it earlier, the loop would never sleep.
  @Test func aLanesDecisionIsDueExactlyFromTheTimeThatIsSaid() {
    func check(_ lane: LaneStanding, at now: Int64, _ comment: Comment) {
      let at = lane.dueAt(idleNanoseconds: 50)
      #expect((lane.due(at: now, idleNanoseconds: 50) != nil) == (at.map { $0 <= now } ?? false), comment)
    }
    var lane = LaneStanding(isIdle: false)
    check(lane, at: 10, "awake")
    lane.caughtUp(at: 10)
    #expect(lane.dueAt(idleNanoseconds: 50) == 60)
    for now in [10, 59, 60, 61] as [Int64] { check(lane, at: now, "caught up") }
    let idles = lane.cut(at: 60, idleNanoseconds: 50)
    #expect(idles == .idle)
    check(lane, at: 61, "idling")
    _ = lane.committed()
    check(lane, at: 100, "idle")
    let goesOn = lane.arrived(at: 100)
    #expect(!goesOn)
    #expect(lane.dueAt(idleNanoseconds: 50) == .min)
    check(lane, at: 100, "a record waits")
    let wakes = lane.cut(at: 100, idleNanoseconds: 50)
    #expect(wakes == .wake)
    check(lane, at: 1000, "waking")
    _ = lane.committed()
    check(lane, at: 1000, "awake again")
  }

  @Test func aGateRingsWhenTheEpochIsFullAndNotBefore() async {
    let (alarm, clock) = (Alarm(), ManualClock(.waits))
    let gate = InputGate(bytesMax: 100, rule: CutRule(MemoryBudget(configured: 128 << 20, available: nil)), alarm: alarm)
    await gate.admit(60)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await alarm.wait(until: 1000, clock) }
      while !alarm.isWaiting || clock.sleepers < 1 { await Task.yield() }
      await gate.admit(60)
    }
    #expect(clock.monotonicNanoseconds == 0)
    #expect(await gate.bytes == 120)
  }

  @Test func aFlushStretchesItsIntervalAndOneThatWasSleptThroughDoesNotStretchItForHours() {
    var spec = StoreSpec()
    (spec.flushMicroseconds, spec.share) = (100_000, 0.1)
    #expect(StateFlusher.next(after: 5, took: 1_000_000, spec) == 5 + 100_000_000)
    #expect(StateFlusher.next(after: 5, took: 50_000_000, spec) == 5 + 500_000_000)
    #expect(StateFlusher.next(after: 5, took: 3_600_000_000_000, spec) == 5 + 100_000_000_000)
  }
}
