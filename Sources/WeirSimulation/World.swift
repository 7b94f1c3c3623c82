import WeirCore
import WeirTesting

/// One thread, one seed, one virtual clock: everything that happens in a simulation happens in ``step()``.
///
/// The seed picks which ready job runs next; time moves only when none is ready. Each step is folded into ``trace``,
/// so two runs of a seed can be compared.
///
/// `@unchecked Sendable`: all access is from the thread that steps the world; ``escapes`` counts enqueues from outside.
package final class World: @unchecked Sendable {
  /// Virtual nanoseconds since the world began.
  package private(set) var now: Int64 = 0
  package private(set) var steps = 0
  /// FNV-1a over everything that happened.
  package private(set) var trace: UInt64 = 14_695_981_039_346_656_037
  /// Jobs that came from outside a step: work that left the simulation (`Task {}`, `Task.sleep`).
  package private(set) var escapes = 0
  private var ready: [(node: Node, job: UnownedJob)] = []
  private var timers = TimerHeap()
  private var timerCount = 0
  private var scheduler: SplitMix64
  private var isInside = false
  private var nodeCount = 0
  package let seed: UInt64

  package init(seed: UInt64) {
    self.seed = seed
    scheduler = SplitMix64(seed: seed ^ 0x5EED)
  }

  /// A random stream of its own for a component, so that a draw more in one does not shift the others.
  package func random(_ component: String) -> SplitMix64 {
    let hash = Array(component.utf8).withUnsafeBytes { Hash128($0, seed: seed) }
    return SplitMix64(seed: hash.low)
  }

  package func makeNode() -> Node {
    nodeCount += 1
    return Node(id: nodeCount, world: self)
  }

  /// Adds something that happened to the trace.
  package func note(_ value: Int64) {
    trace = (trace ^ UInt64(bitPattern: value)) &* 1_099_511_628_211
  }

  /// Calls `fire` after a delay, whatever became of the node that asked: a request on its way.
  package func after(_ nanoseconds: Int64, _ fire: @escaping () -> Void) {
    timerCount += 1
    timers.push(TimerHeap.Timer(at: now + max(0, nanoseconds), order: timerCount, fire: fire))
  }

  /// Time moves forward at once: what was due meanwhile happens now.
  package func warp(nanoseconds: Int64) {
    now += nanoseconds
    warped += nanoseconds
  }

  /// Virtual nanoseconds that passed at once: ``now`` without them is how long the world has been at work.
  package private(set) var warped: Int64 = 0

  /// Does one thing; false if nothing is left to do.
  package func step() -> Bool {
    if let next = takeRunnable() {
      run(next)
      return true
    }
    guard let timer = timers.pop() else { return false }
    now = max(now, timer.at)
    inside { timer.fire() }
    return true
  }

  /// One of the ready jobs, by seed: the first that can run, from a random place on.
  private func takeRunnable() -> (node: Node, job: UnownedJob)? {
    guard !ready.isEmpty else { return nil }
    let first = Int(scheduler.next() % UInt64(ready.count))
    for offset in 0..<ready.count {
      let place = (first + offset) % ready.count
      guard ready[place].node.pausedUntil <= now else { continue }
      ready.swapAt(place, ready.count - 1)
      return ready.removeLast()
    }
    return nil
  }

  /// Runs code of the simulation itself, which may start tasks.
  package func inside(_ body: () -> Void) {
    let outer = isInside
    isInside = true
    body()
    isInside = outer
  }

  private func run(_ next: (node: Node, job: UnownedJob)) {
    steps += 1
    note(Int64(next.node.id) &* 31 &+ Int64(ready.count))
    inside { next.job.runSynchronously(on: next.node.asUnownedTaskExecutor()) }
  }

  fileprivate func drop(_ node: Node) { ready.removeAll { $0.node === node } }

  fileprivate func enqueue(_ job: UnownedJob, on node: Node) {
    if !isInside { escapes += 1 }
    if node.isAlive { ready.append((node, job)) }
  }
}

/// One process: its own executor, so that it can die or sleep at any instant.
///
/// `@unchecked Sendable`: see ``World``.
package final class Node: TaskExecutor, @unchecked Sendable {
  package let id: Int
  package let world: World
  package private(set) var isAlive = true
  /// A zombie until then: its jobs wait, its requests continue.
  package private(set) var pausedUntil: Int64 = 0
  /// Error of its wall clock, microseconds.
  package var wallSkew: Int64 = 0

  fileprivate init(id: Int, world: World) {
    self.id = id
    self.world = world
  }

  package func enqueue(_ job: consuming ExecutorJob) {
    world.enqueue(UnownedJob(job), on: self)
  }

  /// `kill -9`: its jobs are dropped (their tasks leak, that is accepted); requests under way still arrive.
  package func kill() {
    isAlive = false
    world.drop(self)
  }

  /// Stops for a while and continues where it stopped.
  package func pause(nanoseconds: Int64) {
    pausedUntil = max(pausedUntil, world.now + nanoseconds)
    world.after(nanoseconds) {}
  }

  package var isPaused: Bool { pausedUntil > world.now }
  /// The watch over it takes it for awake while it is paused.
  package var isUnnoticed = false

  /// Ends a pause.
  package func wake() { pausedUntil = min(pausedUntil, world.now) }

  package func start(_ body: @escaping @Sendable () async -> Void) {
    world.inside { _ = Task(executorPreference: self) { await body() } }
  }

  /// Ends at once when the task is cancelled.
  package func sleep(nanoseconds: Int64) async {
    let sleeper = Sleeper()
    await withTaskCancellationHandler {
      await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
        guard !sleeper.isOver else { return continuation.resume() }
        sleeper.continuation = continuation
        world.after(nanoseconds) { sleeper.wake() }
      }
    } onCancel: {
      sleeper.wake()
    }
  }
}

/// `@unchecked Sendable`: see ``World``.
private final class Sleeper: @unchecked Sendable {
  var continuation: UnsafeContinuation<Void, Never>?
  private(set) var isOver = false

  func wake() {
    isOver = true
    continuation?.resume()
    continuation = nil
  }
}

/// A node's clock.
package struct SimulatedClock: Clock {
  package let node: Node
  /// 2025-01-01, UTC microseconds.
  package static let epochMicroseconds: Int64 = 1_735_689_600_000_000

  package init(node: Node) { self.node = node }

  package var monotonicNanoseconds: Int64 { node.world.now }
  package var wallMicroseconds: Int64 { SimulatedClock.epochMicroseconds + node.world.now / 1000 + node.wallSkew }
  package func sleep(nanoseconds: Int64) async { await node.sleep(nanoseconds: nanoseconds) }
}

/// A seeded source of randomness for one component.
///
/// `@unchecked Sendable`: see ``World``.
package final class SimulatedRandom: RandomSource, @unchecked Sendable {
  private var generator: SplitMix64

  package init(_ generator: SplitMix64) { self.generator = generator }

  package func next() -> UInt64 { generator.next() }
  package func chance(_ probability: Double) -> Bool { generator.chance(probability) }
  package func below(_ bound: Int) -> Int { generator.below(bound) }
}

/// Timers by time, then by the order in which they were set.
private struct TimerHeap {
  struct Timer {
    let at: Int64
    let order: Int
    let fire: () -> Void

    static func < (a: Timer, b: Timer) -> Bool { (a.at, a.order) < (b.at, b.order) }
  }

  private var items: [Timer] = []

  mutating func push(_ timer: Timer) {
    items.append(timer)
    var i = items.count - 1
    while i > 0, items[i] < items[(i - 1) / 2] {
      items.swapAt(i, (i - 1) / 2)
      i = (i - 1) / 2
    }
  }

  mutating func pop() -> Timer? {
    guard let first = items.first else { return nil }
    let last = items.removeLast()
    guard !items.isEmpty else { return first }
    items[0] = last
    var i = 0
    while true {
      var least = i
      for child in [2 * i + 1, 2 * i + 2] where child < items.count && items[child] < items[least] { least = child }
      guard least != i else { return first }
      items.swapAt(i, least)
      i = least
    }
  }
}
