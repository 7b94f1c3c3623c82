import WeirEngine
import WeirProtocol

/// A bug planted in the real engine, its protocol or its state table: the simulation of live workers must find each.
package enum PlantedBug: String, CaseIterable, Sendable {
  // In the commit protocol, collection and the follower of a table.
  case blindRetry, noFence, fencesAfterConflict, fencesByPosition, numbersFreeAgain, trustsUnsynced, neverAbandons
  case deletesBeforePointer, ignoresMarkOutcome, callsAbandonedFenced, sweepsYoung, sweepsWithoutBarrier
  case followerTrustsMemory, followerRebases, followerOutOfOrder, followerProvesFirst
  // In session, commit, membership and restore.
  case wakesBeforeEntry, readsWhileIdling, floorNotRaised, idleWindowsStay, cutsOnAfterUnknown, cutsOnAfterFence, commitsTogether
  case filesAfterEntry, followsOthersEpochs, gapNotRecorded, gapRowsStay, restoresBaseOnly, restoresWithoutFloor
  // In state flusher, recovery, merge and followers.
  case takesOverUnmarked, takesOverSameGeneration, flushesOthersLanes, recoversOthersLanes, marksBeforeRows, rowsBehindStay
  case rowsAheadStay, expiredRowsStay
  /// What becomes of a record depends on where the cut before it is: rows that have expired are forgotten although it may belong to them.
  case retiresEarly
  case mergeBeginsAtHead, mergedRowsNotRepeated, mergeMissesLastEntry, followsUnsyncedVersions, collectsUnapplied, drainsWithoutTables
  case mergedFenceTooLow, flushesTogether, boundsAfterCheck, cutsOnAfterError, beginsUnchecked, mergeUnclaimed, decisionsOverlap
  case idleOutlivesStop
  case floorUnsaid, completeTooEarly
  // In what children take over from their parents.
  case childForgetsIDs, childIgnoresFloors, childKeepsAllKeys, childrenDoNotWait, childShowsExpired
  /// In what the source has lost, where records are counted.
  case lossCountsAnew
  // In what becomes of keys where a topic gets more partitions.
  case growthForgetsIDs, growthIgnoresFloors, growthUnnoticed
  // In replays of captures, and in those of a live run's decisions.
  case endsAtOnce, endsTwice, unchangedUnlooked, claimsWithoutLook, sharedRowsNotRepeated, sharedRestStays
  case repeatsWithoutFloors, repeatsMergeAtHead
  /// The state table writes rows whatever their fence and their owner.
  case rowsUnfenced
  /// The state table gives a lane to the worker that claims it last.
  case claimsUnordered

  /// Kinds of faults without which it does no harm: seeds that have others on need not be tried.
  var needs: Set<String> {
    switch self {
    case .neverAbandons, .sweepsWithoutBarrier, .numbersFreeAgain, .callsAbandonedFenced, .sweepsYoung: ["sleepy"]
    case .flushesOthersLanes, .recoversOthersLanes, .flushesTogether, .marksBeforeRows, .expiredRowsStay, .rowsUnfenced: ["throttle"]
    case .trustsUnsynced, .followsUnsyncedVersions: ["machineCrash"]
    case .gapNotRecorded, .gapRowsStay, .rowsAheadStay, .lossCountsAnew: ["trim"]
    case .cutsOnAfterUnknown: ["putsLost"]
    case .boundsAfterCheck, .beginsUnchecked: ["recreate"]
    case .followsOthersEpochs, .cutsOnAfterFence, .fencesByPosition: ["secondDeployment"]
    default: []
    }
  }

  /// It does harm only where several strikes come at the right moments: seeds have few kinds of faults, see ``LiveFaults/init(aimed:)``.
  package var isAimed: Bool {
    switch self {
    case .neverAbandons, .sweepsWithoutBarrier, .sweepsYoung, .trustsUnsynced, .boundsAfterCheck, .beginsUnchecked,
      .flushesOthersLanes, .recoversOthersLanes, .flushesTogether, .marksBeforeRows, .expiredRowsStay, .rowsUnfenced, .unchangedUnlooked,
      .sharedRestStays:
      true
    default: false
    }
  }

  /// Where alone it does harm; nil: in any live run.
  package var mode: LiveSimulation.Mode? {
    switch self {
    case .childForgetsIDs, .childIgnoresFloors, .childKeepsAllKeys, .childrenDoNotWait, .childShowsExpired, .lossCountsAnew: .reshards
    case .growthForgetsIDs, .growthIgnoresFloors, .growthUnnoticed: .grows
    case .endsAtOnce, .endsTwice, .unchangedUnlooked, .claimsWithoutLook, .sharedRowsNotRepeated, .sharedRestStays: .replays
    case .repeatsWithoutFloors, .repeatsMergeAtHead: .repeats
    default: nil
    }
  }

  var engine: EngineVariant {
    switch self {
    case .wakesBeforeEntry: .wakesBeforeEntry
    case .readsWhileIdling: .readsWhileIdling
    case .floorNotRaised: .floorNotRaised
    case .idleWindowsStay: .idleWindowsStay
    case .cutsOnAfterUnknown: .cutsOnAfterUnknown
    case .cutsOnAfterFence: .cutsOnAfterFence
    case .commitsTogether: .commitsTogether
    case .filesAfterEntry: .filesAfterEntry
    case .followsOthersEpochs: .followsOthersEpochs
    case .gapNotRecorded: .gapNotRecorded
    case .gapRowsStay: .gapRowsStay
    case .restoresBaseOnly: .restoresBaseOnly
    case .restoresWithoutFloor: .restoresWithoutFloor
    case .takesOverUnmarked: .takesOverUnmarked
    case .takesOverSameGeneration: .takesOverSameGeneration
    // What else stops a worker that has lost a lane: the name of the rows' owner.
    case .flushesOthersLanes, .rowsUnfenced: .flushesOthersLanes
    case .recoversOthersLanes: .recoversOthersLanes
    case .marksBeforeRows: .marksBeforeRows
    case .rowsBehindStay: .rowsBehindStay
    case .rowsAheadStay: .rowsAheadStay
    case .expiredRowsStay: .expiredRowsStay
    case .mergeBeginsAtHead: .mergeBeginsAtHead
    case .mergedRowsNotRepeated: .mergedRowsNotRepeated
    case .mergeMissesLastEntry: .mergeMissesLastEntry
    case .followsUnsyncedVersions: .followsUnsyncedVersions
    case .collectsUnapplied: .collectsUnapplied
    case .drainsWithoutTables: .drainsWithoutTables
    case .mergedFenceTooLow: .mergedFenceTooLow
    case .flushesTogether: .flushesTogether
    case .boundsAfterCheck: .boundsAfterCheck
    case .cutsOnAfterError: .cutsOnAfterError
    case .beginsUnchecked: .beginsUnchecked
    case .mergeUnclaimed: .mergeUnclaimed
    case .idleOutlivesStop: .idleOutlivesStop
    case .decisionsOverlap: .decisionsOverlap
    case .floorUnsaid: .floorUnsaid
    case .childForgetsIDs: .childForgetsIDs
    case .childIgnoresFloors: .childIgnoresFloors
    case .childKeepsAllKeys: .childKeepsAllKeys
    case .childrenDoNotWait: .childrenDoNotWait
    case .childShowsExpired: .childShowsExpired
    case .lossCountsAnew: .lossCountsAnew
    case .growthForgetsIDs: .growthForgetsIDs
    case .growthIgnoresFloors: .growthIgnoresFloors
    case .growthUnnoticed: .growthUnnoticed
    case .endsAtOnce: .endsAtOnce
    case .endsTwice: .endsTwice
    case .unchangedUnlooked: .unchangedUnlooked
    case .claimsWithoutLook: .claimsWithoutLook
    case .sharedRowsNotRepeated: .sharedRowsNotRepeated
    case .sharedRestStays: .sharedRestStays
    case .repeatsWithoutFloors: .repeatsWithoutFloors
    case .repeatsMergeAtHead: .repeatsMergeAtHead
    default: []
    }
  }

  var `protocol`: ProtocolVariant {
    switch self {
    case .blindRetry: .blindRetry
    case .noFence: .noFence
    case .fencesAfterConflict: .fencesAfterConflict
    case .fencesByPosition: .fencesByPosition
    case .numbersFreeAgain: .numbersFreeAgain
    case .trustsUnsynced: .trustsUnsynced
    case .neverAbandons: .neverAbandons
    case .deletesBeforePointer: .deletesBeforePointer
    case .ignoresMarkOutcome: .ignoresMarkOutcome
    case .callsAbandonedFenced: .callsAbandonedFenced
    case .sweepsYoung: .sweepsYoung
    case .sweepsWithoutBarrier: .sweepsWithoutBarrier
    case .followerTrustsMemory: .followerTrustsMemory
    case .followerRebases: .followerRebases
    case .followerOutOfOrder: .followerOutOfOrder
    case .followerProvesFirst: .followerProvesFirst
    case .completeTooEarly: .completeTooEarly
    default: []
    }
  }
}
