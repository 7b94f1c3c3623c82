/// The place of the one epoch that is committed while the next is cut and encoded.
actor CommitSlot {
  private var isTaken = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  /// Waits until the epoch before is committed, and takes the place.
  func take() async {
    await idle()
    isTaken = true
  }

  /// Waits until no epoch is being committed.
  func idle() async { while isTaken { await withCheckedContinuation { waiting.append($0) } } }

  func free() {
    isTaken = false
    let all = waiting
    waiting = []
    for waiter in all { waiter.resume() }
  }
}
