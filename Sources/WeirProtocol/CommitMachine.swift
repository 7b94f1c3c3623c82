import WeirCore

/// How a commit ended (law 2).
public enum CommitOutcome: Sendable {
  /// The entry is in the ledger; the fold has it.
  case committed(LedgerEntry, LedgerFold)
  /// Somebody else committed for these lanes (all lanes of the draft when it cannot be told): the whole draft is dropped.
  case fenced([LaneID], LedgerFold)
  /// Nobody knows. Repeat the same bytes or restore from the ledger; never cut another epoch from memory.
  case unknown(String)
}

/// One commit, from a draft to its outcome: a pure state machine. ``Ledger`` carries out the actions.
///
/// Two races decide its shape:
///
/// *A reply is lost.* W puts entry 7, it lands, the reply does not arrive. W sees `unknown`, reads entry 7 and finds its own
/// commit id: committed. Had it blindly tried 8, the epoch would stand twice.
///
/// *A paused worker wakes.* W1 folds 0…6 and is paused; W2 takes its lanes and commits 7 with W1's lane at epoch 5. W1 wakes,
/// puts 7, sees `exists`, reads W2's entry, folds it, and the fence, checked against **that** fold, which also yields
/// the number 8, says that epoch 5 is taken. A fence checked against any other fold would let 8 pass.
public struct CommitMachine: Sendable {
  public enum Action: Sendable {
    /// Put-if-absent of the entry under its number; report ``putReturned(_:)``.
    case put(LedgerEntry)
    /// Report ``entryRead(_:)``.
    case readEntry(Int64)
    /// Make somebody else's entry durable, with its directory, before it is acted on; report ``synced()``.
    case sync(Int64)
    /// Report ``pointerRead(_:)``: below which number the entries are in a snapshot (0: no snapshot).
    case readPointer
    /// The fold moved on: derive the draft again (merged parts) and report ``rederived(_:)``.
    case rederive(LedgerFold)
    case finish(CommitOutcome)
  }

  private enum State {
    case putting(LedgerEntry)
    case readingBack(LedgerEntry, putWasUnknown: Bool)
    case syncing(mine: LedgerEntry, theirs: LedgerEntry)
    case checkingPointer(LedgerEntry)
    case rederiving
    case finished
  }

  private var fold: LedgerFold
  private var state = State.finished
  private let startedAt: Int64
  private var unknowns = 0
  private let variant: ProtocolVariant

  /// An attempt that is older than this (monotonic, boot-time clock) is abandoned: collection may count on it.
  public static let attemptNanosecondsMax: Int64 = 3_600_000_000_000
  /// Puts of the same bytes with unknown outcome before the caller is told so.
  public static let unknownsMax = 5

  public init(fold: LedgerFold, now: Int64, variant: ProtocolVariant = []) {
    self.fold = fold
    startedAt = now
    self.variant = variant
  }

  /// The first step, and the step after a draft was derived again.
  public mutating func propose(_ draft: EntryDraft, now: Int64) -> Action {
    let fenced = fenced(draft, first: true)
    if !fenced.isEmpty { return finish(.fenced(fenced, fold)) }
    return put(LedgerEntry(number: fold.next, draft: draft, previousHash: fold.lastHash), now: now)
  }

  private func fenced(_ draft: EntryDraft, first: Bool) -> [LaneID] {
    if !variant.isDisjoint(with: [.noFence, .blindRetry]) || (first && variant.contains(.fenceOnlyOnConflict)) { return [] }
    if variant.contains(.fenceOnPosition) {
      return draft.lanes.filter { $0.from != fold.lanes[$0.lane]?.position ?? $0.from }.map(\.lane)
    }
    return fold.fenced(draft)
  }

  private mutating func put(_ entry: LedgerEntry, now: Int64) -> Action {
    if now - startedAt > CommitMachine.attemptNanosecondsMax {
      return finish(.unknown("the attempt is older than an hour and was abandoned"))
    }
    state = .putting(entry)
    return .put(entry)
  }

  private mutating func finish(_ outcome: CommitOutcome) -> Action {
    state = .finished
    return .finish(outcome)
  }

  public mutating func putReturned(_ outcome: PutOutcome, now: Int64) -> Action {
    guard case .putting(let entry) = state else { preconditionFailure("a put returned that was not asked for") }
    switch outcome {
    case .created:
      state = .checkingPointer(entry)
      return .readPointer
    case .exists, .unknown:
      if case .unknown = outcome { unknowns += 1 }
      state = .readingBack(entry, putWasUnknown: outcome != .exists)
      return .readEntry(entry.number)
    }
  }

  /// - Parameter entry: what stands under the number now; nil if nothing does.
  public mutating func entryRead(_ entry: LedgerEntry?, now: Int64) -> Action {
    guard case .readingBack(let mine, let putWasUnknown) = state else { preconditionFailure("an entry was read unasked") }
    guard let entry else {
      // Nothing there. After an unknown put: it did not land (yet); the same bytes go again, so that a late landing of the
      // first try and this one are the same entry. After "exists": collection took it, so the head is elsewhere.
      guard putWasUnknown else { return finish(.fenced(mine.draft.lanes.map(\.lane), fold)) }
      if unknowns >= CommitMachine.unknownsMax { return finish(.unknown("entry \(mine.number) could not be written")) }
      return put(mine, now: now)
    }
    if entry.draft.commitID == mine.draft.commitID, !variant.contains(.blindRetry) {
      state = .checkingPointer(mine)
      return .readPointer
    }
    state = .syncing(mine: mine, theirs: entry)
    return .sync(entry.number)
  }

  /// Somebody else's entry is durable: fold it in, look at the fence again, go on behind it.
  public mutating func synced(now: Int64) -> Action {
    guard case .syncing(let mine, let theirs) = state else { preconditionFailure("a sync returned unasked") }
    do { try fold.apply(theirs, path: "\(theirs.number)") } catch {
      return finish(.fenced(mine.draft.lanes.map(\.lane), fold))
    }
    let fenced = fenced(mine.draft, first: false)
    if !fenced.isEmpty { return finish(.fenced(fenced, fold)) }
    if variant.contains(.mergeNotRederived) { return propose(mine.draft, now: now) }
    state = .rederiving
    return .rederive(fold)
  }

  public mutating func rederived(_ draft: EntryDraft, now: Int64) -> Action {
    guard case .rederiving = state else { preconditionFailure("a draft came unasked") }
    return propose(draft, now: now)
  }

  /// - Parameter snapshotNext: entries below this number are in a snapshot and may be deleted; 0 without a snapshot.
  ///
  /// A put of N counts only if no snapshot covers N: else N may have been free merely because collection deleted it.
  public mutating func pointerRead(_ snapshotNext: Int64) -> Action {
    guard case .checkingPointer(let mine) = state else { preconditionFailure("the pointer was read unasked") }
    if snapshotNext > mine.number, !variant.contains(.numberFreeAgain) {
      return finish(.fenced(mine.draft.lanes.map(\.lane), fold))
    }
    do { try fold.apply(mine, path: "\(mine.number)") } catch { return finish(.fenced(mine.draft.lanes.map(\.lane), fold)) }
    return finish(.committed(mine, fold))
  }
}

/// Planted bugs, to prove that the simulation sees them. Production code has the empty set, and only the simulation can
/// make another.
public struct ProtocolVariant: OptionSet, Sendable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }
  @_spi(Simulation) public static let blindRetry = ProtocolVariant(rawValue: 1 << 0)
  @_spi(Simulation) public static let noFence = ProtocolVariant(rawValue: 1 << 1)
  @_spi(Simulation) public static let fenceOnlyOnConflict = ProtocolVariant(rawValue: 1 << 2)
  @_spi(Simulation) public static let numberFreeAgain = ProtocolVariant(rawValue: 1 << 3)
  @_spi(Simulation) public static let mergeNotRederived = ProtocolVariant(rawValue: 1 << 4)
  @_spi(Simulation) public static let fenceOnPosition = ProtocolVariant(rawValue: 1 << 9)
  @_spi(Simulation) public static let followerOutOfOrder = ProtocolVariant(rawValue: 1 << 5)
  @_spi(Simulation) public static let followerNotRederived = ProtocolVariant(rawValue: 1 << 6)
  @_spi(Simulation) public static let txnNotChecked = ProtocolVariant(rawValue: 1 << 7)
  @_spi(Simulation) public static let foreignNotSynced = ProtocolVariant(rawValue: 1 << 8)
}
