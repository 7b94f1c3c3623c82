import WeirCore

/// What a worker has done since its start, and where the pipeline stands.
public struct LiveProgress: Sendable {
  public var records: Int64 = 0
  /// Entries of this worker.
  public var entries: Int64 = 0
  public var ledgerNumber: Int64 = 0
  public var mergedWatermark = Watermark.minimum
  /// Shards being read.
  public var shards = 0
}
