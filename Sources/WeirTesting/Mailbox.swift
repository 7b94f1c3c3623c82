import Synchronization

/// Values for one task that takes them in order and waits when there is none.
public final class Mailbox<Value: Sendable>: Sendable {
  private struct State {
    var values: [Value] = []
    /// Received by every ``next()`` after the last value.
    var last: Value?
    var waiter: CheckedContinuation<Value, Never>?
  }
  private let state = Mutex(State())

  public init(_ values: [Value] = []) { state.withLock { $0.values = values } }

  /// ``end(with:)`` was called.
  public var hasEnded: Bool { state.withLock { $0.last != nil } }

  public func give(_ value: Value) {
    let waiter = state.withLock { state in
      guard let waiter = state.waiter.take() else {
        state.values.append(value)
        return nil as CheckedContinuation<Value, Never>?
      }
      return waiter
    }
    waiter?.resume(returning: value)
  }

  /// After the values that were given, there is only `value`.
  /// - Parameter drops: values that were given and not taken are dropped.
  public func end(with value: Value, drops: Bool = false) {
    let waiter = state.withLock { state in
      state.last = value
      if drops { state.values = [] }
      return state.waiter.take()
    }
    waiter?.resume(returning: value)
  }

  public func next() async -> Value {
    await withCheckedContinuation { continuation in
      let ready: Value? = state.withLock { state in
        if !state.values.isEmpty { return state.values.removeFirst() }
        if state.last == nil { state.waiter = continuation }
        return state.last
      }
      if let ready { continuation.resume(returning: ready) }
    }
  }
}
