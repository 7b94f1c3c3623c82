import WeirCore

/// Which entry has the merge lane's epochs (DESIGN section 5).
enum MergePlacement {
  /// The entry whose partials it merges, because one worker owns all lanes: those of a capture.
  case sameEntry(MergeLane)
  /// An entry of its own, made by the worker that leads: any worker's entries are merged (``LedgerMerge``).
  case ownEntry
}
