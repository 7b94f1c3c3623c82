import Synchronization
import WeirCore

/// Something that happens once and stays: a stop was asked for, a session ends. One task raises it; others look at it or wait for it.
package final class Flag: Sendable {
  private struct State {
    var watchers: [Int: @Sendable () -> Void] = [:]
    var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    var asked = 0
  }
  private let value = Atomic(false)
  private let state = Mutex(State())

  package init() {}

  package var isRaised: Bool { value.load(ordering: .acquiring) }

  package func raise() {
    let state = self.state.withLock { state in
      value.store(true, ordering: .releasing)
      defer { (state.watchers, state.waiters) = ([:], [:]) }
      return state
    }
    for (_, watcher) in state.watchers.sorted(by: { $0.key < $1.key }) { watcher() }
    for (_, waiter) in state.waiters.sorted(by: { $0.key < $1.key }) { waiter.resume() }
  }

  /// Calls `body` when the flag is raised: at once if it was.
  /// - Returns: for ``forget(_:)``.
  @discardableResult
  package func whenRaised(_ body: @escaping @Sendable () -> Void) -> Int {
    let (number, isRaised) = state.withLock { state in
      state.asked += 1
      if !self.isRaised { state.watchers[state.asked] = body }
      return (state.asked, self.isRaised)
    }
    if isRaised { body() }
    return number
  }

  /// The call of ``whenRaised(_:)`` with this number is wanted no more.
  package func forget(_ number: Int) { state.withLock { _ = $0.watchers.removeValue(forKey: number) } }

  /// Waits until the flag is raised, or the task is cancelled.
  func wait() async {
    let number = state.withLock { state in
      state.asked += 1
      return state.asked
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          // A cancellation that comes after this look finds the waiter.
          let isOver = isRaised || Task.isCancelled
          if !isOver { state.waiters[number] = continuation }
          return isOver
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
    }
  }

  /// Waits until the flag is raised, or until a moment, monotonic nanoseconds.
  package func wait(until moment: Int64, _ clock: any Clock) async {
    let left = moment - clock.monotonicNanoseconds
    guard left > 0, !isRaised else { return }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await clock.sleep(nanoseconds: left) }
      group.addTask { await self.wait() }
      await group.next()
      group.cancelAll()
    }
  }
}
