import WeirCore
import WeirOperators
import WeirProtocol

/// Where lanes begin: at the ledger's position, if the shard is still the one that the position belongs to.
extension GroupConductor {
  /// What taking lanes over adds to the ledger.
  private struct Beginning {
    var commits: [LaneCommit] = []
    var events: [WorkerEvent] = []
    /// Of all lanes, also of those that nothing is committed of.
    var identities: [LaneID: ShardIdentity] = [:]
  }

  /// Lanes without a position get one; the others' shards are checked. A lane whose position was trimmed gets a gap, one whose shard
  /// was recreated a decision, if the user accepts that.
  /// - Returns: nil: the session is over. Then no shard was checked, and nothing may be concluded of any.
  /// - Throws: `recreated`, `truncated`.
  func begin(_ names: [String], _ fold: LedgerFold) async throws -> (LedgerFold, [LaneID: ShardIdentity])? {
    guard !names.isEmpty else { return (fold, [:]) }
    let fresh = names.filter { fold[LaneID(shard: $0)]?.position == nil }
    guard let starts = fresh.isEmpty ? [:] : try await asking({ try await group.starts(of: fresh) }),
      let before = try await asking({ try await group.look(starts.mapValues { .before($0) }) })
    else { return nil }
    // A topic may be recreated between two questions. Bounds from before a check that finds the same topic are of that topic; with later
    // ones, what is read of a new topic would count as read of the old one, and be read again. What a check finds recreated begins where
    // the topic of a later moment begins.
    guard var bounds = variant.contains(.boundsAfterCheck) ? [:] : try await asking({ try await group.bounds(of: names) }),
      let verdicts = try await asking({ try await check(names, fold) })
    else { return nil }
    if hasEnded, !variant.contains(.beginsUnchecked) { return nil }
    var places: [String: ShardPoint] = [:]
    for name in names { places[name] = fold[LaneID(shard: name)]?.position ?? starts[name] }
    guard let elsewhere = try await asking({ [places] in try await group.processedElsewhere(places) }) else { return nil }
    let recreated = names.filter { if case .recreated = verdicts[$0] { true } else { variant.contains(.boundsAfterCheck) } }
    if !recreated.isEmpty {
      guard let later = try await asking({ try await group.bounds(of: recreated) }) else { return nil }
      bounds.merge(later) { $1 }
    }
    var beginning = Beginning()
    for name in names.sorted() {
      guard let lane = fold[LaneID(shard: name)] else { continue }
      guard let bound = bounds[name] else {
        throw WeirError(.unavailable, "the source does not say which records \(name) has")
      }
      if let place = lane.position ?? starts[name], let position = elsewhere[name] {
        // What a check says of records that were read before: the position is not among them any more.
        if case .recreated(let mismatch) = verdicts[name], !accepts(name) {
          throw self.recreated(name, mismatch, lane.identity ?? ShardIdentity(), through: place)
        }
        skip(name, lane, from: place, to: position, fold, into: &beginning)
      } else if let position = lane.position {
        try resume(name, lane, at: position, verdicts[name], bound, fold, into: &beginning)
      } else {
        guard let place = starts[name] else {
          throw WeirError(.internal, "the source does not say where \(name) begins")
        }
        start(name, fold, at: place, before[name], into: &beginning)
      }
    }
    guard let known = try await shardsThatAreKnown(fold) else { return nil }
    for shard in GroupConductor.missing(known, fold) { retire(shard, fold, into: &beginning) }
    for (stream, gone) in GroupConductor.gone(known, fold).sorted(by: { $0.key < $1.key }) {
      for shard in gone { retire(shard, fold, into: &beginning) }
      beginning.events.append(.streamGone(stream: stream, shards: gone))
    }
    let now = session.environment.clock.wallMicroseconds
    let clock: Decision? = ClockGuard.refreshNanoseconds(session.compiled.plan).map { _ in .clock(now) }
    if clock != nil || session.hasStateRows { add(clock, names, fold, to: &beginning) }
    guard !beginning.commits.isEmpty else { return (fold, beginning.identities) }
    let after = try await session.committer.commit(empty: beginning.commits).fold()
    for event in beginning.events { observe(event) }
    return (after, beginning.identities)
  }

  /// What the source has, of which it can be said that a shard is missing.
  ///
  /// What this worker was last answered may be older than the ledger. A worker that has shard 0 of two is not asked to look when another one
  /// takes the new shard 2, lists it and reads it: to retire shard 2 for that would fence the other worker, and its lane would be idle
  /// while it has records.
  /// - Returns: nil: the session ends.
  private func shardsThatAreKnown(_ fold: LedgerFold) async throws -> [SourceShard]? {
    let known = shards.withLock { $0 }
    if GroupConductor.missing(known, fold).isEmpty, GroupConductor.gone(known, fold).isEmpty { return known }
    guard let now = try await askForShards(fold) else { return nil }
    if let stream = try GroupConductor.check(now, session.compiled, fold, accepted) { throw PartitionsFound(stream: stream) }
    shards.withLock { $0 = now }
    return now
  }

  private func check(_ names: [String], _ fold: LedgerFold) async throws -> [String: ShardCheck.Verdict] {
    var checks: [String: ShardCheck] = [:]
    for name in names {
      guard let lane = fold[LaneID(shard: name)], let position = lane.position else { continue }
      // An identity without a record: nothing was read since a check found the source without those read before.
      let hasRead = lane.counts.input > 0 && lane.identity != ShardIdentity()
      checks[name] = ShardCheck(lane.identity ?? ShardIdentity(), position: position, hasRead: hasRead)
    }
    return try await ShardChecks.run(
      checks, group, clock: session.environment.clock, again: { observe(.checksAgain($0)) }, until: { hasEnded })
  }

  private func start(
    _ name: String, _ fold: LedgerFold, at start: ShardPoint, _ sight: ShardSight?, into beginning: inout Beginning
  ) {
    let id = LaneID(shard: name)
    var identity = ShardIdentity(incarnation: sight?.incarnation)
    // Without one the first record that is read identifies the shard.
    if case .record(let mark)? = sight?.look { identity.anchor = mark }
    beginning.identities[id] = identity
    var commit = fold.emptyEpoch(of: id)
    (commit.from, commit.to) = (start, start)
    commit.identity = identity.isEmpty ? nil : identity
    beginning.commits.append(commit)
  }

  /// Another program has processed the records up to a position, and the user accepts that: reading continues there.
  private func skip(
    _ name: String, _ lane: LaneFold, from place: ShardPoint, to position: Position, _ fold: LedgerFold, into beginning: inout Beginning
  ) {
    let (id, to) = (LaneID(shard: name), place.moved(to: position))
    // The next check begins with the records that are read from there on.
    let identity = ShardIdentity(incarnation: lane.identity?.incarnation)
    var decisions: [Decision] = [.gap(from: place, to: to, reason: "processed elsewhere: the checkpoint of another program was accepted")]
    if lane.isIdle { decisions.append(.wake) }
    var commit = fold.emptyEpoch(of: id, decisions: decisions)
    (commit.from, commit.to, commit.identity) = (place, to, identity.isEmpty ? nil : identity)
    beginning.commits.append(commit)
    beginning.identities[id] = identity
    beginning.events.append(.processedElsewhere(shard: name, from: place, to: to))
  }

  private func resume(
    _ name: String, _ lane: LaneFold, at position: ShardPoint, _ verdict: ShardCheck.Verdict?, _ bound: ShardBounds, _ fold: LedgerFold,
    into beginning: inout Beginning
  ) throws(WeirError) {
    let id = LaneID(shard: name)
    var identity = lane.identity ?? ShardIdentity()
    let isTrimmed = bound.low > position.position
    let first = (variant.contains(.lossCountsAnew) ? ShardPoint(0) : position).moved(to: bound.low)
    var to = isTrimmed ? first : position
    var decisions: [Decision] = []
    switch verdict {
    case .recreated(let mismatch):
      guard accepts(name) else { throw recreated(name, mismatch, identity, through: position) }
      (to, identity) = (first, ShardIdentity())
      let reason = mismatch.text(name)
      decisions.append(.recreated(from: position, to: to, reason: reason))
      beginning.events.append(.recreated(shard: name, from: position, to: to, reason: reason))
    case .unverified(let outcome, let why):
      identity.adopt(outcome)
      decisions.append(.unverified(reason: why))
      beginning.events.append(.unverified(shard: name, reason: why))
    case .same(let outcome): identity.adopt(outcome)
    // The session is over.
    case nil: break
    }
    if case .recreated = verdict {
      // Its decision says what was lost.
    } else if isTrimmed {
      let reason = "trimmed at the source before it was read"
      if !variant.contains(.gapNotRecorded) {
        decisions.append(.gap(from: position, to: to, reason: reason))
      }
      beginning.events.append(.gap(shard: name, from: position, to: to, reason: reason))
      session.meter.lost(positions: position.position.distance(to: to.position))
    }
    // What came while no worker read the shard was held back by nothing: it wakes before another lane's records move the merged watermark.
    if lane.isIdle, bound.left(from: to.ordinal) != 0, !variant.contains(.idleOutlivesStop) { decisions.append(.wake) }
    beginning.identities[id] = identity
    guard !decisions.isEmpty || isTrimmed else { return }
    var commit = fold.emptyEpoch(of: id, decisions: decisions)
    (commit.to, commit.identity) = (to, identity)
    beginning.commits.append(commit)
  }

  /// An entry names each lane that is taken over: it orders the claims of the lane's rows in the state table (see
  /// ``FlushMark/own(_:_:_:_:)``), and starts a generation of them. So a row that the worker before still has on its way is older than
  /// every row from here on.
  /// - Parameter clock: a worker judges no record by a clock that is older than its own start; nil: it judges by none.
  private func add(_ clock: Decision?, _ names: [String], _ fold: LedgerFold, to beginning: inout Beginning) {
    let said = clock.map { [$0] } ?? []
    for id in names.map({ LaneID(shard: $0) }).sorted() {
      let startsGeneration = session.hasStateRows && !variant.contains(.takesOverSameGeneration)
      let start = startsGeneration ? fold[id]?.position : nil
      if let known = beginning.commits.firstIndex(where: { $0.lane == id }) {
        beginning.commits[known].decisions += said
        beginning.commits[known].start = start
      } else if fold[id]?.position != nil {
        var commit = fold.emptyEpoch(of: id, decisions: said)
        (commit.identity, commit.start) = (beginning.identities[id], start)
        beginning.commits.append(commit)
      }
    }
  }

  /// A lane whose shard the accepted stream does not have any more, or whose stream is gone, leaves the merged watermark. If the stream
  /// comes again, its shards are checked like any other's.
  private func retire(_ name: String, _ fold: LedgerFold, into beginning: inout Beginning) {
    let id = LaneID(shard: name)
    guard fold[id] != nil, session.lanes[id] == nil, !beginning.commits.contains(where: { $0.lane == id }) else { return }
    beginning.commits.append(fold.emptyEpoch(of: id, decisions: [.idle]))
  }

  // MARK: Under way

  /// Checks the shards at each refresh interval while they are read.
  func watchShards() async throws {
    let refresh = settings.refresh * 1000
    var due = session.environment.clock.monotonicNanoseconds + refresh
    var reported: Set<String> = []
    var isAway = false
    while !hasEnded {
      await isEnding.wait(until: due, session.environment.clock)
      if hasEnded { return }
      do {
        try await checkHeld(&reported)
        isAway = false
      } catch let error as WeirError where error.code.isOfSource {
        // Nothing follows from it here. The readers meet the same error, and decide what it means.
        if !isAway, !hasEnded { observe(.trouble(error)) }
        isAway = true
      }
      due = session.environment.clock.monotonicNanoseconds + refresh
    }
  }

  /// - Parameter reported: shards that were reported as unverified.
  private func checkHeld(_ reported: inout Set<String>) async throws {
    var identities: [String: ShardIdentity] = [:]
    let lanes = session.lanes.inOrder
    for lane in lanes { identities[lane.id.shard] = await lane.actor.identity }
    let verdicts = try await ShardChecks.run(
      identities.mapValues { ShardCheck($0, position: nil) }, group, clock: session.environment.clock, until: { hasEnded })
    for lane in lanes where session.lanes[lane.id] === lane {
      let shard = lane.id.shard
      switch verdicts[shard] {
      case .same(let outcome): await lane.actor.adopt(outcome)
      case .unverified(let outcome, let why):
        await lane.actor.adopt(outcome)
        guard reported.insert(shard).inserted else { continue }
        lane.note(.unverified(reason: why))
        observe(.unverified(shard: shard, reason: why))
      case .recreated(let mismatch):
        let identity = identities[shard] ?? ShardIdentity()
        // No epoch is under way here, and none is committed after: what the error says of the ledger stays true.
        return try await alone { [self] in
          guard let committed = await session.ledger.fold[lane.id]?.position else {
            throw WeirError(.corrupt, "the ledger has no position for \(shard)")
          }
          end(recreated(shard, mismatch, identity, through: committed))
        }
      case nil: continue
      }
    }
  }

  // MARK: Another incarnation

  private func accepts(_ shard: String) -> Bool {
    shards.withLock { $0.contains { $0.name == shard && accepted.recreated.contains($0.stream) } }
  }

  /// - Parameter through: what the ledger has of the shard.
  private func recreated(
    _ shard: String, _ mismatch: ShardCheck.Mismatch, _ identity: ShardIdentity, through position: ShardPoint
  ) -> WeirError {
    let known = shards.withLock { $0.first { $0.name == shard } } ?? SourceShard(name: shard, stream: shard, number: 0)
    return mismatch.error(
      known, identity, position: position, holder: "The ledger", kept: "committed",
      advice: GroupConductor.advice(known.stream))
  }
}
