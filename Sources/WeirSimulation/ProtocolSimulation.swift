import WeirCore
@_spi(Simulation) import WeirProtocol

/// The commit protocol under simulation: workers, lanes, followers and collection over faulty stores, from one seed.
public enum ProtocolSimulation {
  /// How a run ended.
  public struct Result: Sendable {
    /// What went wrong first; nil if nothing did.
    public var violation: String?
    public var trace: UInt64
    public var steps: Int
    public var faults: Int
    public var marks: Marks
  }

  /// Runs one seed, without or with a planted bug.
  public static func run(seed: UInt64, bug: ProtocolBug? = nil) -> Result {
    ProtocolRun(seed: seed, bug: bug).run()
  }
}

/// What the seed decides beside the faults.
struct RunConfig {
  /// Longest pause of a worker between two cuts. In slow runs the day-long rules come into play.
  var cycleNanosecondsMax: Int64
  var longSleepNanosecondsMax: Int64
  var collectChance: Double
  var keepMicroseconds: Int64
  var faultsMax: Int
  /// Chance of a fault at each step of a job.
  var faultChance: Double
  var faults: Faults

  init(random: inout SplitMix64) {
    let isSlow = random.chance(0.4)
    cycleNanosecondsMax = isSlow ? 6 * hourNanoseconds : 50_000_000
    longSleepNanosecondsMax = 72 * hourNanoseconds
    collectChance = random.chance(0.7) ? 0.4 : 0
    keepMicroseconds = isSlow && random.chance(0.5) ? CollectionPolicy.dayMicroseconds : 0
    faultsMax = random.below(10)
    faultChance = 0.01
    faults = Faults(from: &random)
    if isSlow { faults.delayNanosecondsMax = 30 * hourNanoseconds }
  }
}

private let hourNanoseconds: Int64 = 3600 * 1_000_000_000

/// One run.
///
/// `@unchecked Sendable`: see ``World``.
final class ProtocolRun: @unchecked Sendable {
  /// Steps after the faults in which everything must be done.
  static let stepsMax = 60_000

  let world: World
  let bug: ProtocolBug?
  let variant: ProtocolVariant
  let config: RunConfig
  let workload: Workload
  let layout = LedgerLayout(pipeline: "sim")
  let store: SimulatedObjectStore
  let stateTable: SimulatedStateTable
  let oracle: SimulationOracle
  private var marks = Marks()
  private var workers: [SimulatedWorker] = []
  /// Asleep and not replaced: its lanes wait for it.
  private var missed: Set<Int> = []
  private var random: SplitMix64
  private var faultCount = 0

  init(seed: UInt64, bug: ProtocolBug?) {
    world = World(seed: seed)
    self.bug = bug
    variant = bug?.variant ?? []
    random = world.random("supervisor")
    var configRandom = world.random("configuration")
    config = RunConfig(random: &configRandom)
    var workloadRandom = world.random("workload")
    workload = Workload(random: &workloadRandom, recordsPerLane: 24)
    store = SimulatedObjectStore(world: world, faults: config.faults)
    stateTable = SimulatedStateTable(world: world, faults: config.faults)
    stateTable.ignoresFences = bug == .stateTableWithoutFence
    oracle = SimulationOracle(workload: workload, layout: layout, store: store)
    watch()
  }

  private func watch() {
    store.onCreate = { [oracle] in oracle.created($0, $1) }
    store.onDelete = { [oracle] in oracle.deleted($0) }
    store.onLoss = { [oracle] in oracle.lost() }
    store.onRewrite = { [oracle] in oracle.fail("\($0) was written twice, with different bytes") }
    stateTable.onWrite = { [oracle] in oracle.stateRow($0, replacing: $1) }
  }

  func mark(_ mark: Mark) { marks.hit(mark) }

  func run() -> ProtocolSimulation.Result {
    cover()
    while oracle.violation == nil, !oracle.isComplete, world.steps < ProtocolRun.stepsMax {
      if !world.step() { cover() }
      if faultCount < config.faultsMax { fault() } else { heal() }
    }
    drain()
    if oracle.violation == nil { oracle.checkEnd(stateTable) }
    if world.escapes > 0 { oracle.fail("\(world.escapes) jobs escaped the simulation") }
    marks += store.marks
    marks += stateTable.marks
    marks += oracle.marks
    return ProtocolSimulation.Result(
      violation: oracle.violation, trace: world.trace, steps: world.steps, faults: faultCount, marks: marks)
  }

  /// Everything is done; sleepers wake and may still do harm.
  private func drain() {
    heal()
    let end = world.steps + ProtocolRun.stepsMax
    while oracle.violation == nil, world.steps < end, world.step() {}
    if world.steps >= end { oracle.fail("stuck: workers do not end") }
  }

  private func heal() {
    store.faults = .none
    stateTable.faults = .none
  }

  // MARK: Workers

  func workerEnded() { world.after(100_000_000) { [self] in cover() } }

  /// Starts a worker for the lanes that nobody awake owns, or one for a few that somebody owns already.
  private func cover() {
    guard !oracle.isComplete, oracle.violation == nil else { return }
    let all = workload.lanes + [LaneID.merge]
    let owned = workers.filter { isCounted($0) }.flatMap(\.owned)
    var free = all.filter { !owned.contains($0) }
    if free.count > 1, random.chance(0.5) { start([free.remove(at: random.below(free.count))]) }
    if !free.isEmpty { start(free) }
  }

  private func isCounted(_ worker: SimulatedWorker) -> Bool {
    guard worker.node.isAlive, !worker.isFinished else { return false }
    return !worker.node.isPaused || missed.contains(worker.node.id)
  }

  private func start(_ lanes: [LaneID]) {
    let node = world.makeNode()
    if config.faults.wallSkewMax > 0 {
      node.wallSkew = Int64(random.next() % UInt64(2 * config.faults.wallSkewMax)) - config.faults.wallSkewMax
    }
    let worker = SimulatedWorker(run: self, node: node, owned: lanes)
    workers.append(worker)
    node.start { await worker.main() }
  }

  // MARK: Faults

  private func fault() {
    guard random.chance(config.faultChance) else { return }
    faultCount += 1
    let faults = config.faults
    let awake = workers.filter { $0.node.isAlive && !$0.isFinished && !$0.node.isPaused }
    guard !awake.isEmpty else { return }
    let victim = awake[random.below(awake.count)]
    let kinds: [(Double, (SimulatedWorker) -> Void)] = [
      (faults.kill, kill), (faults.pause, pause), (faults.longSleep, sleepLong), (faults.machineCrash, crash),
      (faults.doubleOwner, doubleOwner),
    ]
    let total = kinds.reduce(0) { $0 + $1.0 }
    guard total > 0 else { return }
    var draw = Double(random.below(1000)) / 1000 * total
    for (weight, act) in kinds {
      draw -= weight
      if draw < 0 { return act(victim) }
    }
  }

  private func kill(_ worker: SimulatedWorker) {
    mark(.kill)
    worker.node.kill()
    world.after(delay()) { [self] in cover() }
  }

  /// A sleep that is noticed, so that others take the lanes over, or not.
  private func pause(_ worker: SimulatedWorker) {
    mark(.pause)
    worker.node.pause(nanoseconds: 20_000_000 + Int64(random.below(2_000_000_000)))
    world.after(delay()) { [self] in cover() }
  }

  private func sleepLong(_ worker: SimulatedWorker) {
    mark(.longSleep)
    let hour = CommitMachine.attemptNanosecondsMax
    worker.node.pause(nanoseconds: hour + Int64(random.next() % UInt64(config.longSleepNanosecondsMax)))
    if random.chance(0.4) { missed.insert(worker.node.id) }
    world.after(delay()) { [self] in cover() }
  }

  private func crash(_ worker: SimulatedWorker) {
    mark(.machineCrash)
    for worker in workers { worker.node.kill() }
    store.crash()
    stateTable.crash()
    world.after(delay()) { [self] in cover() }
  }

  private func doubleOwner(_ worker: SimulatedWorker) {
    mark(.doubleOwner)
    start((workload.lanes + [.merge]).filter { _ in random.chance(0.5) })
  }

  private func delay() -> Int64 { 10_000_000 + Int64(random.below(300_000_000)) }

  // MARK: References

  func file(_ object: NewObject, rows: Int) -> DataFile {
    DataFile(
      path: object.path, rows: Int64(rows), bytes: Int64(object.bytes.count), hash: ContentHash(of: object.bytes).hex)
  }

  func blob(_ object: NewObject) -> BlobRef {
    BlobRef(path: object.path, length: Int64(object.bytes.count), hash: ContentHash(of: object.bytes).hex)
  }
}
