import WeirCore
import WeirProtocol

/// What a report says of each kind of record; nothing where there is but one.
package enum KindsText {
  /// The kinds that came, by name, those of no kind last.
  package static func lines(_ kinds: [String: BucketCounts]) -> [String] {
    sorted(kinds).map { name, counts in
      "\(name): in \(Human.count(counts.input)) = \(Human.count(counts.accepted)) accepted + \(Human.count(counts.duplicate)) duplicate + \(Human.count(counts.filtered)) filtered + \(Human.count(counts.quarantined)) quarantined"
    }
  }

  private static func sorted(_ kinds: [String: BucketCounts]) -> [(String, BucketCounts)] {
    kinds.sorted { ($0.key == RouteSpec.noKind ? 1 : 0, $0.key) < ($1.key == RouteSpec.noKind ? 1 : 0, $1.key) }.map { ($0.key, $0.value) }
  }
}
