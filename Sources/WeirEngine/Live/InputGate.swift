import WeirCore

/// Bounds the input of an epoch (law 7): while a commit is under way the lanes read on, but no further than the next
/// epoch's bytes.
actor InputGate {
  private let bytesMax: Int64
  private(set) var bytes: Int64 = 0
  private var waiting: [CheckedContinuation<Void, Never>] = []
  private var isOpen = false
  private var isHeld = false

  init(bytesMax: Int64) { self.bytesMax = bytesMax }

  /// Counts a block in; waits for the next cut when the epoch is full.
  func admit(_ count: Int64) async {
    while bytes >= bytesMax || isHeld, !isOpen { await withCheckedContinuation { waiting.append($0) } }
    bytes += count
  }

  /// The epoch was cut.
  func cut() {
    bytes = 0
    wake()
  }

  /// A follower is too far behind: nothing is admitted until it has come nearer.
  func hold(_ isHeld: Bool) {
    guard isHeld != self.isHeld else { return }
    self.isHeld = isHeld
    if !isHeld { wake() }
  }

  /// Nobody waits any more: the end.
  func open() {
    isOpen = true
    wake()
  }

  private func wake() {
    let all = waiting
    waiting = []
    for waiter in all { waiter.resume() }
  }
}

/// One at a time, in the order of asking: a worker makes one commit at a time.
actor Turnstile {
  private var isTaken = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  private func enter() async {
    guard isTaken else {
      isTaken = true
      return
    }
    await withCheckedContinuation { waiting.append($0) }
  }

  private func leave() {
    if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
  }

  nonisolated func pass<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
    await enter()
    do {
      let result = try await body()
      await leave()
      return result
    } catch {
      await leave()
      throw error
    }
  }
}
