import WeirCore
import WeirProtocol

/// What an error that ends a session means for the worker: the rules, without clock or tasks.
struct SessionFailures {
  /// Sessions in a row that may end fenced, or in doubt, without a commit of their own.
  static let vainSessionsMax = 5
  /// Attempts to begin the first session with a source that does not answer.
  static let firstAttemptsMax = 3
  private static let restNanoseconds: Int64 = 500_000_000
  /// Errors that end a session and not the worker: it continues from the ledger with a new member of the group.
  private static let passing: Set<WeirError.Code> = [
    .fenced, .stateFenced, .abandoned, .outOfRange, .groupSilent, .handoverLate, .stateReplaced,
  ]
  /// Those of them that say nothing against this worker, however often they come.
  private static let innocent: Set<WeirError.Code> = [.outOfRange, .groupSilent]

  /// False: the worker is the only one, and every error ends it.
  private let isShared: Bool
  private var vain = 0
  /// Sessions that the source did not let begin, before there was one; nil: there was.
  private var unanswered: Int? = 0

  init(isShared: Bool) { self.isShared = isShared }

  /// A session has everything that it needs, and begins to read.
  mutating func began() { unanswered = nil }

  /// - Parameters:
  ///   - entries: that the session has committed.
  ///   - number: of the ledger's entry before it.
  ///   - isStopping: the worker was asked to end.
  /// - Returns: the error to be reported, and how long to rest before the next session.
  /// - Throws: what ends the worker.
  mutating func ended(
    with thrown: any Error, entries: Int64, after number: Int64, isStopping: Bool
  ) throws -> (reported: WeirError, restNanoseconds: Int64) {
    guard isShared else { throw (thrown as? CommitRefused)?.ofRun ?? thrown }
    guard isPassing(thrown, isStopping) else { throw thrown }
    var error =
      (thrown as? CommitRefused)?.ofSession ?? (thrown as? PartitionsFound)?.ofSession ?? thrown as? WeirError
      ?? WeirError(.internal, "\(thrown)")
    unanswered = unanswered.map { $0 + 1 }
    vain =
      entries > 0 || thrown is PartitionsFound || SessionFailures.innocent.contains(error.code) || SessionFailures.isSourceAway(error)
      ? 0 : vain + 1
    guard vain < SessionFailures.vainSessionsMax || isStopping else { throw error }
    // Whatever the error ends elsewhere, here it ended a session: no lane is read until the next. A worker that is to end begins none.
    error.fatalTo = isStopping ? .operation : .worker
    return (error, SessionFailures.restNanoseconds + number % 7 * 50_000_000)
  }

  /// Errors that end a session and not the worker. Beside those that say so, a source that does not answer. Before there was a session it
  /// has some attempts: a worker that sleeps or starves while it asks for the first time says nothing against the source; but a wrong
  /// address must be reported some time.
  ///
  /// Once the worker was asked to end, an error that passes by itself is not a failure: what the worker could not commit
  /// is read again, from the ledger's positions, by the worker that takes its lanes.
  private func isPassing(_ thrown: any Error, _ isStopping: Bool) -> Bool {
    if thrown is CommitRefused || thrown is PartitionsFound { return true }
    guard let error = thrown as? WeirError else { return false }
    if isStopping && error.isRetriable || SessionFailures.passing.contains(error.code) { return true }
    return SessionFailures.isSourceAway(error) && (unanswered ?? 0) + 1 < SessionFailures.firstAttemptsMax
  }

  private static func isSourceAway(_ error: WeirError) -> Bool { error.code == .unavailable }
}
