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
  /// Files of the entry of this worker that has most.
  public var filesMax = 0
  /// Bytes that the process may take, and the most that it was seen to take; 0: nothing is measured.
  public var memoryBudget: Int64 = 0
  public var memoryPeak: Int64 = 0
}
