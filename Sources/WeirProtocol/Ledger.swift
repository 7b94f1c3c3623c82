import WeirCore

/// A pipeline's ledger in an object store: carries out what ``CommitMachine`` decides.
///
/// One worker has one of these. It makes one commit at a time; other calls may come in between.
public actor Ledger {
  public nonisolated let layout: LedgerLayout
  /// What this worker knows of the ledger: read at open, after each commit and at ``refresh()``.
  public private(set) var fold: LedgerFold
  let store: any ObjectStore
  let clock: any Clock
  let random: any RandomSource
  private var isCommitting = false
  /// Entries that this worker committed itself, oldest first: followers apply them soon, each table in its turn, and need not read
  /// what is known. More are read from the store.
  private var recent: [LedgerEntry] = []
  private static let recentMax = 8
  /// Files that they name together; the newest entry is kept all the same.
  private static let recentFilesMax = 4096
  /// For collections.
  var names = EntryNames()
  /// Shared with the reader that opened the ledger.
  let snapshots: SnapshotPointer
  /// Only the simulation sets these: a broken variant, and the observer of each step of a commit.
  var variant: ProtocolVariant = []
  private var observer: (@Sendable (CommitMachine.Event, CommitMachine.Action) -> Void)?

  init(_ fold: LedgerFold, by reader: LedgerReader) {
    self.fold = fold
    layout = reader.layout
    store = reader.store
    clock = reader.clock
    random = reader.random
    snapshots = reader.snapshots
  }

  /// For the simulation.
  package func use(
    _ variant: ProtocolVariant, _ observer: (@Sendable (CommitMachine.Event, CommitMachine.Action) -> Void)?
  ) {
    self.variant = variant
    self.observer = observer
  }

  /// A new name for an attempt: 32 hex digits. The names of its files hold it.
  public nonisolated func makeAttemptID() -> String { Ledger.attemptID(random) }

  /// Monotonic nanoseconds of the ledger's clock: when an attempt begins.
  public nonisolated var now: Int64 { clock.monotonicNanoseconds }

  static func attemptID(_ random: any RandomSource) -> String {
    Hash128(low: random.next(), high: random.next()).hex
  }
}

// MARK: - Open

extension Ledger {
  /// Opens a ledger; nil if there is none. Reads the newest snapshot and the entries after it.
  /// - Parameter allowsHoles: open it also if entries are missing in its middle, at the last entry before them: only to look at it.
  /// - Throws: the store's errors; `ledger_corrupt`, `ledger_format`.
  public static func open(
    _ layout: LedgerLayout, store: any ObjectStore, clock: any Clock, random: any RandomSource, allowsHoles: Bool = false
  ) async throws -> Ledger? {
    let reader = LedgerReader(layout: layout, store: store, clock: clock, random: random)
    guard let fold = try await allowsHoles ? reader.head() : reader.wholeHead() else { return nil }
    return Ledger(fold, by: reader)
  }

  /// Opens a ledger that must be there.
  /// - Parameter advice: instead of what is right for a pipeline's own lake.
  /// - Throws: `config` if there is none, and what ``open(_:store:clock:random:)`` throws.
  public static func required(
    _ layout: LedgerLayout, store: any ObjectStore, clock: any Clock, random: any RandomSource, advice: Wording? = nil
  ) async throws -> Ledger {
    if let ledger = try await open(layout, store: store, clock: clock, random: random) { return ledger }
    if let lost = try await lost(layout, store) { throw lost }
    throw WeirError(
      .config, "there is no ledger \(layout.prefix) in the lake \(store.place)",
      advice: advice
        ?? "\(.findLedger)."
    )
  }

  /// For a place without entries and snapshots: the error where other files of a ledger are left; nil: there never was one.
  public static func lost(_ layout: LedgerLayout, _ store: any ObjectStore) async throws -> WeirError? {
    for directory in [layout.pointers, layout.collected, layout.blobs, layout.sinks] {
      guard let left = try await store.first(of: directory) else { continue }
      return WeirError(
        .ledgerCorrupt,
        "the ledger \(layout.prefix) in the lake \(store.place) has lost its entries and snapshots: \(left.path) of it is there",
        advice:
          "Nothing was written. Restore \(layout.entries) and \(layout.snapshots) from a copy of the lake, or replay into \(.newLake)."
      )
    }
    return nil
  }

  /// Makes entry 0, or opens the ledger that is there: compare ``LedgerFold/genesis`` with what was wanted.
  public static func create(
    _ layout: LedgerLayout, genesis: Genesis, worker: String, store: any ObjectStore, clock: any Clock,
    random: any RandomSource
  ) async throws -> Ledger {
    let reader = LedgerReader(layout: layout, store: store, clock: clock, random: random)
    return try await create(genesis, worker: worker, by: reader)
  }

  private static func create(_ genesis: Genesis, worker: String, by reader: LedgerReader) async throws -> Ledger {
    let entry = genesis.sealed(commitID: attemptID(reader.random), worker: worker)
    let object = NewObject(path: reader.layout.entry(0), bytes: entry.bytes)
    var trouble = "the store gives no clear answer"
    for tries in 0..<CommitMachine.triesMax {
      // An entry 0 that was collected must not come back: look first, and read the head by its snapshot afterwards.
      if let fold = try await reader.wholeHead() {
        return Ledger(fold, by: reader)
      }
      if case .unknown(let why) = await reader.store.putIfAbsent(object) {
        trouble = why
        await reader.rest(tries: tries + 1)
      }
    }
    throw WeirError(
      .storage, "the ledger at \(reader.layout.prefix) could not be created: \(trouble)",
      advice: "Check the lake's directory, then run again.")
  }

  /// Reads on to the head of the ledger.
  @discardableResult
  public func refresh() async throws -> LedgerFold {
    // With a snapshot beyond our position, entries of the tail may have been collected: begin at the snapshot.
    if let next = try await reader.tail(of: fold, stillValid: { [number = fold.number] in $0 <= number }) {
      adopt(next)
    } else {
      adopt(try await reader.existingHead())
    }
    return fold
  }

  /// An entry through the head that is known; nil if it is later or was collected.
  public func read(_ number: Int64) async throws -> LedgerEntry? {
    guard number >= 0, number <= fold.number else { return nil }
    return try await reader.entry(number)
  }

  /// Entries `(after, through]`, for followers and the merge lane; at most to the head that is known.
  ///
  /// For a reader that has fallen behind collection, one of them may be a stray: the put of a worker that slept until
  /// the number was free again. It does no harm, since collection waits for tables and merge lane: who reads strays
  /// has been overtaken, and loses the version, or the epoch, that it derives from them.
  /// - Throws: `ledger_collected` if one of them is not there any more, `ledger_replaced` if no collection took it.
  public func entries(after: Int64, through: Int64) async throws -> [LedgerEntry] {
    var entries: [LedgerEntry] = []
    var number = after + 1
    while number <= min(through, fold.number) {
      guard let entry = try await recentEntry(number) else { throw try await missing(number) }
      if let last = entries.last, entry.previousHash != last.hash {
        // A sleeper's stray at a number that was collected, or a damaged ledger.
        guard try await reader.pointer() < number else { throw collected(number) }
        throw WeirError.corruptLedger("entry \(number) does not follow entry \(number - 1): the chain of hashes breaks")
      }
      entries.append(entry)
      number += 1
    }
    return entries
  }

  private func recentEntry(_ number: Int64) async throws -> LedgerEntry? {
    if let entry = recent.first(where: { $0.number == number }) { return entry }
    return try await reader.entry(number)
  }

  /// An entry is deleted only when the pointer has reached it: else the ledger is not where it was.
  private func missing(_ number: Int64) async throws -> WeirError {
    guard try await reader.pointer() < number else { return try await gone(number) }
    return .replacedLedger(reader.layout, in: reader.store, "its entry \(number) is missing")
  }

  /// Of an entry that the snapshot covers. Workers mark how far they collect before they delete.
  private func gone(_ number: Int64) async throws -> WeirError {
    guard try await collectedThrough() >= number else {
      return WeirError(
        .ledgerCollected, "entry \(number) of the ledger is missing, and no worker collected it: \(layout.entry(number))",
        advice: "Restore the file from a copy of the lake. Without one, rebuild from bronze what depends on the missing entries.")
    }
    return collected(number)
  }

  private func collected(_ number: Int64) -> WeirError {
    WeirError(
      .ledgerCollected, "entry \(number) of the ledger was collected before it was applied",
      advice: "Run again. If the error remains, rebuild from bronze what depends on the missing entries.")
  }

  var reader: LedgerReader {
    LedgerReader(layout: layout, store: store, clock: clock, random: random, snapshots, trustsUnsynced: variant.contains(.trustsUnsynced))
  }

  private func adopt(_ fold: LedgerFold) {
    if fold.number >= self.fold.number { self.fold = fold }
  }
}

// MARK: - Commit

extension Ledger {
  /// Commits one attempt.
  ///
  /// - Parameters:
  ///   - attempt: from ``makeAttemptID()``; the same when an unknown outcome is tried again.
  ///   - started: monotonic nanoseconds when the attempt began to write its files.
  ///   - derive: makes the draft against a fold; called again with the newer fold after each conflict. What depends
  ///     on the fold (the merged part) must be made from its argument alone. Its errors end the attempt.
  /// - Throws: `ledger_replaced` if the ledger is not the one that this worker opened, `ledger_corrupt`, errors of `derive`, and of
  ///   the store that a retry does not fix.
  public func commit(
    attempt: String, startedNanoseconds started: Int64,
    derive: @Sendable (LedgerFold) async throws -> EntryDraft
  ) async throws -> CommitOutcome {
    guard !isCommitting else {
      throw WeirError(.internal, "a worker makes one commit at a time")
    }
    isCommitting = true
    defer { isCommitting = false }
    var machine = CommitMachine(fold: fold, commitID: attempt, startedNanoseconds: started)
    machine.variant = variant
    var action = machine.begin
    var last: LedgerEntry?
    while true {
      if case .put(let entry) = action { last = entry }
      if case .finish(let outcome) = action { return finished(outcome, last) }
      if case .fail(let error) = action { throw error }
      let event = try await carryOut(action, derive)
      action = machine.event(event, at: clock.monotonicNanoseconds)
      observer?(event, action)
    }
  }

  /// Commits a draft that does not depend on the fold.
  public func commit(_ draft: EntryDraft, startedNanoseconds: Int64) async throws -> CommitOutcome {
    try await commit(attempt: draft.commitID, startedNanoseconds: startedNanoseconds) { _ in draft }
  }

  private func finished(_ outcome: CommitOutcome, _ last: LedgerEntry?) -> CommitOutcome {
    switch outcome {
    case .committed(let number, let fold):
      adopt(fold)
      if let last { snapshots.saw(last) }
      if let last, last.number == number, fold.number == number, fold.hash == last.hash {
        recent.append(last)
        var files = recent.reduce(0) { $0 + $1.filesCount }
        while recent.count > 1, recent.count > Ledger.recentMax || files > Ledger.recentFilesMax {
          files -= recent.removeFirst().filesCount
        }
      }
    case .fenced(_, let fold), .abandoned(let fold): adopt(fold)
    case .unknown: break
    }
    return outcome
  }

  private func carryOut(
    _ action: CommitMachine.Action, _ derive: @Sendable (LedgerFold) async throws -> EntryDraft
  ) async throws -> CommitMachine.Event {
    // A draft's error ends the attempt, also one that would be worth a retry: the caller decides.
    if case .derive(let fold) = action {
      // The closure may want to read entries through the fold's last.
      adopt(fold)
      return .derived(try await derive(fold))
    }
    do {
      return try await carryOut(action)
    } catch let error as WeirError where error.isRetriable {
      return .failed
    }
  }

  private func carryOut(_ action: CommitMachine.Action) async throws -> CommitMachine.Event {
    let reader = reader
    switch action {
    case .put(let entry):
      // The simulation's broken variants put what the protocol would not.
      if variant.isEmpty { try await reader.checkPredecessor(of: entry, in: fold.genesis) }
      return .putReturned(await store.putIfAbsent(NewObject(path: layout.entry(entry.number), bytes: entry.bytes)))
    case .readEntry(let number): return .entryRead(try await reader.entry(number))
    case .syncEntry(let number): return try await reader.makeDurable(number) ? .synced : .failed
    case .readPointer:
      return .pointerRead(try await reader.pointer())
    case .readHead: return .headRead(try await reader.existingHead())
    case .rest(let tries):
      await reader.rest(tries: tries)
      return .rested
    case .derive, .finish, .fail: return .rested
    }
  }
}
