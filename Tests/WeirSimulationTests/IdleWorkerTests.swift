import Testing
import WeirConfiguration
import WeirCore
import WeirDelta
import WeirEngine
import WeirTesting

@testable import WeirSimulation

/// What a worker does while its source is quiet: counts, on a virtual clock.
@Suite struct IdleWorkerTests {
  private struct Counts: Equatable {
    /// Waits for a moment, each of which is a timer and a wake-up.
    var sleeps = 0
    var requests = 0
    /// Looks at the memory of the process.
    var looks = 0
  }

  /// `@unchecked Sendable`: one thread steps the world.
  private final class Counter: @unchecked Sendable {
    var counts = Counts()
    var hasEnded = false
  }

  private struct CountingClock: Clock {
    let base: SimulatedClock
    let counter: Counter
    var monotonicNanoseconds: Int64 { base.monotonicNanoseconds }
    var wallMicroseconds: Int64 { base.wallMicroseconds }
    func sleep(nanoseconds: Int64) async {
      counter.counts.sleeps += 1
      await base.sleep(nanoseconds: nanoseconds)
    }
  }

  private static let yaml = """
    pipeline: idle
    source: {kafka: {brokers: "b:1", topic: t, group: g, idle: 2s}}
    record: {key: user, time: {field: at, out_of_order: 2s}, fields: {user: string!, at: timestamp_s!}}
    gold: {users: {by: [user], window: {tumbling: 4s}, measure: {rows: count()}}}
    state: {totals: {by: [user], measure: {rows: count()}}}
    lake: {flush: {every: 1s}, codec: none}
    store: {flush: 100ms}
    """

  /// A worker of a topic without records: what it does in a minute, after it has come to rest.
  private func minute(lanes: Int) throws -> Counts {
    let (world, counter, stop) = (World(seed: 1), Counter(), Flag())
    let shards = (0..<lanes).map { "\(SourceWorkload.stream)/\($0)" }
    let topic = SimulatedTopic(world: world, workload: SourceWorkload([:], shards: shards, endsAt: 0))
    let group = SimulatedGroup(topic, name: "idle", faults: .none)
    let (store, state) = (SimulatedObjectStore(world: world), SimulatedStateTable(world: world, faults: .none))
    let node = world.makeNode()
    let lake = InterceptedStore(store.reached(by: node), before: { _ in counter.counts.requests += 1 })
    let memory = ProcessMemory(
      anonymousBytes: {
        counter.counts.looks += 1
        return 1 << 20
      }, trim: {})
    let environment = EngineEnvironment(
      lake: lake, tables: DeltaFormat(), state: state.reached(by: node),
      clock: CountingClock(base: SimulatedClock(node: node), counter: counter), random: SimulatedRandom(world.random("node")),
      threads: SimulatedThreads(node), parallel: 2, memory: MemoryBudget(configured: 1 << 30, available: nil), processMemory: memory)
    let plan = try loadPipeline(yaml: Self.yaml, file: "idle.yaml").plan
    let worker = Worker(
      CompiledPlan(plan, lookups: []), environment: environment,
      request: LedgerRequest(meaning: .string("m"), planHash: "h", lanes: nil, runID: "r", describeChange: { _, _ in [] }),
      input: .group(accepted: [], grown: []) { group.member(of: node) }, observe: { _ in }, stop: stop)
    node.start {
      _ = try? await worker.run()
      counter.hasEnded = true
    }
    func run(until seconds: Int64) { while world.now < seconds * 1_000_000_000, world.step() {} }
    run(until: 60)
    #expect(!counter.hasEnded)
    counter.counts = Counts()
    run(until: 120)
    let counts = counter.counts
    world.inside { stop.raise() }
    while !counter.hasEnded, world.step() {}
    #expect(counter.hasEnded)
    return counts
  }

  /// Per minute: 60 cuts by age, each with two looks at memory and one at the ledger's head; 12 surveys of lag, with one at the head; 6 looks at
  /// the group; 2 checks of the shards. A look at the head is a request for the next entry and one for the pointer.
  @Test func `an idle worker wakes up for its documented intervals only, as often with 64 lanes as with one`() throws {
    let (one, many) = (try minute(lanes: 1), try minute(lanes: 64))
    #expect(many == one)
    #expect(one.sleeps <= 60 + 12 + 6 + 2, "\(one)")
    #expect(one.requests <= 2 * (60 + 12), "\(one)")
    #expect(one.looks <= 2 * 60, "\(one)")
  }
}
