import WeirCore
import WeirProtocol

/// What the reader has for the lanes, in the order of the shard.
enum LaneWork: Sendable {
  /// Some blocks, of `records` records; `end` and `watermark` are the shard's after them.
  case deals([DealtBlocks], records: Int, end: Int64, watermark: Int64)
  /// `blankLines`: since the last cut. They have no lane; the first one counts them.
  case cut(position: Int64, prefixHash: Hash128, watermark: Int64, decisions: [Decision], blankLines: Int)
}
