import WeirCore

/// Shards that were captured and whose stream the source does not have any more.
///
/// That ends no capture: the other streams of a pattern are read on. But it is said once when it is seen, and in the summary.
struct GoneShards {
  /// In order.
  private(set) var names: [String] = []

  /// - Parameters:
  ///   - shards: what the source has now.
  ///   - known: the shards of the capture.
  /// - Returns: those that are gone since the last look, and those that are back.
  mutating func see(_ shards: [SourceShard], known: [SourceShard]) -> (gone: [String], back: [String]) {
    let there = Set(shards.map(\.name))
    let before = Set(names)
    names = known.map(\.name).filter { !there.contains($0) }.sorted()
    return (names.filter { !before.contains($0) }, before.filter(there.contains).sorted())
  }
}
