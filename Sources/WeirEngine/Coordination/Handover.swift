/// A hand-over between two tasks: the sender waits until the receiver comes back for the element (law 7), so that no more than
/// two are alive, one with each.
actor Handover<Element: Sendable> {
  private var element: Element?
  private var isFinished = false
  private var sender: CheckedContinuation<Void, Never>?
  private var receiver: CheckedContinuation<Void, Never>?

  /// Waits for the receiver. False when it has gone: the element was dropped.
  func send(_ element: Element) async -> Bool {
    guard !isFinished else { return false }
    self.element = element
    wake(&receiver)
    while self.element != nil, !isFinished { await withCheckedContinuation { sender = $0 } }
    defer { self.element = nil }
    return self.element == nil
  }

  /// The next element; nil after ``finish()`` when all are taken.
  func receive() async -> Element? {
    while element == nil, !isFinished { await withCheckedContinuation { receiver = $0 } }
    defer {
      element = nil
      wake(&sender)
    }
    return element
  }

  /// No more elements; called by either side, also on failure, so that the other never waits for ever.
  func finish() {
    isFinished = true
    wake(&sender)
    wake(&receiver)
  }

  private func wake(_ waiter: inout CheckedContinuation<Void, Never>?) {
    waiter?.resume()
    waiter = nil
  }
}
