import Synchronization
import WeirCore
import WeirEngine
import WeirKafka
import WeirLocal

/// Reads all partitions of some topics into a collector, without a group: no other consumer notices.
package final class CaptureSession: Sendable {
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
  let probe: KafkaProbe
  let start: KafkaStart
  let collector: CaptureCollector
  let writer: LiveCaptureWriter
  let clock: any Clock
  let limits: Limits
  /// Told of trouble that it goes on after, and of what was lost.
  let talk: @Sendable (String) -> Void
  private let gone = Mutex(GoneShards())

  package init(
    consumer: KafkaConsumer, probe: KafkaProbe, start: KafkaStart, collector: CaptureCollector, writer: LiveCaptureWriter,
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

  /// Shards of the capture that the source does not have any more, in order.
  package var goneShards: [String] { gone.withLock(\.names) }

  /// Leaves the source. Both clients at once: one whose partition was deleted may take its whole time (see ``KafkaClient``).
  package func close() async {
    async let isProbeClosed: Void = probe.close()
    await consumer.close()
    await isProbeClosed
  }

  /// Captures until a stop is requested or a limit is reached. Everything that was read is written then, and the source is closed.
  package func run(isInterrupted: @escaping @Sendable () -> Bool, observe: @escaping @Sendable (Int64) -> Void) async throws {
    let ending = Ending()
    let readers = try await begin(writer.knownShards.isEmpty ? nil : writer.positions)
    await withDiscardingTaskGroup { group in
      let queue = NewReaders(readers)
      group.addTask {
        await withDiscardingTaskGroup { loops in
          while let reader = await queue.next() {
            loops.addTask { await ending.guarding { try await self.read(reader, queue) { ending.isAsked } } }
          }
        }
      }
      group.addTask {
        await ending.guarding { try await self.look(queue, ending) }
      }
      group.addTask {
        await ending.guarding { try await self.conduct(observe) { isInterrupted() || ending.isAsked } }
        ending.ask()
        await queue.finish()
        // A question about a partition that was deleted is answered late.
        self.probe.refuseQuestions()
        self.consumer.refuseQuestions()
        await self.close()
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
        try compare(all)
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

  private static let otherTopic: Wording =
    "A capture does not mix the records of two topics of one name. Capture the new topic into a new directory (--out DIR), or restore the old topic."

  /// Compares the partitions that there are with those of the capture.
  /// - Throws: a topic that has lost some of its partitions is another one. One that is gone as a whole is reported.
  private func compare(_ all: [KafkaPartition]) throws(WeirError) {
    let shards = all.map(CaptureSession.shard)
    let known = writer.knownShards
    if let missing = MissingShards(known.map(\.name), of: shards).names.first {
      throw MissingShards.error(missing, holder: "The capture", advice: CaptureSession.otherTopic)
    }
    let change = gone.withLock { $0.see(shards, known: known) }
    if !change.gone.isEmpty {
      talk(
        "GONE: the source no longer has \(change.gone.joined(separator: ", ")) (the topic was deleted, or this user may not see it any more). The capture keeps the records that it has of it, and continues with the other partitions"
      )
    }
    if !change.back.isEmpty { talk("the source has \(change.back.joined(separator: ", ")) again") }
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
    let gone = Set(goneShards)
    for shard in positions.map({ Array($0.keys) }) ?? Array(identities.keys) where !gone.contains(shard) {
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
          advice: CaptureSession.otherTopic)
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

  private func conduct(_ observe: (Int64) -> Void, _ isDone: () -> Bool) async throws {
    let began = clock.monotonicNanoseconds
    var flushed = began
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
    }
  }

  /// Looks at the topics now and then. Apart from ``conduct(_:_:)``: an answer may come late, and nothing is to wait for it.
  private func look(_ queue: NewReaders, _ ending: Ending) async throws {
    var looked = clock.monotonicNanoseconds
    while !ending.isAsked {
      await clock.sleep(nanoseconds: CaptureSession.tickNanoseconds)
      guard clock.monotonicNanoseconds - looked >= limits.partitionsMicroseconds * 1000 else { continue }
      do {
        try await lookForPartitions(queue)
        try await checkAgain()
      } catch {
        // The end refuses what is being asked.
        if ending.isAsked, error is KafkaError || (error as? WeirError)?.code == .internal { return }
        throw error
      }
      looked = clock.monotonicNanoseconds
    }
  }

  /// A broker that does not answer now will be asked again.
  private func lookForPartitions(_ queue: NewReaders) async throws {
    let found: [KafkaPartition]
    do { found = try await consumer.partitions() } catch let error as KafkaError where error.isRetriable { return }
    try compare(found)
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
