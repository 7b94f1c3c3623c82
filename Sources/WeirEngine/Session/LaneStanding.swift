import WeirProtocol

/// Whether a live lane may consume records: the rules of idling and waking, without lane, clock or lock (DESIGN, law 3).
///
/// An idle lane does not hold back the merged watermark, so its next record must be judged by a floor, and the floor is
/// known only after the entry with the `wake`. From the moment that `idle` is on its way to the ledger, records are held:
///
///     awake ── caught up for long: a cut takes `idle` ──► idling ── committed ──► idle
///       ▲                                                                           │ a record waits: a cut takes `wake`
///       └────────────────────── committed: the floor is raised ◄── waking ◄─────────┘
///
/// Where event times are judged by a recorded clock, the records of an awake lane whose clock grew old are held in the same way: a
/// cut takes a fresh one (`refreshing`), and they are released when its entry is committed. So a clock takes effect exactly at a cut.
struct LaneStanding {
  enum State: Equatable { case awake, idling, idle, waking, refreshing }

  /// What a cut has to carry for the lane.
  enum Due: Equatable { case idle, wake, clock }

  private(set) var state: State
  /// How long a recorded clock is good for; nil: no clock is needed.
  private let refreshNanoseconds: Int64?
  /// Monotonic nanoseconds when the lane's recorded clock was read.
  private var clockReadAt: Int64
  /// Monotonic nanoseconds since when the shard has had nothing new; nil while it has.
  private(set) var caughtUpAt: Int64?
  /// A record is held.
  private(set) var isWanted = false
  /// For the simulation.
  var variant: EngineVariant = []

  /// - Parameters:
  ///   - refreshNanoseconds: how long a recorded clock is good for; nil: no clock is needed.
  ///   - clockReadAt: monotonic nanoseconds when the clock in the ledger was read.
  init(isIdle: Bool, refreshNanoseconds: Int64? = nil, clockReadAt: Int64 = 0) {
    state = isIdle ? .idle : .awake
    self.refreshNanoseconds = refreshNanoseconds
    self.clockReadAt = clockReadAt
  }

  private var isBroken: Bool {
    state == .waking && variant.contains(.wakesBeforeEntry) || state == .idling && variant.contains(.readsWhileIdling)
  }

  private func isClockOld(at now: Int64) -> Bool { refreshNanoseconds.map { now - clockReadAt >= $0 } ?? false }

  /// Everything that the shard holds was consumed.
  mutating func caughtUp(at now: Int64) {
    if state == .awake, caughtUpAt == nil { caughtUpAt = now }
  }

  /// A record is there. True: consume it now. False: hold it until ``committed()`` says so.
  mutating func arrived(at now: Int64) -> Bool {
    if !variant.isEmpty, isBroken { return true }
    if state == .awake, !isClockOld(at: now) {
      caughtUpAt = nil
      return true
    }
    isWanted = true
    return false
  }

  /// What a cut made now would have to carry.
  func due(at now: Int64, idleNanoseconds: Int64) -> Due? {
    switch state {
    case .awake where isWanted: .clock
    case .awake: caughtUpAt.map { now - $0 >= idleNanoseconds } == true ? .idle : nil
    case .idle: isWanted ? .wake : nil
    case .idling, .waking, .refreshing: nil
    }
  }

  /// When a cut would have to carry something, as far as it can be said now; ``Int64/min``: already.
  func dueAt(idleNanoseconds: Int64) -> Int64? {
    switch state {
    case .awake where isWanted: .min
    case .awake: caughtUpAt.map { $0 + idleNanoseconds }
    case .idle: isWanted ? .min : nil
    case .idling, .waking, .refreshing: nil
    }
  }

  /// The cut is made and carries what is due.
  mutating func cut(at now: Int64, idleNanoseconds: Int64) -> Due? {
    let due = due(at: now, idleNanoseconds: idleNanoseconds)
    switch due {
    case .idle: state = .idling
    case .wake:
      state = .waking
      clockReadAt = now
    case .clock:
      state = .refreshing
      clockReadAt = now
    case nil: break
    }
    return due
  }

  /// The cut's entry is in the ledger. True: a record that was held is released, above the lane's floor.
  mutating func committed() -> Bool {
    switch state {
    case .idling:
      state = .idle
      caughtUpAt = nil
      return false
    case .waking, .refreshing:
      state = .awake
      isWanted = false
      caughtUpAt = nil
      return true
    case .awake, .idle: return false
    }
  }
}
