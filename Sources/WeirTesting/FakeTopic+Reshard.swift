import WeirCore

/// A topic whose shards have ranges of hashes, and are split and merged while they are read.
extension FakeTopic {
  /// Its positions are numbers of 128 bits.
  public static func sharded(_ count: Int) -> FakeTopic {
    let topic = FakeTopic(shards: count, isCounted: true)
    topic.change { shards in
      let part = UInt128.max / UInt128(count)
      for number in 0..<count {
        let first = number == 0 ? 0 : UInt128(number) * part + 1
        shards["t/\(number)"]?.range = HashRange(first, number + 1 == count ? .max : UInt128(number + 1) * part)
      }
    }
    return topic
  }

  public var isSharded: Bool { shards.withLock { $0.values.contains { $0.range != nil } } }

  var sourceShards: [SourceShard] {
    shards.withLock { all in
      all.keys.sorted().map { name in
        SourceShard(
          name: name, stream: name.split(separator: "/").first.map(String.init) ?? stream, number: Int(name.split(separator: "/")[1]) ?? 0,
          parents: all[name]?.parents ?? [],
          hashRange: all[name]?.range)
      }
    }
  }

  /// nil: the shard has not ended.
  func children(ofClosed shard: String) -> [SourceShard]? {
    guard shards.withLock({ $0[shard]?.isClosed }) == true else { return nil }
    return sourceShards.filter { $0.parents.contains(shard) }
  }

  /// Ends a shard; each of the two has half of its hashes.
  public func split(_ parent: String, _ low: String, _ high: String) {
    change { shards in
      guard let range = shards[parent]?.range else { return }
      let middle = range.first + (range.last - range.first) / 2
      for (name, part) in [(low, HashRange(range.first, middle)), (high, HashRange(middle + 1, range.last))] {
        var child = Shard()
        (child.range, child.parents) = (part, [parent])
        shards[name] = child
      }
      shards[parent]?.isClosed = true
    }
  }

  /// Two neighbours end in one. The second may end later: until then the child waits.
  public func merge(_ low: String, _ high: String, into name: String, endsBoth: Bool = true) {
    change { shards in
      guard let first = shards[low]?.range, let last = shards[high]?.range else { return }
      var child = Shard()
      (child.range, child.parents) = (HashRange(first.first, last.last), [low, high])
      shards[name] = child
      shards[low]?.isClosed = true
      if endsBoth { shards[high]?.isClosed = true }
    }
  }

  /// The open shard to which keys with a hash belong.
  public func shard(of hash: UInt128) -> String {
    shards.withLock { all in all.keys.sorted().first { all[$0]?.isClosed == false && all[$0]?.range?.contains(hash) == true } ?? "" }
  }
}
