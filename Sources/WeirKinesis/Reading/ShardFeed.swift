import WeirCore

/// Records of a shard on their way from answers to blocks.
struct ShardFeed {
  private let name: String
  private let range: HashRange
  private let blockBytes: Int
  /// After the last block.
  private(set) var point: ShardPoint
  /// Of the last answer, not handed out yet.
  private var pending: ArraySlice<OuterRecord> = []
  private var saysEnd = false

  init(_ name: String, from point: ShardPoint, range: HashRange, blockBytes: Int) {
    (self.name, self.point, self.range, self.blockBytes) = (name, point, range, blockBytes)
  }

  mutating func add(_ answer: RecordsAnswer) {
    pending = answer.records[...]
    saysEnd = (answer.millisecondsBehind ?? 1) == 0
  }

  /// The next block, or after the last one of an answer that reached the shard's end, that it did; and how many aggregates had records of
  /// other shards.
  /// - Parameter hasEnded: the shard ended after these records, which is said in another way.
  mutating func take(hasEnded: Bool) -> (event: SourceEvent?, misplaced: Int) {
    while !pending.isEmpty {
      var builder = KinesisBlockBuilder(name, from: point, range: range, bytesMax: blockBytes)
      while let outer = pending.first, builder.add(outer) { pending.removeFirst() }
      point = builder.next
      // All of it was consumed before.
      if builder.isEmpty { continue }
      return (.block(builder.finish(), next: builder.next), builder.misplacedAggregates)
    }
    guard saysEnd, !hasEnded else { return (nil, 0) }
    saysEnd = false
    return (.caughtUp(next: point), 0)
  }
}
