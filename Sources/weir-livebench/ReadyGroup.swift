import Synchronization
import WeirCore
import WeirTesting

/// A group with one member, whose shards lie ready in memory: what is measured is the engine, without a client and a broker.
final class ReadyGroup: ShardGroup {
  private let count: Int
  private let blocks: [RawBlock]
  private let events = Mailbox<ShardGroupEvent>()
  private let readers = Mutex<[ReadyShard]>([])

  /// - Parameter blocks: of each shard, in order; each shard gets copies with its own name and positions.
  init(shards count: Int, blocks: [RawBlock]) { (self.count, self.blocks) = (count, blocks) }

  private static func name(_ number: Int) -> String { "ads/\(number)" }

  func shards() async throws -> [SourceShard] {
    (0..<count).map { SourceShard(name: ReadyGroup.name($0), stream: "ads", number: $0) }
  }

  func join() async throws { events.give(.assigned((0..<count).map(ReadyGroup.name))) }

  func nextEvent() async -> ShardGroupEvent { await events.next() }

  func bounds(of shards: [String]) async throws -> [String: ShardBounds] {
    Dictionary(uniqueKeysWithValues: shards.map { ($0, ShardBounds(low: 0, high: 0)) })
  }

  func starts(of shards: [String]) async throws -> [String: ShardPoint] {
    Dictionary(uniqueKeysWithValues: shards.map { ($0, 0) })
  }

  func assign(_ positions: [String: ShardPoint]) async throws -> [String: any RecordSource] {
    let made = positions.keys.sorted().map { ReadyShard($0, blocks) }
    readers.withLock { $0 = made }
    return Dictionary(uniqueKeysWithValues: made.map { ($0.name, $0) })
  }

  func release(_ shards: [String]) async throws {
    for reader in readers.withLock({ $0 }) where shards.contains(reader.name) { await reader.close() }
  }

  func follow(_ positions: [String: ShardPoint], as owner: String) async {}
  func followed(_ shards: [String]) async throws -> [String: FollowedPosition] { [:] }

  func close() async {
    for reader in readers.withLock({ $0 }) { await reader.close() }
    events.end(with: .closed)
  }
}

/// One shard: its blocks, then nothing until it is closed.
final class ReadyShard: RecordSource {
  private struct State {
    var number = 0
    var position: Int64 = 0
  }

  let name: String
  private let blocks: [RawBlock]
  private let state = Mutex(State())
  private let end = Mailbox<SourceEvent>()

  init(_ name: String, _ blocks: [RawBlock]) { (self.name, self.blocks) = (name, blocks) }

  func next() async throws -> SourceEvent {
    let block: (RawBlock, Int64)? = state.withLock { state in
      guard !end.hasEnded, state.number < blocks.count else { return nil }
      defer {
        state.number += 1
        state.position += Int64(blocks[state.number - 1].recordCount)
      }
      return (blocks[state.number], state.position)
    }
    guard let (raw, position) = block else { return await end.next() }
    return .block(raw.of(name, at: position), next: ShardPoint(position + Int64(raw.recordCount)))
  }

  func close() async { end.end(with: .end) }
}

extension RawBlock {
  var recordCount: Int { if case .spans(let offset, _) = framing { offset.count } else { 0 } }

  /// The same records as a live source gives them: with positions and without keys. The text is shared, as nothing writes into it.
  func of(_ shard: String, at position: Int64) -> RawBlock {
    guard case .spans(let offset, _) = framing else { return self }
    var block = self
    block.position = position
    block.details = RecordDetails(
      shard: shard, positions: (0..<Int64(offset.count)).map { position + $0 },
      arrivals: [Int64](repeating: RecordDetails.noArrival, count: offset.count), isAppendTime: false, keyOffset: offset,
      keyLength: [Int32](repeating: -1, count: offset.count))
    return block
  }
}
