import WeirCore

/// Brings one topic to the ledger, as a pure machine: events in, the next thing to do out.
///
/// The marker says through which entry everything is stored in the topic. It is written **after** the records' acknowledgement
/// and never before, so whatever stops the worker, the next one begins at an entry of which nothing is missing before:
///
///     read marker ─► read entries (marker, through] ─► publish, all acknowledged ─► write marker = through
///
/// Between the last two steps a stop costs a repetition of these entries: the same bytes and headers, in the same order, which a
/// consumer recognises by the entry's number and the row's (at least once, and distinguishable). Two workers that both publish do the same
/// to each other. A marker of theirs may go back, which costs a repetition too; it is never ahead of what is stored.
public struct SinkMachine: Sendable {
  public enum Event: Sendable {
    /// nil: the route has published nothing yet.
    case markerRead(Int64?)
    /// Entries through this one are gone (``Ledger/collectedThrough()``); -1: none are.
    case collectedRead(through: Int64)
    /// The entries that were asked for, all of them, in order.
    case entriesRead([LedgerEntry])
    /// All records of the entries are stored.
    case published
    case markerWritten
  }

  public enum Action: Sendable {
    case readMarker
    case readCollected
    /// Ledger entries `(after, through]`.
    case readEntries(after: Int64, through: Int64)
    /// Send the rows of the entries in their order, and wait until all are stored.
    case publish([LedgerEntry])
    /// Everything through the entry is stored: write it down, durably.
    case writeMarker(Int64)
    /// The topic holds everything through the entry.
    case done(Int64)
    /// The caller broke a rule.
    case fail(WeirError)
  }

  /// Entries between two markers at most: what a stop repeats.
  public static let entriesMax: Int64 = 16

  private enum State {
    case readingMarker
    case readingCollected
    case readingEntries(through: Int64)
    case publishing(through: Int64)
    case writing(Int64)
    case finished
  }

  /// The ledger entry to reach.
  public let target: Int64
  private let start: SinkSpec.Start
  private var state = State.readingMarker

  /// - Parameters:
  ///   - target: a number through which the ledger is known and durable.
  ///   - start: for a route without a marker.
  public init(target: Int64, start: SinkSpec.Start) {
    self.target = target
    self.start = start
  }

  /// The first action.
  public var begin: Action { .readMarker }

  /// Takes the answer to the last action. What fails ends the machine: a new one begins at the marker.
  public mutating func event(_ event: Event) -> Action {
    switch (state, event) {
    case (.readingMarker, .markerRead(let marker?)): return go(on: marker)
    case (.readingMarker, .markerRead(nil)):
      state = .readingCollected
      return .readCollected
    case (.readingCollected, .collectedRead(let collectedThrough)):
      // Written down at once: "latest" must not move on with the ledger while nothing is published.
      let first = start == .latest ? target : min(target, max(0, collectedThrough))
      state = .writing(first)
      return .writeMarker(first)
    case (.readingEntries(let through), .entriesRead(let entries)):
      state = .publishing(through: through)
      return .publish(entries)
    case (.publishing(let through), .published):
      state = .writing(through)
      return .writeMarker(through)
    case (.writing(let through), .markerWritten): return go(on: through)
    default:
      state = .finished
      return .fail(WeirError(.internal, "a topic's follower received a reply to a request that it did not send"))
    }
  }

  private mutating func go(on through: Int64) -> Action {
    guard through < target else {
      state = .finished
      return .done(through)
    }
    let next = min(target, through + SinkMachine.entriesMax)
    state = .readingEntries(through: next)
    return .readEntries(after: through, through: next)
  }
}
