import Synchronization
import WeirCore
import WeirProtocol

/// Shards that end, and those that have their keys from then on (DESIGN section 4, "Reshard"). A Kafka topic has none.
///
/// A shard's last records are committed together with a decision that names its children. The group may give a child to any worker at any time, also
/// before that: the worker then keeps it aside until the ledger has all its parents as closed.
extension GroupConductor {
  /// Between two looks into the ledger for the parents of shards that wait.
  private static let lookNanoseconds: Int64 = 500_000_000

  /// Of the shards that the group gave, those that can be read now: the others wait, or have ended.
  func readable(_ names: [String], _ fold: LedgerFold) -> [String] {
    let known = shards.withLock { $0 }
    var ready: [String] = []
    for name in names where fold[LaneID(shard: name)]?.isShardClosed != true {
      let isReady = isReady(name, known, fold) || variant.contains(.childrenDoNotWait)
      if isReady { ready.append(name) } else { waiting.withLock { _ = $0.insert(name) } }
    }
    return ready
  }

  /// Its parents are closed, as far as they are in the ledger or the source still has them.
  private func isReady(_ name: String, _ known: [SourceShard], _ fold: LedgerFold) -> Bool {
    let id = LaneID(shard: name)
    guard fold[id]?.origin == nil else { return fold.isReady(id) }
    let parents = known.first { $0.name == name }?.parents ?? []
    return !parents.contains { parent in fold[LaneID(shard: parent)] != nil || known.contains { $0.name == parent } }
  }

  /// Takes over what has waited, and leads the merge if the lane whose owner does was closed. Runs until the session ends.
  func watchParents() async throws {
    while !hasEnded {
      await isEnding.wait(until: session.environment.clock.monotonicNanoseconds + GroupConductor.lookNanoseconds, session.environment.clock)
      if hasEnded { return }
      // A ledger that does not answer now is asked again.
      guard let fold = try? await session.ledger.refresh() else { continue }
      let known = shards.withLock { $0 }
      let ready = waiting.withLock { $0.filter { isReady($0, known, fold) } }.sorted()
      let isHeld = await session.merge.isHeld
      guard !ready.isEmpty || leads(fold) != isHeld else { continue }
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
