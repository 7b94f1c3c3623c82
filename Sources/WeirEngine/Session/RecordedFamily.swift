import WeirCore
import WeirProtocol

/// Which shards of a recorded stream took over the keys of which others.
struct RecordedFamily {
  private let shards: [String: SourceShard]

  init(_ shards: [SourceShard]) {
    let names = Set(shards.map(\.name))
    // Of parents that are not recorded nothing is taken over.
    self.shards = Dictionary(
      shards.map { shard in
        var known = shard
        known.parents = shard.parents.filter(names.contains)
        return (shard.name, known)
      }
    ) { first, _ in first }
  }

  func isChild(_ shard: String) -> Bool { shards[shard]?.parents.isEmpty == false }

  /// It has no parents, or the ledger has them as closed.
  func isReady(_ shard: String, _ fold: LedgerFold) -> Bool {
    shards[shard]?.parents.allSatisfy { fold[LaneID(shard: $0)]?.isShardClosed == true } ?? false
  }

  /// What the last epoch of a shard that has ended says.
  func closed(_ shard: String) -> Decision {
    let children = shards.values.filter { $0.parents.contains(shard) }.sorted { $0.name < $1.name }
    return .shardClosed(range: shards[shard]?.hashRange, children: children.map(ChildShard.init))
  }

  /// Children of shards that ended just now, whose parents have all ended; in order.
  func children(of closed: [String], whenEnded ended: Set<String>) -> [String] {
    shards.values.filter { $0.parents.contains(where: closed.contains) && $0.parents.allSatisfy(ended.contains) }.map(\.name).sorted()
  }

  /// Shards that have not ended, and of whose children another parent has; in order.
  func open(whenEnded ended: Set<String>) -> [String] {
    let waiting = shards.values.filter { child in
      child.parents.contains(where: ended.contains) && !child.parents.allSatisfy(ended.contains)
    }
    return Set(waiting.flatMap(\.parents)).subtracting(ended).sorted()
  }
}
