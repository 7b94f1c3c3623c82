import WeirCore
import WeirOperators
import WeirProtocol

/// Taking lanes over and handing them over.
extension GroupConductor {
  func membership() async throws {
    while true {
      switch await group.nextEvent() {
      case .closed: return
      case .failed(let error):
        guard error.isRetriable || error.fatalTo == .operation else { throw error }
        observe(.trouble(error))
      case .assigned(let shards):
        watching { $0.assigned() }
        try await alone { [self] in
          session.meter.enter(.takingOver)
          defer { session.meter.enter(.idle) }
          try await takeOver(shards)
        }
      case .revoked(let shards, let isLost):
        watching { $0.revoked(at: session.environment.clock.monotonicNanoseconds, isLost: isLost) }
        try await alone { [self] in
          session.meter.enter(.handingOver)
          defer { session.meter.enter(.idle) }
          try await handOver(shards, isLost: isLost)
        }
        watching { $0.released(at: session.environment.clock.monotonicNanoseconds) }
      }
      // After its end the group answers everything with an error, and then says that it is closed.
      if hasEnded { continue }
    }
  }

  /// Ledger first: followers rolled forward, the shards listed and begun in it, lanes restored from it; then the shards are
  /// read from its positions, never from what the source remembers.
  func takeOver(_ given: [String]) async throws {
    if hasEnded { return }
    var fold = try await session.ledger.refresh()
    if !variant.contains(.growthUnnoticed) { try session.compiled.check(fold) }
    guard try await lookAtNewShards(given, fold) else { return }
    if settings.reshards { guard try await checkEnds(given, fold) else { return } }
    let names = settings.reshards ? readable(given, fold) : given
    try await session.followers.catchUp(to: fold.number)
    fold = try await list(names, fold)
    let identities: [LaneID: ShardIdentity]
    guard let begun = try await begin(names, fold) else { return }
    (fold, identities) = begun
    let ids = names.map { LaneID(shard: $0) }.sorted()
    let isOver: @Sendable () -> Bool = { [self] in hasEnded }
    let known = shards.withLock { $0 }
    guard let restored = try await session.restore(ids, fold, of: known, identities: identities, until: isOver) else { return }
    let positions = Dictionary(uniqueKeysWithValues: ids.compactMap { id in fold[id]?.position.map { (id.shard, $0) } })
    let sources: [String: any RecordSource]
    do { sources = try await group.assign(positions) } catch {
      // A group that was closed meanwhile takes no assignment, and nothing was begun.
      if hasEnded { return }
      throw error
    }
    // A group that changes little by little may give nothing more to a worker that has something.
    if !positions.isEmpty || session.lanes.inOrder.isEmpty { observe(.assigned(positions)) }
    if session.environment.refreshesLookups(of: session.compiled.plan) {
      for lane in restored { await lane.actor.use(session.pool.lookups.current) }
    }
    for lane in restored {
      guard let source = sources[lane.id.shard] else { continue }
      session.lanes.add(lane)
      _ = await starts.send((lane, source))
    }
    try await lead(fold)
    try await session.checkMemory()
  }

  /// The merge lane belongs to the worker that holds the first of the ledger's lanes.
  func lead(_ fold: LedgerFold) async throws {
    let leads = leads(fold)
    let isHeld = await session.merge.isHeld
    guard leads != isHeld else { return }
    if leads { try await session.merge.begin(fold, run: session.run) } else { await session.merge.drop() }
    session.followers.sinks?.news.ring()
  }

  /// Lanes that have ended, wait for their parents, or are of shards that the source does not have any more have no owner. (Where workers
  /// asked the source at different times, two may lead for a while: the ledger decides, and the one that is refused asks again.)
  func leads(_ fold: LedgerFold) -> Bool {
    let known = Set(shards.withLock { $0.map(\.name) })
    func isGone(_ id: LaneID, _ lane: LaneFold) -> Bool { lane.isIdle && lane.origin == nil && !known.contains(id.shard) }
    let first = fold.lanes.filter { id, lane in
      id != .merge && !lane.isShardClosed && fold.isReady(id) && !isGone(id, lane)
    }.keys.min()
    return first.map { id in session.lanes[id] != nil } ?? false
  }

  /// New shards are in the ledger before their first record (DESIGN section 4).
  private func list(_ names: [String], _ fold: LedgerFold) async throws -> LedgerFold {
    let missing = names.map { LaneID(shard: $0) }.filter { fold[$0] == nil }.sorted()
    guard !missing.isEmpty else { return fold }
    let carrier = fold.emptyEpoch(of: .merge, decisions: [.lanesListed(missing, generation: 0)])
    return try await session.committer.commit(empty: [carrier]).fold()
  }

  /// Stop, cut, commit, hand over. What was lost already is dropped without a commit: another worker may be at it.
  private func handOver(_ names: [String], isLost: Bool) async throws {
    let ids = Set(names.map { LaneID(shard: $0) })
    let leaving = session.lanes.inOrder.filter { ids.contains($0.id) }
    for lane in leaving { lane.stop() }
    waiting.withLock { $0.subtract(names) }
    if !isLost, !hasEnded || isDraining {
      // Their rows are in the state table before another worker looks for the mark that says so.
      try await cut(leaving, at: session.environment.clock.monotonicNanoseconds)
      try await session.flusher.flush()
      _ = try await session.merge.round()
    }
    // Rows of them may be on their way, also of what was lost: a write that comes after the next owner's claim fails, and ends the session.
    try await session.flusher.pausing { [session] in session.lanes.remove(ids) }
    await session.committer.drop(ids)
    session.meter.released(names, isLost: isLost)
    observe(.revoked(names.sorted(), isLost: isLost))
    try await lead(await session.ledger.fold)
    do { try await group.release(names) } catch { if !hasEnded { throw error } }
  }
}
