import WeirCore
import WeirProtocol
import WeirTesting

/// What strikes the workers of a run, and what they work with.
extension LiveRun {
  func strike() {
    guard strikes < faults.strikesMax, !faults.isLate, random.chance(0.0006) else { return }
    let awake = workers.filter { $0.isCounted && !$0.node.isPaused }
    if !awake.isEmpty { strike(awake[random.below(awake.count)]) }
  }

  /// The worker is not the one that a run with a tail strikes: it has no tail to read, or it leads and collects the ledger.
  private func isSpared(_ victim: LiveNode) -> Bool {
    guard faults.isLate else { return false }
    let shards = topic.workload.shards
    let isEarly = world.now - world.warped < topic.workload.endsAt - SourceWorkload.tailNanoseconds
    return isEarly || !victim.reading.contains(shards[shards.count - 1]) || victim.reading.contains(shards[0])
  }

  /// A fault to the worker that puts.
  func strike(at node: Node, chance: Double, isVisible: Bool = false) {
    guard phase == .faults, strikes < faults.strikesMax, random.chance(chance),
      let victim = workers.first(where: { $0.node === node && $0.isCounted }), !isSpared(victim)
    else { return }
    strike(victim, isVisible: isVisible)
  }

  /// What a worker has put can be seen, and is not durable. Where it follows something that is not durable either, power fails often.
  func madeVisible(by node: Node) {
    if phase == .faults, strikes < faults.strikesMax, faults.strikes[.machineCrash, default: 0] > 0, store.hasUnsyncedPair,
      random.chance(0.3)
    {
      strikes += 1
      mark(.crashUnsynced)
      return crash()
    }
    strike(at: node, chance: faults.moments.visible, isVisible: true)
  }

  /// Here a sleep does the most harm: long enough that another takes the worker's lanes over.
  func asksStateTable(_ node: Node) {
    if phase == .faults, strikes < faults.strikesMax, faults.strikes[.pause, default: 0] > 0,
      random.chance(faults.moments.stateTable)
    {
      strikes += 1
      mark(.pause)
      // What it has read and not committed may be gone when another takes its lanes over.
      if faults.isTrimmedAsleep { trim() }
      return node.pause(nanoseconds: SimulatedGroup.sessionNanoseconds + Int64(random.below(4_000)) * 1_000_000)
    }
    strike(at: node, chance: faults.moments.stateTable)
  }

  private func strike(_ victim: LiveNode, isVisible: Bool = false) {
    guard let kind = faults.strike(&random) else { return }
    strikes += 1
    say("strike: \(kind), node \(victim.node.id)")
    switch kind {
    case .kill, .fsyncFailed, .killInRecovery, .stop: end(victim, kind, isVisible: isVisible)
    case .unnoticedSleep, .pause, .longSleep: pause(victim, kind)
    case .warp: warp(hours: 1 + random.below(30))
    case .machineCrash: crash()
    case .rebalance: groups[0].rebalance()
    case .expel: groups[0].expelOne()
    case .secondDeployment: deployTwice()
    case .recreate, .trim: change(kind, victim)
    case .outage, .putsLost, .diskFull, .truncatedAnswers, .throttle: fail(kind)
    case .clockJump:
      mark(.clockJump)
      victim.node.wallSkew = Int64(random.below(7_200)) * 1_000_000 - 3_600_000_000
    }
  }

  /// A worker's process ends.
  private func end(_ victim: LiveNode, _ kind: LiveFaults.Strike, isVisible: Bool) {
    switch kind {
    case .stop:
      mark(.stop)
      victim.stop.raise()
    case .killInRecovery:
      mark(.killInRecovery)
      victim.node.kill()
      let start = delay()
      again(after: start)
      world.after(start + Int64(random.below(700_000_000))) { [self] in
        guard phase == .faults, let next = workers.last, next.node.isAlive else { return }
        next.node.kill()
        again(after: delay())
      }
    default:
      // After a failed fsync the process stops, and what is durable is not known. Where nothing is being made durable it is killed like any other.
      mark(kind == .fsyncFailed && isVisible ? .fsyncFailed : .kill)
      victim.node.kill()
      again(after: delay())
    }
  }

  /// A worker's process does nothing for a while.
  private func pause(_ victim: LiveNode, _ kind: LiveFaults.Strike) {
    switch kind {
    case .unnoticedSleep:
      mark(.unnoticedSleep)
      victim.node.isUnnoticed = true
      victim.node.pause(nanoseconds: LiveRun.hour * Int64(26 + random.below(70)))
      for _ in 0..<3 { world.after(Int64(random.below(1_500)) * 1_000_000) { [self] in warp(hours: 20 + random.below(20)) } }
    case .longSleep:
      mark(.longSleep)
      // The others live through warps meanwhile.
      victim.node.pause(nanoseconds: LiveRun.hour * Int64(1 + random.below(60)))
      again(after: delay())
      for _ in 0..<3 { world.after(Int64(1 + random.below(4)) * 1_000_000_000) { [self] in warp(hours: 1 + random.below(30)) } }
    default:
      mark(.pause)
      victim.node.pause(nanoseconds: 20_000_000 + Int64(random.below(6_000_000_000)))
    }
  }

  /// The source loses records.
  private func change(_ kind: LiveFaults.Strike, _ victim: LiveNode) {
    guard kind == .trim else {
      mark(.recreate)
      return topic.recreate()
    }
    trim()
    // What it had read and flushed and not committed is lost then.
    if random.chance(0.5) {
      victim.node.kill()
      again(after: delay())
    }
  }

  /// A store fails for a while.
  private func fail(_ kind: LiveFaults.Strike) {
    switch kind {
    case .putsLost:
      mark(.putsLost)
      store.losePuts(nanoseconds: Int64(random.below(4_000)) * 1_000_000)
    case .diskFull:
      mark(.diskFull)
      store.fill(nanoseconds: Int64(random.below(3_000)) * 1_000_000)
    case .truncatedAnswers:
      mark(.truncatedAnswers)
      store.truncate(nanoseconds: Int64(random.below(300)) * 1_000_000)
    case .throttle:
      mark(.throttle)
      stateTable.throttle(nanoseconds: Int64(random.below(3_000)) * 1_000_000)
    default:
      mark(.outage)
      store.fail(nanoseconds: Int64(random.below(6)) * 1_000_000_000)
    }
  }

  private func delay() -> Int64 { 10_000_000 + Int64(random.below(500_000_000)) }
  private func again(after delay: Int64) { world.after(delay) { [self] in keepTwo() } }

  /// The machine sleeps for hours, and all workers with it.
  private func warp(hours: Int) {
    guard phase == .faults else { return }
    mark(.warp)
    world.warp(nanoseconds: LiveRun.hour * Int64(hours))
  }
  private static let hour: Int64 = 3_600_000_000_000

  private func crash() {
    mark(.machineCrash)
    for worker in workers { worker.node.kill() }
    store.crash()
    stateTable.crash()
    again(after: delay())
  }

  /// A second deployment by mistake: a worker in a group of its own takes all shards.
  private func deployTwice() {
    mark(.secondDeployment)
    let group = makeGroup("by mistake \(groups.count)")
    groups.append(group)
    start(group)
    let mistake = workers[workers.count - 1]
    world.after(Int64(1 + random.below(4)) * 1_000_000_000) { mistake.stop.raise() }
  }

  private func trim() {
    mark(.trim)
    let shard = topic.workload.shards[random.below(topic.workload.shards.count)]
    let (low, high) = (topic.low[shard] ?? 0, topic.high(shard))
    topic.trim(shard, to: random.chance(0.4) ? high : low + Int64(random.below(Int(high - low) + 1)))
  }
}
