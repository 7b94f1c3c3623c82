import WeirCore

/// Shards that were read and that their streams do not have any more, although they have others: a stream never loses one, so it was made
/// again with fewer. (A stream that is gone as a whole is another matter.)
package struct MissingShards {
  /// In order.
  package let names: [String]

  /// - Parameters:
  ///   - known: names of the shards that were read.
  ///   - shards: what the source has now.
  package init(_ known: some Sequence<String>, of shards: [SourceShard]) {
    let (all, streams) = (Set(shards.map(\.name)), Set(shards.map(\.stream)))
    names = known.filter { name in !all.contains(name) && ShardName(name).map { streams.contains($0.stream) } == true }.sorted()
  }

  package static func error(_ name: String, holder: String, advice: Wording) -> WeirError {
    let stream = ShardName(name)?.stream ?? name
    return WeirError(
      .recreated,
      "\(stream) was deleted and created again with fewer partitions: \(holder.prefix(1).lowercased() + holder.dropFirst()) has \(name), which no longer exists",
      advice: advice)
  }
}
