import Synchronization
import WeirCore
import WeirProtocol

/// The rules that the keys of a stream fit so far; shared by the lanes that a worker has of it.
///
/// `partitioner: auto` begins with all rules. Each keyed record takes away those that would have put it elsewhere, so each that
/// is left fits all records that this worker has seen, and the ledger's decision all that anybody has committed. One record
/// leaves a wrong rule with a chance of one in the number of partitions; after some ten of them one rule is left.
final class KeyRules: Sendable {
  let stream: String
  private let left: Mutex<[Partitioner]>

  init(stream: String, _ rules: [Partitioner]) {
    self.stream = stream
    left = Mutex(rules)
  }

  var current: [Partitioner] { left.withLock { $0 } }

  /// - Returns: what is left; nothing, if records contradict each other, and then nothing was changed.
  @discardableResult
  func narrow(to rules: [Partitioner]) -> [Partitioner] {
    left.withLock { left in
      let both = left.filter(rules.contains)
      if !both.isEmpty { left = both }
      return both
    }
  }

  /// What an entry with records of the stream has to say; nil: the ledger says as much already.
  /// - Throws: `misplaced` if the records that others committed fit none of the rules that ours fit.
  func decision(over fold: LedgerFold) throws(WeirError) -> Decision? {
    let known = fold.partitioners[stream] ?? Partitioner.allCases
    let both = known.filter(current.contains)
    guard !both.isEmpty else { throw KeyRules.contradiction(stream, known, current) }
    return both == known ? nil : .partitioner(stream: stream, rules: both)
  }

  static func contradiction(_ stream: String, _ a: [Partitioner], _ b: [Partitioner]) -> WeirError {
    WeirError(
      "misplaced",
      "the keys of \(stream) lie by \(text(a)) in some of its partitions and by \(text(b)) in others: it has producers of several kinds",
      advice: Placement.advice)
  }

  static func text(_ rules: [Partitioner]) -> String { rules.map(\.rawValue).joined(separator: " or ") }
}

/// The rules of all streams that a worker reads, and the checks that go by them.
final class Placements: Sendable {
  private let compiled: CompiledPlan
  private let rules = Mutex<[String: KeyRules]>([:])

  init(_ compiled: CompiledPlan) { self.compiled = compiled }

  /// The check of a shard's keys; nil if nothing depends on where they lie.
  func placement(of name: String, in shards: [SourceShard], _ fold: LedgerFold) -> Placement? {
    guard let shard = shards.first(where: { $0.name == name }), let count = Placement.spread(compiled, shard, of: shards) else {
      return nil
    }
    let named = compiled.plan.source.kafka?.partitioner
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
    guard compiled.plan.source.kafka?.partitioner == nil else { return [] }
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
