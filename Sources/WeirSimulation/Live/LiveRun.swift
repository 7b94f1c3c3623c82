import WeirCore
import WeirDelta
import WeirEngine
import WeirProtocol
import WeirTesting

/// One run of live workers.
///
/// Phases: faults strike while records are sent; then faults stop, and everything must be committed, merged and idle within a bound of
/// virtual time; then all workers drain; then one more worker starts on what they left, and drains too.
///
/// `@unchecked Sendable`: see ``World``.
final class LiveRun: @unchecked Sendable {
  static let stepsMax = 3_000_000
  /// Virtual time after the faults within which everything must be done.
  private static let drainNanoseconds: Int64 = 60_000_000_000
  /// Errors by which a worker may end while faults strike, and shortly after them.
  private static let expected: Set<WeirError.Code> = [
    .storage, .fullDisk, .fenced, .unknown, .unavailable, .stateFenced, .stateReplaced, .groupSilent, .handoverLate, .ledgerCollected,
    .abandoned,
  ]

  enum Phase { case faults, draining, stopping, last, over }

  let world: World
  let topic: SimulatedTopic
  let store: SimulatedObjectStore
  let stateTable: SimulatedStateTable
  let sinks: SimulatedSinkTopics
  let oracle: LiveOracle
  let plan: Plan
  let compiled: CompiledPlan
  var faults: LiveFaults
  let kinds: [String]
  private let bug: PlantedBug?
  var groups: [SimulatedGroup] = []
  var workers: [LiveNode] = []
  private var marks = Marks()
  var random: SplitMix64
  var strikes = 0
  private(set) var phase = Phase.faults
  private var phaseBegan: Int64 = 0
  /// A worker ended with an error after the faults.
  private var hasTroubleAtEnd = false
  /// Shards whose lanes no worker had when all were asked to end.
  private var openAtEnd: Set<String> = []
  private let log: ((String) -> Void)?

  /// - Parameter keepsEntries: none is collected.
  init(
    seed: UInt64, without: Set<String>, bug: PlantedBug?, reshards: Bool, grows: Bool, parts: Bool = false, aimed: Bool = false,
    keepsEntries: Bool = false, log: ((String) -> Void)?
  ) {
    self.bug = bug
    world = World(seed: seed)
    self.log = log
    random = world.random("supervisor")
    var configuration = world.random("configuration")
    var plan = LivePlan.make(&configuration)
    let drawn = aimed ? LiveFaults(aimed: &configuration) : LiveFaults(from: &configuration)
    var aim = world.random("aim")
    // Where entries stay, a sleeper finds the number that it wakes with taken; else it may be free again.
    if drawn.isSleepy { plan.lake.ledgerKeepMicroseconds = aimed && aim.chance(0.5) ? 7 * 86_400_000_000 : 0 }
    if keepsEntries { plan.lake.ledgerKeepMicroseconds = 7 * 86_400_000_000 }
    if reshards { plan.source.settings = ReshardSettings(plan.source.live ?? LiveSourceTraits()) }
    var bounds = WindowParts()
    if parts {
      for (number, column) in ["user", "kind"].enumerated() {
        plan.gold[number].partitionBy = [PartitionColumn(transform: .identity, column: column, name: column)]
      }
      (bounds.lane, bounds.merge) = (1, 1)
    }
    let ttl = LivePlan.addTTL(&plan, world)
    self.plan = plan
    var compiled = CompiledPlan(plan, lookups: [], windowParts: bounds)
    compiled.retiresEarly = bug == .retiresEarly
    self.compiled = compiled
    faults = without.contains("all") ? .none : drawn.without(without)
    kinds = faults.names
    var records = world.random("workload")
    var workload =
      grows ? SourceWorkload(growing: &records) : reshards ? SourceWorkload(resharding: &records) : SourceWorkload(random: &records)
    // While most lanes are idle, one worker alone moves the ledger.
    if drawn.isLate { workload.delayTail() }
    topic = SimulatedTopic(world: world, workload: workload)
    store = SimulatedObjectStore(world: world, faults: faults.store)
    sinks = SimulatedSinkTopics(world: world)
    sinks.failed = faults.sinkFailed
    stateTable = SimulatedStateTable(world: world, faults: faults.store)
    if faults.store.stateSlow > 0 { stateTable.faults.requestLost = 0.1 }
    stateTable.ignoresFences = bug == .rowsUnfenced
    stateTable.ordersNoClaims = bug == .claimsUnordered
    oracle = LiveOracle(topic: topic, ttl: ttl, pipeline: LivePlan.pipeline, store: store)
    topic.onWrong = { [unowned self] in oracle.fail($0) }
    topic.onAssign = { [oracle] in oracle.assigned($0, at: $1, end: $2) }
    store.onCreate = { [unowned self] path, bytes in
      say("created \(path)")
      oracle.created(path, bytes)
    }
    if log != nil {
      oracle.say = { [unowned self] in say($0) }
      stateTable.say = { [unowned self] in say($0) }
    }
    store.onDelete = { [unowned self] path in
      say("deleted \(path)")
      oracle.deleted(path)
    }
    store.onLoss = { [oracle] in oracle.lost() }
    store.onRewrite = { [oracle] in oracle.fail("\($0) was written twice, with different bytes") }
    store.onPut = { [unowned self] in strike(at: $0, chance: faults.moments.put) }
    store.onVisible = { [unowned self] in madeVisible(by: $0) }
    stateTable.onRequest = { [unowned self] in asksStateTable($0) }
    sinks.onStore = { [oracle] in oracle.stored($0, $1) }
    stateTable.onWrite = { [oracle] in oracle.stateRow($0, replacing: $1) }
    // A lane without rows has a mark that no reader asks for, and no worker claims it: one that slept may write an older one.
    stateTable.onMark = { [oracle, unowned stateTable] name, mark, old in
      guard stateTable.hasRow(of: name.dropFirst(LedgerMark.prefix.count)) else { return }
      oracle.stateMark(name, LedgerMark(mark), replacing: LedgerMark(old))
    }
    groups.append(makeGroup("first"))
  }

  func say(_ text: @autoclosure () -> String) { log?("\(world.now / 1_000_000) ms: \(text())") }
  func mark(_ mark: Mark) { marks.hit(mark) }

  // MARK: The run

  func run() -> LiveSimulation.Result {
    world.inside { for _ in 0..<2 { start(groups[0]) } }
    while oracle.violation == nil, phase != .over, world.steps < LiveRun.stepsMax {
      if !world.step() { oracle.fail("stuck: nothing is left to do in the phase \(phase)") }
      world.inside {
        if phase == .faults { strike() }
        advance()
      }
    }
    if phase != .over { oracle.fail("stuck: \(LiveRun.stepsMax) steps, in the phase \(phase)") }
    if oracle.violation == nil, !oracle.isVacuous { oracle.checkEnd(stateTable, isLast: true) }
    if oracle.violation == nil, !oracle.isVacuous { oracle.checkTopics(plan.sinks?.routes ?? []) }
    if world.escapes > 0 { oracle.fail("\(world.escapes) jobs escaped the simulation") }
    marks += store.marks
    marks += stateTable.marks
    marks += sinks.marks
    marks += oracle.marks
    for group in groups { marks += group.marks }
    return LiveSimulation.Result(
      violation: oracle.violation, trace: world.trace, steps: world.steps, strikes: strikes, time: world.now, entries: oracle.head,
      marks: marks, faults: kinds)
  }

  private func enter(_ next: Phase) {
    say("phase \(next)")
    (phase, phaseBegan) = (next, world.now)
  }

  private func advance() {
    if oracle.isVacuous { return phase = .over }
    switch phase {
    case .faults:
      let worked = world.now - world.warped
      let isLong = worked > topic.workload.endsAt + 3_000_000_000
      if worked > topic.workload.endsAt, isLong || strikes >= faults.strikesMax { heal() }
    case .draining:
      if oracle.isComplete {
        enter(.stopping)
        openAtEnd = workers.filter(\.isRunning).reduce(topic.openShardNames) { $0.subtracting($1.reading) }
        for worker in workers { worker.stop.raise() }
      } else if world.now - phaseBegan > LiveRun.drainNanoseconds {
        oracle.fail("stuck: faults stopped, and not everything was committed")
      }
    case .stopping:
      if workers.allSatisfy({ $0.hasEnded || !$0.node.isAlive }) {
        // All drained: nothing is left for the next worker to repair, unless a lane was being taken over. Its rows of before come into
        // the state table with the take-over, and a worker that ends does not wait for that.
        if !hasTroubleAtEnd { oracle.checkEnd(stateTable, isLast: false, without: openAtEnd) }
        enter(.last)
        start(groups[0])
      }
      bound()
    case .last:
      guard let last = workers.last else { return }
      if oracle.isComplete, let since = last.readsSince, world.now - since > 1_500_000_000 { last.stop.raise() }
      if last.hasEnded { enter(.over) }
      bound()
    case .over: break
    }
  }

  private func bound() {
    let awake = workers.map(\.node.pausedUntil).max() ?? 0
    if world.now - max(phaseBegan, awake) > LiveRun.drainNanoseconds { oracle.fail("stuck: workers do not end in the phase \(phase)") }
  }

  private func heal() {
    enter(.draining)
    faults = .none
    store.faults = .none
    store.heal()
    stateTable.faults = .none
    sinks.failed = 0
    for group in groups { group.faults = .none }
    for worker in workers where worker.node.isUnnoticed { worker.node.wake() }
    keepTwo()
  }

  func makeGroup(_ name: String) -> SimulatedGroup {
    let group = SimulatedGroup(topic, name: name, faults: faults)
    if faults.moments.question > 0 { group.onQuestion = { [unowned self] in strike(at: $0, chance: faults.moments.question) } }
    return group
  }

  // MARK: Workers

  func start(_ group: SimulatedGroup) {
    let node = world.makeNode()
    if faults.store.wallSkewMax > 0 {
      node.wallSkew = Int64(random.next() % UInt64(2 * faults.store.wallSkewMax)) - faults.store.wallSkewMax
    }
    let worker = LiveNode(node: node, group: group)
    workers.append(worker)
    say("node \(node.id) starts")
    var environment = EngineEnvironment(
      lake: store.reached(by: node), tables: DeltaFormat(), state: stateTable.reached(by: node), clock: SimulatedClock(node: node),
      random: SimulatedRandom(world.random("node \(node.id)")), threads: SimulatedThreads(node), parallel: 2,
      sinks: SinkEnvironment(make: { [sinks] in sinks.reached(by: node) }, tell: { _ in }))
    // A day of a few seconds: rows come and go within it.
    environment.tombstoneKeepMicroseconds = 3_000_000
    let watch = CommitWatch(mark: { [unowned self] in mark($0) }, fenced: { [unowned self] in oracle.fenced($0, $1) })
    environment.commitObserver = { watch.saw($0, $1) }
    if let bug { (environment.variant, environment.protocolVariant) = (bug.engine, bug.protocol) }
    let request = LedgerRequest(meaning: .string("m"), planHash: "h", lanes: nil, runID: "run", describeChange: { _, _ in [] })
    let live = Worker(
      compiled, environment: environment, request: request,
      input: .group(accepted: [SourceWorkload.stream], grown: [SourceWorkload.stream]) { group.member(of: node) },
      observe: { [unowned self] in heard($0, of: worker) }, stop: worker.stop)
    node.start { [self] in
      do {
        _ = try await live.run()
        ended(worker, nil)
      } catch { ended(worker, error) }
    }
  }

  private func heard(_ event: WorkerEvent, of worker: LiveNode) {
    switch event {
    case .committed(let progress): oracle.confirmed(progress.ledgerNumber, by: worker.node.id)
    case .trouble(let error):
      say("node \(worker.node.id): \(error.code): \(error.message)")
      // A request that was slow from before may fail the last commit's followers: the worker ends in order, and the next one repairs it.
      if phase == .stopping { hasTroubleAtEnd = true }
      if error.code == .fenced { mark(.fencedByEpoch) }
      if error.code == .unknown { mark(.outcomeUnknown) }
      if error.code == .abandoned { mark(.abandoned) }
      if error.code == .handoverLate { mark(.handOverLate) }
      check(error, of: worker)
    case .gap: mark(.gapTaken)
    case .recreated(let shard, let from, let to, let reason): say("\(shard) from \(from) to \(to) was recreated: \(reason)")
    case .assigned(let positions):
      if positions.count == topic.openShards { worker.readsSince = world.now }
      worker.reading.formUnion(positions.keys)
      say("node \(worker.node.id) reads \(positions.sorted { $0.key < $1.key })")
    case .revoked(let shards, let isLost):
      worker.reading.subtract(shards)
      say("node \(worker.node.id) gave up \(shards)\(isLost ? ", lost" : "")")
    default: break
    }
  }

  private func ended(_ worker: LiveNode, _ error: (any Error)?) {
    worker.hasEnded = true
    if error != nil, phase != .faults { hasTroubleAtEnd = true }
    say("node \(worker.node.id) ended\(error.map { ": \($0)" } ?? "")")
    if let error = error as? WeirError {
      check(error, of: worker)
      if phase == .last { oracle.fail("the last worker ended with \(error.code): \(error.message)") }
    } else if let error {
      oracle.fail("a worker ended with \(error)")
    }
    if phase == .faults || phase == .draining { world.after(200_000_000) { [self] in keepTwo() } }
  }

  private func check(_ error: WeirError, of worker: LiveNode) {
    if LiveRun.expected.contains(error.code) || error.code == .outOfRange || error.code == .groupShared { return }
    if topic.isRecreated, error.code == .recreated { return }
    if topic.workload.growth != nil, error.code == .shardsChanged { return }
    if store.hasTruncated, [.corrupt, .ledgerCorrupt, .ledgerReplaced, .ledgerFormat].contains(error.code) { return }
    oracle.fail("a worker met \(error.code): \(error.message)")
  }

  /// As many workers as there were, whatever became of them.
  func keepTwo() {
    guard phase == .faults || phase == .draining else { return }
    while workers.count(where: { $0.isCounted && $0.group === groups[0] }) < 2 { start(groups[0]) }
  }
}
