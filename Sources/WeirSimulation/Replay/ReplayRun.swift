import WeirCore
import WeirDelta
import WeirEngine
import WeirProtocol
import WeirTesting

/// Replays under simulation: one process at a time, started again whenever it ends or dies, and sometimes two of them by mistake.
///
/// Phases: faults strike while the input is replayed; then faults stop, and everything must be replayed and committed within a bound of
/// virtual time; then two more runs start on what is there: the first repairs what is left, the second finds nothing to do.
///
/// `@unchecked Sendable`: see ``World``.
final class ReplayRun: @unchecked Sendable {
  private static let stepsMax = 2_000_000
  /// Virtual time after the faults within which everything must be done.
  private static let drainNanoseconds: Int64 = 60_000_000_000
  private static let hour: Int64 = 3_600_000_000_000
  /// Errors by which a replay may end while faults strike, and shortly after them.
  private static let expected: Set<WeirError.Code> = [
    .storage, .fullDisk, .fenced, .unknown, .unavailable, .stateFenced, .stateReplaced, .ledgerCollected, .abandoned,
  ]

  enum Phase { case faults, draining, last, over }

  let world: World
  private let scenario: ReplayScenario
  private let oracle: any ReplayJudge
  private var store: SimulatedObjectStore { scenario.store }
  private let stateTable: SimulatedStateTable
  private let sinks: SimulatedSinkTopics
  private var faults: LiveFaults
  private let bug: PlantedBug?
  private var processes: [ReplayProcess] = []
  private var marks = Marks()
  private var random: SplitMix64
  private var strikes = 0
  private var phase = Phase.faults
  private var phaseBegan: Int64 = 0
  /// Runs of the last phase that ended.
  private var lastRuns = 0
  private let log: ((String) -> Void)?
  /// What the input met.
  var inputMarks: () -> Marks = { Marks() }

  init(_ world: World, _ scenario: ReplayScenario, oracle: any ReplayJudge, bug: PlantedBug?, log: ((String) -> Void)?) {
    (self.world, self.scenario, self.oracle, self.bug, self.log) = (world, scenario, oracle, bug, log)
    faults = scenario.faults
    random = world.random("supervisor")
    stateTable = SimulatedStateTable(world: world, faults: faults.store)
    sinks = SimulatedSinkTopics(world: world)
    sinks.failed = faults.sinkFailed
    watch()
  }

  private func say(_ text: @autoclosure () -> String) { log?("\(world.now / 1_000_000) ms: \(text())") }

  /// Everything that becomes durable is judged.
  private func watch() {
    store.onCreate = { [unowned self] path, bytes in
      say("created \(path)")
      oracle.created(path, bytes)
    }
    store.onDelete = { [unowned self] path in
      say("deleted \(path)")
      oracle.deleted(path)
    }
    store.onLoss = { [unowned self] in oracle.lost() }
    store.onRewrite = { [unowned self] in oracle.fail("\($0) was written twice, with different bytes") }
    store.onPut = { [unowned self] in strike(at: $0, chance: faults.moments.put) }
    store.onVisible = { [unowned self] in strike(at: $0, chance: faults.moments.visible, isVisible: true) }
    stateTable.onRequest = { [unowned self] in strike(at: $0, chance: faults.moments.stateTable) }
    stateTable.onWrite = { [unowned self] in oracle.stateRow($0, replacing: $1) }
    stateTable.onMark = { [unowned self] in oracle.stateMark($0, LedgerMark($1), replacing: LedgerMark($2)) }
    sinks.onStore = { [unowned self] in oracle.stored($0, $1) }
    guard log != nil else { return }
    oracle.say = { [unowned self] in say($0) }
    stateTable.say = { [unowned self] in say($0) }
  }

  // MARK: The run

  func run() -> LiveSimulation.Result {
    world.inside { keepOne() }
    while oracle.violation == nil, phase != .over, world.steps < ReplayRun.stepsMax {
      if !world.step() { oracle.fail("stuck: nothing is left to do in the phase \(phase)") }
      world.inside {
        if phase == .faults { strike() }
        advance()
      }
    }
    if phase != .over { oracle.fail("stuck: \(ReplayRun.stepsMax) steps, in the phase \(phase)") }
    if oracle.violation == nil { oracle.checkEnd(stateTable) }
    if oracle.violation == nil { oracle.checkTopics(scenario.compiled.plan.sinks?.routes ?? []) }
    if world.escapes > 0 { oracle.fail("\(world.escapes) jobs escaped the simulation") }
    for part in [store.marks, stateTable.marks, sinks.marks, oracle.marks, inputMarks()] { marks += part }
    return LiveSimulation.Result(
      violation: oracle.violation, trace: world.trace, steps: world.steps, strikes: strikes, time: world.now, entries: oracle.head,
      marks: marks, faults: scenario.faults.names)
  }

  private func enter(_ next: Phase) {
    say("phase \(next)")
    (phase, phaseBegan) = (next, world.now)
  }

  private func advance() {
    let isQuiet = processes.allSatisfy { $0.hasEnded || !$0.node.isAlive }
    switch phase {
    case .faults:
      let worked = world.now - world.warped
      if oracle.isComplete && isQuiet || worked > scenario.endsAt + 8_000_000_000 { heal() }
    case .draining:
      if oracle.isComplete, isQuiet {
        enter(.last)
        start()
      } else {
        bound()
      }
    case .last: bound()
    case .over: break
    }
  }

  private func bound() {
    let awake = processes.map(\.node.pausedUntil).max() ?? 0
    if world.now - max(phaseBegan, awake, scenario.endsAt + world.warped) > ReplayRun.drainNanoseconds {
      oracle.fail("stuck: faults stopped, and the replay does not end in the phase \(phase)")
    }
  }

  private func heal() {
    enter(.draining)
    faults = .none
    store.faults = .none
    store.heal()
    stateTable.faults = .none
    stateTable.heal()
    sinks.failed = 0
    scenario.heal()
    for process in processes where process.node.isUnnoticed { process.node.wake() }
    keepOne()
  }

  // MARK: Processes

  private func start() {
    let node = world.makeNode()
    if faults.store.wallSkewMax > 0 {
      node.wallSkew = Int64(random.next() % UInt64(2 * faults.store.wallSkewMax)) - faults.store.wallSkewMax
    }
    let process = ReplayProcess(node: node)
    processes.append(process)
    say("node \(node.id) starts")
    var environment = EngineEnvironment(
      lake: store.reached(by: node), tables: DeltaFormat(), state: stateTable.reached(by: node), clock: SimulatedClock(node: node),
      random: SimulatedRandom(world.random("node \(node.id)")), threads: SimulatedThreads(node), parallel: 2,
      sinks: SinkEnvironment(make: { [sinks] in sinks.reached(by: node) }, tell: { _ in }))
    let watch = CommitWatch(
      mark: { [unowned self] in marks.hit($0) }, committed: { [unowned self] in oracle.committed($0) },
      fenced: { [unowned self] in oracle.fenced($0, $1) })
    environment.commitObserver = { watch.saw($0, $1) }
    if let bug { (environment.variant, environment.protocolVariant) = (bug.engine, bug.protocol) }
    let worker = Worker(
      scenario.compiled, environment: environment, request: scenario.request, input: scenario.input(node), observe: { _ in },
      stop: process.stop)
    node.start { [self] in
      do { ended(process, try await worker.run().end, nil) } catch { ended(process, nil, error) }
    }
  }

  private func ended(_ process: ReplayProcess, _ end: WorkerEnd?, _ error: (any Error)?) {
    process.hasEnded = true
    say("node \(process.node.id) ended: \(end.map { "\($0)" } ?? "")\(error.map { "\($0)" } ?? "")")
    if let end { mark(end) }
    if let error = error as? WeirError {
      check(error)
    } else if let error {
      oracle.fail("a replay ended with \(error)")
    }
    if phase == .last { return endedLast(end, error) }
    world.after(50_000_000 + Int64(random.below(300)) * 1_000_000) { [self] in keepOne() }
  }

  private func mark(_ end: WorkerEnd) {
    switch end {
    case .finished: break
    case .unchanged: marks.hit(.replayUnchanged)
    case .keptOpen: marks.hit(.replayKeptOpen)
    case .interrupted: marks.hit(.replayInterrupted)
    }
  }

  /// One run may have something to repair, and not the next.
  private func endedLast(_ end: WorkerEnd?, _ error: (any Error)?) {
    if let error = error as? WeirError { return oracle.fail("the last replay ended with \(error.code): \(error.message)") }
    lastRuns += 1
    if lastRuns == 1 { return start() }
    if end != .unchanged { oracle.fail("a replay of what was replayed ended as \(end.map { "\($0)" } ?? "an error")") }
    enter(.over)
  }

  private func check(_ error: WeirError) {
    if error.code == .fenced { marks.hit(.fencedByEpoch) }
    if error.code == .unknown { marks.hit(.outcomeUnknown) }
    if error.code == .abandoned { marks.hit(.abandoned) }
    if ReplayRun.expected.contains(error.code) || scenario.expects(error) { return }
    if store.hasTruncated, [.corrupt, .ledgerCorrupt, .ledgerReplaced, .ledgerFormat].contains(error.code) { return }
    oracle.fail("a replay met \(error.code): \(error.message)")
  }

  /// A process, as long as there is something to do, whatever became of those before.
  private func keepOne() {
    guard phase == .faults || phase == .draining, !oracle.isComplete else { return }
    if !processes.contains(where: \.isCounted) { start() }
  }
}

// MARK: - Faults

extension ReplayRun {
  private func strike() {
    guard strikes < faults.strikesMax, random.chance(0.002) else { return }
    let awake = processes.filter(\.isCounted)
    if !awake.isEmpty { strike(awake[random.below(awake.count)]) }
  }

  /// A fault to the process that makes a request.
  private func strike(at node: Node, chance: Double, isVisible: Bool = false) {
    guard phase == .faults, strikes < faults.strikesMax, random.chance(chance),
      let victim = processes.first(where: { $0.node === node && $0.isCounted })
    else { return }
    strike(victim, isVisible: isVisible)
  }

  private func strike(_ victim: ReplayProcess, isVisible: Bool = false) {
    guard let kind = faults.strike(&random) else { return }
    strikes += 1
    say("strike: \(kind), node \(victim.node.id)")
    switch kind {
    case .kill: kill(victim, .kill)
    // The process stops, and what is durable is not known.
    case .fsyncFailed: kill(victim, isVisible ? .fsyncFailed : .kill)
    case .killInRecovery:
      let start = kill(victim, .killInRecovery)
      world.after(start + Int64(random.below(300_000_000))) { [self] in
        guard phase == .faults, let next = processes.last, next.node.isAlive else { return }
        next.node.kill()
        again(after: delay())
      }
    case .stop:
      marks.hit(.stop)
      victim.stop.raise()
    case .pause:
      // Another one is started meanwhile: two replays of one ledger when this one continues.
      marks.hit(.pause)
      victim.node.pause(nanoseconds: 20_000_000 + Int64(random.below(3_000_000_000)))
      if random.chance(0.6) { again(after: delay()) }
    case .secondDeployment:
      marks.hit(.secondDeployment)
      start()
    case .longSleep:
      marks.hit(.longSleep)
      victim.node.pause(nanoseconds: ReplayRun.hour * Int64(1 + random.below(60)))
      again(after: delay())
      for _ in 0..<3 { world.after(Int64(random.below(3_000)) * 1_000_000) { [self] in warp(hours: 1 + random.below(30)) } }
    case .unnoticedSleep:
      marks.hit(.unnoticedSleep)
      victim.node.isUnnoticed = true
      victim.node.pause(nanoseconds: ReplayRun.hour * Int64(26 + random.below(70)))
      for _ in 0..<3 { world.after(Int64(random.below(1_500)) * 1_000_000) { [self] in warp(hours: 20 + random.below(20)) } }
    case .warp: warp(hours: 1 + random.below(30))
    case .machineCrash:
      marks.hit(.machineCrash)
      for process in processes { process.node.kill() }
      store.crash()
      stateTable.crash()
      again(after: delay())
    case .trim:
      scenario.damage()
      if random.chance(0.7) { kill(victim, .kill) }
    default: strikeStores(kind, victim)
    }
  }

  private func strikeStores(_ kind: LiveFaults.Strike, _ victim: ReplayProcess) {
    func nanoseconds(_ milliseconds: Int) -> Int64 { Int64(random.below(milliseconds)) * 1_000_000 }
    switch kind {
    case .outage:
      marks.hit(.outage)
      store.fail(nanoseconds: nanoseconds(4_000))
    case .putsLost:
      marks.hit(.putsLost)
      store.losePuts(nanoseconds: nanoseconds(4_000))
    case .diskFull:
      marks.hit(.diskFull)
      store.fill(nanoseconds: nanoseconds(2_000))
    case .truncatedAnswers:
      marks.hit(.truncatedAnswers)
      store.truncate(nanoseconds: nanoseconds(300))
    case .throttle:
      marks.hit(.throttle)
      stateTable.throttle(nanoseconds: nanoseconds(2_000))
    case .clockJump:
      marks.hit(.clockJump)
      victim.node.wallSkew = nanoseconds(7_200) - 3_600_000_000
    default: break
    }
  }

  /// - Returns: after how many nanoseconds the next one starts.
  @discardableResult
  private func kill(_ victim: ReplayProcess, _ mark: Mark) -> Int64 {
    marks.hit(mark)
    victim.node.kill()
    let start = delay()
    again(after: start)
    return start
  }

  private func delay() -> Int64 { 10_000_000 + Int64(random.below(500_000_000)) }
  private func again(after delay: Int64) { world.after(delay) { [self] in keepOne() } }

  /// The machine sleeps for hours, and all processes with it.
  private func warp(hours: Int) {
    guard phase == .faults else { return }
    marks.hit(.warp)
    world.warp(nanoseconds: ReplayRun.hour * Int64(hours))
  }
}

/// One process of a replay.
///
/// `@unchecked Sendable`: see ``World``.
final class ReplayProcess: @unchecked Sendable {
  let node: Node
  /// It was asked to end.
  let stop = Flag()
  var hasEnded = false

  init(node: Node) { self.node = node }

  /// It seems to run: no other one is started.
  var isCounted: Bool { node.isAlive && !hasEnded && (!node.isPaused || node.isUnnoticed) }
}
