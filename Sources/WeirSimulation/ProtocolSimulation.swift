import WeirCore
import WeirProtocol

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
  var isSlow: Bool
  /// Longest pause of a worker between two cuts. In slow runs the day-long rules come into play.
  var cycleNanosecondsMax: Int64
  var longSleepNanosecondsMax: Int64
  var collectChance: Double
  var keepMicroseconds: Int64
  var faultsMax: Int
  /// Chance of a fault at each step of a job.
  var faultChance: Double
  /// The same at each put-if-absent, before it is sent and while its object is not durable.
  var putFaultChance: Double
  var faults: Faults

  /// Chance that a long sleep is not noticed: nobody takes the sleeper's lanes over.
  var missChance: Double

  init(random: inout SplitMix64) {
    isSlow = random.chance(0.3)
    cycleNanosecondsMax = isSlow ? 12 * hourNanoseconds : 50_000_000
    longSleepNanosecondsMax = 96 * hourNanoseconds
    collectChance = random.chance(0.7) ? 0.4 : 0
    keepMicroseconds = isSlow ? [0, 1, 7][random.below(3)] * CollectionPolicy.dayMicroseconds : 0
    faultsMax = random.below(10)
    faultChance = 0.01
    putFaultChance = 0.05
    missChance = isSlow ? 0.6 : 0
    faults = Faults(from: &random)
    if isSlow { faults.delayNanosecondsMax = 30 * hourNanoseconds }
    if random.chance(0.2) { makeSleepy(&random) }
  }

  /// Runs about the rules of hours and days: workers fall asleep where it hurts while others collect.
  private mutating func makeSleepy(_ random: inout SplitMix64) {
    isSlow = true
    cycleNanosecondsMax = 12 * hourNanoseconds
    collectChance = 1
    keepMicroseconds = [0, 0, 7][random.below(3)] * CollectionPolicy.dayMicroseconds
    faultsMax = 1 + random.below(4)
    faultChance = 0.003
    putFaultChance = 0.3
    missChance = 0.8
    faults = .none
    faults.longSleep = 1
    faults.doubleOwner = 0.2
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
    store.onPut = { [self] in fault(at: $0) }
    store.onVisible = { [self] in fault(at: $0) }
    store.onExists = { [self] in fault(at: $0) }
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

  /// A worker gave lanes up, or ended.
  func lanesLost() { world.after(100_000_000) { [self] in cover() } }

  /// Starts a worker for the lanes that nobody awake owns, or one for a few that somebody owns already.
  private func cover() {
    guard !oracle.isComplete, oracle.violation == nil else { return }
    let all = workload.lanes + [LaneID.merge]
    let owned = workers.filter { isCounted($0) }.flatMap(\.owned)
    var free = all.filter { !owned.contains($0) && !isDone($0) }
    if free.count > 1, random.chance(0.5) {
      // Often the merge lane's, which comes last: then the others can sleep while it goes on.
      start([random.chance(0.5) ? free.removeLast() : free.remove(at: random.below(free.count))])
    }
    if !free.isEmpty { start(free) }
  }

  /// Nothing is left to do for a lane that ended and whose rows stand in the state table.
  private func isDone(_ lane: LaneID) -> Bool {
    oracle.hasEnded(lane) && stateTable.hasMeta(SimulatedWorker.meta(of: lane))
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

  /// A fault at any step, to anyone awake.
  private func fault() {
    guard random.chance(config.faultChance) else { return }
    let awake = workers.filter { $0.node.isAlive && !$0.isFinished && !$0.node.isPaused }
    guard !awake.isEmpty else { return }
    strike(awake[random.below(awake.count)])
  }

  /// A fault to the worker that puts.
  private func fault(at node: Node) {
    guard faultCount < config.faultsMax, random.chance(config.putFaultChance),
      let victim = workers.first(where: { $0.node === node && node.isAlive })
    else { return }
    strike(victim)
  }

  private func strike(_ victim: SimulatedWorker) {
    faultCount += 1
    let faults = config.faults
    let kinds: [(Double, (SimulatedWorker) -> Void)] = [
      (faults.kill, kill), (faults.pause, pause), (faults.longSleep, sleepLong), (faults.machineCrash, crash),
      (faults.doubleOwner, doubleOwner), (faults.outage, outage),
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
    if random.chance(config.missChance) { missed.insert(worker.node.id) }
    world.after(delay()) { [self] in cover() }
  }

  private func crash(_ worker: SimulatedWorker) {
    mark(.machineCrash)
    for worker in workers { worker.node.kill() }
    store.crash()
    stateTable.crash()
    world.after(delay()) { [self] in cover() }
  }

  /// Long enough for a commit to run out of tries.
  private func outage(_ worker: SimulatedWorker) {
    mark(.outage)
    store.fail(nanoseconds: Int64(random.below(6)) * 1_000_000_000)
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
