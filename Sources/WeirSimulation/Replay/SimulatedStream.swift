import WeirCore
import WeirEngine
import WeirTesting

/// A capture of the topic that a simulated live run has read: all its records, also those that the run has lost.
///
/// `@unchecked Sendable`: see ``World``.
final class SimulatedStream: RecordedStream, @unchecked Sendable {
  let topic: SimulatedTopic
  let world: World
  var marks = Marks()
  /// Chance per read.
  var readFailed = 0.0
  fileprivate var random: SplitMix64
  private var damagedUntil: Int64 = 0
  /// Records were missing for a while.
  private(set) var wasDamaged = false

  init(_ topic: SimulatedTopic, world: World) {
    (self.topic, self.world) = (topic, world)
    random = world.random("stream")
  }

  var shards: [SourceShard] { topic.shards }
  private var records: [String: [SourceRecord]] { topic.workload.records }

  var bounds: [String: ShardBounds] {
    Dictionary(
      uniqueKeysWithValues: shards.map { shard in
        let all = records[shard.name] ?? []
        let low = all.first?.position ?? 0
        return (shard.name, ShardBounds(low: .offset(low), high: .offset((all.last?.position ?? low - 1) + 1)))
      })
  }

  /// Not asked for where a run's decisions are repeated.
  func steps(after positions: [String: Int64], bytes: Int64) -> [[RecordedRange]] { [] }

  func source(_ steps: [[RecordedRange]]) -> any RecordSource { SimulatedStreamSource(self, steps) }

  func damage() {
    marks.hit(.captureDamaged)
    wasDamaged = true
    damagedUntil = world.now + Int64(random.below(1_000)) * 1_000_000
  }

  func heal() { (damagedUntil, readFailed) = (0, 0) }

  /// Records of a range from a position on. Of a damaged capture the last ones of each range are missing.
  fileprivate func records(_ range: RecordedRange, from position: Int64) -> ArraySlice<SourceRecord> {
    let all = (records[range.shard] ?? []).filter { $0.position >= range.from && $0.position < range.to }
    let kept = damagedUntil > world.now ? all.dropLast() : all[...]
    return kept.drop { $0.position < position }
  }
}

/// The blocks of each step, then its cut.
///
/// `@unchecked Sendable`: see ``World``.
private final class SimulatedStreamSource: RecordSource, @unchecked Sendable {
  private let stream: SimulatedStream
  private let steps: [[RecordedRange]]
  private var step = 0
  private var range = 0
  private var position: Int64?
  private var isClosed = false

  init(_ stream: SimulatedStream, _ steps: [[RecordedRange]]) { (self.stream, self.steps) = (stream, steps) }

  func close() async { isClosed = true }

  func next() async throws -> SourceEvent {
    if isClosed { throw WeirError(.closed, "the simulated capture was closed while it was read") }
    if stream.random.chance(stream.readFailed) {
      stream.marks.hit(.captureFailed)
      throw WeirError(.storage, "a read of the simulated capture failed")
    }
    while step < steps.count {
      guard range < steps[step].count else {
        defer { (step, range) = (step + 1, 0) }
        return .cut(position: Int64(step), prefixHash: Hash128(low: 0, high: 0))
      }
      let wanted = steps[step][range]
      let records = Array(stream.records(wanted, from: position ?? wanted.from).prefix(1 + stream.random.below(7)))
      guard let last = records.last else {
        (range, position) = (range + 1, nil)
        continue
      }
      position = last.position + 1
      return .block(stream.topic.block(wanted.shard, records), next: ShardPoint(last.position + 1))
    }
    return .end
  }
}
