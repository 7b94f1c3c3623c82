import Synchronization
import WeirCore
import WeirKinesisSettings

/// What outlives a session of the process.
package final class KinesisMemory: Sendable {
  /// The first records that shards still had, where a reader came too late.
  let trimmed = Mutex<[String: SequenceNumber]>([:])

  package init() {}
}

/// What a group needs of the world.
package struct KinesisParts: Sendable {
  /// For questions about the stream.
  package var requests: KinesisRequests
  /// A client for each shard: one that is throttled does not slow down the others.
  package var shardRequests: @Sendable () throws -> KinesisRequests
  package var table: LeaseTable
  package var clock: any Clock
  package var random: any RandomSource
  package var memory: KinesisMemory
  /// The user takes over another program's checkpoints that are ahead of the ledger.
  package var acceptsCheckpoints: Bool
  /// Takes a line for the log.
  package var log: @Sendable (String) -> Void

  package init(
    requests: KinesisRequests, shardRequests: @escaping @Sendable () throws -> KinesisRequests, table: LeaseTable, clock: any Clock,
    random: any RandomSource, memory: KinesisMemory, acceptsCheckpoints: Bool = false, log: @escaping @Sendable (String) -> Void
  ) {
    (self.requests, self.shardRequests, self.table, self.clock) = (requests, shardRequests, table, clock)
    (self.random, self.memory, self.acceptsCheckpoints, self.log) = (random, memory, acceptsCheckpoints, log)
  }
}

/// The workers of an application that share a stream's shards, as the engine sees them: leases say who reads, readers poll or subscribe.
package final class KinesisGroup: ShardGroup {
  struct State {
    var shards: [String: KinesisShard] = [:]
    var summary: StreamSummary?
    var readers: [String: any KinesisReader] = [:]
    var refusesQuestions = false
    var hasJoined = false
    var isClosed = false
    /// Shards whose last answer was throttled, or whose subscription was refused, so that a line is written once.
    var throttled: Set<String> = []
  }

  let spec: KinesisSourceSpec
  let parts: KinesisParts
  let blockBytes: Int
  let state = Mutex(State())
  let events = EventQueue()
  let keeper: LeaseKeeper
  private let consumer: FanOutConsumer
  private let refusal = Refusal()

  /// - Parameter blockBytes: of a block of records, about.
  package init(_ spec: KinesisSourceSpec, _ parts: KinesisParts, blockBytes: Int) {
    (self.spec, self.parts, self.blockBytes) = (spec, parts, blockBytes)
    var settings = LeaseKeeper.Settings()
    settings.lease.worker = "weir-\(String(parts.random.next(), radix: 16))\(String(parts.random.next(), radix: 16))"
    settings.lease.leaseNanoseconds = spec.settings.leaseMicroseconds * 1000
    settings.lease.handOverNanoseconds = spec.settings.handOverMicroseconds * 1000
    settings.acceptsCheckpoints = parts.acceptsCheckpoints
    settings.createsTable = spec.settings.createsTable
    settings.refreshNanoseconds = spec.settings.refreshMicroseconds * 1000
    settings.firstCheckpoint =
      switch spec.settings.start {
      case .trimHorizon: "TRIM_HORIZON"
      case .latest: "LATEST"
      case .time: "AT_TIMESTAMP"
      }
    consumer = FanOutConsumer(
      parts.requests, name: spec.settings.app, given: spec.settings.fanOut?.consumerARN, clock: parts.clock)
    let box = ShardList(parts.requests)
    let queue = events
    keeper = LeaseKeeper(
      parts.table, settings, stream: spec.stream, clock: parts.clock, list: { try await box.list() }, emit: { queue.append($0) })
  }

  // MARK: Membership

  package func join() async throws {
    state.withLock { $0.hasJoined = true }
    // The loop outlives every call of the engine: leases are renewed while the engine takes shards over. It ends with ``close()``.
    Task { [keeper] in await keeper.run() }
  }

  package func nextEvent() async -> ShardGroupEvent { await events.next() }

  package func assign(_ positions: [String: ShardPoint]) async throws -> [String: any RecordSource] {
    var sources: [String: any RecordSource] = [:]
    var ended: [String: [String]] = [:]
    for (name, point) in positions.sorted(by: { $0.key < $1.key }) {
      let shard = try await known(name)
      try refuseForeign(shard, at: point)
      let reader = try reader(of: shard, at: point)
      sources[name] = reader
      let before = state.withLock { state in
        let before = state.readers[name]
        state.readers[name] = reader
        return before
      }
      before?.stop()
      // The engine assigns a child when the ledger has its parents as closed.
      for parent in shard.parents { ended[parent] = children(of: parent).map(\.id) }
    }
    keeper.end(ended)
    for parent in ended.keys { state.withLock { $0.readers.removeValue(forKey: "\(spec.stream)/\(parent)") }?.stop() }
    if state.withLock({ $0.isClosed }) {
      for name in positions.keys { state.withLock { $0.readers.removeValue(forKey: name) }?.stop() }
      throw WeirError(.closed, "the source was closed")
    }
    return sources
  }

  package func release(_ shards: [String]) async throws {
    let readers = state.withLock { state in shards.compactMap { state.readers.removeValue(forKey: $0) } }
    for reader in readers { reader.stop() }
    keeper.release(shards.map(id))
    // The engine waits for the group's next word after it gave something back.
    events.append(.assigned([]))
  }

  package func follow(_ positions: [String: ShardPoint], as owner: String) async {
    var checkpoints: [String: Checkpoint] = [:]
    let shards = state.withLock { $0.shards }
    for (name, point) in positions {
      // The number at which a shard ends is no record's: SHARD_END is written for it, with the first child.
      guard shards[id(name)]?.end.map({ $0.digits == point.sequence?.digits }) != true else { continue }
      if let made = Checkpoint(point, mark: owner) { checkpoints[id(name)] = made }
    }
    keeper.follow(checkpoints)
  }

  package func followed(_ shards: [String]) async throws -> [String: FollowedPosition] {
    var found: [String: FollowedPosition] = [:]
    for name in shards {
      guard let lease = keeper.lease(id(name)), let number = lease.next(end: nil) else { continue }
      found[name] = FollowedPosition(position: .sequence(number), owner: lease.isOwn ? lease.mark ?? "" : "")
    }
    return found
  }

  package func refuseQuestions() {
    state.withLock { $0.refusesQuestions = true }
    refusal.raise()
  }

  package func close() async {
    let (readers, hasJoined) = state.withLock { state in
      let isFirst = !state.isClosed
      state.isClosed = true
      defer { state.readers = [:] }
      return (Array(state.readers.values), state.hasJoined && isFirst)
    }
    for reader in readers { reader.stop() }
    events.close()
    refusal.raise()
    if hasJoined { await keeper.close() }
  }

  // MARK: Readers

  private func reader(of shard: KinesisShard, at point: ShardPoint) throws -> any KinesisReader {
    let around = KinesisSurroundings(
      requests: try parts.shardRequests(), clock: parts.clock, stream: spec.stream,
      children: { [weak self] id in try await self?.listedChildren(of: id) ?? [] },
      trimmed: { [memory = parts.memory] name, first in memory.trimmed.withLock { $0[name] = first } },
      observe: { [weak self] name, seen in self?.observe(name, seen) },
      retentionMilliseconds: { [weak self] in
        (self?.state.withLock { $0.summary?.retentionHours } ?? 24).saturatingProduct(3_600_000)
      })
    if let end = shard.end, point.sequence?.digits == end.digits { return EndedShardReader(shard, at: point, around) }
    if spec.settings.fanOut != nil {
      return try FanOutShardReader(shard, from: point, FanOutMachine.Settings(), blockBytes: blockBytes, consumer, around)
    }
    var settings = ShardReaderMachine.Settings()
    settings.bytesMax = blockBytes
    settings.pollNanoseconds = spec.settings.pollMicroseconds * 1000
    return try KinesisShardReader(shard, from: point, settings, blockBytes: blockBytes, around)
  }

  private func observe(_ name: String, _ seen: KinesisObservation) {
    if seen.misplacedAggregates > 0 {
      parts.log(
        "\(name): \(seen.misplacedAggregates) aggregates have records of other shards; each was taken as one plain record (producers send its records again)"
      )
    }
    if seen.wasSilent { parts.log("\(name): the subscription was silent; it is replaced") }
    let isNew = state.withLock { state in
      if seen.isThrottled || seen.isInUse { return state.throttled.insert(name).inserted }
      if seen.millisecondsBehind != nil { state.throttled.remove(name) }
      return false
    }
    if isNew, seen.isInUse { parts.log("\(name): another subscription of the same consumer reads the shard; it is replaced") }
    if isNew, seen.isThrottled { parts.log("\(name): reading is throttled: \(throttling)") }
  }

  private var throttling: String {
    spec.settings.fanOut == nil
      ? "other consumers share the shard's five requests and 2 MB a second"
      : "more subscriptions begin than the account may begin per second"
  }

  // MARK: Shards

  func id(_ name: String) -> String { String(name.dropFirst(spec.stream.utf8.count + 1)) }

  func known(_ name: String) async throws -> KinesisShard {
    if let shard = state.withLock({ $0.shards[id(name)] }) { return shard }
    _ = try await listed()
    guard let shard = state.withLock({ $0.shards[id(name)] }) else {
      throw WeirError(.unavailable, "the stream \(spec.stream) does not list the shard \(name)")
    }
    return shard
  }

  private func children(of parent: String) -> [KinesisShard] {
    state.withLock { $0.shards.values.filter { $0.parents.contains(parent) } }.sorted { $0.id < $1.id }
  }

  private func listedChildren(of parent: String) async throws -> [SourceShard] {
    _ = try await listed()
    let children = children(of: parent)
    if !children.isEmpty { keeper.lookAtShards() }
    return children.map { $0.source(spec.stream) }
  }

  /// What the stream has now.
  func listed() async throws -> [KinesisShard] {
    let shards: [KinesisShard]
    do throws(KinesisFailure) { shards = try await parts.requests.shards() } catch { throw error.error }
    state.withLock { $0.shards = Dictionary(shards.map { ($0.id, $0) }) { $1 } }
    return shards
  }

  /// Asks the source; ends with an error when questions are refused meanwhile.
  func asking<Answer: Sendable>(_ question: @escaping @Sendable () async throws -> Answer) async throws -> Answer {
    try await withThrowingTaskGroup(of: Answer.self) { group in
      group.addTask { try await question() }
      group.addTask { [refusal] in
        await refusal.wait()
        throw WeirError(.unavailable, "the source was not waited for")
      }
      defer { group.cancelAll() }
      guard let answer = try await group.next() else { throw WeirError(.internal, "a question ended without an answer") }
      return answer
    }
  }
}

/// The list of shards, for the loop of the leases.
private struct ShardList: Sendable {
  let requests: KinesisRequests

  init(_ requests: KinesisRequests) { self.requests = requests }

  func list() async throws -> [KinesisShard] { try await requests.shards() }
}
