import WeirCore
import WeirProtocol

/// Which shards there are, and where their keys lie.
extension LiveSession {
  /// The group gave shards that were not there at the start: the source is asked what it has now.
  /// - Throws: `shards_changed`.
  func lookAtNewShards(_ names: [String], _ fold: LedgerFold) async throws {
    let known = Set(shards.withLock { $0.map(\.name) })
    guard names.contains(where: { !known.contains($0) }) else { return }
    let now = try await group.shards()
    try LiveSession.check(now, compiled, fold)
    shards.withLock { $0 = now }
  }

  /// Keys move when a stream gets more shards: what a lane has finished by key would go on in another. (A stream that is new
  /// as a whole moves none.)
  static func check(_ shards: [SourceShard], _ compiled: CompiledPlan, _ fold: LedgerFold) throws(WeirError) {
    let known = Set(fold.lanes.keys.map(\.shard))
    let streams = Set(shards.filter { known.contains($0.name) }.map(\.stream))
    for shard in shards where !known.contains(shard.name) && streams.contains(shard.stream) {
      guard Placement.spread(compiled, shard, of: shards) != nil else { continue }
      throw WeirError(
        "shards_changed", "\(shard.stream) has got the partition \(shard.name) since the ledger was started: keys move",
        advice:
          "Tables by key are finished in the lanes here. Begin a new lake (--lake DIR --store DIR), or run with source.kafka.misplaced: merge or per_shard from the start.")
    }
  }

  /// The check of a lane's keys; nil if nothing depends on where they lie.
  func placement(of name: String, _ fold: LedgerFold) -> Placement? {
    let all = shards.withLock { $0 }
    guard let shard = all.first(where: { $0.name == name }), let count = Placement.spread(compiled, shard, of: all) else { return nil }
    let named = compiled.plan.source.kafka?.partitioner
    let rules = keyRules.withLock { rules in
      if let known = rules[shard.stream] { return known }
      let made = KeyRules(stream: shard.stream, named.map { [$0] } ?? fold.partitioners[shard.stream] ?? Partitioner.allCases)
      rules[shard.stream] = made
      return made
    }
    return Placement(rules, shard: shard, shards: count)
  }

  /// What the records of these epochs say of the producers' rules, where it is to be recognised: carried by the first lane of
  /// each stream.
  func ruleDecisions(_ lanes: [LaneID], over fold: LedgerFold) throws(WeirError) -> [(LaneID, Decision)] {
    guard compiled.plan.source.kafka?.partitioner == nil else { return [] }
    var decisions: [(LaneID, Decision)] = []
    let all = shards.withLock { $0 }
    for rules in keyRules.withLock({ $0.values.sorted { $0.stream < $1.stream } }) {
      let ofStream = Set(all.filter { $0.stream == rules.stream }.map(\.name))
      guard let carrier = lanes.filter({ ofStream.contains($0.shard) }).min(), let decision = try rules.decision(over: fold) else { continue }
      decisions.append((carrier, decision))
    }
    return decisions
  }

  func adoptRules(of fold: LedgerFold) {
    for (stream, rules) in fold.partitioners { keyRules.withLock { $0[stream] }?.narrow(to: rules) }
  }
}
