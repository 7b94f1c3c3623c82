import WeirCore

/// Sequences the events of a capture, and holds those whose verdict depends on records that were not read yet (``ClockGuard``).
///
/// Nearly always an event goes through at once. A block with a suspicious record near its end waits until
/// ``ClockGuard/followersMax`` valid records after it are known, or the input has ended; what comes after it waits too, cuts
/// included, so that the ledger never has half of it. Bound (law 7): those records, and the rest of the blocks they are in.
struct ConfirmedEvents {
  private(set) var sequencer: Sequencer
  /// Whether the end of the input is final.
  private let keepOpen: Bool
  private var held: [PreparedEvent] = []

  init(_ sequencer: Sequencer, keepOpen: Bool) {
    self.sequencer = sequencer
    self.keepOpen = keepOpen
  }

  /// - Returns: the events that are decided now, in order.
  /// - Throws: `check_failed`.
  mutating func admit(_ event: PreparedEvent) throws(WeirError) -> [SequencedEvent] {
    switch event {
    // It moves nothing, and must not wait for a pipe that gives nothing.
    case .pause, .caughtUp, .outOfRange, .closed: return [.pause]
    // What is held is after the last cut that was passed on: the next run reads it again.
    case .interrupted:
      held = []
      return [.interrupted]
    case .block, .cut, .end: held.append(event)
    }
    var ready: [SequencedEvent] = []
    var next = 0
    while next < held.count, let event = try sequence(next) {
      ready.append(event)
      next += 1
    }
    held.removeFirst(next)
    return ready
  }

  /// nil: it has to wait.
  private mutating func sequence(_ index: Int) throws(WeirError) -> SequencedEvent? {
    switch held[index] {
    case .block(var block, let end):
      // The queue's own reference would make the block's columns be copied.
      held[index] = .pause
      let isDone = try sequencer.sequence(&block, followers: followers(after: index))
      guard isDone else {
        held[index] = .block(block, end: end)
        return nil
      }
      return .block(block, end: end.ordinal, watermark: sequencer.watermark)
    case .cut(let position, let hash): return .cut(position: position, prefixHash: hash, watermark: sequencer.watermark)
    case .pause, .caughtUp, .outOfRange, .closed: return .pause
    case .end: return .end
    case .interrupted: return .interrupted
    }
  }

  private func followers(after index: Int) -> ClockGuard.Followers {
    var followers = ClockGuard.Followers()
    for event in held[(index + 1)...] {
      switch event {
      case .block(let block, _):
        for row in 0..<block.count where block.decoded.valid[row] {
          followers.times.append(block.columns.time[row])
          if followers.times.count == ClockGuard.followersMax { return followers }
        }
      case .end: followers.end = keepOpen ? .keptOpen : .closed
      case .cut, .pause, .interrupted, .caughtUp, .outOfRange, .closed: break
      }
    }
    return followers
  }
}
