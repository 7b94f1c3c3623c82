import WeirCore

/// A reader of one shard.
protocol KinesisReader: RecordSource {
  /// Ends a wait for records, and the reading.
  func stop()
}

/// What a reader asks of the group that it belongs to.
struct KinesisSurroundings: Sendable {
  var requests: KinesisRequests
  var clock: any Clock
  var stream: String
  /// Shards that have the keys of one that ended.
  var children: @Sendable (String) async throws -> [SourceShard]
  /// The first record that a shard still has, which the reader came upon too late.
  var trimmed: @Sendable (String, SequenceNumber) -> Void
  var observe: @Sendable (String, KinesisObservation) -> Void
  var retentionMilliseconds: @Sendable () -> Int64

  /// Everything of a shard was handed out, and it ended.
  /// - Parameters:
  ///   - wake: rung when the reader is stopped.
  ///   - isClosed: whether it was.
  func ended(_ shard: KinesisShard, at point: ShardPoint, _ wake: Signal, isClosed: () -> Bool) async throws -> SourceEvent {
    let children = try await children(shard.id)
    if children.isEmpty {
      // The list of shards may be older than the shard's end.
      await wake.wait(until: clock.monotonicNanoseconds + 1_000_000_000, clock)
      if isClosed() { return .end }
      throw WeirError(
        .unavailable, "\(stream)/\(shard.id) has ended, and the stream does not list the shards that have its keys now",
        advice: "It is asked again. If it stays so, was the stream deleted?")
    }
    return .closed(at: point, children: children)
  }
}

/// What a reader noticed.
struct KinesisObservation: Sendable, Equatable {
  var millisecondsBehind: Int64?
  var isThrottled = false
  var misplacedAggregates = 0
  /// The subscription sent nothing for so long that it was replaced.
  var wasSilent = false
  /// Another subscription of the consumer reads the shard.
  var isInUse = false
}
