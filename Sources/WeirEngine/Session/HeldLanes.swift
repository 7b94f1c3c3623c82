import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// The lanes that a session holds.
final class HeldLanes: Sendable {
  /// Of a shard that is partitioned over several lanes, all of which this worker has from the start.
  let dealt: [LaneActor]
  private let shards = Mutex<[LaneID: ShardLane]>([:])

  init(dealt: [LaneActor]) { self.dealt = dealt }

  subscript(id: LaneID) -> ShardLane? { shards.withLock { $0[id] } }

  /// Those that have a shard each, in order.
  var inOrder: [ShardLane] { shards.withLock { $0.values.sorted { $0.id < $1.id } } }

  var count: Int { shards.withLock { $0.count } }

  /// All of them, in order.
  var actors: [LaneActor] { dealt + inOrder.map(\.actor) }

  func add(_ lane: ShardLane) { shards.withLock { $0[lane.id] = lane } }

  func remove(_ ids: some Sequence<LaneID>) { shards.withLock { shards in for id in ids { shards[id] = nil } } }
}
