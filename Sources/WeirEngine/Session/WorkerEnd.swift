import WeirCore

/// How a run of a worker ended.
package enum WorkerEnd: Sendable, Equatable {
  /// The capture is consumed and its windows are closed.
  case finished
  /// It had been before: nothing was changed.
  case unchanged
  /// The capture is consumed; `--keep-open` left its windows open.
  case keptOpen
  /// Stopped from outside after a commit; the next run continues there.
  case interrupted
}
