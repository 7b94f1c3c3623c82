import WeirCore

extension Session {
  /// Sweeps now and then while the session runs: after a short while, then every hour.
  func sweepTombstones(until isOver: Flag) async throws {
    guard let state = environment.state, !compiled.expiringTables.isEmpty else { return }
    let (clock, keep) = (environment.clock, environment.tombstoneKeepMicroseconds)
    let sweep = TombstoneSweep(state: state, tables: compiled.expiringTables, keepMicroseconds: keep)
    var due = clock.monotonicNanoseconds + keep / 1440 * 1000
    while true {
      await isOver.wait(until: due, clock)
      if isOver.isRaised { return }
      let own = (compiled.hasLaneState ? lanes.inOrder.map(\.id) : []) + (await merge.isHeld ? [.merge] : [])
      do {
        try await sweep.run(own, await ledger.fold, owner: owner, now: clock.wallMicroseconds) { isOver.isRaised }
      } catch let error as WeirError where error.isRetriable || error.code == .stateFenced || error.code == .storage {
        // A lane was given up meanwhile, or the table does not answer: flushes notice what is wrong. The next time is soon enough.
      }
      due = clock.monotonicNanoseconds + keep / 24 * 1000
    }
  }
}
