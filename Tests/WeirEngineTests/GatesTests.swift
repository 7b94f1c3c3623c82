import Synchronization
import Testing
import WeirCore
import WeirOperators
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// Input waits where a bound is reached, and nowhere else.
@Suite struct InputGateTests {
  private let budget = MemoryBudget(configured: 128 << 20, available: nil)

  private final class Counter: Sendable { let count = Atomic(0) }

  private func gate(_ bytesMax: Int64, _ alarm: Alarm = Alarm()) -> InputGate {
    InputGate(bytesMax: bytesMax, rule: CutRule(budget), alarm: alarm)
  }

  /// Whether a block is admitted, as far as it can be seen without waiting.
  private func isAdmitted(_ gate: InputGate, _ bytes: Int64) async -> (Bool, Task<Void, Never>) {
    let flag = Flag()
    let task = Task {
      await gate.admit(bytes)
      flag.raise()
    }
    for _ in 0..<200 where !flag.isRaised { await Task.yield() }
    return (flag.isRaised, task)
  }

  @Test func `a block is admitted below the bound, however large, and waits exactly at it`() async {
    let alarm = Alarm()
    let gate = gate(100, alarm)
    await gate.admit(99)
    #expect(await isAdmitted(gate, 500).0)
    #expect(await gate.bytes == 599)
    let full = self.gate(100)
    await full.admit(100)
    let (isIn, waiting) = await isAdmitted(full, 1)
    #expect(!isIn)
    await full.cut()
    await waiting.value
    #expect(await full.bytes == 1, "of the epoch that began")
  }

  @Test func `an epoch that is full rings, and one that is not does not`() async {
    let (alarm, clock) = (Alarm(), ManualClock(.waits))
    let gate = gate(100, alarm)
    await gate.admit(99)
    let isRung = Flag()
    let waiter = Task {
      await alarm.wait(until: nil, clock)
      isRung.raise()
    }
    while !alarm.isWaiting { await Task.yield() }
    #expect(!isRung.isRaised)
    await gate.admit(1)
    await waiter.value
  }

  @Test func `while a follower is behind nothing is admitted, not even after a cut`() async {
    let gate = gate(100)
    await gate.hold(true)
    let (isIn, waiting) = await isAdmitted(gate, 1)
    #expect(!isIn)
    await gate.cut()
    for _ in 0..<100 { await Task.yield() }
    #expect(await gate.bytes == 0)
    await gate.hold(false)
    await waiting.value
    #expect(await gate.bytes == 1)
  }

  @Test func `at the end all who wait are let through, and later ones too`() async {
    let gate = gate(10)
    await gate.admit(10)
    await gate.hold(true)
    var tasks: [Task<Void, Never>] = []
    for _ in 0..<5 { tasks.append(await isAdmitted(gate, 10).1) }
    await gate.open()
    for task in tasks { await task.value }
    #expect(await isAdmitted(gate, 10).0)
  }

  @Test func `of those that wait at a cut, as many are admitted as the next epoch has room for`() async {
    let gate = gate(10)
    await gate.admit(10)
    let admitted = Counter()
    let tasks = (0..<3).map { _ in
      Task {
        await gate.admit(10)
        admitted.count.add(1, ordering: .relaxed)
      }
    }
    for round in 1...3 {
      for _ in 0..<300 { await Task.yield() }
      await gate.cut()
      while admitted.count.load(ordering: .relaxed) < round { await Task.yield() }
      for _ in 0..<300 { await Task.yield() }
      #expect(admitted.count.load(ordering: .relaxed) == round)
    }
    for task in tasks { await task.value }
  }

  @Test func `an epoch ages from the beginning of its cut`() {
    var trigger = EpochTrigger(everyNanoseconds: 100, bytesMax: 10, now: 7)
    #expect(trigger.ageIsDueAt == 107)
    trigger.cut(at: 50)
    #expect(trigger.ageIsDueAt == 150 && !trigger.isDue(at: 149, bytes: 9, isWanted: false))
    #expect(trigger.isDue(at: 150, bytes: 0, isWanted: false))
  }
}

/// The lanes that a session holds.
@Suite struct HeldLanesTests {
  @Test func `a lane that is taken over is asked for its rows, and one that was given up is held no more`() async throws {
    let bench = try await PartsBench(shards: ["t/10", "t/9"])
    let lanes = HeldLanes(dealt: [])
    #expect(lanes.count == 0 && lanes.actors.isEmpty)
    let clock = ManualClock(.waits)
    let request = LedgerRequest(
      meaning: .string("m"), planHash: "h", lanes: nil, runID: nil, shards: [], describeChange: { _, _ in [] })
    let opened = await OpenedLedger(
      bench.compiled, bench.environment, bench.ledger, request: request, worker: "w", meter: bench.meter)
    let session = await Session(opened, .init())
    func make(_ shard: String) async throws -> ShardLane {
      let id = LaneID(shard: shard)
      let reading = bench.meter.take(shard, position: 0, watermark: Watermark.minimum)
      return ShardLane(try await bench.restorer().shard(id), session, fold: nil, placement: nil, reading: reading)
    }
    let (a, b) = (try await make("t/9"), try await make("t/10"))
    lanes.add(a)
    await lanes.stateNews.wait(until: nil, clock)
    lanes.add(b)
    await lanes.stateNews.wait(until: nil, clock)
    #expect(lanes.inOrder.map(\.id.shard) == ["t/10", "t/9"] && lanes.actors.map(\.id.shard) == ["t/10", "t/9"])
    #expect(lanes[a.id] === a && lanes[LaneID(shard: "t/0")] == nil)
    _ = a.actor.news.take()
    await a.actor.markAllUnflushed(a.id)
    await lanes.stateNews.wait(until: nil, clock)
    lanes.remove([a.id, LaneID(shard: "t/0")])
    #expect(lanes.count == 1 && lanes[a.id] == nil && lanes.inOrder.first === b)
  }
}

/// Idling and waking, against any order of events.
@Suite struct LaneStandingPropertyTests {
  @Test(arguments: Cases.seeds(1..<60, debugStep: 6))
  func `a record is consumed only while the lane is awake with a fresh clock, and whatever is due is due by its time`(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let refresh: Int64? = random.chance(0.5) ? 50 : nil
    let idle: Int64 = 30
    let beginsIdle = random.chance(0.3)
    var lane = LaneStanding(isIdle: beginsIdle, refreshNanoseconds: refresh, clockReadAt: 0)
    var now: Int64 = 0
    // The rules once more: what the ledger says, what is on its way to it, and what was heard since.
    var (isIdle, onItsWay, clockAt, quietSince, isHeld): (Bool, LaneStanding.Due?, Int64, Int64?, Bool) = (beginsIdle, nil, 0, nil, false)
    for _ in 0..<200 {
      now += Int64(random.below(15))
      switch random.below(4) {
      case 0:
        lane.caughtUp(at: now)
        if !isIdle, onItsWay == nil { quietSince = quietSince ?? now }
      case 1:
        let isFresh = refresh.map { now - clockAt < $0 } ?? true
        let consumes = !isIdle && onItsWay == nil && isFresh
        #expect(lane.arrived(at: now) == consumes)
        if consumes { quietSince = nil } else { isHeld = true }
      case 2:
        let expected: LaneStanding.Due? =
          onItsWay != nil
          ? nil : isIdle ? (isHeld ? .wake : nil) : isHeld ? .clock : quietSince.map { now - $0 >= idle } == true ? .idle : nil
        #expect(lane.due(at: now, idleNanoseconds: idle) == expected)
        let dueAt = lane.dueAt(idleNanoseconds: idle)
        #expect((dueAt.map { $0 <= now } ?? false) == (expected != nil))
        let due = lane.cut(at: now, idleNanoseconds: idle)
        #expect(due == expected)
        if let due {
          onItsWay = due
          if due != .idle { clockAt = now }
        }
      default:
        let releases = onItsWay == .wake || onItsWay == .clock
        #expect(lane.committed() == releases)
        if let due = onItsWay {
          isIdle = due == .idle
          if releases { isHeld = false }
          quietSince = nil
          onItsWay = nil
        }
      }
    }
  }
}

/// What is done in shard order. (Guards against wrong clocks: ClockGuardTests.)
@Suite struct SequencerTests {
  private func plan(_ more: String = "") throws -> CompiledPlan { try PartsBench.compiled("silver: {}\n\(more)") }

  private func block(_ times: [Int64?], arrivals: [Int64]? = nil, isAppendTime: Bool = false, _ compiled: CompiledPlan) -> PreparedBlock {
    let records = times.map { at in Array((at.map { SampleRecord(at: $0) } ?? SampleRecord(isBroken: true)).line.utf8.dropLast()) }
    var raw = RawBlock(records: records)
    if let arrivals {
      raw.details = RecordDetails(
        shard: "t/0", positions: times.indices.map { Int64($0) }, arrivals: arrivals, isAppendTime: isAppendTime,
        keyOffset: [UInt32](repeating: 0, count: times.count), keyLength: [Int32](repeating: -1, count: times.count))
    }
    return BlockPreparer(compiled, nil).prepare(raw)
  }

  @Test(arguments: Cases.seeds(1..<20, debugStep: 4))
  func `the watermark at a record is the largest event time up to it less the bound, wherever blocks and restarts fall`(_ seed: UInt64)
    throws
  {
    let compiled = try plan()
    var random = SplitMix64(seed: seed)
    var times = (0..<60).map { _ in random.chance(0.2) ? nil : Int64(random.below(100)) }
    // A record that is not valid has no event time, also where none came before.
    if seed % 2 == 1 { times[0] = nil }
    var sequencer = Sequencer(compiled.plan, maximum: nil, judge: .clock(nil))
    var (watermarks, left): ([Int64], ArraySlice<Int64?>) = ([], times[...])
    while !left.isEmpty {
      let some = left.prefix(random.below(9))
      left = left.dropFirst(some.count)
      var block = block(Array(some), compiled)
      #expect(try sequencer.sequence(&block) == nil)
      watermarks += block.columns.watermark
      if random.chance(0.3) {
        let recorded = sequencer.watermark
        sequencer = Sequencer(
          compiled.plan, maximum: Sequencer.maximum(of: recorded, compiled.plan.record.time), judge: .clock(nil))
        #expect(sequencer.watermark == recorded)
      }
    }
    var (maximum, expected): (Int64?, [Int64]) = (nil, [])
    for time in times {
      if let time { maximum = max(maximum ?? time, time) }
      expected.append(maximum.map { ($0 - 2) * 1_000_000 } ?? Watermark.minimum)
    }
    #expect(watermarks == expected)
  }

  @Test func `ends of watermarks belong to no event time`() throws {
    let time = try plan().plan.record.time
    #expect(Sequencer.maximum(of: Watermark.minimum, time) == nil && Sequencer.maximum(of: Watermark.maximum, time) == nil)
    #expect(Sequencer.maximum(of: 5, nil) == nil)
    #expect(Sequencer.maximum(of: 5, time) == 2_000_005)
  }

  @Test func `an arrival is the source's, else the event time, else the watermark before the record, else none`() throws {
    let compiled = try plan()
    var sequencer = Sequencer(compiled.plan, maximum: nil, judge: .clock(nil))
    var first = block([nil, 50, nil], compiled)
    #expect(try sequencer.sequence(&first) == nil)
    #expect(first.arrival == [0, 50_000_000, 48_000_000] && first.arrivalSource == [2, 0, 1])
    let none = RecordDetails.noArrival
    for isAppendTime in [false, true] {
      var second = block([51, 52], arrivals: [none, 49_000_000], isAppendTime: isAppendTime, compiled)
      #expect(try sequencer.sequence(&second) == nil)
      #expect(second.arrival == [51_000_000, 49_000_000] && second.arrivalSource == [0, isAppendTime ? 4 : 3])
    }
  }

  @Test func `the first record that fails a check with else fail ends the run, whichever check it is`() throws {
    let checks = "checks:\n  - {name: late, that: n < 3, else: fail}\n  - {name: early, that: n < 2, else: fail}\n"
    let compiled = try plan(checks)
    func error(_ numbers: [Int64]) throws -> WeirError? {
      var sequencer = Sequencer(compiled.plan, maximum: nil, judge: .clock(nil))
      let records = numbers.map { Array(SampleRecord(n: $0).line.utf8.dropLast()) }
      var block = BlockPreparer(compiled, nil).prepare(RawBlock(records: records))
      do { _ = try sequencer.sequence(&block) } catch { return error }
      return nil
    }
    #expect(try error([1, 1]) == nil)
    let found = try #require(try error([1, 2, 5]))
    #expect(found.code == .checkFailed && found.message.contains("check early"))
    #expect(try error([1, 5, 2])?.message.contains("check late") == true)
  }

  @Test func `while a record is undecided nothing of its block counts`() throws {
    let compiled = CompiledPlan(try ClockGuardTests.plan(", max_ahead: 60s").plan, lookups: [])
    var sequencer = Sequencer(compiled.plan, maximum: 5_000_000, judge: .stream)
    var block = BlockPreparer(compiled, nil).prepare(
      RawBlock(records: [6_000, 900_000, 7_000].map { Array("{\"t\":\($0)}".utf8) }))
    let before = sequencer.watermark
    #expect(try sequencer.sequence(&block) == 1)
    #expect(sequencer.watermark == before && sequencer.maximum == 5_000_000 && block.columns.watermark.isEmpty)
    #expect(block.rejections.isEmpty && sequencer.uncounted == 0)
  }
}
