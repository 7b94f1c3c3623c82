import Synchronization
import WeirCore

/// Something that one task waits for, perhaps until a moment, and others ring.
///
/// A ring that comes while the task does something else is kept until it waits the next time.
final class Signal: Sendable {
  private struct State {
    var isRung = false
    var waiter: CheckedContinuation<Void, Never>?
  }
  private let state = Mutex(State())

  func ring() {
    let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
      guard let waiter = state.waiter else {
        state.isRung = true
        return nil
      }
      state.waiter = nil
      return waiter
    }
    waiter?.resume()
  }

  /// Waits for a ring, or until a moment, monotonic nanoseconds. Called by one task at a time.
  func wait(until moment: Int64, _ clock: any Clock) async {
    let left = moment - clock.monotonicNanoseconds
    guard left > 0 else { return }
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        await clock.sleep(nanoseconds: left)
        if !Task.isCancelled { self.ring() }
      }
      await wait()
      group.cancelAll()
    }
  }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isRung = state.withLock { state in
        defer { state.isRung = false }
        if !state.isRung { state.waiter = continuation }
        return state.isRung
      }
      if isRung { continuation.resume() }
    }
  }
}

/// Events in their order, for one task that takes them.
final class EventQueue: Sendable {
  private struct State {
    var events: [ShardGroupEvent] = []
    var isClosed = false
  }
  private let state = Mutex(State())
  private let news = Signal()

  func append(_ event: ShardGroupEvent) {
    state.withLock { if !$0.isClosed { $0.events.append(event) } }
    news.ring()
  }

  /// Nothing comes any more but ``ShardGroupEvent/closed``.
  func close() {
    state.withLock { ($0.events, $0.isClosed) = ([], true) }
    news.ring()
  }

  func next() async -> ShardGroupEvent {
    while true {
      let event = state.withLock { state -> ShardGroupEvent? in
        if state.isClosed { return .closed }
        return state.events.isEmpty ? nil : state.events.removeFirst()
      }
      if let event { return event }
      await news.wait()
    }
  }
}

/// Something that happens once and stays; many wait for it.
final class Refusal: Sendable {
  private struct State {
    var isRaised = false
    var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    var count = 0
  }
  private let state = Mutex(State())

  func raise() {
    let waiters = state.withLock { state in
      state.isRaised = true
      defer { state.waiters = [:] }
      return state.waiters
    }
    for waiter in waiters.values { waiter.resume() }
  }

  /// Waits until it is raised, or the task is cancelled.
  func wait() async {
    let number = state.withLock { state in
      state.count += 1
      return state.count
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          // A cancellation that comes after this look finds the waiter.
          let isOver = state.isRaised || Task.isCancelled
          if !isOver { state.waiters[number] = continuation }
          return isOver
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
    }
  }
}
