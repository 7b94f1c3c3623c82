import WeirCore

/// One at a time, in the order of asking: a worker makes one commit at a time.
actor Turnstile {
  private var isTaken = false
  private var waiting: [CheckedContinuation<Void, Never>] = []
  /// For the simulation: everybody passes.
  private let isOpen: Bool

  init(isOpen: Bool = false) { self.isOpen = isOpen }

  private func enter() async {
    guard isTaken, !isOpen else {
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
