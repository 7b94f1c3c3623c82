import WeirCore
import WeirOperators
import WeirProtocol

/// Runs a session: decides where blocks come from, which lanes this worker has, and when an epoch is cut.
protocol Conductor: Sendable {
  /// Entries that it has committed.
  var entries: Int64 { get async }

  /// Reads and commits, and returns when all that it wants to commit is in the ledger.
  /// - Parameter interruption: raised when the run is to end, because of `stop` or of a follower that failed.
  func run(until stop: Flag, interruption: Flag) async throws -> WorkerEnd
}

/// What the records of a session come from.
protocol SessionInput: Sendable {
  /// Other workers have lanes of the same ledger: an error that passes ends the session, and the worker continues from the ledger.
  var isShared: Bool { get }
  /// The ledger may be collected, which adds an entry of its own where the ledger was idle for a day.
  var mayCollect: Bool { get }

  /// Fills in what only the input can say of a ledger that is to be opened or created.
  func complete(_ request: inout LedgerRequest) throws
  /// Whether the ledger is one of this input; adapts the plan to it.
  func check(_ opened: inout OpenedLedger) async throws
  /// Called when all followers are at the ledger's head.
  func begin(_ opened: OpenedLedger, _ counts: WorkerCounts) async throws -> any Conductor
  func close() async
}
