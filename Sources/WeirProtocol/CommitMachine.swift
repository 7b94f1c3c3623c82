import WeirCore

/// How a commit ended for its caller. A conflict is not an end: the machine continues with the next number.
public enum CommitOutcome: Sendable {
  /// The draft is entry `number`; the fold includes it.
  case committed(number: Int64, LedgerFold)
  /// Nothing of the draft is, or will be, in the ledger by this attempt's doing: these lanes are another worker's by
  /// now. The worker forgets these lanes and restores its others from the ledger.
  case fenced([LaneID], LedgerFold)
  /// The attempt is older than ``CommitMachine/attemptNanosecondsMax``, and nothing of it is, or will be, in the ledger. It says nothing
  /// about other workers: this one restores its lanes from the ledger and cuts again.
  case abandoned(LedgerFold)
  /// The outcome is unknown. The caller repeats the same attempt (same commit id) or restores from the ledger (law 2).
  case unknown
}

/// The commit of one attempt, as a pure machine (laws 1 and 2): events in, the next thing to do out.
///
/// The fence is checked against the same fold that yields the entry's number, before every put:
///
///     derive ── derived ──► fence? ──► put N ── created ──────────────► read pointer ─ below N ─► committed
///       ▲                    │ yes      │  ▲                                │ N or above
///       │                    ▼          │  └─ not there (unknown) ─┐        ▼
///       │                 fenced    exists / unknown ──► read N ───┘     read head ──► fenced
///       │                                                │  └─ ours ──► sync ──► read pointer
///       └── fold N ◄─ below N ─ read pointer ◄─ sync ◄───┘ another's
///
/// Why the pointer is read after the put: a worker sleeps for days with entry N in hand; N is written by another,
/// then collected; the sleeper's put of N succeeds. The pointer, moved before N was deleted, shows it. And why after
/// reading another's entry too: a second sleeper would take that stray N for the real one, fold it, and its put of
/// N + 1 could be the first of that number, above the pointer, on a chain that no other worker has.
public struct CommitMachine: Sendable {
  public enum Event: Sendable {
    /// The answer to ``Action/derive(_:)``: the draft against that fold.
    case derived(EntryDraft)
    case putReturned(PutOutcome)
    /// The entry that was asked for; nil if it is not there.
    case entryRead(LedgerEntry?)
    case synced
    /// Number of the newest ledger snapshot; -1 without one.
    case pointerRead(Int64)
    /// The fold of snapshot and tail, each entry of the tail synced.
    case headRead(LedgerFold)
    case rested
    /// The action failed, or its outcome is unknown; doing it again does no harm.
    case failed
  }

  public enum Action: Sendable {
    /// Make the draft, its merged part too, against this fold; always with the same commit id.
    case derive(LedgerFold)
    case put(LedgerEntry)
    case readEntry(Int64)
    /// Make the entry and its directory durable before acting on it.
    case syncEntry(Int64)
    case readPointer
    case readHead
    /// Sleep a while, longer the larger `tries`, with jitter.
    case rest(tries: Int)
    case finish(CommitOutcome)
    /// The ledger is corrupt, or the caller broke a rule.
    case fail(WeirError)
  }

  /// An attempt that is older is abandoned: what it wrote may be swept a day after it was written.
  public static let attemptNanosecondsMax: Int64 = 3600 * 1_000_000_000
  /// Tries of one step (a put, a read) in a row before the outcome is called unknown.
  public static let triesMax = 8

  private indirect enum State: Sendable {
    case deriving
    case putting(LedgerEntry)
    case readingBack(LedgerEntry, mayBeMissing: Bool)
    case syncing(LedgerEntry, isOurs: Bool)
    case checkingPointer(LedgerEntry, isOurs: Bool)
    /// The number was free again, or vanished: `isLost` when this attempt cannot count any more.
    case readingHead(isLost: Bool)
    case resting(State)
    case finished
  }

  /// Everything known to be in the ledger.
  public private(set) var fold: LedgerFold
  private let commitID: String
  private let started: Int64
  private var draft: EntryDraft?
  private var state = State.deriving
  private var tries = 0
  private var hadConflict = false
  package var variant: ProtocolVariant = []

  /// - Parameters:
  ///   - fold: what is known of the ledger; it may be behind.
  ///   - started: monotonic nanoseconds when the attempt began to write its files.
  public init(fold: LedgerFold, commitID: String, startedNanoseconds started: Int64) {
    self.fold = fold
    self.commitID = commitID
    self.started = started
  }

  /// The first action.
  public var begin: Action { .derive(fold) }

  /// Takes the answer to the last action.
  /// - Parameter now: monotonic nanoseconds.
  public mutating func event(_ event: Event, at now: Int64) -> Action {
    if case .failed = event { return again() }
    switch (state, event) {
    case (.deriving, .derived(let draft)): return derived(draft, at: now)
    case (.putting(let entry), .putReturned(let outcome)): return putReturned(outcome, of: entry)
    case (.readingBack(let entry, let mayBeMissing), .entryRead(let found)):
      return readBack(found, for: entry, mayBeMissing: mayBeMissing, at: now)
    case (.syncing(let entry, let isOurs), .synced):
      return move(.checkingPointer(entry, isOurs: isOurs), .readPointer)
    case (.checkingPointer(let entry, let isOurs), .pointerRead(let snapshot)):
      return pointerRead(snapshot, for: entry, isOurs: isOurs, at: now)
    case (.readingHead(let isLost), .headRead(let fold)):
      self.fold = fold
      return isLost ? finish(.fenced(draftLanes, fold)) : fenceOrDerive(at: now)
    case (.resting(.putting(let entry)), .rested): return put(entry, at: now)
    case (.resting(let next), .rested):
      state = next
      return action(of: next)
    default:
      return failure("the commit received a reply to a request that it did not send")
    }
  }
}

extension CommitMachine {
  private mutating func derived(_ draft: EntryDraft, at now: Int64) -> Action {
    guard draft.commitID == commitID else { return failure("an attempt changed its commit id") }
    self.draft = draft
    let fenced = fence(draft)
    guard fenced.isEmpty else { return finish(.fenced(fenced, fold)) }
    let entry = seal(draft)
    if variant.isEmpty, let error = check(entry) { return error }
    return put(entry, at: now)
  }

  /// No entry goes out that a reader would call corrupt: the mistake is the caller's.
  private mutating func check(_ entry: LedgerEntry) -> Action? {
    do {
      var next = fold
      try next.apply(entry)
      for commit in entry.lanes { try CommitMachine.check(commit, in: entry, before: fold[commit.lane]) }
      return nil
    } catch {
      return failure("a draft does not follow the ledger: \(error.message)")
    }
  }

  /// A lane goes forward, unless its shard is another one from here on.
  private static func check(_ commit: LaneCommit, in entry: LedgerEntry, before: LaneFold?) throws(WeirError) {
    let name = "epoch \(commit.epoch) of \(commit.lane.text)"
    try invariant(
      commit.to.ordinal >= commit.from.ordinal || commit.decidedStart != nil, "\(name) goes back to \(commit.to.text)")
    try invariant(commit.lane != .merge || commit.to.ordinal <= entry.number, "\(name) merges entries that do not exist")
    try invariant(commit.generation >= before?.generation ?? 0, "\(name) is of an older generation")
  }

  /// Every put comes through here: none from an attempt that is too old.
  private mutating func put(_ entry: LedgerEntry, at now: Int64) -> Action {
    guard now - started <= CommitMachine.attemptNanosecondsMax || variant.contains(.neverAbandons) else {
      return finish(variant.contains(.callsAbandonedFenced) ? .fenced(draftLanes, fold) : .abandoned(fold))
    }
    state = .putting(entry)
    return .put(entry)
  }

  private mutating func putReturned(_ outcome: PutOutcome, of entry: LedgerEntry) -> Action {
    switch outcome {
    case .created: return move(.checkingPointer(entry, isOurs: true), .readPointer)
    case .exists: return move(.readingBack(entry, mayBeMissing: false), .readEntry(entry.number))
    case .unknown: return move(.readingBack(entry, mayBeMissing: true), .readEntry(entry.number), keepsTries: true)
    }
  }

  private mutating func readBack(
    _ found: LedgerEntry?, for entry: LedgerEntry, mayBeMissing: Bool, at now: Int64
  ) -> Action {
    guard let found else {
      // An entry that was there and is not: it was collected. One that may never have been made: the same bytes again.
      guard mayBeMissing else { return move(.readingHead(isLost: false), .readHead) }
      tries += 1
      guard tries < CommitMachine.triesMax else { return finish(.unknown) }
      state = .resting(.putting(entry))
      return .rest(tries: tries)
    }
    let isOurs = found.commitID == commitID && !variant.contains(.blindRetry)
    if isOurs, found.hash != entry.hash { return failure("entry \(found.number) was read back with this attempt's id and other bytes") }
    if variant.contains(.trustsUnsynced), !isOurs { return conflict(with: found, at: now) }
    return move(.syncing(found, isOurs: isOurs), .syncEntry(found.number))
  }

  /// An entry counts, ours or another's, when the pointer that was read after it shows a snapshot below it: the entry
  /// was then never collected, so it is the one of its number.
  private mutating func pointerRead(
    _ snapshot: Int64, for entry: LedgerEntry, isOurs: Bool, at now: Int64
  ) -> Action {
    let isBlind = variant.contains(.numbersFreeAgain) || (!isOurs && variant.contains(.foldsStrays))
    guard snapshot < entry.number || isBlind else {
      return move(.readingHead(isLost: isOurs), .readHead)
    }
    guard isOurs else { return conflict(with: entry, at: now) }
    if let error = add(entry) { return error }
    return finish(.committed(number: entry.number, fold))
  }

  private mutating func conflict(with entry: LedgerEntry, at now: Int64) -> Action {
    hadConflict = true
    if let error = add(entry) { return error }
    return fenceOrDerive(at: now)
  }

  /// After the fold moved: the fence again, then the draft again, since its merged part depends on the fold.
  private mutating func fenceOrDerive(at now: Int64) -> Action {
    tries = 0
    if let draft {
      let fenced = fence(draft)
      guard fenced.isEmpty else { return finish(.fenced(fenced, fold)) }
    }
    state = .deriving
    return .derive(fold)
  }

  private mutating func add(_ entry: LedgerEntry) -> Action? {
    do {
      try fold.apply(entry)
      return nil
    } catch {
      state = .finished
      return .fail(error)
    }
  }

  private var draftLanes: [LaneID] { draft?.lanes.map(\.lane) ?? [] }
}

// MARK: - Fence and seal

extension CommitMachine {
  /// The lanes of the draft that moved on without us, by the fold that yields the draft's number.
  private func fence(_ draft: EntryDraft) -> [LaneID] {
    guard variant.isDisjoint(with: .fences) else { return brokenFence(draft) }
    return fold.fenced(draft.lanes)
  }

  private func seal(_ draft: EntryDraft) -> LedgerEntry {
    guard variant.isDisjoint(with: .fences) else { return renumbered(draft).sealed(on: fold) }
    return draft.sealed(on: fold)
  }

  private func brokenFence(_ draft: EntryDraft) -> [LaneID] {
    if variant.contains(.fencesAfterConflict) { return hadConflict ? fold.fenced(draft.lanes) : [] }
    if variant.contains(.fencesByPosition) {
      return draft.lanes.filter { fold[$0.lane]?.position != nil && fold[$0.lane]?.position != $0.from }.map(\.lane)
    }
    return []
  }

  /// What a protocol without the fence writes: the next epoch, whichever worker made the last one.
  private func renumbered(_ draft: EntryDraft) -> EntryDraft {
    var draft = draft
    for i in draft.lanes.indices { draft.lanes[i].epoch = fold.nextEpoch(of: draft.lanes[i].lane) }
    return draft
  }
}

// MARK: - Steps

extension CommitMachine {
  private mutating func move(_ next: State, _ action: Action, keepsTries: Bool = false) -> Action {
    state = next
    if !keepsTries { tries = 0 }
    return action
  }

  private mutating func finish(_ outcome: CommitOutcome) -> Action {
    state = .finished
    return .finish(outcome)
  }

  private mutating func failure(_ message: String) -> Action {
    state = .finished
    return .fail(WeirError(.internal, message))
  }

  /// The last step again, after a rest; too often in a row, and the outcome is unknown.
  private mutating func again() -> Action {
    tries += 1
    guard tries < CommitMachine.triesMax else { return finish(.unknown) }
    state = .resting(state)
    return .rest(tries: tries)
  }

  private func action(of state: State) -> Action {
    switch state {
    case .deriving: .derive(fold)
    case .putting(let entry): .put(entry)
    case .readingBack(let entry, _): .readEntry(entry.number)
    case .syncing(let entry, _): .syncEntry(entry.number)
    case .checkingPointer: .readPointer
    case .readingHead: .readHead
    case .resting(let next): action(of: next)
    case .finished: .fail(WeirError(.internal, "a commit that has ended was continued"))
    }
  }
}
