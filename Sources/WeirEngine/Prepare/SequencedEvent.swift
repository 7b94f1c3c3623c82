import WeirCore

/// What the sequencer made of an event of a capture.
enum SequencedEvent {
  /// `watermark`: the shard's after the block.
  case block(PreparedBlock, end: Int64, watermark: Int64)
  case cut(position: Int64, prefixHash: Hash128, watermark: Int64)
  case pause
  case end
  case interrupted
}
