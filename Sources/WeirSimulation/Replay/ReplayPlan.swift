import WeirConfiguration
import WeirCore
import WeirEngine
import WeirTesting

/// The pipeline of simulated replays: that of live workers, on a capture.
enum ReplayPlan {
  static let yaml = """
    pipeline: sim
    source: {capture: {stream: t}}
    record:
      format: json
      key: user
      time: {field: at, out_of_order: 2s, max_ahead: off}
      fields: {user: string!, id: int64!, kind: string!, at: timestamp_s!, amount: int64!}
    dedup: {id: id}
    silver: {columns: [user, id, kind, amount, "_position as position", "_shard as shard"]}
    gold:
      users: {by: [user], window: {tumbling: 4s}, measure: {rows: count(), total: sum(amount)}}
      kinds: {by: [kind], window: {tumbling: 4s}, measure: {rows: count(), total: sum(amount)}}
    state:
      user_totals: {by: [user], measure: {rows: count(), total: sum(amount)}}
      kind_totals: {by: [kind], measure: {rows: count(), total: sum(amount)}}
    lake: {flush: {every: 500ms}, codec: none}
    store: {flush: 100ms}
    sinks: {kafka: {brokers: "b:1", topics: {gold/users: out-users, gold/kinds: out-kinds, quarantine: dead}}}
    """

  /// - Parameters:
  ///   - deal: how keys are partitioned over lanes.
  ///   - isSleepy: the ledger is collected at once.
  /// - Returns: the plan, and after how many seconds rows of its state tables expire; nil: never.
  static func make(_ world: World, _ random: inout SplitMix64, deal: Dealing, isSleepy: Bool) -> (CompiledPlan, ttl: Int?) {
    guard var plan = try? loadPipeline(yaml: yaml, file: "sim.yaml").plan else {
      preconditionFailure("the simulated pipeline does not load")
    }
    plan.source.deal = deal
    plan.store.flushMicroseconds = [5_000, 20_000, 100_000][random.below(3)]
    plan.lake.ledgerKeepMicroseconds = [0, 4_000_000, 7 * 86_400_000_000][random.below(3)]
    if isSleepy { plan.lake.ledgerKeepMicroseconds = 0 }
    // The first records are judged by those that follow them.
    if random.chance(0.3) { plan.record.time?.maxAheadMicroseconds = nil }
    var bounds = WindowParts()
    if random.chance(0.3) {
      for (number, column) in ["user", "kind"].enumerated() {
        plan.gold[number].partitionBy = [PartitionColumn(transform: .identity, column: column, name: column)]
      }
      (bounds.lane, bounds.merge) = (1, 1 + random.below(2))
    }
    let ttl = LivePlan.addTTL(&plan, world)
    return (CompiledPlan(plan, lookups: [], windowParts: bounds), ttl)
  }
}

extension LiveSimulation {
  /// One seed of replays of a capture.
  static func replay(seed: UInt64, without: Set<String>, bug: PlantedBug?, aimed: Bool, log: ((String) -> Void)?) -> Result {
    makeReplay(seed: seed, without: without, bug: bug, aimed: aimed, log: log).run()
  }

  static func makeReplay(
    seed: UInt64, without: Set<String>, bug: PlantedBug?, aimed: Bool = false, log: ((String) -> Void)?
  ) -> ReplayRun {
    let world = World(seed: seed)
    var configuration = world.random("configuration")
    let drawn = aimed ? LiveFaults(aimedAtReplays: &configuration) : LiveFaults(ofReplays: &configuration)
    let faults = without.contains("all") ? .none : drawn.without(without)
    var records = world.random("workload")
    let capture = SimulatedCapture(world: world, workload: ReplayWorkload(random: &records))
    var (compiled, ttl) = ReplayPlan.make(world, &configuration, deal: capture.workload.deal, isSleepy: drawn.isSleepy)
    capture.readFailed = faults.fetchFailed
    let store = SimulatedObjectStore(world: world, faults: faults.store)
    compiled.retiresEarly = bug == .retiresEarly
    let oracle = ReplayOracle(capture, ttl: ttl, pipeline: LivePlan.pipeline, store: store)
    let lanes = capture.workload.lanes
    let input: (Node) -> WorkerInput = { node in
      // While the file is written it is replayed in parts.
      let keepOpen = !capture.isWhole
      return .capture(keepOpen: keepOpen) { capture.source(of: node, from: $0, keepOpen: keepOpen) }
    }
    let scenario = ReplayScenario(
      compiled: compiled, faults: faults,
      request: LedgerRequest(meaning: .string("m"), planHash: "h", lanes: lanes, runID: "run", describeChange: { _, _ in [] }),
      store: store,
      input: input, endsAt: capture.workload.endsAt,
      damage: { capture.damage(consumed: oracle.consumed) },
      heal: { capture.heal() }, expects: { capture.wasDamaged && $0.code == .captureChanged })
    let run = ReplayRun(world, scenario, oracle: oracle, bug: bug, log: log)
    run.inputMarks = { capture.marks }
    return run
  }
}
