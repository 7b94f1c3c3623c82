import Synchronization

/// How many blocks the lanes of a worker may prepare ahead, all together (law 7).
///
/// Each lane may have one block without asking. What it prepares beyond that is taken from here: so the lane of a single busy shard uses
/// every core, and hundreds of busy lanes hold no more blocks than lanes.
final class PrepareAhead: Sendable {
  private let left: Mutex<Int>

  init(_ blocks: Int) { left = Mutex(max(0, blocks)) }

  /// - Returns: false: others have all of them.
  func take() -> Bool {
    left.withLock { left in
      guard left > 0 else { return false }
      left -= 1
      return true
    }
  }

  /// A block could be taken now.
  var hasSome: Bool { left.withLock { $0 > 0 } }

  func give(_ blocks: Int = 1) { left.withLock { $0 += blocks } }
}
