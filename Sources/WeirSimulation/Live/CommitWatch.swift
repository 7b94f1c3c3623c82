import Synchronization
import WeirCore
import WeirProtocol

/// Sees the steps of one worker's commits: which branches they take, and whether their end is true.
final class CommitWatch: Sendable {
  private struct State {
    var draft: EntryDraft?
    /// The last entry that was read back.
    var read: LedgerEntry?
  }

  private let state = Mutex(State())
  private let mark: @Sendable (Mark) -> Void
  /// The outcome of an attempt says that lanes are another worker's: its id, and of each lane the epoch that the attempt wanted to make.
  private let fenced: @Sendable (_ attempt: String, _ wanted: [LaneID: Int64]) -> Void

  /// An attempt ended as this entry.
  private let committed: @Sendable (Int64) -> Void

  init(
    mark: @escaping @Sendable (Mark) -> Void, committed: @escaping @Sendable (Int64) -> Void = { _ in },
    fenced: @escaping @Sendable (_ attempt: String, _ wanted: [LaneID: Int64]) -> Void
  ) {
    (self.mark, self.committed, self.fenced) = (mark, committed, fenced)
  }

  func saw(_ event: CommitMachine.Event, _ action: CommitMachine.Action) {
    switch event {
    case .derived(let draft): state.withLock { $0 = State(draft: draft) }
    case .entryRead(let entry?): state.withLock { $0.read = entry }
    default: break
    }
    switch (event, action) {
    case (.pointerRead, .finish(.committed)): if state.withLock({ $0.read != nil }) { mark(.ownEntryFound) }
    case (.entryRead(nil), .rest): mark(.unknownRetried)
    case (.entryRead(nil), .readHead): mark(.entryNotThere)
    case (.pointerRead, .derive): mark(.conflict)
    case (.pointerRead, .readHead): mark(.fencedByPointer)
    case (.headRead, .derive): mark(.headReadAgain)
    default: break
    }
    if case .finish(.committed(let number, _)) = action { committed(number) }
    if case .finish(.fenced(let lanes, _)) = action, let draft = state.withLock({ $0.draft }) {
      let wanted = draft.lanes.filter { lanes.contains($0.lane) }.map { ($0.lane, $0.epoch) }
      fenced(draft.commitID, Dictionary(wanted, uniquingKeysWith: { first, _ in first }))
    }
  }
}
