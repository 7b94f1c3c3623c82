import WeirCore

/// What a replay did: so far, or in all.
public struct ReplayProgress: Sendable {
  /// Records read.
  public var records: Int64 = 0
  /// Input bytes consumed, the ledger's earlier ones counted.
  public var position: Int64 = 0
  public var watermark = Watermark.minimum
  /// Records of this run that were too far ahead of the stream to count towards the watermark, and were accepted (``ClockGuard``).
  public var uncounted: Int64 = 0
  /// Entries committed by this run.
  public var entries: Int64 = 0
  /// The ledger's newest entry.
  public var ledgerNumber: Int64 = 0
  /// Why records of the entries of this run were rejected.
  public var rejected = RejectedReasons()
  /// What dedup, open windows and keyed state hold, bytes.
  public var state = StateBytes()
  /// Files of the entry of this run that has most.
  public var filesMax = 0
  /// The state tables were rebuilt before the run.
  public var stateRebuilt: StateRebuild.Outcome?
  public init(stateRebuilt: StateRebuild.Outcome? = nil) { self.stateRebuilt = stateRebuilt }
}
