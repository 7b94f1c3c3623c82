import Synchronization
import WeirCore
import WeirProtocol

/// Shards that end, and those that have their keys from then on (DESIGN section 4, "Reshard"). A Kafka topic has none.
///
/// A shard's last records are committed together with a decision that names its children. The group may give a child to any worker at any time, also
/// before that: the worker then keeps it aside until the ledger has all its parents as closed.
extension GroupConductor {
  /// After which a worker with shards that wait asks the ledger for their parents, if it saw no entry meanwhile: at first, and at most. Each
  /// question without news doubles it.
  private static let firstLookNanoseconds: Int64 = 500_000_000
  private static let lookNanosecondsMax: Int64 = 8_000_000_000

  /// Of the shards that the group gave, those that can be read now: the others wait, or have ended.
  func readable(_ names: [String], _ fold: LedgerFold) -> [String] {
    let known = shards.withLock { $0 }
    var ready: [String] = []
    for name in names where fold[LaneID(shard: name)]?.isShardClosed != true {
      let isReady = isReady(name, known, fold) || variant.contains(.childrenDoNotWait)
      if isReady { ready.append(name) } else { waiting.withLock { _ = $0.insert(name) } }
    }
    if ready.count < names.count { ledgerAlarm.ring() }
    return ready
  }

  /// What the ledger says of shards that ended must fit what the source has now. Else keys wait for a shard that never comes, without a word.
  /// - Throws: `recreated`, `shards_changed`.
  /// - Returns: false: the session ends.
  func checkEnds(_ names: [String], _ fold: LedgerFold) async throws -> Bool {
    guard GroupConductor.contradiction(names, shards.withLock { $0 }, fold) != nil else { return true }
    // The answer is newer than the ledger's: what that has of the source must be in it.
    guard let now = try await asking({ try await group.shards() }) else { return false }
    if let error = GroupConductor.contradiction(names, now, fold) { throw error }
    return true
  }

  private static func contradiction(_ names: [String], _ shards: [SourceShard], _ fold: LedgerFold) -> WeirError? {
    let listed = Set(shards.map(\.name))
    for shard in shards.filter({ names.contains($0.name) }).sorted(by: { $0.name < $1.name }) {
      let id = LaneID(shard: shard.name)
      // The child of a merge need not be there before its last parent has ended.
      let children = fold.lanes.filter { child in child.value.origin.map { $0.isReady && $0.parents.contains { $0.lane == id } } ?? false }
        .keys.map(\.shard)
      if fold[id]?.isShardClosed == true, !children.isEmpty, listed.isDisjoint(with: children) {
        return WeirError(
          .recreated,
          "\(shard.stream) was deleted and created again: the source has \(shard.name), which the ledger has as ended, and not \(children.sorted().joined(separator: ", ")), which took over its keys",
          advice: "The ledger cannot continue with the new one. Restore the old one, or start \(.newLake).")
      }
      let gone = shard.parents.first { !listed.contains($0) && fold[LaneID(shard: $0)]?.isShardClosed == false }
      guard let gone, fold[id]?.position == nil else { continue }
      return WeirError(
        .shardsChanged,
        "\(shard.name) took over keys of \(gone), which the source does not have any more and which was not read to its end",
        advice: "The state of its keys can be handed over only when it ends. Start \(.newLake).")
    }
    return nil
  }

  /// Its parents are closed, as far as they are in the ledger or the source still has them.
  private func isReady(_ name: String, _ known: [SourceShard], _ fold: LedgerFold) -> Bool {
    let id = LaneID(shard: name)
    guard fold[id]?.origin == nil else { return fold.isReady(id) }
    let parents = known.first { $0.name == name }?.parents ?? []
    return !parents.contains { parent in fold[LaneID(shard: parent)] != nil || known.contains { $0.name == parent } }
  }

  /// Takes over what has waited, and leads the merge if the lane whose owner does was closed. Runs until the session ends.
  ///
  /// It looks at each entry that this worker has seen: its own, and those that a merge round or the survey finds. Another worker's that closes a
  /// parent may come unseen, so while shards wait the ledger is asked as well.
  func watchParents() async throws {
    let clock = session.environment.clock
    var pause = GroupConductor.firstLookNanoseconds
    while !hasEnded {
      let waits = waiting.withLock { !$0.isEmpty }
      if !waits { pause = GroupConductor.firstLookNanoseconds }
      let due = waits ? clock.monotonicNanoseconds + pause : nil
      await ledgerAlarm.wait(until: due, clock)
      if hasEnded { return }
      if let due, clock.monotonicNanoseconds >= due {
        pause = min(pause * 2, GroupConductor.lookNanosecondsMax)
        // A ledger that does not answer now is asked again.
        guard (try? await session.ledger.refresh()) != nil else { continue }
      }
      let fold = await session.ledger.fold
      let known = shards.withLock { $0 }
      let ready = waiting.withLock { $0.filter { isReady($0, known, fold) } }.sorted()
      let isHeld = await session.merge.isHeld
      guard !ready.isEmpty || leads(fold) != isHeld else { continue }
      pause = GroupConductor.firstLookNanoseconds
      try await alone { [self] in
        if hasEnded { return }
        // A hand-over may have come first.
        let mine = waiting.withLock { waiting in
          let mine = ready.filter(waiting.contains)
          waiting.subtract(mine)
          return mine
        }
        if !mine.isEmpty { try await takeOver(mine) }
        try await lead(await session.ledger.fold)
      }
    }
  }

  /// The entry with the last records of some shards is in the ledger: nothing more comes from them.
  /// - Returns: whether there are such shards. The lane whose owner leads the merge may be one of them.
  func dropClosed(_ fold: LedgerFold) async -> Bool {
    let closed = session.lanes.inOrder.map(\.id).filter { fold[$0]?.isShardClosed == true }
    guard !closed.isEmpty else { return false }
    session.lanes.remove(closed)
    await session.committer.drop(closed)
    session.meter.released(closed.map(\.shard), isLost: false)
    return true
  }
}

extension ChildShard {
  /// As the source lists it.
  init(_ shard: SourceShard) {
    self.init(lane: LaneID(shard: shard.name), parents: shard.parents.map { LaneID(shard: $0) }, range: shard.hashRange)
  }
}
