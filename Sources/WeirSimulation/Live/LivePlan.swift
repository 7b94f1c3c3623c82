import WeirConfiguration
import WeirCore
import WeirEngine
import WeirTesting

/// The pipeline that simulated workers run: every kind of table and state, finished in the lanes and merged.
enum LivePlan {
  static let pipeline = "sim"

  static let yaml = """
    pipeline: sim
    source: {kafka: {brokers: "b:1", topic: t, group: g, idle: 1s, session: 2s, handover: 4s, silence: 12s, refresh: 2s, misplaced: halt}}
    record:
      format: json
      key: user
      time: {field: at, out_of_order: 2s}
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
    sinks: {kafka: {topics: {gold/users: out-users, gold/kinds: out-kinds, quarantine: dead}}}
    """

  /// - Parameter random: intervals differ from seed to seed.
  static func make(_ random: inout SplitMix64) -> Plan {
    guard var plan = try? loadPipeline(yaml: yaml, file: "sim.yaml").plan else {
      preconditionFailure("the simulated pipeline does not load")
    }
    plan.lake.flushEveryMicroseconds = [150_000, 400_000, 900_000][random.below(3)]
    plan.store.flushMicroseconds = [30_000, 100_000, 300_000][random.below(3)]
    plan.lake.ledgerKeepMicroseconds = [0, 4_000_000, 7 * 86_400_000_000][random.below(3)]
    if random.chance(0.2) { plan.lake.flushBytes = 600 }
    return plan
  }

  /// In some seeds rows of the state tables expire.
  /// - Returns: after how many seconds; nil: never.
  static func addTTL(_ plan: inout Plan, _ world: World) -> Int? {
    var random = world.random("ttl")
    guard random.chance(0.4) else { return nil }
    let ttl = [1, 2, 3, 5, 9][random.below(5)]
    for i in plan.state.indices { plan.state[i].ttlMicroseconds = Int64(ttl) * 1_000_000 }
    return ttl
  }
}

/// Threads of a node: what they do is done at once, after a while.
///
/// `@unchecked Sendable`: see ``World``.
final class SimulatedThreads: BlockingRunner, @unchecked Sendable {
  private let node: Node
  private var random: SplitMix64

  init(_ node: Node) {
    self.node = node
    random = node.world.random("threads \(node.id)")
  }

  func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    await node.sleep(nanoseconds: 50_000 + Int64(random.below(1_000_000)))
    return try work()
  }
}
