import Synchronization
import WeirCore

/// What one loop waits for between two looks: news, or a moment, whichever comes first.
///
/// News that come while the loop is at work are kept until it waits the next time, so none is missed.
final class Alarm: Sendable {
  private struct State {
    var isRung = false
    /// The moment that the loop waits for.
    var until = Int64.max
    var waiter: CheckedContinuation<Void, Never>?
  }
  private let state = Mutex(State())

  /// A loop waits.
  var isWaiting: Bool { state.withLock { $0.waiter != nil } }

  /// There is news.
  func ring() { ring { _ in true } }

  /// There will be something to do at a moment, monotonic nanoseconds: says so to a loop that waits for a later one.
  func ring(by moment: Int64) { ring { $0 > moment } }

  private func ring(_ concerns: (Int64) -> Bool) {
    let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
      guard let waiter = state.waiter else {
        state.isRung = true
        return nil
      }
      guard concerns(state.until) else { return nil }
      state.waiter = nil
      return waiter
    }
    waiter?.resume()
  }

  /// Waits for news, or until a moment, monotonic nanoseconds; nil: for news alone. Called by one task.
  func wait(until moment: Int64?, _ clock: any Clock) async {
    guard let moment else { return await rung(until: .max) }
    let left = moment - clock.monotonicNanoseconds
    guard left > 0 else { return state.withLock { $0.isRung = false } }
    if state.withLock({ state in
      defer { state.isRung = false }
      return state.isRung
    }) {
      return
    }
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        await clock.sleep(nanoseconds: left)
        if !Task.isCancelled { self.ring() }
      }
      await rung(until: moment)
      group.cancelAll()
    }
  }

  private func rung(until moment: Int64) async {
    await withCheckedContinuation { continuation in
      let isRung = state.withLock { state in
        defer { state.isRung = false }
        if !state.isRung { (state.waiter, state.until) = (continuation, moment) }
        return state.isRung
      }
      if isRung { continuation.resume() }
    }
  }
}
