/// Broken variants of the live engine, for the simulation's own test: it must catch each (a test of the oracle).
///
/// Only the simulation sets them; products run with the empty set. None is looked at record by record.
package struct EngineVariant: OptionSet, Sendable {
  package let rawValue: UInt64

  package init(rawValue: UInt64) { self.rawValue = rawValue }

  private init(_ number: UInt64) { self.init(rawValue: 1 << number) }

  // MARK: Session

  /// The records of an idle lane continue while the entry that wakes it is on its way.
  package static let wakesBeforeEntry = EngineVariant(0)
  /// Records continue while the entry that says that the lane is idle is on its way.
  package static let readsWhileIdling = EngineVariant(1)
  /// A lane that woke judges by its own watermark alone.
  package static let floorNotRaised = EngineVariant(2)
  /// Windows of an idle lane stay open, whatever the others see.
  package static let idleWindowsStay = EngineVariant(3)
  /// After an unknown outcome the session cuts its next epoch from memory.
  package static let cutsOnAfterUnknown = EngineVariant(4)
  /// The same after a fence.
  package static let cutsOnAfterFence = EngineVariant(5)
  /// Commits are made side by side.
  package static let commitsTogether = EngineVariant(6)
  /// An epoch with a decision is committed while the next is cut, and cut while the one before is committed.
  package static let decisionsOverlap = EngineVariant(32)

  // MARK: Commit

  /// The entry is put before the files that it names.
  package static let filesAfterEntry = EngineVariant(7)
  /// An epoch follows what the ledger says now, not what this worker restored or committed: no fence.
  package static let followsOthersEpochs = EngineVariant(8)

  // MARK: Membership and restore

  /// Positions that the source has lost are passed over without a word.
  package static let gapNotRecorded = EngineVariant(9)
  /// State rows of records that the source has lost stay.
  package static let gapRowsStay = EngineVariant(10)
  /// A lane is restored from its base, without the deltas.
  package static let restoresBaseOnly = EngineVariant(11)
  /// A lane is restored without its floor.
  package static let restoresWithoutFloor = EngineVariant(12)

  // MARK: State table

  /// A lane is taken over without a mark in the state table that says whose it is.
  package static let takesOverUnmarked = EngineVariant(13)
  /// A take-over starts no generation of the lane's rows.
  package static let takesOverSameGeneration = EngineVariant(58)
  /// Flushes do not look whose the lane is.
  package static let flushesOthersLanes = EngineVariant(14)
  /// Recovery does not look whose the lane is.
  package static let recoversOthersLanes = EngineVariant(15)
  /// Marks of a flush are written before its rows.
  package static let marksBeforeRows = EngineVariant(16)
  /// What a flush had not written before a stop is not written by the next worker.
  package static let rowsBehindStay = EngineVariant(17)
  /// What a flush had written beyond the ledger is not taken back.
  package static let rowsAheadStay = EngineVariant(18)
  /// Rows that expired between the last flush and a stop are not taken out by the next worker.
  package static let expiredRowsStay = EngineVariant(48)

  // MARK: Merge and followers

  /// The merge lane begins at the ledger's head, not at its own position.
  package static let mergeBeginsAtHead = EngineVariant(20)
  /// The merge lane does not write the rows of its last entry again.
  package static let mergedRowsNotRepeated = EngineVariant(21)
  /// The merge lane finishes windows by the newest watermark without the newest entry.
  package static let mergeMissesLastEntry = EngineVariant(22)
  /// A follower acts on a version that may vanish with the machine.
  package static let followsUnsyncedVersions = EngineVariant(23)
  /// Collection does not wait for the tables.
  package static let collectsUnapplied = EngineVariant(24)
  /// An orderly end leaves the tables where they are.
  package static let drainsWithoutTables = EngineVariant(25)
  /// Merged rows are fenced by the entry that was merged last, not by the one that merges.
  package static let mergedFenceTooLow = EngineVariant(26)
  /// Flushes overlap: one that finds the rows of another taken writes marks for them.
  package static let flushesTogether = EngineVariant(27)
  /// A shard's bounds are asked for after the check that it is the one that was read.
  package static let boundsAfterCheck = EngineVariant(28)
  /// An idle lane's windows are closed by a floor that its entry does not say.
  package static let floorUnsaid = EngineVariant(33)
  /// After an error on the way to an entry the session may commit what follows.
  package static let cutsOnAfterError = EngineVariant(29)
  /// A lane begins although its shard was not checked, because the session ended meanwhile.
  package static let beginsUnchecked = EngineVariant(30)
  /// A lane that the ledger has as idle stays so when a worker takes it over, until its first record is read.
  package static let idleOutlivesStop = EngineVariant(34)
  /// The mark of the merge lane in the state table is written by every worker that leads, or led.
  package static let mergeUnclaimed = EngineVariant(31)

  // MARK: Reshard

  /// A child begins without the ids that its parents have seen.
  package static let childForgetsIDs = EngineVariant(40)
  /// A child judges all keys by its own watermark, whatever their parent has reached.
  package static let childIgnoresFloors = EngineVariant(41)
  /// A child judges all rows by its own watermark alone: rows that expired in a parent come back.
  package static let childShowsExpired = EngineVariant(59)
  /// A child takes over all keys of its parents.
  package static let childKeepsAllKeys = EngineVariant(42)
  /// A child is read although the ledger does not have its parents as closed.
  package static let childrenDoNotWait = EngineVariant(43)
  /// After a stream got more shards, lanes begin without the ids that the others have seen.
  package static let growthForgetsIDs = EngineVariant(44)
  /// After it lanes judge keys by their own watermark, whatever the shard had reached in which the key was before.
  package static let growthIgnoresFloors = EngineVariant(45)
  /// A worker continues with lanes that finish tables by key although the merge lane does.
  package static let growthUnnoticed = EngineVariant(46)
  /// A lane of a counted source counts from nothing again after records that the source has lost.
  package static let lossCountsAnew = EngineVariant(47)

  // MARK: Replays

  /// The entry that records the end of the input closes the windows.
  package static let endsAtOnce = EngineVariant(50)
  /// The end of the input is recorded again by a run that was killed after it.
  package static let endsTwice = EngineVariant(51)
  /// A replay of what was replayed does not look whether the state table has it.
  package static let unchangedUnlooked = EngineVariant(52)
  /// A replay that claimed the rows of the state table does not look whether another one has committed meanwhile.
  package static let claimsWithoutLook = EngineVariant(53)
  /// Rows of merged state that a replay had not written before a stop are not written by the next one.
  package static let sharedRowsNotRepeated = EngineVariant(54)
  /// Merged windows that an entry has left are not committed by the run after a stop.
  package static let sharedRestStays = EngineVariant(55)
  /// Repeated epochs of idle lanes finish no windows by what the live run had merged.
  package static let repeatsWithoutFloors = EngineVariant(56)
  /// A repeated merge covers all entries that there are.
  package static let repeatsMergeAtHead = EngineVariant(57)
}
