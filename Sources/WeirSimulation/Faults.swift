/// What may go wrong with requests to lake and state table, and how often.
package struct Faults: Sendable {
  /// Chances per request.
  package var requestLost = 0.0
  package var replyLost = 0.0
  package var requestDelayed = 0.0
  package var readFailed = 0.0
  /// The store says at once that it will not (409, 503).
  package var requestRefused = 0.0
  /// The answer comes, seconds later.
  package var requestSlow = 0.0
  /// A write of many rows to the state table takes several transactions.
  package var writeSplit = 0.0
  /// A request to the state table takes effect late: others are made meanwhile.
  package var stateSlow = 0.0
  /// Longest time of a delayed request on its way, virtual nanoseconds.
  package var delayNanosecondsMax: Int64 = 10_000_000_000
  /// Longest error of a wall clock, microseconds.
  package var wallSkewMax: Int64 = 0

  package static let none = Faults()

  package init() {}
}

/// "Sometimes" marks: each fault kind and each way of recovery. Many seeds in which one stays at zero have not tested it.
package enum Mark: String, CaseIterable, Sendable {
  // Faults of requests.
  case requestLost, replyLost, requestDelayed, delayedRequestLanded, readFailed, requestRefused, requestSlow, writeSplit
  case answerTruncated, fullDiskMet, stateWriteFailed, stateThrottled, objectLostInCrash
  // Strikes.
  case kill, killInRecovery, fsyncFailed, stop, pause, longSleep, unnoticedSleep, warp, machineCrash, crashUnsynced, outage, putsLost,
    diskFull
  case truncatedAnswers, clockJump, throttle, secondDeployment, trim, recreate
  // Of the source and the topics that tables go to.
  case rebalance, memberExpelled, handOverLate, sourceFailed, fetchFailed, outOfRange, gap, gapTaken, recreated
  case sinkBroken, sinkSlow, sinkRepeated
  // Ends and branches of commits.
  case conflict, ownEntryFound, entryNotThere, unknownRetried, outcomeUnknown, fencedByEpoch, fencedByPointer, abandoned, headReadAgain
  case putExists, strayEntry, groupCommit
  // Collection and followers.
  case entriesCollected, blobsSwept, followerBatch
  // State table.
  case stateRowSkipped, rowRetracted, ownerFenced, claimFenced, stateRebuilt, rowExpired, tombstoneCollected
  // Records.
  case idle, wake, duplicate, lateRow
  // Shards that are split and merged; windows that close over several entries.
  case shardClosed, shardsMerged, closing
  // A topic that gets more partitions.
  case partitionsAdded
  // Replays of captures.
  case captureFailed, captureDamaged, captureChanged, pipePaused, mergeClosing, barrier
  case replayUnchanged, replayKeptOpen, replayInterrupted
  // Replays of a live run's decisions.
  case entryRepeated, recordedGap, recordedIdle

  /// Those that 2,000 seeds need not meet: an entry that is collected between a put that finds it and the look at it, a state row that
  /// its fence alone stops (the name of the rows' owner stops it before), and an entry that moves a replay's ledger after an idle day.
  /// The others are of workloads of their own.
  package static let rare: [Mark] =
    [.entryNotThere, .stateRowSkipped, .barrier, .shardClosed, .shardsMerged, .closing, .partitionsAdded] + ofReplays + ofRepeats

  /// Those that only replays of captures meet.
  package static let ofReplays: [Mark] = [
    .captureFailed, .captureDamaged, .captureChanged, .pipePaused, .mergeClosing, .replayUnchanged, .replayKeptOpen,
    .replayInterrupted,
  ]
  /// Those that only replays of a live run's decisions meet.
  package static let ofRepeats: [Mark] = [.entryRepeated, .recordedGap, .recordedIdle]
}

/// How often each mark was met.
package struct Marks: Sendable, Equatable {
  package private(set) var counts: [Mark: Int] = [:]

  package init() {}

  package subscript(mark: Mark) -> Int { counts[mark] ?? 0 }
  package mutating func hit(_ mark: Mark) { counts[mark, default: 0] += 1 }

  package static func += (a: inout Marks, b: Marks) {
    for (mark, count) in b.counts { a.counts[mark, default: 0] += count }
  }
}
