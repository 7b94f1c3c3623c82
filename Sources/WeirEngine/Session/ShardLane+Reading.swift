import WeirCore
import WeirOperators
import WeirProtocol

/// A live shard: its blocks are read, prepared in parallel, sequenced and consumed in order.
extension ShardLane {
  /// How the lanes of a worker are read.
  struct Readers: Sendable {
    let pool: PreparerPool
    let gate: InputGate
    let weights: RowWeights
    let counts: WorkerCounts
    let ahead: PrepareAhead
    let governor: MemoryGovernor
  }

  /// Reads the shard and consumes its records until it is released or ``stop()`` was called.
  /// - Throws: what ends the worker; `out_of_range` when the shard holds nothing at the lane's position.
  func read(_ source: any RecordSource, _ readers: Readers) async throws {
    let how = Reading(
      ahead: readers.ahead, interruption: isStopped, shard: id.shard, retries: true, gathers: true,
      resolves: { [reading, clock] in reading.resolves($0, now: clock.monotonicNanoseconds) })
    var isFirstBlock = true
    enter(.reading)
    try await readers.pool.forEach(source, how) { event in
      if isStopped.isRaised { return false }
      switch event {
      case .block(let block, let next):
        guard try await take(block, end: next, isFirst: isFirstBlock, readers) else { return false }
        isFirstBlock = false
      case .caughtUp(let next):
        try await advance(to: next)
        let due = standing.withLock { standing in
          standing.machine.caughtUp(at: clock.monotonicNanoseconds)
          return standing.machine.dueAt(idleNanoseconds: idleNanoseconds)
        }
        if let due { alarm.ring(by: due) }
      case .outOfRange(let at):
        throw WeirError(.outOfRange, "\(id.shard) holds nothing at position \(at) any more")
      case .closed(let end, let children):
        try await close(at: end, children: children)
        return false
      case .end, .interrupted: return false
      case .cut, .pause: break
      }
      if isStopped.isRaised { return false }
      enter(.reading)
      return true
    }
  }

  /// - Returns: false when the lane was stopped before it consumed the block.
  private func take(_ block: PreparedBlock, end: ShardPoint, isFirst: Bool, _ readers: Readers) async throws -> Bool {
    var block = block
    let raw = block.decoded.raw
    enter(.bounded)
    // What was read makes room only by a cut.
    if readers.governor.isBusy(after: Int64(raw.count)) { alarm.ring() }
    await readers.gate.admit(Int64(raw.count))
    enter(.waking)
    await awake()
    if isStopped.isRaised { return false }
    enter(.working)
    let marks = raw.lastFingerprint.map { (first: isFirst ? raw.fingerprint(0) : nil, last: $0) }
    try sequence(&block)
    await readers.gate.add(readers.weights.weight(of: block))
    readers.counts.update { $0.records += Int64(block.count) }
    // A cut may have come between the block's preparation and this, and with it another version of a lookup.
    while let lookups = try await consume(block, end: end, read: marks) { block = try readers.pool.prepare(block, with: lookups) }
    return true
  }

  private func enter(_ stage: LaneReading.Activity) { reading.enter(stage, now: clock.monotonicNanoseconds) }

  /// Holds a record of a lane that is idle, or whose recorded clock is old, until the entry that wakes it or carries a fresh clock.
  private func awake() async {
    await withCheckedContinuation { continuation in
      let goesOn = standing.withLock { standing in
        if isStopped.isRaised || standing.machine.arrived(at: clock.monotonicNanoseconds) { return true }
        standing.holder = continuation
        return false
      }
      if goesOn { continuation.resume() } else { alarm.ring() }
    }
  }

  /// Nothing more is consumed; what is under way ends at the next step.
  func stop() {
    isStopped.raise()
    release()
  }

  func release() {
    let holder = standing.withLock { standing in
      defer { standing.holder = nil }
      return standing.holder
    }
    holder?.resume()
  }
}
