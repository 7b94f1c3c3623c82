import WeirCore
import WeirTesting

/// A topic whose records appear as time goes by, and whose beginning may be trimmed.
///
/// `@unchecked Sendable`: see ``World``.
final class SimulatedTopic: @unchecked Sendable {
  let world: World
  private(set) var workload: SourceWorkload
  /// How often it was made again; nil: it does not say which incarnation it is.
  private(set) var incarnation: Int?
  private(set) var isRecreated = false
  private(set) var low: [String: Int64] = [:]
  var followed: [String: FollowedPosition] = [:]

  init(world: World, workload: SourceWorkload) {
    self.world = world
    self.workload = workload
    var random = world.random("topic")
    incarnation = random.chance(0.7) ? 0 : nil
    for shard in workload.shards { low[shard] = workload.records[shard]?.first?.position ?? 0 }
  }

  var shards: [SourceShard] {
    workload.shards.enumerated().map { SourceShard(name: $1, stream: SourceWorkload.stream, number: $0) }
  }

  /// Producers sleep when the whole world does.
  private var time: Int64 { world.now - world.warped }

  /// The position after the last record that was sent so far.
  func high(_ shard: String) -> Int64 {
    let sent = (workload.records[shard] ?? []).last { $0.sentAt <= time }
    return max(sent.map { $0.position + 1 } ?? 0, low[shard] ?? 0)
  }

  func bounds(_ shard: String) -> ShardBounds { ShardBounds(low: .offset(low[shard] ?? 0), high: .offset(high(shard))) }

  /// Drops records, as retention does: a reader that needs them has lost them.
  func trim(_ shard: String, to position: Int64) { low[shard] = max(low[shard] ?? 0, min(position, high(shard))) }

  /// Deletes the topic and makes it again: what comes is of another incarnation. Its positions are larger, so that one account of positions is
  /// enough.
  func recreate() {
    isRecreated = true
    incarnation = incarnation.map { $0 + 1 }
    for shard in workload.shards { low[shard] = workload.recreate(shard, after: time) }
  }

  /// Records from a position on, at most this many.
  func records(_ shard: String, from position: Int64, count: Int) -> [SourceRecord] {
    Array((workload.records[shard] ?? []).filter { $0.position >= position && $0.sentAt <= time }.prefix(count))
  }

  func look(_ shard: String, at position: Int64) -> ShardLook {
    if position < (low[shard] ?? 0) { return position < 0 ? .absent : .trimmed(low: .offset(low[shard] ?? 0)) }
    if position >= high(shard) { return .ended(high: .offset(high(shard))) }
    guard let record = (workload.records[shard] ?? []).first(where: { $0.position == position }) else { return .absent }
    return SimulatedTopic.block(shard, [record]).lastFingerprint.map { .record($0) } ?? .unknown
  }

  static func block(_ shard: String, _ records: [SourceRecord]) -> RawBlock {
    var block = RawBlock(records: records.map(\.text), position: records[0].position)
    block.details = RecordDetails(
      shard: shard, positions: records.map(\.position), arrivals: records.map { Int64($0.at) * 1_000_000 }, isAppendTime: false,
      keyOffset: records.map { _ in 0 }, keyLength: records.map { _ in -1 })
    return block
  }
}
