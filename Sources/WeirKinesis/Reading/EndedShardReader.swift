import Synchronization
import WeirCore

/// A shard that another program has read to its end: nothing is left to read, and the shards that have its keys come next.
final class EndedShardReader: KinesisReader {
  private let shard: KinesisShard
  private let point: ShardPoint
  private let around: KinesisSurroundings
  private let isClosed = Mutex(false)
  private let wake = Signal()

  init(_ shard: KinesisShard, at point: ShardPoint, _ around: KinesisSurroundings) {
    (self.shard, self.point, self.around) = (shard, point, around)
  }

  func stop() {
    isClosed.withLock { $0 = true }
    wake.ring()
  }

  func close() async { stop() }

  func next() async throws -> SourceEvent {
    if isClosed.withLock({ $0 }) || Task.isCancelled { return .end }
    return try await around.ended(shard, at: point, wake) { isClosed.withLock { $0 } }
  }
}
