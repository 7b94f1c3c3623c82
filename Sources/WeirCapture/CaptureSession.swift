import Synchronization
import WeirCore
import WeirEngine
import WeirKafka
import WeirLocal

/// Collects blocks of all partitions, and writes them as frames now and then.
///
/// Bounded: a partition's reader waits while its block is written or another's batch is; what is collected is at most
/// ``pendingBytesMax`` and a block a partition.
package actor CaptureCollector {
  /// Text that is collected before it is written.
  static let pendingBytesMax = 8 << 20

  private let writer: LiveCaptureWriter
  private let thread: BlockingThreads
  private let clock: any Clock
  /// Records after which nothing more is taken; nil: none.
  private let countMax: Int64?
  private var pending: [String: RecordedBlock] = [:]
  private var finished: [RecordedBlock] = []
  private var pendingBytes = 0
  private var taken: Int64
  private var ends: [String: Int64]
  private var isWriting = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  package init(_ writer: LiveCaptureWriter, thread: BlockingThreads, clock: any Clock, countMax: Int64?) {
    self.writer = writer
    self.thread = thread
    self.clock = clock
    self.countMax = countMax
    taken = writer.records
    ends = writer.positions
  }

  /// Records taken, those of earlier runs included; written or not.
  var records: Int64 { taken }
  /// As many as wanted were taken.
  var isFull: Bool { countMax.map { taken >= $0 } ?? false }

  /// Of all shards, behind what was written.
  func standing() async -> (identities: [String: ShardIdentity], positions: [String: Int64]) {
    await enter()
    defer { leave() }
    return (writer.identities, writer.positions)
  }

  /// What checks of shards found.
  func adopt(_ outcomes: [String: ShardCheck.Outcome]) async {
    await enter()
    defer { leave() }
    for (shard, outcome) in outcomes { writer.adopt(outcome, of: shard) }
  }

  /// Records in the capture why shards could not be verified.
  func note(unverified reasons: [String: String]) async throws {
    await enter()
    defer { leave() }
    let now = clock.wallMicroseconds
    try await thread.run { [writer] in try writer.note(unverified: reasons, now: now) }
  }

  /// Partitions that count from here on.
  func add(_ shards: [SourceShard], starts: [String: Int64], before: [String: Fingerprint]) async throws {
    await enter()
    defer { leave() }
    let now = clock.wallMicroseconds
    try await thread.run { [writer] in try writer.add(shards, starts: starts, before: before, now: now) }
    for shard in shards where ends[shard.name] == nil { ends[shard.name] = writer.positions[shard.name] }
  }

  /// Takes a block that follows the partition's last; where it ends is where the partition goes on.
  func take(_ block: RecordedBlock) async throws {
    guard let end = ends[block.shard], !isFull else { return }
    var block = block
    block.first = end
    if let countMax, taken + Int64(block.count) > countMax { block = block.prefix(Int(countMax - taken)) }
    taken += Int64(block.count)
    ends[block.shard] = block.next
    pendingBytes += block.text.count
    if let before = pending[block.shard] {
      if before.timeKind == block.timeKind || before.count == 0 || block.count == 0, !before.isLost, !block.isLost {
        pending[block.shard]?.append(block)
      } else {
        finished.append(before)
        pending[block.shard] = block
      }
    } else {
      pending[block.shard] = block
    }
    if pendingBytes >= CaptureCollector.pendingBytesMax { try await flush() }
  }

  /// Writes what was taken.
  func flush() async throws {
    await enter()
    defer { leave() }
    let blocks = finished + pending.values.sorted { $0.shard < $1.shard }
    guard !blocks.isEmpty else { return }
    (pending, finished, pendingBytes) = ([:], [], 0)
    let now = clock.wallMicroseconds
    try await thread.run { [writer] in try writer.write(blocks, now: now) }
  }

  /// One at a time, in the order of asking.
  private func enter() async {
    guard isWriting else {
      isWriting = true
      return
    }
    await withCheckedContinuation { waiting.append($0) }
  }

  private func leave() {
    if waiting.isEmpty { isWriting = false } else { waiting.removeFirst().resume() }
  }
}

/// Reads all partitions of some topics into a collector, without a group: no other consumer notices.
package struct CaptureSession: Sendable {
  package struct Limits: Sendable {
    /// From the start of this run; nil: until stopped.
    package var microseconds: Int64?
    /// How long records may lie in memory.
    package var flushMicroseconds: Int64 = 1_000_000
    /// How often the topics are asked for new partitions, and whether they are still those that are captured.
    package var partitionsMicroseconds: Int64 = 30_000_000

    package init(microseconds: Int64? = nil, flushMicroseconds: Int64 = 1_000_000, partitionsMicroseconds: Int64 = 30_000_000) {
      self.microseconds = microseconds
      self.flushMicroseconds = flushMicroseconds
      self.partitionsMicroseconds = partitionsMicroseconds
    }
  }

  private static let tickNanoseconds: Int64 = 50_000_000
  private static let restNanoseconds: Int64 = 200_000_000

  let consumer: KafkaConsumer
  let probe: any ShardLooker
  let start: KafkaStart
  let collector: CaptureCollector
  let writer: LiveCaptureWriter
  let clock: any Clock
  let limits: Limits
  /// Told of trouble that it goes on after, and of what was lost.
  let talk: @Sendable (String) -> Void

  package init(
    consumer: KafkaConsumer, probe: any ShardLooker, start: KafkaStart, collector: CaptureCollector, writer: LiveCaptureWriter,
    clock: any Clock, limits: Limits, talk: @escaping @Sendable (String) -> Void
  ) {
    self.consumer = consumer
    self.probe = probe
    self.start = start
    self.collector = collector
    self.writer = writer
    self.clock = clock
    self.limits = limits
    self.talk = talk
  }

  /// Captures until it is told to stop, or a limit is reached; everything that was read is written then.
  package func run(isInterrupted: @escaping @Sendable () -> Bool, observe: @escaping @Sendable (Int64) -> Void) async throws {
    let ending = Ending()
    let readers = try await begin(writer.knownShards.isEmpty ? nil : writer.positions)
    await withDiscardingTaskGroup { group in
      let queue = NewReaders(readers)
      group.addTask {
        await withDiscardingTaskGroup { loops in
          while let reader = await queue.next() {
            loops.addTask { await ending.guarding { try await read(reader, queue) { ending.isAsked } } }
          }
        }
      }
      group.addTask {
        await ending.guarding { try await conduct(queue, observe) { isInterrupted() || ending.isAsked } }
        ending.ask()
        await queue.finish()
        await consumer.close()
      }
    }
    try ending.check()
    try await collector.flush()
  }

  /// Finds the partitions, lets the writer know those that are new, and reads all that are not read yet.
  private func begin(_ known: [String: Int64]?) async throws -> [KafkaPartitionReader] {
    try await KafkaGroup.translating {
      let all = try await consumer.partitions()
      guard !all.isEmpty else {
        throw WeirError(
          .topicMissing, "the topics \(consumer.settings.topics.joined(separator: ", ")) have no partitions",
          advice: "Create the topic, or name another.")
      }
      if let known {
        try CaptureSession.checkPartitions(known, all)
        try await check(known.filter { position in all.contains { $0.description == position.key } })
      }
      let fresh = all.filter { known?[$0.description] == nil }
      // Partitions that come later are captured from their beginning.
      let starts = fresh.isEmpty ? [:] : try await consumer.offsets(from: known == nil ? start : .earliest, of: fresh)
      try await add(fresh, starts)
      return try await consumer.assign(
        Dictionary(uniqueKeysWithValues: all.map { ($0, known?[$0.description] ?? starts[$0] ?? 0) }))
    }
  }

  private func add(_ partitions: [KafkaPartition], _ starts: [KafkaPartition: Int64]) async throws {
    let starts = Dictionary(uniqueKeysWithValues: starts.map { ($0.key.description, $0.value) })
    let before = try await probe.look(starts.mapValues { .before(ShardPoint($0)) }).compactMapValues { sight in
      if case .record(let mark) = sight.look { mark } else { nil }
    }
    try await collector.add(partitions.map(CaptureSession.shard), starts: starts, before: before)
  }

  /// A topic that has lost partitions is another one.
  private static func checkPartitions(_ known: [String: Int64], _ all: [KafkaPartition]) throws(WeirError) {
    let shards = all.map(shard)
    guard let missing = MissingShards(known.keys, of: shards).names.first else { return }
    throw MissingShards.error(
      missing, holder: "The capture",
      advice: "A capture holds the records of one topic. Capture the new topic into a new directory (--out DIR), or restore the old topic.")
  }

  private static func shard(_ partition: KafkaPartition) -> SourceShard {
    SourceShard(name: partition.description, stream: partition.topic, number: Int(partition.number))
  }

  /// Whether the partitions are still those that were captured: a capture never goes on with the records of another topic.
  /// - Parameter positions: where reading is to continue; nil for partitions that are being read.
  /// - Throws: `recreated`, `truncated`.
  private func check(_ positions: [String: Int64]?) async throws {
    let (identities, captured) = await collector.standing()
    var checks: [String: ShardCheck] = [:]
    for shard in positions.map({ Array($0.keys) }) ?? Array(identities.keys) {
      let position = positions?[shard]
      // An identity without a record: nothing was captured since a check found the source without those captured before.
      let hasRead = position != 0 && identities[shard] != ShardIdentity()
      checks[shard] = ShardCheck(identities[shard] ?? ShardIdentity(), position: position.map { ShardPoint($0) }, hasRead: hasRead)
    }
    let verdicts = try await ShardChecks.run(checks, probe, clock: clock)
    var outcomes: [String: ShardCheck.Outcome] = [:]
    var unverified: [String: String] = [:]
    for (shard, verdict) in verdicts.sorted(by: { $0.key < $1.key }) {
      switch verdict {
      case .same(let outcome): outcomes[shard] = outcome
      case .unverified(let outcome, let why):
        outcomes[shard] = outcome
        unverified[shard] = why
        talk("cannot verify that \(shard) is still the partition that was captured: \(why). The capture records this and continues")
      case .recreated(let mismatch):
        let known = writer.knownShards.first { $0.name == shard } ?? SourceShard(name: shard, stream: shard, number: 0)
        throw mismatch.error(
          known, identities[shard] ?? ShardIdentity(), position: ShardPoint(captured[shard] ?? 0), holder: "The capture", kept: "captured",
          advice:
            "A capture holds the records of one topic. Capture the new topic into a new directory (--out DIR), or restore the old topic.")
      }
    }
    await collector.adopt(outcomes)
    try await collector.note(unverified: unverified)
  }

  /// A broker that does not answer now will be asked again.
  private func checkAgain() async throws {
    func isSources(_ error: WeirError) -> Bool { error.code.isOfSource }
    do { try await check(nil) } catch let error as WeirError where isSources(error) { return } catch let error as KafkaError
      where isSources(error.weirError)
    { return }
  }

  private func conduct(_ queue: NewReaders, _ observe: (Int64) -> Void, _ isDone: () -> Bool) async throws {
    let began = clock.monotonicNanoseconds
    var (flushed, looked) = (began, began)
    while !isDone() {
      await clock.sleep(nanoseconds: CaptureSession.tickNanoseconds)
      let now = clock.monotonicNanoseconds
      if now - flushed >= limits.flushMicroseconds * 1000 {
        try await collector.flush()
        flushed = now
      }
      observe(await collector.records)
      if await collector.isFull { return }
      if let most = limits.microseconds, now - began >= most * 1000 { return }
      if now - looked >= limits.partitionsMicroseconds * 1000 {
        looked = now
        try await lookForPartitions(queue)
        try await checkAgain()
      }
    }
  }

  /// A broker that does not answer now will be asked again.
  private func lookForPartitions(_ queue: NewReaders) async throws {
    let found: [KafkaPartition]
    do { found = try await consumer.partitions() } catch let error as KafkaError where error.isRetriable { return }
    let known = Set(writer.knownShards.map(\.name))
    let new = found.filter { !known.contains($0.description) }
    guard !new.isEmpty else { return }
    talk("new partitions: \(new.map(\.description).joined(separator: ", "))")
    let readers = try await KafkaGroup.translating {
      let starts = try await consumer.offsets(from: .earliest, of: new)
      try await add(new, starts)
      return try await consumer.assign(starts)
    }
    for reader in readers { await queue.add(reader) }
  }

  private func read(_ reader: KafkaPartitionReader, _ queue: NewReaders, _ isDone: () -> Bool) async throws {
    while !isDone() {
      let next: KafkaRead
      do { next = try await reader.next() } catch let error as KafkaError where error.isRetriable {
        await clock.sleep(nanoseconds: CaptureSession.restNanoseconds)
        continue
      } catch let error as KafkaError { throw error.weirError }
      switch next {
      case .block(let block): try await collector.take(block.recorded)
      // Offsets without records at the end of a partition came as a block before.
      case .caughtUp: continue
      case .outOfRange(let at):
        guard let again = try await passLoss(reader.partition, at: at) else { return }
        return await queue.add(again)
      case .closed: return
      }
    }
  }

  /// What the broker dropped before it was captured stands in the capture as lost.
  private func passLoss(_ partition: KafkaPartition, at: Int64) async throws -> KafkaPartitionReader? {
    try await KafkaGroup.translating {
      try await check([partition.description: at])
      guard let bounds = try await consumer.watermarks(of: [partition])[partition] else { return nil }
      if at < bounds.low {
        var lost = RecordedBlock(shard: partition.description, first: at, next: bounds.low)
        lost.isLost = true
        try await collector.take(lost)
        talk(
          "LOST: positions \(at) to \(bounds.low) of \(partition), trimmed at the source before they were captured; the capture records this"
        )
      }
      try await consumer.release([partition])
      return try await consumer.assign([partition: max(at, bounds.low)]).first
    }
  }
}

/// The end of a run of several tasks: one is enough to ask for it, by wish or by an error.
package final class Ending: Sendable {
  package init() {}

  private let asked = Atomic(false)
  private let failure = Mutex<(any Error)?>(nil)

  package var isAsked: Bool { asked.load(ordering: .acquiring) }

  package func ask() { asked.store(true, ordering: .releasing) }

  /// The first error ends the run; those after it are consequences.
  package func guarding(_ body: () async throws -> Void) async {
    do { try await body() } catch {
      failure.withLock { if $0 == nil { $0 = error } }
      ask()
    }
  }

  /// Throws what ended the run, if it was an error.
  package func check() throws { if let failure = failure.withLock({ $0 }) { throw failure } }
}

/// Readers whose loops are to be started.
actor NewReaders {
  private var readers: [KafkaPartitionReader]
  private var isFinished = false
  private var waiter: CheckedContinuation<Void, Never>?

  init(_ readers: [KafkaPartitionReader]) { self.readers = readers }

  func add(_ reader: KafkaPartitionReader) {
    readers.append(reader)
    wake()
  }

  func finish() {
    isFinished = true
    wake()
  }

  /// Waits for the next; nil after ``finish()``.
  func next() async -> KafkaPartitionReader? {
    while readers.isEmpty, !isFinished { await withCheckedContinuation { waiter = $0 } }
    return readers.isEmpty || isFinished ? nil : readers.removeFirst()
  }

  private func wake() {
    waiter?.resume()
    waiter = nil
  }
}
