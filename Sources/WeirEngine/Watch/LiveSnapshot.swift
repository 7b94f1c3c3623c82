import WeirCore

/// What a live worker and its pipeline are at, at one moment: a plain value for metrics, probes and people.
public struct LiveSnapshot: Sendable {
  /// A lane of the pipeline, this worker's or another's.
  public struct Lane: Sendable {
    public var shard: String
    /// This worker has it.
    public var isHeld = false
    public var activity = LaneReading.Activity.stopped
    /// Since when the loop is at it.
    public var activityNanoseconds: Int64 = 0
    /// Everything before it was consumed by this worker; -1: none.
    public var position: Int64 = -1
    /// Time since the position moved.
    public var stillNanoseconds: Int64 = 0
    /// Read by this worker since its start.
    public var records: Int64 = 0
    public var bytes: Int64 = 0
    /// As far as this worker consumed, UTC microseconds.
    public var watermark = Watermark.minimum
    public var dedupEntries: Int64 = 0
    public var openWindows: Int64 = 0
    public var spentNanoseconds = ActivityTimes()
    /// What the ledger says of it; nil before it was read.
    public var ledger: LedgerLane?
    /// What the source holds; nil before it was asked.
    public var bounds: ShardBounds?
    /// Time until the next unread record is deleted at the source, by the rate at which it deletes: infinite when it deletes nothing.
    public var secondsToDataLoss: Double?

    public init(shard: String) { self.shard = shard }

    /// Records at the source that are not in the ledger; nil: not known yet.
    public var lag: Int64? {
      guard let bounds, let ledger else { return nil }
      guard let committed = ledger.position else { return bounds.low.distance(to: bounds.high) }
      return bounds.left(from: committed, orFrom: isHeld ? position : 0)
    }
    /// Records at the source that this worker's lane has not consumed; nil: not known.
    public var unread: Int64? { bounds.flatMap { $0.left(from: position) } }
    /// Up to where the lane is committed, else consumed: a source that deletes what comes after it loses records; nil: unknown.
    var place: Position? { ledger?.place ?? (position < 0 ? nil : .offset(position)) }
  }

  /// What the ledger says of a lane.
  public struct LedgerLane: Sendable {
    /// Everything before this ordinal is committed; nil: the lane has not begun.
    public var position: Int64?
    public var epoch: Int64
    public var generation: Int64
    public var watermark: Int64
    public var isIdle: Bool
    public var accepted: Int64
    public var duplicate: Int64
    public var filtered: Int64
    public var quarantined: Int64
    public var stateBytes: Int64
    /// Monotonic nanoseconds at which this worker saw the position first.
    public var seenAt: Int64
    /// The source's own position there, where it is not the ordinal.
    public var sequence: SequenceNumber?

    var place: Position? { position.map { ShardPoint(ordinal: $0, sequence: sequence).position } }
  }

  /// What commits, merges and hands over: one thing at a time.
  public enum Stage: UInt8, Sendable, CaseIterable {
    case idle, encoding, writing, ledger, tables, merging, takingOver, handingOver
  }

  public var lanes: [Lane] = []
  /// The input is a capture: it is cut by its bytes, and cannot be asked what it has.
  public var readsCapture = false
  /// A topic that this pipeline publishes to is so far behind that nothing is admitted.
  public var waitsForTopics = false
  /// Another pipeline's workers are in the group, by mistake: who, in words; nil: none was seen.
  public var groupIsShared: String?
  public var stage = Stage.idle
  public var stageNanoseconds: Int64 = 0
  /// Time since the current epoch was begun.
  public var epochNanoseconds: Int64 = 0
  /// Input bytes in it.
  public var epochBytes: Int64 = 0
  /// Memory that it is estimated to hold until its commit.
  public var epochHeldBytes: Int64 = 0
  /// What dedup, open windows and keyed state hold, at the last cut.
  public var state = StateBytes()
  /// Bytes that the worker may take; nil: no cut was made yet.
  public var memoryBudget: Int64?
  /// The most that the process was seen to take of it.
  public var memoryPeak: Int64?
  public var ledgerNumber: Int64 = -1
  public var mergedWatermark = Watermark.minimum
  /// Time since the source was last asked what it holds; nil: never.
  public var surveyNanoseconds: Int64?
  public var monotonicNanoseconds: Int64 = 0
  public var wallMicroseconds: Int64 = 0
  public var meter = LiveMeter.Totals()

  public init() {}

  /// Of the whole pipeline; nil while some lane's is not known.
  public var lag: Int64? {
    lanes.reduce(Int64?.some(0)) { sum, lane in sum.flatMap { sum in lane.lag.map { sum + $0 } } }
  }
}
