import WeirTesting

/// What may go wrong in a run of live workers, and how often. Each kind is a switch; each seed draws its own mix (swarm testing).
struct LiveFaults: Sendable {
  /// Chances per fetch and per question to the source.
  var fetchFailed = 0.0
  var sourceFailed = 0.0
  /// Per flush of a sink.
  var sinkFailed = 0.0
  /// Of requests to lake and state table.
  var store = Faults.none
  /// Weights of what strikes a worker.
  var strikes: [Strike: Int] = [:]
  /// Strikes in the run at most.
  var strikesMax = 0
  /// The ledger is collected at once, and puts are struck often.
  private(set) var isSleepy = false
  /// Chances that a worker is struck at a moment at which it hurts.
  var moments = Moments()
  /// What else happens to a worker that falls asleep.
  var isTrimmedAsleep = false
  /// Only the worker is struck that has the last records, when most lanes are idle (``SourceWorkload/delayTail()``).
  var isLate = false

  /// Chances per moment.
  struct Moments: Sendable {
    /// Before it puts.
    var put = 0.03
    /// What it has put can be seen, and is not durable.
    var visible = 0.03
    /// Before a request to the state table has its effect.
    var stateTable = 0.01
    /// Before the source answers.
    var question = 0.0
  }

  static let none = LiveFaults()

  /// What may happen to a worker, or around it, at any step.
  enum Strike: String, CaseIterable, Sendable {
    case kill, stop, pause, longSleep, warp, machineCrash, outage, rebalance, expel, secondDeployment, trim, diskFull, truncatedAnswers
    case clockJump, throttle, unnoticedSleep, killInRecovery, fsyncFailed, recreate, putsLost
  }

  /// The kinds by name, for a reduced list of faults.
  static let kinds =
    [
      "fetchFailed", "sourceFailed", "sinkFailed", "requestLost", "replyLost", "requestDelayed", "readFailed", "requestRefused",
      "requestSlow", "writeSplit",
    ]
    + Strike.allCases.map(\.rawValue)

  init() {}

  init(from random: inout SplitMix64) {
    fetchFailed = LiveFaults.draw([0, 0.01, 0.05], &random)
    sourceFailed = LiveFaults.draw([0, 0.01, 0.05], &random)
    sinkFailed = LiveFaults.draw([0, 0.02, 0.1], &random)
    store.requestLost = LiveFaults.draw([0, 0.01, 0.04], &random)
    store.replyLost = LiveFaults.draw([0, 0.01, 0.04], &random)
    store.requestDelayed = LiveFaults.draw([0, 0.01, 0.03], &random)
    store.readFailed = LiveFaults.draw([0, 0.005, 0.02], &random)
    store.wallSkewMax = random.chance(0.3) ? 600_000_000 : 0
    for strike in Strike.allCases { strikes[strike] = [0, 0, 1, 3][random.below(4)] }
    strikesMax = random.below(10)
    store.requestRefused = LiveFaults.draw([0, 0.01, 0.04], &random)
    store.requestSlow = LiveFaults.draw([0, 0, 0.004], &random)
    store.writeSplit = LiveFaults.draw([0, 0.1, 0.5], &random)
    if random.chance(0.15) { makeSleepy(&random) }
  }

  /// Of replays: no process shares the input, and there is no source to be asked.
  init(ofReplays random: inout SplitMix64) {
    self.init(from: &random)
    sourceFailed = 0
    fetchFailed = fetchFailed / 5
    // A replay ends at the first request that fails, and has about a hundred of them before it can commit anything.
    for chance in [\Faults.requestLost, \.replyLost, \.requestDelayed, \.readFailed, \.requestRefused] { store[keyPath: chance] /= 4 }
    strikesMax = random.below(8)
    moments = Moments(put: isSleepy ? 0.15 : 0.06, visible: 0.06, stateTable: 0.02, question: 0)
    for strike in [Strike.rebalance, .expel, .recreate] { strikes[strike] = 0 }
    // Some runs meet little else than an input that is damaged.
    if random.chance(0.15) { (strikes, strikesMax) = ([.trim: 3, .kill: 1, .warp: 1], 3 + random.below(5)) }
  }

  /// Few other faults: workers fall asleep where it hurts while others collect.
  private mutating func makeSleepy(_ random: inout SplitMix64) {
    (fetchFailed, sourceFailed, sinkFailed, store) = (0, 0, 0, .none)
    strikes = [.unnoticedSleep: 3, .longSleep: 2, .secondDeployment: 1]
    strikesMax = 2 + random.below(4)
    isSleepy = true
    moments.put = 0.15
  }

  /// Strikes of few kinds, often, and only at the moments at which they hurt: what needs two or three of them together is met in few seeds.
  init(aimed random: inout SplitMix64) {
    strikesMax = 2 + random.below(6)
    switch random.below(4) {
    case 0:
      // At flushes, claims and recoveries.
      strikes = [.pause: 4, .kill: 3, .killInRecovery: 1, .rebalance: 2, .throttle: 1, .stop: 1]
      moments = Moments(put: 0.02, visible: 0.02, stateTable: 0.06, question: 0)
      isTrimmedAsleep = random.chance(0.5)
      store.writeSplit = LiveFaults.draw([0, 0.5], &random)
      store.stateSlow = LiveFaults.draw([0, 0.3], &random)
    case 1:
      // While a worker asks what became of its shards.
      strikes = [.recreate: 3, .expel: 2, .rebalance: 3, .stop: 1]
      moments = Moments(put: 0, visible: 0, stateTable: 0, question: 0.1)
    case 2:
      // Between what is visible and what is durable.
      strikes = [.kill: 3, .pause: 1, .machineCrash: 1]
      moments = Moments(put: 0.05, visible: 0.15, stateTable: 0, question: 0)
      store.replyLost = LiveFaults.draw([0, 0.04], &random)
    default:
      makeSleepy(&random)
      strikes[.pause] = 2
      strikesMax = 8
      moments.put = 0.3
      isLate = random.chance(0.5)
      // The others move the ledger only to collect it.
      if isLate { strikes = [.unnoticedSleep: 1] }
    }
  }

  /// The same of replays: one process at a time, and the moments are its last steps.
  init(aimedAtReplays random: inout SplitMix64) {
    strikesMax = 2 + random.below(6)
    strikes = [.kill: 4, .killInRecovery: 1, .stop: 1, .pause: 1]
    moments = Moments(put: 0.1, visible: 0.1, stateTable: 0.1, question: 0)
  }

  private static func draw(_ choices: [Double], _ random: inout SplitMix64) -> Double { choices[random.below(choices.count)] }

  /// Without some kinds: a failure is reduced by leaving out what it does not need.
  func without(_ kinds: Set<String>) -> LiveFaults {
    var faults = self
    if kinds.contains("fetchFailed") { faults.fetchFailed = 0 }
    if kinds.contains("sourceFailed") { faults.sourceFailed = 0 }
    if kinds.contains("sinkFailed") { faults.sinkFailed = 0 }
    if kinds.contains("requestLost") { faults.store.requestLost = 0 }
    if kinds.contains("replyLost") { faults.store.replyLost = 0 }
    if kinds.contains("requestDelayed") { faults.store.requestDelayed = 0 }
    if kinds.contains("readFailed") { faults.store.readFailed = 0 }
    if kinds.contains("requestRefused") { faults.store.requestRefused = 0 }
    if kinds.contains("requestSlow") { faults.store.requestSlow = 0 }
    if kinds.contains("writeSplit") { faults.store.writeSplit = 0 }
    for strike in Strike.allCases where kinds.contains(strike.rawValue) { faults.strikes[strike] = 0 }
    return faults
  }

  /// The kinds that are on.
  var names: [String] {
    let chances = [
      fetchFailed, sourceFailed, sinkFailed, store.requestLost, store.replyLost, store.requestDelayed, store.readFailed,
      store.requestRefused, store.requestSlow, store.writeSplit,
    ]
    let isStriking = strikesMax > 0
    let sleepy = isSleepy ? ["sleepy"] : []
    return sleepy + zip(LiveFaults.kinds, chances).filter { $1 > 0 }.map(\.0)
      + Strike.allCases.filter { isStriking && strikes[$0, default: 0] > 0 }.map(\.rawValue)
  }

  func strike(_ random: inout SplitMix64) -> Strike? {
    let total = strikes.values.reduce(0, +)
    guard total > 0 else { return nil }
    var draw = random.below(total)
    for strike in Strike.allCases {
      draw -= strikes[strike, default: 0]
      if draw < 0 { return strike }
    }
    return nil
  }
}
