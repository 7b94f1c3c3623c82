import WeirCore
import WeirOperators

/// Takes changed rows of lane-finished state to the state table while the lanes go on (law 6).
///
/// Rows may run ahead of the ledger: each carries its lane's position as a fence. Flushes take at most `spec.share` of the
/// time: after one that took t, the next waits at least t / share - t.
actor StateFlusher {
  private let lanes: [ShardActor]
  private let state: (any StateTable)?
  private let clock: any Clock
  private let spec: StoreSpec

  init(lanes: [ShardActor], state: (any StateTable)?, clock: any Clock, spec: StoreSpec) {
    self.lanes = lanes
    self.state = state
    self.clock = clock
    self.spec = spec
  }

  /// Flushes until `isDone`.
  func run(until isDone: @Sendable () -> Bool) async throws {
    guard state != nil else { return }
    var wait = spec.flushMicroseconds * 1000
    while !isDone(), !Task.isCancelled {
      // Short steps, so that the end of a run is not held up by a long interval.
      var left = wait
      while left > 0, !isDone(), !Task.isCancelled {
        await clock.sleep(nanoseconds: min(left, 20_000_000))
        left -= 20_000_000
      }
      let began = clock.monotonicNanoseconds
      try await flush()
      let took = clock.monotonicNanoseconds - began
      wait = max(spec.flushMicroseconds * 1000, Int64(Double(took) / spec.share) - took)
    }
  }

  func flush() async throws {
    guard let state else { return }
    var rows: [StateRow] = []
    for lane in lanes { rows += await lane.takeStateRows() }
    guard !rows.isEmpty else { return }
    rows.sort(by: StateOrder.precedes)
    _ = try await state.write(rows)
  }
}
