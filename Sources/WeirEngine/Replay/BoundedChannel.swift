/// A queue between two tasks that holds at most `capacity` elements: the sender waits while it is full (law 7).
actor BoundedChannel<Element: Sendable> {
  private let capacity: Int
  private var queue: [Element] = []
  private var isFinished = false
  private var sender: CheckedContinuation<Void, Never>?
  private var receiver: CheckedContinuation<Void, Never>?

  init(capacity: Int) { self.capacity = capacity }

  /// Waits for room. False when the receiver has gone: the element was dropped.
  func send(_ element: Element) async -> Bool {
    while queue.count >= capacity, !isFinished { await withCheckedContinuation { sender = $0 } }
    guard !isFinished else { return false }
    queue.append(element)
    wake(&receiver)
    return true
  }

  /// The next element; nil after ``finish()`` when all are taken.
  func receive() async -> Element? {
    while queue.isEmpty, !isFinished { await withCheckedContinuation { receiver = $0 } }
    guard !queue.isEmpty else { return nil }
    let element = queue.removeFirst()
    wake(&sender)
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
