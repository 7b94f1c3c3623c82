import WeirCore
import WeirOperators
import WeirProtocol

/// Lookups that are refreshed: the worker that leads looks at their files and brings new versions into the ledger; every worker uses what the
/// ledger names.
///
/// A worker may see an entry with a new version late. What it has consumed until then is joined with the version before, and its entry says
/// so (``Decision/lookupUsed(name:hash:path:)``). All lanes of a worker turn to the new version between two epochs, so an entry has one
/// version of each lookup, and none of its records is read again.
extension GroupConductor {
  /// Runs until the session ends.
  func refreshLookups() async throws {
    guard var refresh = LookupRefresh(session.opened.lookups, session.meter, observe: observe) else { return }
    let (clock, book, names) = (session.environment.clock, session.pool.lookups, refresh.names)
    while !hasEnded {
      let now = clock.monotonicNanoseconds
      if refresh.dueAt <= now {
        if await session.merge.isHeld {
          try await bring(try await refresh.look(book.current.tables, at: now))
        } else {
          refresh.pass(at: now)
        }
      }
      let fold = await session.ledger.fold
      session.meter.uses(book.current.entries(in: fold))
      if !book.current.isNewest(of: names, in: fold) { try await turn(to: fold) }
      if hasEnded { return }
      await lookupAlarm.wait(until: refresh.dueAt, clock)
    }
  }

  /// The entry that carries a new version comes before any record that is joined with it (law 3).
  private func bring(_ tables: [LookupTable]) async throws {
    let decisions = try await session.opened.lookups.decisions(tables, over: try await session.ledger.refresh())
    guard !decisions.isEmpty else { return }
    try await alone { [self] in
      if isEnding.isRaised { return }
      let carrier = try await session.ledger.refresh().emptyEpoch(of: .merge, decisions: decisions)
      let fold = try await session.committer.commit(empty: [carrier]).fold()
      for (name, hash, _) in decisions.compactMap(\.broughtLookup) {
        observe(.lookupRefreshed(name: name, hash: hash, entry: fold.lookups[name]?.entry ?? fold.number))
      }
    }
  }

  /// Each lane's next epoch is joined with what the ledger names.
  private func turn(to fold: LedgerFold) async throws {
    let (book, governor) = (session.pool.lookups, session.environment.governor)
    let next = LookupSet(try await session.opened.lookups.tables(fold, known: book.current.tables))
    try session.environment.memory.check(next.tables)
    governor.holds(lookups: book.current.memoryBytes + next.memoryBytes)
    try await alone { [self] in
      if isEnding.isRaised { return }
      defer { session.meter.enter(.idle) }
      book.use(next)
      let lanes = session.lanes.inOrder
      for lane in lanes {
        await lane.actor.use(next)
        lane.touch()
      }
      session.meter.cut("lookup")
      await gate.cut()
      try await cut(lanes, at: session.environment.clock.monotonicNanoseconds)
    }
    governor.holds(lookups: next.memoryBytes)
    session.meter.uses(next.entries(in: fold))
  }
}
