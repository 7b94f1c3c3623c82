import WeirCore
import WeirOperators
import WeirProtocol

/// Lanes whose loops are to be started: a queue between the membership and the task that owns the loops.
actor LaneStarts {
  private var lanes: [LiveLane] = []
  private var isFinished = false
  private var waiter: CheckedContinuation<Void, Never>?

  func add(_ lane: LiveLane) {
    lanes.append(lane)
    wake()
  }

  func finish() {
    isFinished = true
    wake()
  }

  /// Waits for the next lane; nil after ``finish()``.
  func next() async -> LiveLane? {
    while lanes.isEmpty, !isFinished { await withCheckedContinuation { waiter = $0 } }
    return lanes.isEmpty ? nil : lanes.removeFirst()
  }

  private func wake() {
    waiter?.resume()
    waiter = nil
  }
}
