import WeirCore

/// What the engine asks about a stream and its shards.
extension KinesisGroup {
  /// Records that are read to find one: more would be taken from what the shard's readers may read.
  private static let lookMax = 1
  /// Answers without records before a look says that it does not know.
  private static let looksMax = 5

  package func shards() async throws -> [SourceShard] {
    try await asking { [self] in
      _ = try await summary()
      return try await listed().map { $0.source(spec.stream) }.sorted { $0.name < $1.name }
    }
  }

  /// Positions show no distance, so the ends are not asked for: `low` is where reading may begin, as far as it is known.
  package func bounds(of shards: [String]) async throws -> [String: ShardBounds] {
    let trimmed = parts.memory.trimmed.withLock { $0 }
    return Dictionary(
      shards.map { name in
        let low = trimmed[name].map { Position.sequence($0) } ?? KinesisPlace.beginningOfShard.position
        return (name, ShardBounds(low: low, high: low))
      }
    ) { first, _ in first }
  }

  /// Where shards begin that have no position in the ledger. Children of a shard that the stream still has begin at their beginning: with
  /// `latest`, what came while their parent was read would be lost otherwise.
  package func starts(of shards: [String]) async throws -> [String: ShardPoint] {
    let known = state.withLock { $0.shards }
    let now = parts.clock.wallMicroseconds / 1000
    return Dictionary(
      shards.map { name in
        let isChild = known[id(name)]?.parents.contains { known[$0] != nil } ?? false
        let point: ShardPoint =
          switch spec.settings.start {
          case .trimHorizon: KinesisPlace.beginningOfShard
          case .time(let microseconds): KinesisPlace.time(startingAt: microseconds / 1000)
          case .latest: isChild ? KinesisPlace.beginningOfShard : KinesisPlace.time(startingAt: now)
          }
        return (name, point)
      }
    ) { first, _ in first }
  }

  package func look(_ asks: [String: ShardAsk]) async throws -> [String: ShardSight] {
    try await asking { [self] in
      let created = try await summary().created
      var sights: [String: ShardSight] = [:]
      for (name, ask) in asks.sorted(by: { $0.key < $1.key }) {
        sights[name] = ShardSight(try await look(name, ask), incarnation: created)
      }
      return sights
    }
  }

  private func summary() async throws -> StreamSummary {
    do throws(KinesisFailure) {
      let summary = try await parts.requests.summary()
      state.withLock { $0.summary = summary }
      return summary
    } catch { throw error.error }
  }

  private func look(_ name: String, _ ask: ShardAsk) async throws -> ShardLook {
    let (point, sub): (ShardPoint, UInt64)
    switch ask {
    case .at(let at): (point, sub) = (at, at.sequence?.sub ?? 0)
    case .before(let at):
      guard let consumed = at.sequence?.sub, consumed > 0 else { return .absent }
      (point, sub) = (ShardPoint(ordinal: at.ordinal - 1, sequence: at.sequence), consumed - 1)
    }
    // Nothing was read yet.
    guard case .record(let number)? = KinesisPlace(point) else { return .absent }
    guard let outer = try await outer(id(name), number.digits) else { return .unknown }
    guard outer.sequence.digits == number.digits else {
      return outer.sequence < number ? .unknown : .trimmed(low: .sequence(outer.sequence))
    }
    let range = state.withLock { $0.shards[id(name)]?.range } ?? .all
    let start = ShardPoint(ordinal: point.ordinal - Int64(clamping: sub), sequence: SequenceNumber(number.digits))
    var builder = KinesisBlockBuilder(name, from: start, range: range, bytesMax: .max)
    _ = builder.add(outer)
    guard sub < UInt64(builder.count), let mark = builder.finish().fingerprint(Int(sub)) else { return .absent }
    return .record(mark)
  }

  /// The outer record of a number, or the first one after it; nil: the shard shows none now.
  private func outer(_ shard: String, _ number: String) async throws -> OuterRecord? {
    do throws(KinesisFailure) {
      var iterator = try await parts.requests.iterator(shard, .at(number))
      for _ in 0..<KinesisGroup.looksMax {
        let answer = try await parts.requests.records(iterator, limit: KinesisGroup.lookMax)
        if let first = answer.records.first { return first }
        guard let next = answer.next, answer.millisecondsBehind ?? 0 > 0 else { return nil }
        iterator = next
      }
      return nil
    } catch {
      switch error.kind {
      // A position of another stream; a shard whose records are all gone. The stream's creation time decides.
      case .argument, .missing, .throttled: return nil
      default: throw error.error
      }
    }
  }
}
