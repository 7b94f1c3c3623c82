import Foundation
import Synchronization
import Testing
import WeirCore
import WeirLocal
import WeirProtocol
import WeirService

@testable import WeirEngine

/// Whole workers on a topic in memory and a lake on disk.
@Suite(.serialized, .timeLimit(.minutes(2))) struct LiveWorkerTests {
  /// A lake, a plan, and workers on them.
  final class Bench: Sendable {
    let path: String
    private let isGuest: Bool
    let plan: Plan
    let environment: EngineEnvironment
    let topic: FakeTopic
    /// Of the plan, for the ledger.
    let meaning: String

    /// - Parameters:
    ///   - settings: more of the source's section.
    ///   - flush: more of the lake's section.
    ///   - flush: how old an epoch gets.
    ///   - silence: of the group, microseconds; shorter than a pipeline file may have it.
    ///   - refresh: between two checks of the shards, microseconds.
    ///   - more: lines of the file.
    ///   - beside: whose lake and topic are to be used.
    ///   - wrap: what the workers see of the lake.
    init(
      shards: Int, idle: String = "1h", misplaced: String = "merge", settings: String = "", lake: String = "", flush: String = "30ms",
      silence: Int64? = nil, refresh: Int64? = nil, more: String = "", beside: Bench? = nil, meaning: String = "m",
      wrap: (any ObjectStore) -> any ObjectStore = { $0 }
    ) throws {
      self.meaning = meaning
      topic = beside?.topic ?? FakeTopic(shards: shards)
      isGuest = beside != nil
      path = beside?.path ?? NSTemporaryDirectory() + "weir-live-" + UUID().uuidString
      let yaml = """
        pipeline: p
        source: {kafka: {brokers: "b:1", topic: t, group: g, idle: \(idle), misplaced: \(misplaced)\(settings)}}
        record:
          format: json
          key: user
          time: {field: at, out_of_order: 1s}
          fields: {user: string!, at: timestamp_s!}
        gold:
          users: {by: [user], window: {tumbling: 10s}, measure: {rows: count()}}
        lake: {flush: {every: \(flush)}\(lake)}
        \(more)
        """
      var plan = try loadPipeline(yaml: yaml, file: "p.yaml").plan
      if let silence { plan.source.kafka?.settings.silenceMicroseconds = silence }
      plan.source.kafka?.settings.refreshMicroseconds = refresh
      self.plan = plan
      let threads = BlockingThreads(count: 2)
      environment = EngineEnvironment(
        lake: wrap(LocalObjectStore(root: path, threads: threads, random: SystemRandom())), state: nil, clock: SystemClock(),
        random: SystemRandom(), threads: threads, parallel: 2)
    }

    deinit { if !isGuest { try? FileManager.default.removeItem(atPath: path) } }

    /// - Parameter silent: groups, from the first on, that never answer.
    func worker(_ own: [String], silent: Int = 0, accepted: Set<String> = []) -> Running {
      Running(self, own, silent: silent, accepted: accepted)
    }

    func send(_ shard: String, _ times: some Sequence<Int>, user: String = "u") {
      topic.send(times.map { "{\"user\":\"\(user)\",\"at\":\($0)}" }, to: shard)
    }

    /// Sends a record of each user to the partition where the rule puts it.
    func send(users: [String], at time: Int, by rule: Partitioner, of count: Int) {
      for user in users {
        var key = user
        let number = key.withUTF8 { rule.shard(of: $0, count: count) }
        send("t/\(number)", [time], user: user)
      }
    }

    func fold() async throws -> LedgerFold? { try await LedgerOpening.existing(plan, environment)?.fold }

    func entries() async throws -> [LedgerEntry] {
      guard let ledger = try await LedgerOpening.existing(plan, environment) else { return [] }
      return try await ledger.entries(after: 0, through: await ledger.fold.number)
    }

    /// All decisions of the ledger but the clocks.
    func decisions() async throws -> [Decision] {
      try await entries().flatMap(\.lanes).flatMap(\.decisions).filter { if case .clock = $0 { false } else { true } }
    }

    func goldRows() async throws -> Int64 { try await fold()?.tables["gold/users"]?.rows ?? 0 }

    /// Waits until the ledger is as wanted.
    func until(_ what: Comment, _ test: (LedgerFold) -> Bool) async throws {
      if !(try await topic.bell.until({ try await fold().map(test) ?? false })) { Issue.record(what) }
    }

    /// Waits until the members, or what their workers said, are as wanted.
    func wait(_ what: Comment, _ test: () -> Bool) async { if !(await topic.bell.until(test)) { Issue.record(what) } }
  }

  /// A worker's task and what it said.
  final class Running: Sendable {
    let groups = Mutex<[FakeGroup]>([])
    let events = Mutex<[LiveEvent]>([])
    private let stopped = Flag()
    private let ending = Flag()
    private let task = Mutex<Task<Result<LiveProgress, any Error>, Never>?>(nil)

    init(_ bench: Bench, _ own: [String], silent: Int, accepted: Set<String>) {
      let request = LedgerRequest(
        meaning: .string(bench.meaning), planHash: "hash of \(bench.meaning)", lanes: nil, runID: nil, describeChange: { _, _ in [] })
      let worker = LiveWorker(
        CompiledPlan(bench.plan, lookups: []), environment: bench.environment, request: request, accepted: accepted,
        group: { [self] in
          groups.withLock { groups in
            let group = FakeGroup(bench.topic, own: groups.count < silent ? nil : own)
            groups.append(group)
            return group
          }
        },
        observe: { [self] event in
          events.withLock { $0.append(event) }
          bench.topic.bell.ring()
        }, isInterrupted: { [self] in stopped.isRaised })
      task.withLock {
        $0 = Task {
          defer {
            ending.raise()
            bench.topic.bell.ring()
          }
          do { return .success(try await worker.run().progress) } catch { return .failure(error) }
        }
      }
    }

    var hasEnded: Bool { ending.isRaised }

    var group: FakeGroup? { groups.withLock { $0.last } }

    func stop() async throws -> LiveProgress {
      stopped.raise()
      return try await ended()
    }

    func troubles(_ code: String) -> Int {
      events.withLock { $0.count { if case .trouble(let error) = $0 { error.code == code } else { false } } }
    }

    func ended() async throws -> LiveProgress { try await task.withLock { $0 }!.value.get() }
  }

  @Test func everyRecordIsCommittedOnceAndTheNextRunGoesOnAtTheLedger() async throws {
    let bench = try Bench(shards: 2)
    bench.send("t/0", 0..<50)
    bench.send("t/1", 0..<30)
    let first = bench.worker(["t/0", "t/1"])
    try await bench.until("80 records") { $0.counts.input == 80 }
    _ = try await first.stop()
    bench.send("t/0", 50..<60)
    let second = bench.worker(["t/0", "t/1"])
    try await bench.until("90 records") { $0.counts.input == 90 }
    let progress = try await second.stop()
    #expect(progress.records == 10, "nothing was read twice")
    let followed = bench.topic.followed.withLock { $0 }
    #expect(followed.mapValues(\.position) == ["t/0": 60, "t/1": 30])
    let ledgerID = try #require(try await bench.fold()).genesis.ledgerID
    #expect(
      Set(followed.values.map(\.owner)) == [GroupMates.Mark(ledgerID: ledgerID, pipeline: "p").text],
      "other pipelines can tell whose they are")
    // Complete through 28 s: the windows that end at 10 s and 20 s.
    #expect(try await bench.goldRows() == 2)
  }

  @Test func anIdleShardDoesNotHoldBackTheOthersAndItsNextRecordsAreJudgedByTheFloor() async throws {
    let bench = try Bench(shards: 2, idle: "50ms")
    bench.send("t/0", 0..<100)
    let worker = bench.worker(["t/0", "t/1"])
    try await bench.until("the empty shard is idle") { $0[LaneID(shard: "t/1")]?.isIdle == true }
    try await bench.until("the others go on") { $0.mergedWatermark == 98_000_000 }
    bench.send("t/1", [5, 105])
    try await bench.until("it woke, and both are counted") { $0.counts.input == 102 }
    _ = try await worker.stop()
    let fold = try #require(try await bench.fold())
    #expect(fold[LaneID(shard: "t/1")]?.floor == 98_000_000)
    #expect(fold[LaneID(shard: "t/1")]?.windows["gold/users"]?.late == 1, "5 s is behind what was merged")
    let lanes = try await bench.entries().flatMap(\.lanes).filter { $0.lane.shard == "t/1" && !$0.decisions.isEmpty }
    let kinds = lanes.map { $0.decisions.map { if case .clock = $0 { "clock" } else { "\($0)" } } }
    #expect(Array(kinds.prefix(3)) == [["clock"], ["idle"], ["wake", "clock"]], "a fresh clock comes with the entry that wakes it")
  }

  @Test func whatTheSourceTrimmedIsAGapInTheLedger() async throws {
    let bench = try Bench(shards: 1)
    bench.send("t/0", 0..<10)
    let first = bench.worker(["t/0"])
    try await bench.until("10 records") { $0.counts.input == 10 }
    _ = try await first.stop()
    bench.send("t/0", 10..<40)
    bench.topic.trim("t/0", to: 25)
    let second = bench.worker(["t/0"])
    try await bench.until("the rest") { $0.counts.input == 25 }
    _ = try await second.stop()
    let gaps = try await bench.decisions()
    let why = "the records before position 25 were dropped at the source, and with them all that were read"
    #expect(
      gaps == [.unverified(reason: why), .gap(from: .offset(10), to: .offset(25), reason: "trimmed at the source before it was read")])
    let told = second.events.withLock { $0 }.contains { if case .gap("t/0", 10, 25, _) = $0 { true } else { false } }
    #expect(told)
  }

  @Test func aTrimWhileRunningIsAGapToo() async throws {
    let bench = try Bench(shards: 1)
    bench.send("t/0", 0..<10)
    let worker = bench.worker(["t/0"])
    try await bench.until("10 records") { $0.counts.input == 10 }
    bench.topic.change {
      $0["t/0"]?.records += (0..<30).map { _ in Array("{\"user\":\"u\",\"at\":1}".utf8) }
      $0["t/0"]?.records.removeFirst(30)
      $0["t/0"]?.low = 30
    }
    try await bench.until("the rest") { $0.counts.input == 20 && $0[LaneID(shard: "t/0")]?.position == .offset(40) }
    _ = try await worker.stop()
  }

  /// What was read before is no part of it, however long its epoch had still to go.
  @Test func aGapBeginsWhereTheSourceWasTrimmedAndNotAtTheLastCommit() async throws {
    let bench = try Bench(shards: 2, flush: "1h")
    bench.send("t/0", 0..<10)
    bench.send("t/1", 0..<5)
    let worker = bench.worker(["t/0", "t/1"])
    await bench.wait("all is read") { ["t/0", "t/1"].allSatisfy { worker.group?.isCaughtUp($0) == true } }
    #expect(try await bench.fold()?.counts.input == 0)
    bench.topic.change {
      $0["t/0"]?.records = (0..<10).map { _ in Array("{\"user\":\"u\",\"at\":1}".utf8) }
      $0["t/0"]?.low = 30
    }
    try await bench.until("the gap") { $0[LaneID(shard: "t/0")]?.position == .offset(30) }
    #expect(try await bench.fold()?.counts.input == 15)
    await bench.wait("the rest is read") { worker.group?.isCaughtUp("t/0") == true }
    _ = try await worker.stop()
    let gaps = try await bench.entries().flatMap(\.lanes).flatMap(\.decisions)
      .filter { if case .gap = $0 { true } else { false } }
    #expect(gaps == [.gap(from: .offset(10), to: .offset(30), reason: "trimmed at the source before it was read")])
    #expect(try await bench.fold()?.counts.input == 25)
  }

  @Test func aTopicThatEndsBeforeTheLedgerIsRefused() async throws {
    let bench = try Bench(shards: 1)
    bench.send("t/0", 0..<10)
    let first = bench.worker(["t/0"])
    try await bench.until("10 records") { $0.counts.input == 10 }
    _ = try await first.stop()
    bench.topic.change { $0["t/0"] = .init() }
    do {
      _ = try await bench.worker(["t/0"]).ended()
      Issue.record("it ran")
    } catch let error as WeirError { #expect(error.code == "truncated") }
  }

  @Test func aShardHandedOverIsCommittedBeforeItIsReleasedAndALostOneIsNot() async throws {
    let bench = try Bench(shards: 2)
    bench.send("t/0", 0..<20)
    bench.send("t/1", 0..<20)
    let first = bench.worker(["t/0", "t/1"])
    try await bench.until("40 records") { $0.counts.input == 40 }
    bench.send("t/1", 20..<25)
    let group = try #require(first.group)
    group.tell(.revoked(["t/1"], isLost: false))
    await bench.wait("it is released") { group.released == ["t/1"] }
    // What it had consumed by then is committed; what it had not, the next owner reads.
    let second = bench.worker(["t/1"])
    try await bench.until("45 records") { $0.counts.input == 45 }
    try #require(second.group).tell(.revoked(["t/1"], isLost: true))
    bench.send("t/0", 20..<30)
    try await bench.until("the first goes on") { $0.counts.input == 55 }
    _ = try await first.stop()
    _ = try await second.stop()
    #expect(try await bench.fold()?.counts.input == 55)
  }

  @Test func twoDeploymentsOnOneLedgerFenceEachOtherAndCountEachRecordOnce() async throws {
    let bench = try Bench(shards: 2)
    bench.send("t/0", 0..<100)
    bench.send("t/1", 0..<100)
    let workers = [bench.worker(["t/0", "t/1"]), bench.worker(["t/0", "t/1"])]
    for n in 0..<20 {
      bench.send("t/\(n % 2)", (100 + n * 10)..<(110 + n * 10))
      try await Task.sleep(nanoseconds: 30_000_000)
    }
    try await bench.until("400 records") { $0.counts.input >= 400 }
    for worker in workers {
      do { _ = try await worker.stop() } catch let error as WeirError { #expect(error.code == "fenced") }
    }
    let fold = try #require(try await bench.fold())
    #expect(fold.counts.input == 400)
    #expect(fold[LaneID(shard: "t/0")]?.counts.input == 200)
  }

  @Test func aNewShardIsListedBeforeItsFirstRecord() async throws {
    let bench = try Bench(shards: 1)
    bench.send("t/0", 0..<20)
    let worker = bench.worker(["t/0"])
    try await bench.until("20 records") { $0.counts.input == 20 }
    bench.send("t/1", 30..<35)
    try #require(worker.group).tell(.assigned(["t/1"]))
    try await bench.until("25 records") { $0.counts.input == 25 }
    _ = try await worker.stop()
    let entries = try await bench.entries()
    let listed = entries.firstIndex { $0.lanes.flatMap(\.decisions).contains(.lanesListed([LaneID(shard: "t/1")], generation: 0)) }
    let first = entries.firstIndex { ($0[LaneID(shard: "t/1")]?.counts.input ?? 0) > 0 }
    #expect(try #require(listed) < #require(first))
  }

  // MARK: The group's silence, and ours

  @Test func aGroupThatDoesNotAnswerIsLeftAndJoinedAnew() async throws {
    let bench = try Bench(shards: 1, silence: 200_000)
    bench.send("t/0", 0..<10)
    let worker = bench.worker(["t/0"], silent: 2)
    try await bench.until("10 records") { $0.counts.input == 10 }
    _ = try await worker.stop()
    #expect(worker.troubles("group_silent") == 2)
    #expect(worker.groups.withLock { $0.map(\.isClosed) } == [true, true, true])
  }

  /// A new ledger would count the first records again.
  @Test func aSessionThatFindsAnotherLedgerOrNoneEndsTheWorkerAndFoundsNone() async throws {
    let bench = try Bench(shards: 1, silence: 50_000)
    let worker = bench.worker(["t/0"], silent: .max)
    try await bench.until("a ledger") { _ in true }
    let aside = bench.path + "-aside"
    try FileManager.default.moveItem(atPath: bench.path, toPath: aside)
    defer { try? FileManager.default.removeItem(atPath: aside) }
    await bench.wait("an end") { worker.hasEnded }
    let error = await #expect(throws: WeirError.self) { try await worker.stop() }
    #expect(error?.code == "ledger_replaced" && error?.fatalTo == .worker && error?.message.contains("not there any more") == true)
    #expect(try await bench.fold() == nil)

    try FileManager.default.moveItem(atPath: aside, toPath: bench.path)
    var request = LedgerRequest(meaning: .string("m"), planHash: "h", lanes: nil, runID: nil, describeChange: { _, _ in [] })
    request.ledgerID = try await bench.fold()?.genesis.ledgerID
    _ = try await LedgerOpening.open(bench.plan, request, bench.environment)
    request.ledgerID = "another"
    let other = await #expect(throws: WeirError.self) { _ = try await LedgerOpening.open(bench.plan, request, bench.environment) }
    #expect(other?.code == "ledger_replaced" && other?.message.contains("another one") == true)
  }

  @Test func aGroupThatAnswersIsNotLeftHoweverLongNothingComes() async throws {
    let bench = try Bench(shards: 1, silence: 100_000)
    let worker = bench.worker(["t/0"])
    try await Task.sleep(nanoseconds: 400_000_000)
    bench.send("t/0", 0..<10)
    try await bench.until("10 records") { $0.counts.input == 10 }
    _ = try await worker.stop()
    #expect(worker.groups.withLock { $0.count } == 1)
  }

  /// The object store hangs in the commit of a hand-over: the partitions go at the deadline, and the worker that has them next
  /// reads from the ledger. What the late commit does then, the fence decides.
  @Test func aHandOverThatTheStoreHoldsUpEndsAtItsDeadlineAndLosesNothing() async throws {
    let gate = StoreGate()
    let bench = try Bench(shards: 2, settings: ", handover: 150ms") { SlowStore(base: $0, gate: gate) }
    bench.send("t/0", 0..<20)
    bench.send("t/1", 0..<20)
    let first = bench.worker(["t/0", "t/1"])
    try await bench.until("40 records") { $0.counts.input == 40 }
    let group = try #require(first.group)
    await gate.shut()
    bench.send("t/1", 20..<25)
    await gate.whenSomebodyWaits()
    group.tell(.revoked(["t/0", "t/1"], isLost: false))
    await bench.wait("the group is left") { group.isClosed }
    await gate.open()
    try await bench.until("all counted once") { $0.counts.input == 45 }
    bench.send("t/0", 20..<30)
    try await bench.until("it goes on with a new member") { $0.counts.input == 55 }
    _ = try await first.stop()
    #expect(first.troubles("handover_late") == 1)
    #expect(try await bench.fold()?.counts.input == 55)
  }

  @Test func aHandOverWithinItsDeadlineCommitsEvenIfTheStoreIsSlow() async throws {
    let bench = try Bench(shards: 1, settings: ", handover: 30s") { SlowStore(base: $0, delayNanoseconds: 100_000_000) }
    bench.send("t/0", 0..<20)
    let first = bench.worker(["t/0"])
    try await bench.until("20 records") { $0.counts.input == 20 }
    bench.send("t/0", 20..<30)
    try #require(first.group).tell(.revoked(["t/0"], isLost: false))
    await bench.wait("it is released") { first.group?.released == ["t/0"] }
    _ = try await first.stop()
    #expect(first.troubles("handover_late") == 0)
    let second = bench.worker(["t/0"])
    try await bench.until("30 records") { $0.counts.input == 30 }
    _ = try await second.stop()
  }

  // MARK: Long runs

  @Test func aWorkerThatDoesNotEndCollectsItsLedgerAndTheNextGoesOnFromTheSnapshot() async throws {
    let bench = try Bench(shards: 1, lake: ", ledger_keep: 1s")
    let worker = bench.worker(["t/0"])
    var sent = 0
    func firstEntry() -> Int {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: bench.path + "/_weir/p/ledger")) ?? []
      return names.compactMap { Int($0.prefix { $0.isNumber }) }.min() ?? 0
    }
    let began = ContinuousClock.now
    while firstEntry() < 5, ContinuousClock.now - began < .seconds(60) {
      bench.send("t/0", sent..<(sent + 1))
      sent += 1
      try await Task.sleep(nanoseconds: 20_000_000)
    }
    #expect(firstEntry() >= 5, "entries older than a second go while the worker runs")
    let count = Int64(sent)
    try await bench.until("all records") { $0.counts.input == count }
    _ = try await worker.stop()
    bench.send("t/0", sent..<(sent + 10))
    let second = bench.worker(["t/0"])
    try await bench.until("the next worker goes on") { $0.counts.input == count + 10 }
    _ = try await second.stop()
  }

  /// Compacted records, markers of transactions: offsets that nobody will ever read.
  @Test func gapsInThePositionsAreNoLoss() async throws {
    let bench = try Bench(shards: 1)
    bench.topic.send((0..<50).map { "{\"user\":\"u\",\"at\":\($0)}" }, to: "t/0", gapEvery: 3)
    let first = bench.worker(["t/0"])
    try await bench.until("50 records") { $0.counts.input == 50 }
    _ = try await first.stop()
    // Sixteen times two offsets without a record.
    #expect(try await bench.fold()?[LaneID(shard: "t/0")]?.position == .offset(50 + 2 * 16))
    bench.send("t/0", 50..<60)
    let second = bench.worker(["t/0"])
    try await bench.until("60 records") { $0.counts.input == 60 }
    #expect(try await second.stop().records == 10)
    #expect(try await bench.decisions() == [], "nothing is told as lost")
  }

  // MARK: Wrong clocks

  /// The source tells no time of its own. The entry that begins a lane carries the worker's clock, so that a worker that takes the
  /// lane over judges by the same or by a fresh one.
  @Test func anEventTimeFarBeyondTheRecordedClockIsQuarantinedAndMakesNobodyLate() async throws {
    let bench = try Bench(shards: 1)
    let now = Int(SystemClock().wallMicroseconds / 1_000_000)
    bench.send("t/0", [now - 100, now + 10 * 86_400, now - 90, now + 600])
    let worker = bench.worker(["t/0"])
    try await bench.until("4 records") { $0.counts.input == 4 }
    _ = try await worker.stop()
    let fold = try #require(try await bench.fold())
    #expect(fold.counts.quarantined == 1)
    #expect(fold.counts.accepted == 3)
    #expect(fold[LaneID(shard: "t/0")]?.windows["gold/users"]?.late == 0)
    #expect(fold[LaneID(shard: "t/0")]?.watermark == Int64(now + 600 - 1) * 1_000_000)
    let first = try #require(try await bench.entries().flatMap(\.lanes).first { $0.lane.shard == "t/0" })
    #expect(first.from == first.to, "an empty epoch carries it, before any record")
    guard case .clock(let at)? = first.decisions.first else { return #expect(Bool(false), "no clock in \(first.decisions)") }
    #expect(at / 1_000_000 >= now)
  }

  // MARK: Where keys lie

  @Test(arguments: Partitioner.allCases)
  func theProducersRuleIsRecognisedFromTheFirstRecordsAndHoldsForAllThatComes(_ rule: Partitioner) async throws {
    let bench = try Bench(shards: 4, misplaced: "halt")
    let all = ["t/0", "t/1", "t/2", "t/3"]
    let users = (0..<60).map { "user-\($0)" }
    bench.send(users: users, at: 1, by: rule, of: 4)
    let worker = bench.worker(all)
    try await bench.until("60 records") { $0.counts.input == 60 }
    _ = try await worker.stop()
    #expect(try await bench.fold()?.partitioners == ["t": [rule]])
    let other = try #require(Partitioner.allCases.first { $0 != rule })
    let stray = try #require(
      users.first { user in
        var user = user
        return user.withUTF8 { rule.shard(of: $0, count: 4) != other.shard(of: $0, count: 4) }
      })
    bench.send(users: [stray], at: 2, by: other, of: 4)
    do {
      _ = try await bench.worker(all).ended()
      Issue.record("it ran")
    } catch let error as WeirError {
      #expect(error.code == "misplaced" && error.message.contains(rule.rawValue))
      #expect(error.message.contains("has the key '\(stray)'") && error.message.contains("was sent without a key of its own"))
    }
    #expect(try await bench.fold()?.counts.input == 60, "nothing of the stray record is committed")
  }

  @Test func theLedgersRuleBindsAWorkerThatHasSeenNoRecordItself() async throws {
    let bench = try Bench(shards: 2, misplaced: "halt")
    let both = ["t/0", "t/1"]
    // One key, which two rules put into the same partition: they are left, and the third is out for good.
    func place(_ user: String, _ rule: Partitioner) -> Int {
      var user = user
      return user.withUTF8 { rule.shard(of: $0, count: 2) }
    }
    let user = try #require(
      (0..<100).map { "u\($0)" }.first { place($0, .murmur2) == place($0, .crc32) && place($0, .crc32) != place($0, .fnv1a) })
    bench.send(users: [user], at: 1, by: .murmur2, of: 2)
    let first = bench.worker(both)
    try await bench.until("a record") { $0.counts.input == 1 }
    _ = try await first.stop()
    #expect(try await bench.fold()?.partitioners == ["t": [.murmur2, .crc32]])
    let stray = try #require(
      (100..<300).map { "u\($0)" }.first { place($0, .fnv1a) != place($0, .murmur2) && place($0, .fnv1a) != place($0, .crc32) })
    bench.send(users: [stray], at: 2, by: .fnv1a, of: 2)
    do {
      _ = try await bench.worker(both).ended()
      Issue.record("it ran")
    } catch let error as WeirError { #expect(error.code == "misplaced") }
  }

  @Test func aPartitionMoreThanAtTheStartStopsAWorkerWhoseTablesDependOnPlaces() async throws {
    let bench = try Bench(shards: 2, misplaced: "halt")
    bench.send(users: (0..<20).map { "u\($0)" }, at: 1, by: .murmur2, of: 2)
    let worker = bench.worker(["t/0", "t/1"])
    try await bench.until("20 records") { $0.counts.input == 20 }
    bench.send("t/2", [5])
    try #require(worker.group).tell(.assigned(["t/2"]))
    do {
      _ = try await worker.ended()
      Issue.record("it went on")
    } catch let error as WeirError { #expect(error.code == "shards_changed") }
    #expect(try await bench.fold()?.counts.input == 20)
  }

  @Test func byShardAKeyHasARowForEachPartitionThatHoldsIt() async throws {
    let bench = try Bench(shards: 2, misplaced: "per_shard")
    bench.send("t/0", [1, 2, 30])
    bench.send("t/1", [3, 30])
    let worker = bench.worker(["t/0", "t/1"])
    try await bench.until("5 records") { $0.counts.input == 5 }
    _ = try await worker.stop()
    // The window from 0 to 10 s of the one user, once a partition.
    #expect(try await bench.goldRows() == 2)
  }
}
