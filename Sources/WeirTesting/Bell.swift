import Synchronization

/// Rung when something has changed: each task that waits for a condition looks again. No task polls.
public final class Bell: Sendable {
  private struct State {
    var rung = 0
    var last = 0
    var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    /// Waits that were cancelled before they began.
    var cancelled: Set<Int> = []
  }
  private let state = Mutex(State())

  public init() {}

  /// How often it was rung.
  public var rung: Int { state.withLock { $0.rung } }

  public func ring() {
    let waiters = state.withLock { state in
      state.rung += 1
      defer { state.waiters = [:] }
      return state.waiters.values
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Waits until it was rung more than `rung` times, or the task is cancelled.
  public func wait(after rung: Int) async {
    let number = state.withLock { state in
      state.last += 1
      return state.last
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.rung > rung || state.cancelled.remove(number) != nil { return true }
          state.waiters[number] = continuation
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        if let waiter = state.waiters.removeValue(forKey: number) { return waiter as CheckedContinuation<Void, Never>? }
        state.cancelled.insert(number)
        return nil
      }
      waiter?.resume()
    }
  }

  /// Waits until `test` is true; it is looked at whenever something has changed.
  /// - Returns: false: the time of the test is over.
  public func until(_ test: () async throws -> Bool) async rethrows -> Bool {
    while true {
      let seen = rung
      if try await test() { return true }
      if Task.isCancelled { return false }
      await wait(after: seen)
    }
  }
}
