import WeirCore
import WeirTesting

/// A topic whose records appear as time goes by, and whose beginning may be trimmed.
///
/// `@unchecked Sendable`: see ``World``.
final class SimulatedTopic: @unchecked Sendable {
  let world: World
  private(set) var workload: SourceWorkload
  /// How often it was recreated; nil: it does not say which incarnation it is.
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

  /// Called when the engine asks for a place that the source did not give it.
  var onWrong: (String) -> Void = { _ in }
  /// Called when a worker begins to read a shard: its name, the position, and the end that the worker knows at least.
  var onAssign: (String, Int64, Int64) -> Void = { _, _, _ in }

  var shards: [SourceShard] {
    workload.shards.enumerated().compactMap { number, name in
      let made = workload.history[name]
      if let made, made.opensAt > time { return nil }
      if let growth = workload.growth, number >= growth.before, growth.at > time { return nil }
      return SourceShard(
        name: name, stream: SourceWorkload.stream, number: number, parents: made?.parents ?? [], hashRange: made?.range)
    }
  }

  /// Those that never end.
  var openShardNames: Set<String> { Set(workload.shards.filter { workload.history[$0]?.closesAt == nil }) }
  var openShards: Int { openShardNames.count }

  /// The shard ended at the source, and a reader at this position has all of it.
  func isClosed(_ shard: String, at position: Int64) -> Bool {
    guard let end = workload.history[shard]?.closesAt, end <= time else { return false }
    return position >= Int64(workload.records[shard]?.count ?? 0)
  }

  func children(of shard: String) -> [SourceShard] {
    workload.shards.enumerated().compactMap { number, name in
      guard let made = workload.history[name], made.parents.contains(shard) else { return nil }
      return SourceShard(name: name, stream: SourceWorkload.stream, number: number, parents: made.parents, hashRange: made.range)
    }
  }

  /// The place before the record at a position.
  /// - Parameter lost: records before it that the reader has not seen, and not counted.
  func point(_ shard: String, _ position: Int64, lost: Int64 = 0) -> ShardPoint {
    guard workload.reshards else { return ShardPoint(position) }
    let place = ReshardPosition.point(before: Int(position), workload.records[shard] ?? [])
    return place.sequence.map { ShardPoint(ordinal: place.ordinal - lost, sequence: $0) } ?? place
  }

  /// Where a reader that has seen nothing begins.
  func start(_ shard: String) -> ShardPoint { point(shard, low[shard] ?? 0, lost: low[shard] ?? 0) }

  /// The position of a place, whatever its reader has counted.
  func index(_ place: ShardPoint) -> Int64 { workload.reshards ? ReshardPosition.row(of: place) ?? -1 : place.ordinal }

  /// The source gave it: between two of its outer records.
  func isPlace(_ shard: String, _ place: ShardPoint) -> Bool {
    let records = workload.records[shard] ?? []
    let row = index(place)
    return (0...Int64(records.count)).contains(row) && point(shard, row).position == place.position
      && ReshardPosition.isBetweenOuterRecords(Int(row), records)
  }

  /// The position of a place that the engine has from the source.
  func position(_ shard: String, _ place: ShardPoint) -> Int64 {
    if workload.reshards, !isPlace(shard, place) { onWrong("\(place.text) of \(shard) is not between two outer records") }
    return index(place)
  }

  /// Producers sleep when the whole world does.
  private var time: Int64 { world.now - world.warped }

  /// The position after the last record that was sent so far.
  func high(_ shard: String) -> Int64 {
    let sent = (workload.records[shard] ?? []).last { $0.sentAt <= time }
    return max(sent.map { $0.position + 1 } ?? 0, low[shard] ?? 0)
  }

  func bounds(_ shard: String) -> ShardBounds {
    ShardBounds(low: point(shard, low[shard] ?? 0).position, high: point(shard, high(shard)).position)
  }

  /// Drops records, as retention does: a reader that needs them has lost them.
  func trim(_ shard: String, to position: Int64) {
    var end = max(low[shard] ?? 0, min(position, high(shard)))
    // An outer record goes as a whole.
    if workload.reshards { while !ReshardPosition.isBetweenOuterRecords(Int(end), workload.records[shard] ?? []) { end += 1 } }
    low[shard] = end
  }

  /// Deletes the topic and makes it again: what comes is of another incarnation. Its positions are larger, so that one account of positions is
  /// enough. Where shards are split and merged, those of the new topic are as the old one's were.
  func recreate() {
    isRecreated = true
    incarnation = incarnation.map { $0 + 1 }
    for shard in workload.shards { low[shard] = workload.recreate(shard, after: time) }
  }

  /// Records from a position on, at most this many.
  func records(_ shard: String, from position: Int64, count: Int) -> [SourceRecord] {
    let all = workload.records[shard] ?? []
    if workload.reshards {
      let sent = Array(all.prefix { $0.sentAt <= time })
      return Array(sent[min(Int(position), sent.count)..<ReshardPosition.end(of: count, from: min(Int(position), sent.count), sent)])
    }
    return Array(all.filter { $0.position >= position && $0.sentAt <= time }.prefix(count))
  }

  /// - Parameter ordinal: what the reader has counted up to the record.
  func look(_ shard: String, at position: Int64, as ordinal: Int64) -> ShardLook {
    if position < (low[shard] ?? 0) { return position < 0 ? .absent : .trimmed(low: point(shard, low[shard] ?? 0).position) }
    if position >= high(shard) { return .ended(high: point(shard, high(shard)).position) }
    guard let record = (workload.records[shard] ?? []).first(where: { $0.position == position }) else { return .absent }
    return block(shard, [record], lost: position - ordinal).lastFingerprint.map { .record($0) } ?? .unknown
  }

  /// - Parameter lost: see ``point(_:_:lost:)``.
  func block(_ shard: String, _ records: [SourceRecord], lost: Int64 = 0) -> RawBlock {
    let positions = records.map { $0.position - lost }
    var block = RawBlock(records: records.map(\.text), position: positions[0])
    block.details = RecordDetails(
      shard: shard, positions: positions, arrivals: records.map { Int64($0.at) * 1_000_000 }, isAppendTime: false,
      keyOffset: records.map { _ in 0 }, keyLength: records.map { _ in -1 },
      sequences: workload.reshards ? records.map { ReshardPosition.of(Int($0.position), workload.records[shard] ?? []) } : [])
    return block
  }
}
