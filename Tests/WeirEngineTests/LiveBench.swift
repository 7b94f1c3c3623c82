import Foundation
import Synchronization
import Testing
import WeirConfiguration
import WeirCore
import WeirDelta
import WeirLocal
import WeirProtocol
import WeirTesting

@testable import WeirEngine

extension LiveWorkerTests {
  /// A lake, a plan, and workers on them.
  final class Bench: Sendable {
    let path: String
    private let isGuest: Bool
    let plan: Plan
    let environment: EngineEnvironment
    let topic: FakeTopic
    /// Of the plan, for the ledger.
    let meaning: String

    /// All tests of live workers, once more on another source: positions of 128 bits, shards that are split and merged.
    static let isSharded = ProcessInfo.processInfo.environment["WEIR_LIVE_SOURCE"] == "sharded"

    /// - Parameters:
    ///   - settings: more of the source's section.
    ///   - flush: more of the lake's section.
    ///   - flush: how old an epoch gets.
    ///   - silence: of the group, microseconds; shorter than a pipeline file may have it.
    ///   - refresh: between two checks of the shards, microseconds.
    ///   - more: lines of the file.
    ///   - beside: whose lake and topic are to be used.
    ///   - clock: of the workers.
    ///   - state: the workers' state table.
    ///   - wrap: what the workers see of the lake.
    init(
      shards: Int, isCounted: Bool = Bench.isSharded, isSharded: Bool = Bench.isSharded, idle: String = "1h", misplaced: String = "merge",
      settings: String = "", lake: String = "",
      flush: String = "30ms",
      silence: Int64? = nil, refresh: Int64? = nil, more: String = "", beside: Bench? = nil, meaning: String = "m",
      clock: ShiftedClock? = nil, state: (any StateTable)? = nil,
      wrap: (any ObjectStore) -> any ObjectStore = { $0 }
    ) throws {
      self.meaning = meaning
      topic = beside?.topic ?? (isSharded ? .sharded(shards) : FakeTopic(shards: shards, isCounted: isCounted))
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
      var traits = plan.source.live ?? LiveSourceTraits()
      if let silence { traits.silence = silence }
      if let refresh { traits.refresh = refresh }
      traits.countsRecords = topic.isCounted
      traits.reshards = topic.isSharded
      plan.source.settings = FakeSource(traits: traits)
      self.plan = plan
      let bell = topic.bell
      clock?.bell.withLock { $0 = bell }
      let threads = BlockingThreads(count: 2)
      environment = EngineEnvironment(
        lake: wrap(LocalObjectStore(root: path, threads: threads, random: SystemRandom())), tables: DeltaFormat(),
        state: state,
        clock: clock ?? SystemClock(),
        random: SystemRandom(), threads: threads, parallel: 2)
    }

    deinit { if !isGuest { try? FileManager.default.removeItem(atPath: path) } }

    /// - Parameter silent: groups, from the first on, that never answer.
    func worker(_ own: [String], silent: Int = 0, accepted: Set<String> = [], grown: Set<String> = []) -> Running {
      Running(self, own, silent: silent, accepted: accepted, grown: grown)
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
    let events = Mutex<[WorkerEvent]>([])
    let meter: LiveMeter
    private let stopped = Flag()
    private let ending = Flag()
    private let task = Mutex<Task<Result<WorkerProgress, any Error>, Never>?>(nil)

    init(_ bench: Bench, _ own: [String], silent: Int, accepted: Set<String>, grown: Set<String>) {
      let request = LedgerRequest(
        meaning: .string(bench.meaning), planHash: "hash of \(bench.meaning)", lanes: nil, runID: nil, describeChange: { _, _ in [] })
      let meter = LiveMeter(clock: bench.environment.clock)
      self.meter = meter
      let worker = Worker(
        CompiledPlan(bench.plan, lookups: []), environment: bench.environment, request: request,
        input: .group(accepted: accepted, grown: grown) { [self] in
          groups.withLock { groups in
            let group = FakeGroup(bench.topic, own: groups.count < silent ? nil : own)
            groups.append(group)
            return group
          }
        }, meter: meter,
        observe: { [self] event in
          events.withLock { $0.append(event) }
          bench.topic.bell.ring()
        }, stop: stopped)
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

    func stop() async throws -> WorkerProgress {
      stopped.raise()
      return try await ended()
    }

    func troubles(_ code: WeirError.Code) -> Int {
      events.withLock { $0.count { if case .trouble(let error) = $0 { error.code == code } else { false } } }
    }

    func ended() async throws -> WorkerProgress { try await task.withLock { $0 }!.value.get() }
  }
}
