import WeirCore

/// What collection keeps, and what it may take.
public struct CollectionPolicy: Sendable, Hashable {
  /// Entries younger than this stay, microseconds of the store's clock.
  public var keepMicroseconds: Int64
  /// All followers (Delta tables; the merge lane too, if the plan has one) have applied the ledger through this
  /// entry; later ones stay.
  public var appliedThrough: Int64

  public static let dayMicroseconds: Int64 = 86_400_000_000

  /// - Parameter keepMicroseconds: seven days unless given.
  public init(keepMicroseconds: Int64 = 7 * dayMicroseconds, appliedThrough: Int64) {
    self.keepMicroseconds = keepMicroseconds
    self.appliedThrough = appliedThrough
  }
}

/// What a collection did.
public struct CollectionReport: Sendable, Equatable {
  /// The snapshot that was written or was there already.
  public var snapshot: Int64
  public var entriesDeleted: [Int64]
  public var blobsDeleted: [String]
  /// Entries that were not read yet: as long as there are some, no blob is deleted.
  public var entriesUnread = 0
}

/// Which files the kept entries name, across the collections of one worker: an entry is read once, and a collection reads a bounded
/// number of them, because no epoch is cut meanwhile.
struct EntryNames {
  /// Entries that one collection reads at most, and how many at the same time.
  static let readsMax = 1000
  static let readsAtATime = 16

  /// The newest entry that names a file, by path.
  private(set) var newest: [String: Int64] = [:]
  /// Entries through this one were read; nil: none.
  private(set) var readThrough: Int64?

  mutating func add(_ entry: LedgerEntry) {
    for path in entry.namedFiles { newest[path] = max(newest[path] ?? entry.number, entry.number) }
  }

  mutating func read(through number: Int64) { readThrough = number }

  /// Forgets what only entries before `first` name.
  mutating func drop(before first: Int64) { newest = newest.filter { $0.value >= first } }
}

/// The order of a collection is its safety:
///
/// 1. The ledger is made to move if it did not for 22 hours, see ``Ledger/collect(_:worker:)``.
/// 2. A snapshot of the fold, durable; then a marker that names it, durable: this moves the pointer.
/// 3. A mark of how far entries will be deleted, so that a lost entry can be distinguished from a collected one.
///    Then entries at or below it, oldest first, so that those that stay have no gap.
/// 4. Older snapshots.
/// 5. Blobs and lookups that neither the fold nor an entry names and that are a day old.
extension Ledger {
  /// A file that no entry names is swept when it is a day old: attempts end after an hour, and 23 are a margin for
  /// clocks and for requests that are long on their way.
  static let sweepMicroseconds = CollectionPolicy.dayMicroseconds
  /// An entry this young keeps older attempts away, see ``Ledger/collect(_:worker:)``.
  static let barrierMicroseconds = CollectionPolicy.dayMicroseconds * 22 / 24

  /// Writes a snapshot of the ledger and deletes what nothing needs any more. Any worker may do it, also several.
  ///
  /// Why the ledger must move before a sweep: a worker checks the age of its attempt, then sleeps for two days, then
  /// its put goes out. If the head did not move all the while, its number is free, and the entry would name blobs that
  /// were swept. An entry younger than 22 hours has taken the number of every attempt whose blobs are a day old
  /// (such an attempt did its last check of the fold within an hour of writing them).
  public func collect(_ policy: CollectionPolicy, worker: String) async throws -> CollectionReport {
    // Ages are judged as of now, also if this worker sleeps between a look at the store and what follows from it:
    // what was young at the look is not old because the look is.
    let wall = clock.wallMicroseconds
    try await refresh()
    let now = try await move(worker: worker, asOf: wall)
    let entries = try await numbers(in: layout.entries)
    var report = CollectionReport(snapshot: fold.number, entriesDeleted: [], blobsDeleted: [])
    let kept = fold
    if !variant.contains(.deletesBeforePointer) { try await writeSnapshot(of: kept) }
    report.entriesDeleted = try await deleteEntries(entries, upTo: kept, policy, asOf: now)
    if variant.contains(.deletesBeforePointer) { try await writeSnapshot(of: kept) }
    try await deleteOldSnapshots()
    (report.blobsDeleted, report.entriesUnread) = try await sweep(kept, asOf: now)
    return report
  }

  /// Removes uploads that were not ended, of all writers of the lake. Attempts end after an hour, so none of this age is filled.
  public func removeOrphans() async throws { try await store.removeOrphans(olderThan: Ledger.sweepMicroseconds) }

  /// The entry through which the ledger was collected, or was about to be; -1 if it never was.
  public func collectedThrough() async throws -> Int64 { try await numbers(in: layout.collected).last?.number ?? -1 }

  /// Looks at all markers of the snapshot pointer.
  /// - Returns: an error for each that is damaged or missing.
  /// - Throws: what the store throws.
  public func markerErrors() async throws -> [WeirError] { try await snapshots.errors() }

  /// Writes a snapshot and deletes nothing: the next start reads a short tail.
  public func snapshot() async throws { try await writeSnapshot(of: fold) }

  /// - Returns: the time by which ages are judged. Objects have times of the store's clock, and this worker's may be days ahead of it; so the
  ///   time is not more than 22 hours after the newest entry's. A blob that is a day old by it was written two hours before that entry,
  ///   whatever this worker's clock says, and an attempt ends within one.
  private func move(worker: String, asOf now: Int64) async throws -> Int64 {
    guard !variant.contains(.sweepsWithoutBarrier) else { return now }
    if let head = try await headTime(), now - head < Ledger.barrierMicroseconds { return now }
    let draft = EntryDraft(commitID: makeAttemptID(), worker: worker, planHash: fold.genesis.planHash)
    let outcome = try await commit(draft, startedNanoseconds: clock.monotonicNanoseconds)
    guard case .committed = outcome, let head = try await headTime() else {
      throw WeirError(.storage, "no entry could be added to the ledger before its collection")
    }
    return min(now, head.saturatingSum(Ledger.barrierMicroseconds))
  }

  /// When the newest entry was written, by the store's clock; nil: it is not there.
  private func headTime() async throws -> Int64? { try await store.first(of: layout.entry(fold.number))?.modifiedMicroseconds }

  /// Writes a snapshot and moves the pointer to it.
  private func writeSnapshot(of fold: LedgerFold) async throws {
    try await putSnapshot(of: fold)
    let reader = reader
    try await snapshots.move(to: fold.number) { await reader.rest(tries: $0) }
  }

  private func putSnapshot(of fold: LedgerFold) async throws {
    let object = NewObject(path: layout.snapshot(fold.number), bytes: fold.bytes)
    for tries in 1...CommitMachine.triesMax {
      switch await store.putIfAbsent(object) {
      case .created: return
      case .exists:
        // The same bytes, perhaps from another worker, but perhaps not durable yet.
        try await store.sync(object.path)
        return
      case .unknown: await reader.rest(tries: tries)
      }
    }
    throw WeirError(.storage, "the ledger's snapshot could not be written")
  }

  private func deleteEntries(
    _ entries: [(number: Int64, info: ObjectInfo)], upTo kept: LedgerFold, _ policy: CollectionPolicy, asOf now: Int64
  ) async throws -> [Int64] {
    var deleted: [Int64] = []
    // The merge lane still has to read what comes after its position.
    var last = min(kept.number, policy.appliedThrough)
    if let merged = kept.lanes[.merge]?.position { last = min(last, merged.ordinal) }
    let old = entries.prefix { $0.number <= last && now - $0.info.modifiedMicroseconds >= policy.keepMicroseconds }
    if let through = old.last?.number { try await writeMark(through) }
    for (number, info) in old {
      try await store.delete(info.path)
      deleted.append(number)
    }
    for mark in try await numbers(in: layout.collected).dropLast() { try await store.delete(mark.info.path) }
    return deleted
  }

  /// Writes the mark without which no entry is deleted: its name says how far. An unclear outcome is not a mark (law 2).
  private func writeMark(_ through: Int64) async throws {
    let mark = NewObject(path: layout.collected(through), bytes: Array("{}".utf8))
    for tries in 1...CommitMachine.triesMax {
      let outcome = await store.putIfAbsent(mark)
      if case .created = outcome { return }
      if variant.contains(.ignoresMarkOutcome) { return }
      if let found = try await store.get(mark.path) {
        guard found == mark.bytes else {
          throw WeirError.corruptLedger("the mark of collected entries \(mark.path) does not contain what was written")
        }
        // Of another worker, or of a put whose reply was lost: perhaps not durable yet.
        return try await store.sync(mark.path)
      }
      await reader.rest(tries: tries)
    }
    throw WeirError(.storage, "the mark of collected entries \(mark.path) could not be written")
  }

  /// Deletes the snapshots before the one that the pointer names. That one stays although there is a newer one: its worker may have
  /// stopped before it wrote the marker, and readers begin where the marker says.
  private func deleteOldSnapshots() async throws {
    let named = try await reader.pointer()
    for snapshot in try await numbers(in: layout.snapshots).dropLast() where snapshot.number < named {
      try await store.delete(snapshot.info.path)
    }
  }

  private func numbers(in directory: String) async throws -> [(number: Int64, info: ObjectInfo)] {
    try await store.list(directory).compactMap { info in
      LedgerLayout.number(in: info.path).map { ($0, info) }
    }
  }

  /// Deletes the old files that nothing names, page by page of the listing.
  ///
  /// The entries are read once, after the first page with old files. A file of a later page is a day old as of a time before that, and was named
  /// within an hour of it or never, so these entries say whether it is.
  /// - Returns: the files that were deleted, and how many entries were not read yet.
  private func sweep(_ kept: LedgerFold, asOf now: Int64) async throws -> (deleted: [String], unread: Int) {
    let age = variant.contains(.sweepsYoung) ? 0 : Ledger.sweepMicroseconds
    var (deleted, unread): ([String], Int?) = ([], nil)
    let named = kept.namedFiles
    for directory in [layout.blobs, layout.lookups] {
      var next: String?
      repeat {
        let page = try await store.page(of: directory, after: next)
        next = page.next
        let old = page.objects.filter { now - $0.modifiedMicroseconds >= age }
        if old.isEmpty { continue }
        if unread == nil { unread = try await readNames() }
        if let unread, unread > 0 { return (deleted, unread) }
        for file in old where !named.contains(file.path) && names.newest[file.path] == nil {
          try await store.delete(file.path)
          deleted.append(file.path)
        }
      } while next != nil
    }
    return (deleted, 0)
  }

  /// Reads which files the kept entries name.
  /// - Returns: how many entries are left.
  private func readNames() async throws -> Int {
    let numbers = try await numbers(in: layout.entries).map(\.number)
    if let first = numbers.first { names.drop(before: first) }
    let unread = numbers.filter { $0 > names.readThrough ?? -1 }
    try await read(unread.prefix(EntryNames.readsMax))
    return max(0, unread.count - EntryNames.readsMax)
  }

  /// Reads entries for the files that they name.
  private func read(_ numbers: ArraySlice<Int64>) async throws {
    var rest = numbers
    while !rest.isEmpty {
      let reader = reader
      let entries = try await withThrowingTaskGroup(of: LedgerEntry?.self) { group in
        for number in rest.prefix(EntryNames.readsAtATime) { group.addTask { try await reader.entry(number) } }
        return try await group.reduce(into: [LedgerEntry]()) { if let entry = $1 { $0.append(entry) } }
      }
      for entry in entries { names.add(entry) }
      names.read(through: rest.prefix(EntryNames.readsAtATime).last ?? 0)
      rest = rest.dropFirst(EntryNames.readsAtATime)
    }
  }
}

extension LedgerFold {
  /// The files under `blobs/` and `lookups/` without which the fold is worth nothing.
  var namedFiles: Set<String> {
    let versions = lookups.values.flatMap { [$0.path] + ($0.previous.map { [$0.path] } ?? []) }
    return Set(lanes.values.flatMap { $0.state?.paths ?? [] } + versions + namedByGrowths)
  }
}

extension LedgerEntry {
  /// The files under `blobs/` and `lookups/` that the entry names.
  var namedFiles: Set<String> {
    var paths = lanes.flatMap { $0.state?.paths ?? [] }
    if let partials { paths.append(partials.path) }
    for case .partitionsAdded(let added) in lanes.flatMap(\.decisions) { if let ids = added.ids { paths.append(ids.path) } }
    paths += lanes.flatMap(\.decisions).compactMap(\.namedLookup?.path)
    return Set(paths)
  }
}

extension StateRef {
  var paths: [String] { [base.path] + deltas.map(\.path) }
}
