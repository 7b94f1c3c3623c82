import Synchronization
import Testing
import WeirCore
import WeirDelta
import WeirLocal
import WeirTesting

@testable import WeirEngine

extension ScriptedSource {
  /// - Parameter at: its position; each record has 20 bytes.
  fileprivate func give(block at: Int64, records: Int = 3) {
    give(
      .success(
        .block(
          RawBlock(records: (0..<records).map { _ in Array("{\"user\":\"u\",\"at\":1}\n".utf8) }, position: at),
          next: ShardPoint(at + Int64(records) * 20))))
  }
}

@Suite(.timeLimit(.minutes(10))) struct PreparedStreamTests {
  private let bench: LiveWorkerTests.Bench

  init() throws { bench = try LiveWorkerTests.Bench(shards: 1) }

  private var pool: PreparerPool { PreparerPool(CompiledPlan(bench.plan, lookups: []), bench.environment) }

  private func capture(_ interruption: Flag = Flag()) -> Reading {
    Reading(ahead: PrepareAhead(3), interruption: interruption, mayPause: true)
  }

  private func words(_ event: PreparedEvent) -> String {
    switch event {
    case .block(let block, _): "block of \(block.count) at \(block.decoded.raw.position)"
    case .cut(let position, _): "cut \(position)"
    case .pause: "pause"
    case .end: "end"
    case .interrupted: "interrupted"
    case .caughtUp, .outOfRange, .closed: "a mark of a live shard"
    }
  }

  @Test func whatIsReadyIsHandedOnWhileTheSourcePauses() async throws {
    let (source, interrupted) = (ScriptedSource(), Flag())
    source.give(block: 0)
    source.give(cut: 60)
    var seen: [String] = []
    // What comes next is given only when the first was handed on: who waits for it before waits for ever.
    try await pool.forEach(source, capture(interrupted)) { event in
      seen.append(words(event))
      if case .cut(60, _) = event { source.give(block: 60) }
      if case .pause = event {
        source.give(cut: 120)
        source.give(.success(.end))
      }
      return true
    }
    #expect(seen == ["block of 3 at 0", "cut 60", "block of 3 at 60", "pause", "cut 120", "end"])
    #expect(!source.isClosed, "it has ended by itself")
  }

  @Test func anInterruptedStreamWhoseSourceGivesNothingEndsBehindWhatWasHandedOn() async throws {
    let (source, interrupted) = (ScriptedSource(), Flag())
    source.give(block: 0)
    source.give(cut: 60)
    source.give(block: 60)
    var seen: [String] = []
    try await pool.forEach(source, capture(interrupted)) { event in
      seen.append(words(event))
      if case .pause = event { interrupted.raise() }
      return true
    }
    #expect(seen == ["block of 3 at 0", "cut 60", "block of 3 at 60", "pause", "interrupted"])
    #expect(source.isClosed)
  }

  private final class Seen: Sendable { let all = Mutex<[String]>([]) }

  /// While it pauses, nothing looks whether it still does.
  @Test func aSourceThatPausesIsNotPolled() async throws {
    let (source, interrupted, clock) = (ScriptedSource(), Flag(), ManualClock(.waits))
    let environment = EngineEnvironment(
      lake: MemoryStore(), tables: DeltaFormat(), state: nil, clock: clock, random: CountingRandom(), threads: BlockingThreads(count: 1),
      parallel: 1)
    let pool = PreparerPool(CompiledPlan(bench.plan, lookups: []), environment)
    let reading = capture(interrupted)
    let seen = Seen()
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      source.give(block: 0)
      tasks.addTask { [self] in
        try await pool.forEach(source, reading) { event in
          seen.all.withLock { $0.append(words(event)) }
          return true
        }
      }
      /// Time passes until this many events came.
      func pass(until count: Int) async {
        while seen.all.withLock({ $0.count }) < count {
          clock.advance(by: PreparerPool.sourceRestNanoseconds)
          await Task.yield()
        }
      }
      while seen.all.withLock({ $0.isEmpty }) { await Task.yield() }
      await pass(until: 2)
      for _ in 0..<500 { await Task.yield() }
      #expect(clock.sleepers == 0, "it pauses, and that was said")
      interrupted.raise()
      await pass(until: 3)
      try await tasks.waitForAll()
    }
    #expect(seen.all.withLock { $0 } == ["block of 3 at 0", "pause", "interrupted"])
  }

  @Test func anInterruptedStreamThatGoesOnEndsAtItsNextCut() async throws {
    let (source, interrupted) = (ScriptedSource(), Flag())
    for number in 0..<5 as Range<Int64> { source.give(block: number * 60) }
    source.give(cut: 300)
    source.give(block: 300)
    var seen: [String] = []
    try await pool.forEach(source, capture(interrupted)) { event in
      interrupted.raise()
      seen.append(words(event))
      return true
    }
    #expect(seen == (0..<5).map { "block of 3 at \($0 * 60)" } + ["cut 300", "interrupted"])
    #expect(source.isClosed, "nobody waits for what may never come")
  }

  @Test func blocksComeInTheOrderInWhichTheyWereReadHoweverLongTheirPreparingTakes() async throws {
    let source = ScriptedSource()
    var (wanted, at): ([String], Int64) = ([], 0)
    for number in 0..<60 {
      let records = number % 7 == 0 ? 4000 : 1 + number % 3
      source.give(block: at, records: records)
      wanted.append("block of \(records) at \(at)")
      at += Int64(records) * 20
      if number % 10 == 9 {
        source.give(cut: at)
        wanted.append("cut \(at)")
      }
    }
    source.give(.success(.end))
    var seen: [String] = []
    try await pool.forEach(source, capture()) {
      if case .pause = $0 {
      } else {
        seen.append(words($0))
        return true
      }
      return true
    }
    #expect(seen == wanted + ["end"])
  }

  @Test func anErrorComesBehindWhatWasReadBeforeIt() async throws {
    let source = ScriptedSource()
    source.give(block: 0)
    source.give(cut: 60)
    source.give(.failure(WeirError(.recordTooLong, "too long")))
    var seen: [String] = []
    await #expect(throws: WeirError.self) {
      try await pool.forEach(source, capture()) {
        seen.append(words($0))
        return true
      }
    }
    #expect(seen == ["block of 3 at 0", "cut 60"])
  }

  @Test func aFailureOfWhoeverTakesThemDoesNotWaitForTheSource() async throws {
    let source = ScriptedSource()
    source.give(block: 0)
    await #expect(throws: WeirError.self) {
      try await pool.forEach(source, capture()) { _ in throw WeirError(.fullDisk, "full") }
    }
    #expect(source.isClosed)
  }

  @Test func aWaitForOneEventEndsWhenItIsInterrupted() async throws {
    let (source, interrupted) = (ScriptedSource(), Flag())
    source.give(cut: 5)
    #expect(try await source.next(until: interrupted) != nil)
    interrupted.raise()
    #expect(try await source.next(until: interrupted) == nil)
    #expect(source.isClosed)
  }

  // MARK: Live shards

  private func block(at position: Int64, records: Int) -> SourceEvent {
    .block(
      RawBlock(records: (0..<records).map { _ in Array("{\"user\":\"u\",\"at\":1}\n".utf8) }, position: position),
      next: ShardPoint(position + Int64(records)))
  }

  @Test func theBlocksOfALiveShardAreHandedOutInOrderAndPreparedAheadAsFarAsOthersLeaveRoom() async throws {
    let ahead = PrepareAhead(2)
    let queue = PreparedQueue(ahead: ahead)
    #expect(await queue.hasRoomForBlock(), "a lane has one block without asking")
    _ = await queue.expect(end: 1)
    #expect(ahead.take(), "and takes none of the others'")
    #expect(await queue.hasRoomForBlock())
    _ = await queue.expect(end: 2)
    #expect(!ahead.take(), "the second is one of them")
    async let third = queue.hasRoomForBlock()
    // Ready in the wrong order.
    guard case .block(let raw, _) = block(at: 0, records: 3) else { return }
    await queue.prepared(1, pool.prepare(raw))
    await queue.prepared(0, pool.prepare(raw))
    var ends: [ShardPoint] = []
    for _ in 0..<2 { if case .block(_, let end) = try await queue.next() { ends.append(end) } }
    #expect(ends == [1, 2])
    #expect(await third, "the first block was consumed when the second was taken")
    await queue.close()
    #expect(ahead.take() && !ahead.take(), "a lane that ends gives back what it has taken")
  }

  @Test func aReaderOfAClosedQueueTakesNoRoomOfOthers() async {
    let ahead = PrepareAhead(1)
    let queue = PreparedQueue(ahead: ahead)
    _ = await queue.expect(end: 1)
    await queue.close()
    #expect(await !queue.hasRoomForBlock())
    #expect(ahead.take(), "the lanes that are left may still prepare ahead")
  }

  /// Each block is more than is prepared by the reader itself.
  @Test(arguments: [0, 3]) func aLiveShardIsReadToItsEnd(ahead: Int) async throws {
    let blocks = 20
    let reads = (0..<blocks).map { block(at: Int64($0) * 2000, records: 2000) } + [.caughtUp(next: 50_000), block(at: 50_000, records: 1)]
    let shard = ScriptedSource(reads + [.end])
    var seen: [String] = []
    try await pool.forEach(shard, Reading(ahead: PrepareAhead(ahead), interruption: Flag(), retries: true)) { event in
      switch event {
      case .block(let block, let end): seen.append("\(block.decoded.raw.position) to \(end)")
      case .caughtUp(let next):
        seen.append("caught up at \(next)")
        #expect(shard.asked == blocks + 1, "it is asked again when this is consumed")
      case .end: break
      default: Issue.record("nothing else comes")
      }
      return true
    }
    #expect(
      seen == (0..<Int64(blocks)).map { "\($0 * 2000) to \($0 * 2000 + 2000)" } + ["caught up at 50000", "50000 to 50001"])
    #expect(!shard.isClosed, "it has ended by itself")
  }

  /// What it is not asked for it gathers into larger blocks.
  @Test func aSourceThatGathersIsAskedOnlyWhenABlockCanBePrepared() async throws {
    let ahead = PrepareAhead(1)
    let shard = ScriptedSource((0..<6).map { block(at: Int64($0) * 2000, records: 2000) } + [.end])
    let reading = Reading(ahead: ahead, interruption: Flag(), retries: true, gathers: true)
    #expect(ahead.take(), "another lane has it")
    var seen = 0
    try await pool.forEach(shard, reading) { event in
      guard case .block = event else { return true }
      seen += 1
      for _ in 0..<200 { await Task.yield() }
      #expect(shard.asked == seen, "the next block is asked for when this one is consumed")
      return true
    }
    #expect(seen == 6)
  }

  @Test func aShardThatIsWantedNoMoreIsClosedAndAnErrorThatPassesDoesNotEndIt() async throws {
    let shard = ScriptedSource()
    shard.give(.failure(WeirError(.unavailable, "not now")))
    for event in [block(at: 0, records: 2000), block(at: 2000, records: 1), .end] { shard.give(.success(event)) }
    var seen = 0
    try await pool.forEach(shard, Reading(ahead: PrepareAhead(0), interruption: Flag(), retries: true)) { _ in
      seen += 1
      return false
    }
    #expect(seen == 1)
    #expect(shard.isClosed)
    let other = ScriptedSource()
    other.give(.failure(WeirError(.unavailable, "not now")))
    await #expect(throws: WeirError.self, "a capture's error ends its reading") { try await pool.forEach(other, capture()) { _ in true } }
  }
}
