import Synchronization
import WeirCore
import WeirEngine
import WeirLocal

/// Reads all shards of a live source into a collector.
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

  /// Between two reports of progress, unless records are written more often.
  private static let reportNanoseconds: Int64 = 1_000_000_000
  private static let restNanoseconds: Int64 = 200_000_000

  let source: any CapturableSource
  let collector: CaptureCollector
  let writer: LiveCaptureWriter
  let clock: any Clock
  let limits: Limits
  /// Told of trouble that it goes on after, and of what was lost.
  let talk: @Sendable (String) -> Void
  private let gone = Mutex(GoneShards())

  package init(
    source: any CapturableSource, collector: CaptureCollector, writer: LiveCaptureWriter, clock: any Clock, limits: Limits,
    talk: @escaping @Sendable (String) -> Void
  ) {
    self.source = source
    self.collector = collector
    self.writer = writer
    self.clock = clock
    self.limits = limits
    self.talk = talk
  }

  /// Shards of the capture that the source does not have any more, in order.
  package var goneShards: [String] { gone.withLock(\.names) }

  /// Leaves the source.
  package func close() async { await source.close() }

  /// Captures until a stop is requested or a limit is reached. Everything that was read is written then, and the source is closed.
  /// - Parameter observe: gets the number of records, at least once per second.
  package func run(until stop: Flag, observe: @escaping @Sendable (Int64) -> Void) async throws {
    let ending = Ending()
    let watcher = stop.whenRaised { ending.ask() }
    defer { stop.forget(watcher) }
    collector.full.whenRaised { ending.ask() }
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
        await ending.guarding { try await self.conduct(ending, observe) }
        ending.ask()
        await queue.finish()
        // A question about a partition that was deleted is answered late.
        self.source.refuseQuestions()
        await self.close()
      }
    }
    try ending.check()
    try await collector.flush()
  }

  /// Finds the partitions, lets the writer know those that are new, and reads all that are not read yet.
  private func begin(_ known: [String: Int64]?) async throws -> [any CapturableShard] {
    let all = try await source.shards()
    guard !all.isEmpty else {
      throw WeirError(
        .topicMissing, "the topics \(source.streams.joined(separator: ", ")) have no partitions",
        advice: "Create the topic, or name another.")
    }
    if let known {
      try compare(all)
      try await check(known.filter { position in all.contains { $0.name == position.key } })
    }
    let fresh = all.filter { known?[$0.name] == nil }
    let starts = fresh.isEmpty ? [:] : try await source.starts(of: fresh.map(\.name), isLater: known != nil)
    try await add(fresh, starts)
    return try await source.assign(Dictionary(uniqueKeysWithValues: all.map { ($0.name, known?[$0.name] ?? starts[$0.name] ?? 0) }))
  }

  private func add(_ shards: [SourceShard], _ starts: [String: Int64]) async throws {
    let before = try await source.look(starts.mapValues { .before(ShardPoint($0)) }).compactMapValues { sight in
      if case .record(let mark) = sight.look { mark } else { nil }
    }
    try await collector.add(shards, starts: starts, before: before)
  }

  private static let otherTopic: Wording =
    "A capture does not mix the records of two topics of one name. Capture the new topic into a new directory (--out DIR), or restore the old topic."

  /// Compares the partitions that there are with those of the capture.
  /// - Throws: a topic that has lost some of its partitions is another one. One that is gone as a whole is reported.
  private func compare(_ shards: [SourceShard]) throws(WeirError) {
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
    let verdicts = try await ShardChecks.run(checks, source, clock: clock)
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
    do { try await check(nil) } catch let error as WeirError where error.code.isOfSource { return }
  }

  /// Writes what was read, when it is due. Waits for that and for the end, and for nothing else.
  private func conduct(_ ending: Ending, _ observe: (Int64) -> Void) async throws {
    let began = clock.monotonicNanoseconds
    let endsAt = limits.microseconds.map { began.saturatingSum($0.saturatingProduct(1000)) } ?? .max
    let flushEvery = limits.flushMicroseconds.saturatingProduct(1000)
    var flushAt = began.saturatingSum(flushEvery)
    while !ending.isAsked {
      let now = clock.monotonicNanoseconds
      if now >= endsAt { return }
      await ending.asked.wait(until: min(flushAt, endsAt, now + CaptureSession.reportNanoseconds), clock)
      if clock.monotonicNanoseconds >= flushAt {
        try await collector.flush()
        flushAt = clock.monotonicNanoseconds.saturatingSum(flushEvery)
      }
      observe(await collector.records)
    }
  }

  /// Looks at the topics now and then. Apart from ``conduct(_:_:)``: an answer may come late, and nothing is to wait for it.
  private func look(_ queue: NewReaders, _ ending: Ending) async throws {
    while true {
      await ending.asked.wait(until: clock.monotonicNanoseconds.saturatingSum(limits.partitionsMicroseconds.saturatingProduct(1000)), clock)
      if ending.isAsked { return }
      do {
        try await lookForPartitions(queue)
        try await checkAgain()
      } catch {
        // The end refuses what is being asked.
        if ending.isAsked, let code = (error as? WeirError)?.code, code == .internal || code.isOfSource { return }
        throw error
      }
    }
  }

  /// A broker that does not answer now will be asked again.
  private func lookForPartitions(_ queue: NewReaders) async throws {
    let found: [SourceShard]
    do { found = try await source.shards() } catch let error as WeirError where error.isRetriable { return }
    try compare(found)
    let known = Set(writer.knownShards.map(\.name))
    let new = found.filter { !known.contains($0.name) }
    guard !new.isEmpty else { return }
    talk("new partitions: \(new.map(\.name).joined(separator: ", "))")
    let starts = try await source.starts(of: new.map(\.name), isLater: true)
    try await add(new, starts)
    for reader in try await source.assign(starts) { await queue.add(reader) }
  }

  private func read(_ reader: any CapturableShard, _ queue: NewReaders, _ isDone: () -> Bool) async throws {
    while !isDone() {
      let next: CapturableRead
      do { next = try await reader.next() } catch let error as WeirError where error.isRetriable {
        await clock.sleep(nanoseconds: CaptureSession.restNanoseconds)
        continue
      }
      switch next {
      case .block(let block): try await collector.take(block)
      case .caughtUp: continue
      case .outOfRange(let at):
        guard let again = try await passLoss(reader.name, at: at) else { return }
        return await queue.add(again)
      case .closed: return
      }
    }
  }

  /// What the broker dropped before it was captured stands in the capture as lost.
  private func passLoss(_ shard: String, at: Int64) async throws -> (any CapturableShard)? {
    try await check([shard: at])
    guard let low = try await source.bounds(of: [shard])[shard]?.offsets(in: shard).low else { return nil }
    if at < low {
      var lost = RecordedBlock(shard: shard, first: at, next: low)
      lost.isLost = true
      try await collector.take(lost)
      talk("LOST: positions \(at) to \(low) of \(shard), trimmed at the source before they were captured; the capture records this")
    }
    try await source.release([shard])
    return try await source.assign([shard: max(at, low)]).first
  }
}
