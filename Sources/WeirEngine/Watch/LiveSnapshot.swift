import WeirCore

/// What a live worker and its pipeline are at, at one moment: a plain value for metrics, probes and people.
package struct LiveSnapshot: Sendable {
  /// A lane of the pipeline, this worker's or another's.
  package struct Lane: Sendable {
    package var shard: String
    /// This worker has it.
    package var isHeld = false
    package var activity = LaneReading.Activity.stopped
    /// Since when the loop is at it.
    package var activityNanoseconds: Int64 = 0
    /// Everything before it was consumed by this worker; -1: none.
    package var position: Int64 = -1
    /// Time since the position moved.
    package var stillNanoseconds: Int64 = 0
    /// Read by this worker since its start.
    package var records: Int64 = 0
    package var bytes: Int64 = 0
    /// As far as this worker consumed, UTC microseconds.
    package var watermark = Watermark.minimum
    package var dedupEntries: Int64 = 0
    package var openWindows: Int64 = 0
    package var spentNanoseconds = ActivityTimes()
    /// What the ledger says of it; nil before it was read.
    package var ledger: LedgerLane?
    /// What the source holds; nil before it was asked.
    package var bounds: ShardBounds?
    /// Time until the next unread record is deleted at the source, by the rate at which it deletes: infinite when it deletes nothing.
    package var secondsToDataLoss: Double?

    package init(shard: String) { self.shard = shard }

    /// Records at the source that are not in the ledger; nil: not known yet.
    package var lag: Int64? {
      guard let bounds, let ledger else { return nil }
      guard let committed = ledger.position else { return bounds.low.distance(to: bounds.high) }
      return bounds.left(from: committed, orFrom: isHeld ? position : 0)
    }
    /// Records at the source that this worker's lane has not consumed; nil: not known.
    package var unread: Int64? { bounds.flatMap { $0.left(from: position) } }
    /// Up to where the lane is committed, else consumed: a source that deletes what comes after it loses records; nil: unknown.
    var place: Position? { ledger?.place ?? (position < 0 ? nil : .offset(position)) }
  }

  /// What the ledger says of a lane.
  package struct LedgerLane: Sendable {
    /// Everything before this ordinal is committed; nil: the lane has not begun.
    package var position: Int64?
    package var epoch: Int64
    package var generation: Int64
    package var watermark: Int64
    package var isIdle: Bool
    package var accepted: Int64
    package var duplicate: Int64
    package var filtered: Int64
    package var quarantined: Int64
    package var stateBytes: Int64
    /// Monotonic nanoseconds at which this worker saw the position first.
    package var seenAt: Int64
    /// The source's own position there, where it is not the ordinal.
    package var sequence: SequenceNumber?

    var place: Position? { position.map { ShardPoint(ordinal: $0, sequence: sequence).position } }
  }

  /// What commits, merges and hands over: one thing at a time.
  package enum Stage: UInt8, Sendable, CaseIterable {
    case idle, encoding, writing, ledger, tables, merging, takingOver, handingOver
  }

  package var lanes: [Lane] = []
  /// The input is a capture: it is cut by its bytes, and cannot be asked what it has.
  package var readsCapture = false
  /// A topic that this pipeline publishes to is so far behind that nothing is admitted.
  package var waitsForTopics = false
  /// Another pipeline's workers are in the group, by mistake: who, in words; nil: none was seen.
  package var groupIsShared: String?
  package var stage = Stage.idle
  package var stageNanoseconds: Int64 = 0
  /// Time since the current epoch was begun.
  package var epochNanoseconds: Int64 = 0
  /// Input bytes in it.
  package var epochBytes: Int64 = 0
  /// Memory that it is estimated to hold until its commit.
  package var epochHeldBytes: Int64 = 0
  /// What dedup, open windows and keyed state hold, at the last cut.
  package var state = StateBytes()
  /// Bytes that the worker may take; nil: no cut was made yet.
  package var memoryBudget: Int64?
  /// The most that the process was seen to take of it.
  package var memoryPeak: Int64?
  package var ledgerNumber: Int64 = -1
  package var mergedWatermark = Watermark.minimum
  /// Time since the source was last asked what it holds; nil: never.
  package var surveyNanoseconds: Int64?
  package var monotonicNanoseconds: Int64 = 0
  package var wallMicroseconds: Int64 = 0
  package var meter = LiveMeter.Totals()

  package init() {}

  /// Of the whole pipeline; nil while some lane's is not known.
  package var lag: Int64? {
    lanes.reduce(Int64?.some(0)) { sum, lane in sum.flatMap { sum in lane.lag.map { sum + $0 } } }
  }
}
