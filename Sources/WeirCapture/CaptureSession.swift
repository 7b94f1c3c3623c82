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
  /// Shards that are read, or were.
  private let begun = Mutex<Set<String>>([])

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
    let readers = try await begin()
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
  private func begin() async throws -> [any CapturableShard] {
    let before = await collector.standing()
    let isFirst = before.shards.isEmpty
    let all = try await source.shards()
    guard !all.isEmpty else {
      throw WeirError(
        .topicMissing, "the topics \(source.streams.joined(separator: ", ")) have no partitions",
        advice: "Create the topic, or name another.")
    }
    if !isFirst {
      try compare(all, before)
      try await check(before.points.filter { point in all.contains { $0.name == point.key } })
    }
    for shard in before.open { try await passEnd(of: shard.name, at: before.points[shard.name], all) }
    let known = Set(before.shards.map(\.name))
    let fresh = all.filter { !known.contains($0.name) }
    let starts = fresh.isEmpty ? [:] : try await source.starts(of: fresh.map(\.name), isLater: !isFirst)
    try await add(fresh, starts)
    return try await assign(all.map(\.name))
  }

  /// Begins to read those of the shards that can be read and are not read yet. A shard whose parents have not ended waits.
  private func assign(_ names: [String]) async throws -> [any CapturableShard] {
    let standing = await collector.standing()
    let ready = names.filter(standing.isReady)
    // Two parents of one shard may end at the same time.
    let mine = begun.withLock { begun in ready.filter { begun.insert($0).inserted } }
    guard !mine.isEmpty else { return [] }
    do {
      return try await source.assign(standing.points.filter { mine.contains($0.key) })
    } catch {
      begun.withLock { $0.subtract(mine) }
      throw error
    }
  }

  private func add(_ shards: [SourceShard], _ starts: [String: ShardPoint]) async throws {
    let before = try await source.look(starts.mapValues { .before($0) }).compactMapValues { sight in
      if case .record(let mark) = sight.look { mark } else { nil }
    }
    try await collector.add(shards, starts: starts, before: before)
  }

  private static let otherTopic: Wording =
    "A capture does not mix the records of two topics of one name. Capture the new topic into a new directory (--out DIR), or restore the old topic."

  /// Compares the partitions that there are with those of the capture.
  /// - Throws: a topic that has lost some of its partitions is another one. One that is gone as a whole is reported.
  private func compare(_ shards: [SourceShard], _ standing: CaptureCollector.Standing) throws(WeirError) {
    let known = standing.open
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
  private func check(_ positions: [String: ShardPoint]?) async throws {
    let standing = await collector.standing()
    let (identities, captured) = (standing.identities, standing.points)
    var checks: [String: ShardCheck] = [:]
    let gone = Set(goneShards)
    for shard in positions.map({ Array($0.keys) }) ?? Array(identities.keys) where !gone.contains(shard) && captured[shard] != nil {
      let position = positions?[shard]
      // An identity without a record: nothing was captured since a check found the source without those captured before.
      let hasRead = position?.ordinal != 0 && identities[shard] != ShardIdentity()
      checks[shard] = ShardCheck(identities[shard] ?? ShardIdentity(), position: position, hasRead: hasRead)
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
        let known = standing.shards.first { $0.name == shard } ?? SourceShard(name: shard, stream: shard, number: 0)
        throw mismatch.error(
          known, identities[shard] ?? ShardIdentity(), position: captured[shard] ?? 0, holder: "The capture", kept: "captured",
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
    // Before the source is asked: a shard that ends meanwhile brings children that an older answer does not have.
    let standing = await collector.standing()
    let found: [SourceShard]
    do { found = try await source.shards() } catch let error as WeirError where error.isRetriable { return }
    try compare(found, standing)
    let known = Set(standing.shards.map(\.name))
    let new = found.filter { !known.contains($0.name) }
    guard !new.isEmpty else { return }
    talk("new partitions: \(new.map(\.name).joined(separator: ", "))")
    let starts = try await source.starts(of: new.map(\.name), isLater: true)
    try await add(new, starts)
    for reader in try await assign(new.map(\.name)) { await queue.add(reader) }
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
      case .ended(let children):
        do { return try await end(reader.name, children, queue) } catch let error as WeirError where error.isRetriable {
          await clock.sleep(nanoseconds: CaptureSession.restNanoseconds)
        }
      case .closed: return
      }
    }
  }

  /// The shard ended at the source: those that have its keys now are read.
  private func end(_ shard: String, _ children: [SourceShard], _ queue: NewReaders) async throws {
    let starts = try await source.starts(of: children.map(\.name), isLater: true)
    guard try await collector.end(shard, children: children, starts: starts) else { return }
    for reader in try await assign(children.map(\.name)) { await queue.add(reader) }
    try await source.release([shard])
  }

  /// A shard that had not ended when the capture stopped, and that the source has dropped since: what was left of it is lost, and its children
  /// need not wait.
  private func passEnd(of shard: String, at place: ShardPoint?, _ all: [SourceShard]) async throws {
    let children = all.filter { $0.parents.contains(shard) }
    guard let place, place.sequence != nil, !children.isEmpty, !all.contains(where: { $0.name == shard }) else { return }
    let range = "what came after position \(place)"
    try await collector.note(lost: range, of: shard, upTo: place)
    let starts = try await source.starts(of: children.map(\.name), isLater: true)
    if try await collector.end(shard, children: children, starts: starts) {
      talk(
        "LOST: \(range) of \(shard), which the source has dropped; the capture records this, and continues with \(children.map(\.name).joined(separator: ", "))"
      )
    }
  }

  /// What the broker dropped before it was captured is in the capture as lost.
  private func passLoss(_ shard: String, at: ShardPoint) async throws -> (any CapturableShard)? {
    try await check([shard: at])
    guard let low = try await source.bounds(of: [shard])[shard]?.low else { return nil }
    let place = at.position < low ? at.moved(to: low) : at
    if place != at {
      let range = "positions \(at) to \(place)"
      if place.sequence == nil {
        var lost = RecordedBlock(shard: shard, first: at.ordinal, next: place.ordinal)
        lost.isLost = true
        try await collector.take(lost)
      } else {
        try await collector.note(lost: range, of: shard, upTo: place)
      }
      talk("LOST: \(range) of \(shard), trimmed at the source before they were captured; the capture records this")
    }
    try await source.release([shard])
    return try await source.assign([shard: place]).first
  }
}
