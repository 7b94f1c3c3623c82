import Synchronization
import WeirCore

/// What a worker has done since its start, and where the pipeline is.
package struct WorkerProgress: Sendable {
  /// Records read.
  package var records: Int64 = 0
  /// Entries of this worker.
  package var entries: Int64 = 0
  /// The ledger's newest entry that this worker has read.
  package var ledgerNumber: Int64 = 0
  package var mergedWatermark = Watermark.minimum
  /// Files of the entry of this worker that has most.
  package var filesMax = 0
  /// Bytes that the process may take, and the most that it was seen to take; 0: nothing is measured.
  package var memoryBudget: Int64 = 0
  package var memoryPeak: Int64 = 0
  /// Of a live source: shards being read.
  package var shards = 0

  // MARK: Replays

  /// Input bytes consumed, the ledger's earlier ones counted.
  package var position: Int64 = 0
  package var watermark = Watermark.minimum
  /// Records of this run that were too far ahead of the stream to count towards the watermark, and were accepted (``ClockGuard``).
  package var uncounted: Int64 = 0
  /// Where the records begin that a later run is to decide, when there are more of them (``ConfirmedEvents``); nil: there are none.
  package var waitsFrom: Int64?
  /// Of a replay of a live run's decisions: entries whose files have other bytes than the live run's, and the first of them.
  package var otherEntries: Int64 = 0
  package var firstOther: String?
  /// Why records of the entries of this run were rejected.
  package var rejected = RejectedReasons()
  /// What dedup, open windows and keyed state hold, bytes.
  package var state = StateBytes()
  /// The state tables were rebuilt before the run.
  package var stateRebuilt: StateRebuild.Outcome?

  package init() {}
}

/// What a worker has done, counted while it runs.
final class WorkerCounts: Sendable {
  private let values = Mutex(WorkerProgress())

  var progress: WorkerProgress { values.withLock { $0 } }

  func update(_ change: (inout WorkerProgress) -> Void) { values.withLock { change(&$0) } }
}
