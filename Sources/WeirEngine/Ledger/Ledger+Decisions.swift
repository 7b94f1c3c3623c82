import WeirCore
import WeirProtocol

extension Ledger {
  /// Commits an entry of empty epochs that carry decisions, outside of a session.
  /// - Parameters:
  ///   - began: monotonic nanoseconds when the attempt began to write files; nil: it has none.
  ///   - lanes: the epochs, from the fold that the entry follows; asked again after each conflict. Its errors end the attempt.
  func decide(
    planHash: String, began: Int64? = nil, _ lanes: @Sendable (LedgerFold) throws -> [LaneCommit]
  ) async throws -> CommitEnd {
    let attempt = makeAttemptID()
    let outcome = try await commit(attempt: attempt, startedNanoseconds: began ?? now) { fold in
      EntryDraft(commitID: attempt, worker: attempt, planHash: planHash, lanes: try lanes(fold))
    }
    switch outcome {
    case .committed(_, let fold): return .committed(fold)
    case .fenced(let lanes, _): return .fenced(lanes)
    case .abandoned: return .expired
    case .unknown: return .unknown(number: fold.number + 1)
    }
  }
}
