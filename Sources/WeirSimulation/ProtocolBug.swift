import WeirProtocol

/// A planted bug: the simulation must find each.
public enum ProtocolBug: String, CaseIterable, Sendable {
  case blindRetry, noFence, fenceOnlyAfterConflict, fenceOnPosition
  case checkpointBeforeFlush, dedupNotInState, partialStateBlob
  case followerOutOfOrder, followerRebased, txnNotChecked, followerProvesFirst
  case numberFreeAgain, deletesBeforePointer, decisionBeforeEntry, unsyncedEntryTrusted, mergedPartKept
  case oldAttemptGoesOn, sweepsYoung, sweepsIdleLedger
  case stateTableWithoutFence, cutsOnAfterUnknown, wakesBeforeEntry, foldsStrays
  case abandonedCalledFenced, markOutcomeIgnored

  /// What of it is a variant of the protocol itself; the rest is planted in the simulated worker.
  var variant: ProtocolVariant {
    switch self {
    case .blindRetry: .blindRetry
    case .noFence: .noFence
    case .fenceOnlyAfterConflict: .fencesAfterConflict
    case .fenceOnPosition: .fencesByPosition
    case .followerOutOfOrder: .followerOutOfOrder
    case .followerRebased: .followerRebases
    case .txnNotChecked: .followerTrustsMemory
    case .followerProvesFirst: .followerProvesFirst
    case .numberFreeAgain: .numbersFreeAgain
    case .deletesBeforePointer: .deletesBeforePointer
    case .unsyncedEntryTrusted: .trustsUnsynced
    case .mergedPartKept: .keepsMergedPart
    case .oldAttemptGoesOn: .neverAbandons
    case .sweepsYoung: .sweepsYoung
    case .sweepsIdleLedger: .sweepsWithoutBarrier
    case .foldsStrays: .foldsStrays
    case .abandonedCalledFenced: .callsAbandonedFenced
    case .markOutcomeIgnored: .ignoresMarkOutcome
    case .checkpointBeforeFlush, .dedupNotInState, .partialStateBlob, .decisionBeforeEntry, .stateTableWithoutFence,
      .cutsOnAfterUnknown, .wakesBeforeEntry:
      []
    }
  }
}
