/// Which record of a shard is asked for.
public enum ShardAsk: Sendable, Hashable {
  case at(ShardPoint)
  /// The one before a position: the last one read by the reader that continues there.
  case before(ShardPoint)
}

/// What a source holds where it was asked.
public enum ShardLook: Sendable, Hashable {
  case record(Fingerprint)
  /// No record, although there are positions after it: compacted, or the marker of a transaction.
  case absent
  /// The shard begins after it.
  case trimmed(low: Position)
  /// The shard ends at or before it, as far as the source says now; `high` will be the next record's position.
  case ended(high: Position)
  /// The source does not know.
  case unknown
}

/// An answer to a ``ShardAsk``.
public struct ShardSight: Sendable, Hashable {
  public var look: ShardLook
  /// See ``ShardIdentity/incarnation``.
  public var incarnation: String?

  public init(_ look: ShardLook, incarnation: String? = nil) {
    self.look = look
    self.incarnation = incarnation
  }
}

/// A source that can be asked for single records while it is being read.
public protocol ShardLooker: Sendable {
  /// Shards that are missing in the answer: the source does not know.
  func look(_ asks: [String: ShardAsk]) async throws -> [String: ShardSight]
}

extension ShardLooker {
  public func look(_ asks: [String: ShardAsk]) async throws -> [String: ShardSight] { [:] }
}

/// Decides whether a shard is still the one that was read (DESIGN section 4, "Shard identity"). Pure: it says what to look at, and is
/// given what is there.
///
/// A record that is absent is neither match nor mismatch. The shard is the same when its anchor, or an older record, is where it was
/// read; a match of the newest record alone says nothing, because it may have been read from another incarnation since.
///
/// A source that says that it ends before a record is asked again before anything is concluded: some report their end too low for a while.
public struct ShardCheck: Sendable {
  /// Times that an end is asked for before it is believed, and the pause between two of them.
  public static let endAsksMax = 4
  public static let pauseNanoseconds: Int64 = 1_000_000_000

  public enum Step: Sendable, Equatable {
    case look(ShardAsk)
    /// The same once more, after a pause.
    case lookAgain(ShardAsk)
    case done(Verdict)
  }

  public enum Verdict: Sendable, Equatable {
    case same(Outcome)
    case unverified(Outcome, why: String)
    case recreated(Mismatch)
  }

  /// What a check brought to light, for ``ShardIdentity/adopt(_:)``.
  public struct Outcome: Sendable, Hashable {
    /// The newest record that is in its place.
    public var newest: Fingerprint?
    /// Positions of records that are gone.
    public var absent: Set<ShardPoint> = []
    public var incarnation: String?

    public init() {}
  }

  public enum Mismatch: Sendable, Hashable {
    case replaced(expected: Fingerprint, found: Fingerprint)
    /// The shard ends before what was read. `position`: where reading would continue, or the record that is looked for.
    case ended(position: ShardPoint, high: Position)
    case incarnation(expected: String, found: String)
  }

  private enum Stage { case mark(Int), before }

  /// Newest first, each once: the last record, the anchor, older ones.
  private let marks: [Fingerprint]
  private let identity: ShardIdentity
  /// Where reading continues; nil: not to be looked at.
  private let position: ShardPoint?
  private let hasRead: Bool
  private var stage = Stage.mark(0)
  private var asks = 0
  private var isSameIncarnation = false
  private var outcome = Outcome()
  private var why = ""
  /// The anchor, or an older record, is in its place.
  private var isProven = false
  /// The shard is known to reach ``position``.
  private var reaches = false

  public private(set) var step: Step

  /// - Parameters:
  ///   - position: where reading is to continue; nil for a shard that is being read.
  ///   - hasRead: records of the shard were read before.
  public init(_ identity: ShardIdentity, position: ShardPoint?, hasRead: Bool = true) {
    self.identity = identity
    self.position = position
    self.hasRead = hasRead
    var marks: [Fingerprint] = []
    for mark in [identity.last, identity.anchor].compactMap(\.self) + identity.older where !marks.contains(mark) { marks.append(mark) }
    self.marks = marks
    step = .look(.before(position ?? 0))
    if let first = marks.first {
      step = .look(.at(first.position))
    } else if position == nil {
      step = .done(.same(outcome))
    } else {
      stage = .before
    }
  }

  /// What the source said to the last ``step``.
  public mutating func saw(_ sight: ShardSight) {
    if let known = identity.incarnation, let now = sight.incarnation {
      guard known == now else {
        step = .done(.recreated(.incarnation(expected: known, found: now)))
        return
      }
      isSameIncarnation = true
    }
    outcome.incarnation = sight.incarnation ?? outcome.incarnation
    switch stage {
    case .mark(let number): saw(sight.look, marks[number], number)
    case .before: sawBefore(sight.look)
    }
  }

  private mutating func saw(_ look: ShardLook, _ mark: Fingerprint, _ number: Int) {
    switch look {
    case .record(let found):
      guard found == mark else {
        step = .done(.recreated(.replaced(expected: mark, found: found)))
        return
      }
      if mark.position.ordinal &+ 1 == position?.ordinal { reaches = true }
      outcome.newest = outcome.newest ?? mark
      if mark == identity.anchor || identity.older.contains(mark) { return conclude(true) }
    case .ended(let high):
      return ended(high, at: mark.position, .at(mark.position))
    case .absent:
      outcome.absent.insert(mark.position)
      why = "the last records that were read are not in the topic any more (compacted)"
    case .trimmed(let low):
      outcome.absent.insert(mark.position)
      why = "the records before position \(low) were dropped at the source, and with them all that were read"
    case .unknown: why = "the source cannot show single records"
    }
    if number + 1 < marks.count {
      stage = .mark(number + 1)
      next(.at(marks[number + 1].position))
    } else {
      conclude(false)
    }
  }

  private mutating func sawBefore(_ look: ShardLook) {
    if case .ended(let high) = look, let position { return ended(high, at: position, .before(position)) }
    reaches = true
    // A start without a last record: from here on this one identifies the shard.
    if outcome.newest == nil, case .record(let found) = look { outcome.newest = found }
    finish()
  }

  private mutating func next(_ ask: ShardAsk) {
    asks = 0
    step = .look(ask)
  }

  private mutating func ended(_ high: Position, at position: ShardPoint, _ ask: ShardAsk) {
    asks += 1
    step = asks < ShardCheck.endAsksMax ? .lookAgain(ask) : .done(.recreated(.ended(position: position, high: high)))
  }

  private mutating func conclude(_ isProven: Bool) {
    self.isProven = isProven
    guard let position, !reaches else { return finish() }
    stage = .before
    next(.before(position))
  }

  private mutating func finish() {
    if isProven || isSameIncarnation || (marks.isEmpty && !hasRead) {
      step = .done(.same(outcome))
    } else {
      if marks.isEmpty {
        why =
          "no record that was read is remembered: the last check found none of them at the source, or an earlier version of Weir read them"
      }
      step = .done(.unverified(outcome, why: why))
    }
  }
}

extension ShardCheck.Mismatch {
  /// What was expected and what is there.
  public func text(_ shard: String) -> String {
    switch self {
    case .replaced(let expected, let found):
      "position \(expected.position) of \(shard) held \(expected.description) when it was read, and now holds \(found.description)"
    case .ended(let position, let high): "\(shard) was read up to position \(position), and now ends at position \(high)"
    case .incarnation(let expected, let found): "\(shard) was read from the incarnation \(expected), and now is \(found)"
    }
  }

  /// `truncated` where the shard just ends earlier, else `recreated`.
  public var code: WeirError.Code { if case .ended = self { .truncated } else { .recreated } }
}
