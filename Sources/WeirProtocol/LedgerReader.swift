import WeirCore

/// Reads a ledger: snapshot pointer, snapshot, tail. Everything it folds was made durable before (law 1).
struct LedgerReader: Sendable {
  let layout: LedgerLayout
  let store: any ObjectStore
  let clock: any Clock
  let random: any RandomSource
  let snapshots: SnapshotPointer
  let trustsUnsynced: Bool

  init(layout: LedgerLayout, store: any ObjectStore, clock: any Clock, random: any RandomSource) {
    self.init(layout: layout, store: store, clock: clock, random: random, SnapshotPointer(layout, store))
  }

  init(
    layout: LedgerLayout, store: any ObjectStore, clock: any Clock, random: any RandomSource, _ snapshots: SnapshotPointer,
    trustsUnsynced: Bool = false
  ) {
    (self.layout, self.store, self.clock, self.random) = (layout, store, clock, random)
    (self.snapshots, self.trustsUnsynced) = (snapshots, trustsUnsynced)
  }

  /// Times the head is read again because entries or snapshots vanished under the reader.
  static let headTriesMax = 16

  /// The number of the newest snapshot, -1 without one.
  func pointer() async throws -> Int64 { try await snapshots.read() }

  /// One entry, verified; nil if it is not there.
  func entry(_ number: Int64) async throws -> LedgerEntry? {
    guard let bytes = try await store.get(layout.entry(number)) else { return nil }
    let entry: LedgerEntry
    do {
      entry = try LedgerEntry(bytes: bytes)
    } catch {
      // The operator who repairs it needs the file's name.
      throw WeirError(error.code, "\(layout.entry(number)): \(error.message)", advice: error.advice)
    }
    guard entry.number == number else {
      throw WeirError.corruptLedger("\(layout.entry(number)): it holds entry \(entry.number)")
    }
    snapshots.saw(entry)
    return entry
  }

  /// The entry after a fold's last one, durable; nil at the head.
  func nextEntry(after fold: LedgerFold) async throws -> LedgerEntry? {
    guard let entry = try await entry(fold.number + 1) else { return nil }
    if !trustsUnsynced, try await !makeDurable(entry.number) { return nil }
    return entry
  }

  /// Makes an entry durable that another worker wrote.
  /// - Returns: false if it is not there any more: it was collected since it was read, and the pointer has moved.
  func makeDurable(_ number: Int64) async throws -> Bool {
    do {
      try await store.sync(layout.entry(number))
      return true
    } catch {
      guard try await store.get(layout.entry(number), offset: 0, count: 1) == nil else { throw error }
      return false
    }
  }

  /// The fold of everything; nil if there is no ledger.
  ///
  /// Collection may remove snapshot and entries meanwhile, always after a newer snapshot was made. If the pointer
  /// has not moved, none of the tail was taken: its entries are those of their numbers, its end is the head.
  func head() async throws -> LedgerFold? {
    for _ in 0..<LedgerReader.headTriesMax {
      let snapshot = try await pointer()
      guard let fold = try await base(snapshot) else {
        guard try await pointer() == snapshot else { continue }
        if snapshot < 0 { return nil }
        return try await head(without: snapshot)
      }
      if let head = try await tail(of: fold, stillValid: { $0 == snapshot }) { return head }
    }
    throw collectedTooFast
  }

  /// The snapshot of the pointer was lost: another one and the entries after it give the same fold, unless they were collected. It may be
  /// a newer one whose worker stopped before it wrote the marker.
  /// - Returns: nil where all entries and snapshots are gone.
  private func head(without lost: Int64) async throws -> LedgerFold? {
    let older = try await store.list(layout.snapshots).compactMap { LedgerLayout.number(in: $0.path) }.filter { $0 != lost }
    for snapshot in older.sorted().reversed() + [-1] {
      if let fold = try await base(snapshot), let head = try await tail(of: fold, stillValid: { $0 == lost }), head.number >= lost {
        return head
      }
    }
    if older.isEmpty, try await store.first(of: layout.entries) == nil { return nil }
    throw WeirError(
      .ledgerCorrupt, "\(layout.snapshot(lost)): missing, and the entries that it covers are not all there",
      advice: "Nothing was written. Restore the file from a copy of the lake.")
  }

  private var collectedTooFast: WeirError {
    WeirError(
      .storage, "the ledger at \(layout.prefix) was collected faster than it could be read", advice: "Run again.")
  }

  /// The fold of everything, for the caller that opens the ledger; nil if there is none.
  ///
  /// A ledger that lost an entry in its middle looks like a shorter one: the next commit would take the lost entry's number, and what
  /// follows would never fit again. So the directory is asked for later entries. Each was put after the one before it: what was
  /// listed can be read up to the last, but for a loss, or a collection, which moves the pointer.
  /// - Throws: `ledger_corrupt`, naming the missing file.
  func wholeHead() async throws -> LedgerFold? {
    for _ in 0..<LedgerReader.headTriesMax {
      let fold = try await head()
      let listed = try await store.list(layout.entries, from: fold.map { layout.entry($0.number) } ?? "")
      let last = listed.last { LedgerLayout.number(in: $0.path) != nil }
      guard let last, let number = LedgerLayout.number(in: last.path), number > fold?.number ?? -1 else { return fold }
      guard let fold else {
        // Made in the meantime, or without a beginning.
        if try await head() == nil { throw hole(at: 0, before: last.path) }
        continue
      }
      guard let next = try await tail(of: fold, stillValid: { $0 <= fold.number }) else { continue }
      guard next.number >= number else { throw hole(at: next.number + 1, before: last.path) }
      return next
    }
    throw collectedTooFast
  }

  private func hole(at number: Int64, before path: String) -> WeirError {
    let orElse: Wording =
      number == 0
      ? "replay into \(.newLake)"
      : "move the later entries out of the directory and run \(.restoreTables), or replay into \(.newLake)"
    return WeirError(
      .ledgerCorrupt, "\(layout.entry(number)): missing, although later entries are there (\(path))",
      advice: "Nothing was written. Restore the file from a copy of the lake. Without a copy, \(orElse).")
  }

  /// A fold with the entries after it; nil if the pointer moved meanwhile, so that some of them may be strays at
  /// numbers that were collected.
  func tail(of fold: LedgerFold, stillValid: @Sendable (Int64) -> Bool) async throws -> LedgerFold? {
    var next = fold
    var broken: WeirError?
    while broken == nil, let entry = try await nextEntry(after: next) {
      do { try next.apply(entry) } catch { broken = error }
    }
    guard stillValid(try await pointer()) else { return nil }
    if let broken { throw broken }
    return next
  }

  func existingHead() async throws -> LedgerFold {
    guard let fold = try await head() else {
      throw WeirError.corruptLedger("the ledger at \(layout.prefix) is gone")
    }
    return fold
  }

  /// Looks, before an entry is put, that the one before it is there and is the one that the entry names: a lake can be removed, or
  /// put in another's place, under a worker that runs, and the store would take entry 4 of a ledger without entries 0 to 3.
  ///
  /// What is removed between this look and the put is found at the next commit. Where the pointer is at the entry before or
  /// above, that one may have been collected (and a stray be in its place): then the head shows whose ledger it is.
  /// - Throws: `ledger_replaced`; what reading throws.
  func checkPredecessor(of entry: LedgerEntry, in genesis: Genesis) async throws {
    let number = entry.number - 1
    let found = try await self.entry(number)
    if let found, found.hash == entry.previousHash { return }
    // After the entry was looked for: an entry is deleted only when the pointer has reached it.
    if try await pointer() >= number, let head = try await head(), head.genesis == genesis, head.number >= number,
      head.number > number || head.hash == entry.previousHash
    {
      return
    }
    throw WeirError.replacedLedger(
      layout, in: store, "its entry \(number) is \(found == nil ? "missing" : "a different one now")")
  }

  /// Sleeps up to 10 ms, 20 ms, 40 ms, … 2.56 s.
  func rest(tries: Int) async {
    let most = UInt64(10_000_000) << UInt64(min(tries - 1, 8))
    await clock.sleep(nanoseconds: Int64(random.next() % most))
  }

  private func base(_ snapshot: Int64) async throws -> LedgerFold? {
    guard snapshot >= 0 else {
      guard let entry = try await entry(0) else { return nil }
      if !trustsUnsynced, try await !makeDurable(0) { return nil }
      return try LedgerFold(genesis: entry)
    }
    guard let bytes = try await store.get(layout.snapshot(snapshot)) else { return nil }
    let fold: LedgerFold
    do {
      fold = try LedgerFold(bytes: bytes)
    } catch {
      throw WeirError(
        error.code, "\(layout.snapshot(snapshot)): \(error.message)",
        advice: "Restore it from a copy of the lake. If no ledger entry was collected, remove it: it is recreated.")
    }
    guard fold.number == snapshot else {
      throw WeirError.corruptLedger("the file of ledger snapshot \(snapshot) holds that of \(fold.number)")
    }
    return fold
  }
}

extension WeirError {
  /// Another ledger, or none, is where this worker's was.
  /// - Parameter what: how that was seen; the end of a sentence.
  public static func replacedLedger(_ layout: LedgerLayout, in store: any ObjectStore, _ what: String) -> WeirError {
    WeirError(
      .ledgerReplaced, "the ledger \(layout.prefix) in the lake \(store.place) was removed or replaced while this worker ran: \(what)",
      advice:
        "Nothing more was committed. Restore the lake and start again: the worker resumes from the ledger. To start over, stop all workers of the lake, then remove it entirely."
    )
  }
}
