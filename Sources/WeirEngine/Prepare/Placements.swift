import Synchronization
import WeirCore
import WeirProtocol

/// The rules of all streams that a worker reads, and the checks that go by them.
final class Placements: Sendable {
  private let compiled: CompiledPlan
  private let rules = Mutex<[String: KeyRules]>([:])

  init(_ compiled: CompiledPlan) { self.compiled = compiled }

  /// The check of a shard's keys; nil if nothing depends on where they are.
  func placement(of name: String, in shards: [SourceShard], _ fold: LedgerFold) -> Placement? {
    guard let shard = shards.first(where: { $0.name == name }) else { return nil }
    if shard.hashRange != nil { return Placement.dependsOnPlace(compiled) ? Placement(shard: shard) : nil }
    guard let count = Placement.spread(compiled, shard, of: shards) else { return nil }
    let named = compiled.plan.source.live?.partitioner
    let ofStream = rules.withLock { rules in
      if let known = rules[shard.stream] { return known }
      let made = KeyRules(stream: shard.stream, named.map { [$0] } ?? fold.partitioners[shard.stream] ?? Partitioner.allCases)
      rules[shard.stream] = made
      return made
    }
    return Placement(ofStream, shard: shard, shards: count)
  }

  /// What the records of these lanes say of the producers' rules, where it is to be recognised: carried by the first lane of
  /// each stream.
  func decisions(_ lanes: [LaneID], of shards: [SourceShard], over fold: LedgerFold) throws(WeirError) -> [(LaneID, Decision)] {
    guard compiled.plan.source.live?.partitioner == nil else { return [] }
    var decisions: [(LaneID, Decision)] = []
    for rules in rules.withLock({ $0.values.sorted { $0.stream < $1.stream } }) {
      let ofStream = Set(shards.filter { $0.stream == rules.stream }.map(\.name))
      guard let carrier = lanes.filter({ ofStream.contains($0.shard) }).min(), let decision = try rules.decision(over: fold) else {
        continue
      }
      decisions.append((carrier, decision))
    }
    return decisions
  }

  /// An entry was committed: what others said of the rules holds here too.
  func adopt(_ fold: LedgerFold) {
    for (stream, left) in fold.partitioners { rules.withLock { $0[stream] }?.narrow(to: left) }
  }
}
