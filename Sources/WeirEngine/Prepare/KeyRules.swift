import Synchronization
import WeirCore
import WeirProtocol

/// The rules that the keys of a stream fit so far; shared by the lanes that a worker has of it.
///
/// `partitioner: auto` begins with all rules. Each keyed record rules out those that would have put it elsewhere, so each that
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
      .misplaced,
      "the keys of \(stream) are partitioned by \(text(a)) in some partitions and by \(text(b)) in others: its producers use different partitioners",
      advice: Placement.advice)
  }

  static func text(_ rules: [Partitioner]) -> String { rules.map(\.rawValue).joined(separator: " or ") }
}
