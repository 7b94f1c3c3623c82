import WeirCore
import WeirOperators

/// What a worker reads: prepared blocks in shard order, with the source's marks between them.
enum PreparedEvent: Sendable {
  case block(PreparedBlock, end: ShardPoint)
  case cut(position: Int64, prefixHash: Hash128)
  /// Everything that the shard held at this moment was handed out.
  case caughtUp(next: ShardPoint)
  /// The shard holds nothing at this position.
  case outOfRange(at: ShardPoint)
  /// The shard ended for good; these have its keys now.
  case closed(at: ShardPoint, children: [SourceShard])
  /// The input ends, or the shard was released.
  case end
  /// The source gives nothing for a while: what waits for company is not to wait any longer.
  case pause
  /// Stopped from outside: the stream ends here, at the last cut.
  case interrupted
}
