import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// The lanes that a session holds.
final class HeldLanes: Sendable {
  /// Of a shard that is partitioned over several lanes, all of which this worker has from the start.
  let dealt: [LaneActor]
  private struct Held {
    var byID: [LaneID: ShardLane] = [:]
    /// In order; the loops ask for it much more often than it changes.
    var inOrder: [ShardLane] = []
  }
  private let held = Mutex(Held())
  /// Rung when one of them has something for the state table.
  let stateNews = Alarm()

  init(dealt: [LaneActor]) {
    self.dealt = dealt
    for actor in dealt { actor.news.ring(stateNews) }
  }

  subscript(id: LaneID) -> ShardLane? { held.withLock { $0.byID[id] } }

  /// Those that have a shard each, in order.
  var inOrder: [ShardLane] { held.withLock { $0.inOrder } }

  var count: Int { held.withLock { $0.inOrder.count } }

  /// All of them, in order.
  var actors: [LaneActor] { dealt + inOrder.map(\.actor) }

  func add(_ lane: ShardLane) {
    change { $0[lane.id] = lane }
    lane.actor.news.ring(stateNews)
  }

  func remove(_ ids: some Sequence<LaneID>) { change { lanes in for id in ids { lanes[id] = nil } } }

  private func change(_ body: (inout [LaneID: ShardLane]) -> Void) {
    held.withLock { held in
      body(&held.byID)
      held.inOrder = held.byID.values.sorted { $0.id < $1.id }
    }
  }
}
