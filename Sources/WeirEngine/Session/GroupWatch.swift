import WeirCore

/// Whether the group answers, and whether this worker hands over in time: the rules, without group, clock or lock.
///
/// A group may fall silent: a broker loses the answer to a member that joins, a coordinator moves at the wrong moment. The
/// client asks again by itself after the group's rebalance time-out; when that does not help either, a new client does.
///
/// Conversely the group waits for this worker when partitions are to be handed over. After the deadline the group would continue without it,
/// so what is not committed by then is dropped, and the next session continues from the ledger.
struct GroupWatch {
  enum Verdict: Equatable {
    case fine
    /// The group owes an answer for too long.
    case silent(nanoseconds: Int64)
    /// The hand-over has taken too long.
    case late
  }

  private enum Standing: Equatable {
    /// Asked to join, or gave partitions back: the next word is the group's.
    case waiting(since: Int64)
    case settled
    /// Partitions are to be given up: the next word is this worker's.
    case leaving(since: Int64)
  }

  let silenceNanoseconds: Int64
  let handOverNanoseconds: Int64
  private var standing = Standing.settled

  init(silenceNanoseconds: Int64, handOverNanoseconds: Int64) {
    self.silenceNanoseconds = silenceNanoseconds
    self.handOverNanoseconds = handOverNanoseconds
  }

  mutating func joined(at now: Int64) { standing = .waiting(since: now) }

  mutating func assigned() { standing = .settled }

  /// What was lost is not committed, so there is nothing to wait for.
  mutating func revoked(at now: Int64, isLost: Bool) { standing = isLost ? .settled : .leaving(since: now) }

  mutating func released(at now: Int64) { standing = .waiting(since: now) }

  /// When there will be a verdict if nothing happens until then, monotonic nanoseconds; nil: never.
  var verdictIsDueAt: Int64? {
    switch standing {
    case .settled: nil
    case .waiting(let since): since + silenceNanoseconds + 1
    case .leaving(let since): since + handOverNanoseconds + 1
    }
  }

  func verdict(at now: Int64) -> Verdict {
    switch standing {
    case .settled: .fine
    case .waiting(let since): now - since > silenceNanoseconds ? .silent(nanoseconds: now - since) : .fine
    case .leaving(let since): now - since > handOverNanoseconds ? .late : .fine
    }
  }
}
