import Synchronization
import WeirCore

/// A clock that stops until its test moves it.
public final class ManualClock: Clock {
  /// What a sleep does.
  public enum Sleep: Sendable {
    /// It lasts until the test has moved the clock that far, or the task is cancelled, as the system's does.
    case waits
    /// It ends at once, and the clock stays.
    case ends
    /// It ends at once, and moves the clock by its length.
    case moves
  }

  private struct State {
    var now: Int64
    var asked = 0
    var sleepers: [Int: (until: Int64, waiter: CheckedContinuation<Void, Never>)] = [:]
  }
  private let state: Mutex<State>
  private let sleep: Sleep

  /// - Parameter now: nanoseconds, monotonic and since 1970.
  public init(_ sleep: Sleep, now: Int64 = 0) {
    self.sleep = sleep
    state = Mutex(State(now: now))
  }

  public var monotonicNanoseconds: Int64 { state.withLock { $0.now } }
  public var wallMicroseconds: Int64 { monotonicNanoseconds / 1000 }
  /// Tasks that sleep.
  public var sleepers: Int { state.withLock { $0.sleepers.count } }

  public func sleep(nanoseconds: Int64) async {
    switch sleep {
    case .waits: await wait(nanoseconds)
    case .ends: await Task.yield()
    case .moves: advance(by: nanoseconds)
    }
  }

  private func wait(_ nanoseconds: Int64) async {
    let number = state.withLock { state in
      state.asked += 1
      return state.asked
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if nanoseconds <= 0 || Task.isCancelled { return true }
          state.sleepers[number] = (state.now + nanoseconds, continuation)
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.sleepers.removeValue(forKey: number)?.waiter }?.resume()
    }
  }

  public func advance(by nanoseconds: Int64) {
    let due = state.withLock { state in
      state.now += nanoseconds
      let due = state.sleepers.filter { $0.value.until <= state.now }
      for number in due.keys { state.sleepers[number] = nil }
      return due.values.map(\.waiter)
    }
    for waiter in due { waiter.resume() }
  }

  /// Moves the clock to a time that is not before its own.
  public func set(seconds: Int64) { advance(by: seconds * 1_000_000_000 - monotonicNanoseconds) }
}
