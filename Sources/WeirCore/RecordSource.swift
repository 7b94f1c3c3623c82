/// One hand-out of a source.
public enum SourceEvent: Sendable {
  /// Records of one shard, in its order. Everything of the shard before `next` is in this block, in one before, or will never come.
  ///
  /// A block ends with an outer record (see ``SequenceNumber``): cuts and flushes fall between blocks, so none falls within one.
  case block(RawBlock, next: ShardPoint)
  /// A place for a cut in a capture: every record before this byte was handed out. `prefixHash` is over all bytes before it.
  case cut(position: Int64, prefixHash: Hash128)
  /// Everything that the shard holds at this moment was handed out.
  case caughtUp(next: ShardPoint)
  /// The shard holds nothing at this position, and reading has stopped.
  case outOfRange(at: ShardPoint)
  /// The shard ended for good, and everything that it held was handed out: these shards have its keys from here on.
  case closed(at: ShardPoint, children: [SourceShard])
  /// Nothing more comes: the end of a capture, after a cut, or a shard that was released.
  case end
}

/// Where records come from: one shard of a live source, or a capture.
public protocol RecordSource: Sendable {
  /// The next event; waits for one. Called by one task at a time.
  func next() async throws -> SourceEvent
  /// Stops reading and frees what is held. A wait for the next event that may have no end ends, with an error or with
  /// ``SourceEvent/end``.
  func close() async
}
