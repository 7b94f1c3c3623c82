import WeirCore
import WeirEngine

/// One worker's process.
///
/// `@unchecked Sendable`: see ``World``.
final class LiveNode: @unchecked Sendable {
  let node: Node
  let group: SimulatedGroup
  /// It was asked to end.
  let stop = Flag()
  var hasEnded = false
  /// When it took over all shards at once; nil: it did not.
  var readsSince: Int64?
  /// The shards that it has taken over.
  var reading: Set<String> = []

  init(node: Node, group: SimulatedGroup) {
    self.node = node
    self.group = group
  }

  var isRunning: Bool { node.isAlive && !hasEnded }

  var isCounted: Bool {
    node.isAlive && !hasEnded && (!node.isPaused || node.isUnnoticed || node.pausedUntil - node.world.now < 60_000_000_000)
  }
}
