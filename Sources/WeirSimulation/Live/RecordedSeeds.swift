extension LiveSimulation {
  /// Seeds that once found a fault of the engine: a hole in a table's log after a crash of the machine, a topic's marker that went back
  /// behind what was collected, state rows that stayed behind after an orderly end, rows that a rebuild took from under a worker, a flush
  /// that vouched for the rows of another that failed, a lane's rows that a worker took back although another had the lane by then, and
  /// the merge lane's mark that a worker put back although another led by then, a
  /// flush that was slept through and after which none came, a topic's marker that moved between its reading and that of the entries, and
  /// the merge lane's mark that a worker put back which had committed for it last, though another led since.
  package static let regressionSeeds: [UInt64] = [61, 95, 159, 162, 186, 190, 199, 75, 585, 689, 714, 728, 780, 30, 44, 1691, 1807, 252]

  /// The same where shards are split and merged: a lane that was cut again after its shard was closed, because a follower failed in between,
  /// a worker that slept while it restored a lane, whose blob others had collected when it woke, and rows that had expired in a parent and
  /// came back in its child; a child that ended before it had passed what its parents had reached.
  package static let reshardSeeds: [UInt64] = [155, 780, 166, 377, 447, 30]

  /// The same where the topic gets more partitions: a commit that was read only in part, and so taken for another program's, lost what a table
  /// was said to be complete through.
  package static let growthSeeds: [UInt64] = [0, 103]

  /// The same of replays of captures.
  package static let replaySeeds: [UInt64] = [0, 33]

  /// The same of replays of a live run's decisions: an entry that collection added to a ledger that was idle for a day, so that the next
  /// run left one out, and state rows that a kill after the last entry left unwritten for good.
  package static let repeatSeeds: [UInt64] = [1, 40, 47]

  /// All of them.
  package static let recorded: [(mode: Mode, seeds: [UInt64])] = [
    (.live, regressionSeeds), (.reshards, reshardSeeds), (.grows, growthSeeds), (.replays, replaySeeds), (.repeats, repeatSeeds),
  ]
}

extension PlantedBug {
  /// Those that were found so far. For the others no seed is recorded.
  package static var recorded: [PlantedBug] { allCases.filter { seeds[$0] != nil } }

  /// A seed to begin with: it has found the bug. A change of the engine may shift what a seed does.
  package var recordedSeed: UInt64 { PlantedBug.seeds[self] ?? 0 }

  private static let seeds: [PlantedBug: UInt64] = [
    .blindRetry: 0, .noFence: 9, .fencesAfterConflict: 18, .fencesByPosition: 44, .numbersFreeAgain: 10,
    .callsAbandonedFenced: 223, .deletesBeforePointer: 0, .ignoresMarkOutcome: 29,
    .followerTrustsMemory: 2, .followerRebases: 1, .followerOutOfOrder: 0, .followerProvesFirst: 0,
    .readsWhileIdling: 0, .floorNotRaised: 10, .idleWindowsStay: 0, .cutsOnAfterUnknown: 868, .cutsOnAfterFence: 9, .cutsOnAfterError: 22,
    .commitsTogether: 6, .idleOutlivesStop: 8,
    .decisionsOverlap: 20, .floorUnsaid: 0, .completeTooEarly: 0,
    .filesAfterEntry: 0, .followsOthersEpochs: 111, .gapNotRecorded: 7, .gapRowsStay: 27, .restoresBaseOnly: 1,
    .restoresWithoutFloor: 18, .retiresEarly: 133,
    .takesOverUnmarked: 0, .takesOverSameGeneration: 0, .rowsBehindStay: 4, .rowsAheadStay: 2602,
    .claimsUnordered: 688,
    .mergeUnclaimed: 34, .mergeBeginsAtHead: 1, .mergedRowsNotRepeated: 6, .mergeMissesLastEntry: 0, .mergedFenceTooLow: 0,
    .growthForgetsIDs: 8, .growthIgnoresFloors: 19, .growthUnnoticed: 0,
    .childForgetsIDs: 0, .childIgnoresFloors: 23, .childKeepsAllKeys: 0, .childrenDoNotWait: 1, .childShowsExpired: 377,
    .lossCountsAnew: 6,
    .endsAtOnce: 0, .endsTwice: 66, .claimsWithoutLook: 4, .sharedRowsNotRepeated: 33,
    .repeatsWithoutFloors: 0, .repeatsMergeAtHead: 7,
    .followsUnsyncedVersions: 11,
    .collectsUnapplied: 10, .drainsWithoutTables: 4,
    .wakesBeforeEntry: 0, .beginsUnchecked: 53, .boundsAfterCheck: 54, .recoversOthersLanes: 94, .marksBeforeRows: 22,
    .expiredRowsStay: 633, .rowsUnfenced: 3, .sweepsYoung: 644, .trustsUnsynced: 406,
    .neverAbandons: 7, .sweepsWithoutBarrier: 7,
  ]
}
