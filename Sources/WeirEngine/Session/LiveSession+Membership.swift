import WeirCore
import WeirOperators
import WeirProtocol

/// Taking lanes over and handing them over.
extension LiveSession {
  func membership(_ flusher: StateFlusher) async throws {
    while true {
      switch await group.nextEvent() {
      case .closed: return
      case .failed(let error):
        guard error.isRetriable || error.fatalTo == .operation else { throw error }
        observe(.trouble(error))
      case .assigned(let shards):
        watching { $0.assigned() }
        try await turnstile.pass { [self] in
          meter.enter(.takingOver)
          defer { meter.enter(.idle) }
          try await takeOver(shards, flusher)
        }
      case .revoked(let shards, let isLost):
        watching { $0.revoked(at: environment.clock.monotonicNanoseconds, isLost: isLost) }
        try await turnstile.pass { [self] in
          meter.enter(.handingOver)
          defer { meter.enter(.idle) }
          try await handOver(shards, isLost: isLost, flusher)
        }
        watching { $0.released(at: environment.clock.monotonicNanoseconds) }
      }
      // After its end the group answers everything with an error, and then says that it is closed.
      if hasEnded { continue }
    }
  }

  /// Ledger first: followers rolled forward, the shards listed and begun in it, lanes restored from it; then the shards are
  /// read from its positions, never from what the source remembers.
  private func takeOver(_ names: [String], _ flusher: StateFlusher) async throws {
    if hasEnded { return }
    var fold = try await ledger.refresh()
    try await lookAtNewShards(names, fold)
    try await followers.catchUp(to: fold.number)
    fold = try await list(names, fold)
    let identities: [LaneID: ShardIdentity]
    guard let begun = try await begin(names, fold) else { return }
    (fold, identities) = begun
    let restorer = Restorer(compiled: compiled, store: environment.lake, fold: fold, run: run, variant: variant)
    var positions: [String: ShardPoint] = [:]
    let ids = names.map { LaneID(shard: $0) }.sorted()
    for id in ids {
      guard let before = fold[id], let position = before.position else {
        throw WeirError(.corrupt, "the ledger has no position for \(id.shard)")
      }
      positions[id.shard] = position
      await committer.hold(id, before)
    }
    let restored = try await restorer.shards(ids, parallel: environment.parallel)
    for shard in restored { await shard.begin(identities[shard.id] ?? ShardIdentity()) }
    if let state = environment.state, hasStateRows {
      let taken = fold
      // Rows of these lanes may be on their way since this worker had them before.
      try await flusher.pausing { [self] in
        if !variant.contains(.takesOverUnmarked) { try await FlushMark.own(restored.map(\.id), owner, state, taken) }
        try await FlushMark.recover(restored, state, taken, owner: owner, variant)
        // The entry may have moved a lane past a gap, and an idle lane has no other for long.
        let owners = variant.contains(.takesOverUnmarked) ? [] : FlushMark.owners(of: ids, owner)
        _ = try await state.write([], meta: Followers.marks(taken, of: Set(ids)), owners: owners)
        if !variant.contains(.flusherRemembers) { await flusher.forget(restored.map(\.id)) }
      }
    }
    let sources: [String: any RecordSource]
    do { sources = try await group.assign(positions) } catch {
      // A group that was closed meanwhile takes no assignment, and nothing was begun.
      if hasEnded { return }
      throw error
    }
    observe(.assigned(positions))
    let all = shards.withLock { $0 }
    for shard in restored {
      guard let source = sources[shard.id.shard] else { continue }
      let lane = LiveLane(
        shard: shard, source: source, compiled: compiled, fold: fold[shard.id],
        placement: placements.placement(of: shard.id.shard, in: all, fold), environment: environment,
        reading: meter.take(
          shard.id.shard, position: positions[shard.id.shard] ?? 0, watermark: fold[shard.id]?.watermark ?? Watermark.minimum),
        ahead: ahead, alarm: alarm, idleNanoseconds: settings.idleMicroseconds * 1000)
      lanes.withLock { $0[lane.id] = lane }
      await starts.add(lane)
    }
    try await lead(fold)
    try await checkMemory()
  }

  /// The merge lane belongs to whoever holds the first of the ledger's lanes.
  private func lead(_ fold: LedgerFold) async throws {
    let first = fold.lanes.keys.filter { $0 != .merge }.min()
    let leads = first.map { id in lanes.withLock { $0[id] != nil } } ?? false
    let isHeld = await merge.isHeld
    if leads, !isHeld { try await merge.begin(fold, run: run) }
    if !leads, isHeld { await merge.drop() }
  }

  /// New shards are in the ledger before their first record (DESIGN section 4).
  private func list(_ names: [String], _ fold: LedgerFold) async throws -> LedgerFold {
    let missing = names.map { LaneID(shard: $0) }.filter { fold[$0] == nil }.sorted()
    guard !missing.isEmpty else { return fold }
    let carrier = fold.emptyEpoch(of: .merge, decisions: [.lanesListed(missing, generation: 0)])
    return try await committer.commit(empty: [carrier]).fold()
  }

  /// Stop, cut, commit, hand over. What was lost already is dropped without a commit: another worker may be at it.
  private func handOver(_ names: [String], isLost: Bool, _ flusher: StateFlusher) async throws {
    let ids = Set(names.map { LaneID(shard: $0) })
    let leaving = held.filter { ids.contains($0.id) }
    for lane in leaving { lane.stop() }
    if !isLost, !hasEnded || isDraining {
      // Their rows are in the state table before another worker looks for the mark that says so.
      try await cut(leaving, at: environment.clock.monotonicNanoseconds)
      try await flusher.flush()
      _ = try await merge.round()
    }
    lanes.withLock { lanes in for id in ids { lanes[id] = nil } }
    await committer.drop(ids)
    meter.released(names, isLost: isLost)
    observe(.revoked(names.sorted(), isLost: isLost))
    try await lead(await ledger.fold)
    do { try await group.release(names) } catch { if !hasEnded { throw error } }
  }
}
