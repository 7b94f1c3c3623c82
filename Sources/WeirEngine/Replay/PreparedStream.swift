import WeirCore
import WeirOperators
import Synchronization

/// What a worker reads: prepared blocks in shard order, with the source's marks between them.
enum PreparedEvent: Sendable {
  case block(PreparedBlock, end: Int64)
  case cut(position: Int64, prefixHash: Hash128)
  case end
  /// The source gives nothing for a while: what waits for company is not to wait any longer.
  case pause
  /// Stopped from outside: the stream ends here, at the last cut.
  case interrupted
}

/// Preparers that are not in use. A preparer keeps the key order it saw last, so it is worth keeping.
final class PreparerPool: Sendable {
  private struct Box: @unchecked Sendable {
    // Unchecked: a preparer is in the pool or with one task.
    let preparer: BlockPreparer
  }
  private let compiled: CompiledPlan
  private let dealer: LaneDealer?
  private let free = Mutex<[Box]>([])
  private let schemas: SchemaBook?
  private let clock: any Clock

  /// - Parameter dealer: nil: one lane has all rows of a block.
  init(_ compiled: CompiledPlan, _ environment: EngineEnvironment, dealer: LaneDealer? = nil) {
    self.compiled = compiled
    self.dealer = dealer
    clock = environment.clock
    schemas = SchemaBook(compiled.plan, environment: environment)
  }

  /// The plan's records name schemas.
  var asksForSchemas: Bool { schemas != nil }

  /// What preparing needs besides the block. Waits for a schema registry that is away.
  /// - Returns: nil when `isStopped` ended the wait.
  func resolve(_ raw: RawBlock, until isStopped: @Sendable () -> Bool) async throws -> RawBlock? {
    guard let schemas else { return raw }
    return try await schemas.resolve(raw, until: isStopped)
  }

  func prepare(_ raw: RawBlock) -> PreparedBlock {
    let box = free.withLock { $0.popLast() } ?? Box(preparer: BlockPreparer(compiled, dealer))
    defer { free.withLock { $0.append(box) } }
    return box.preparer.prepare(raw)
  }
}

extension PreparerPool {
  /// Reads `source` to its end, or until it is interrupted, and calls `body` for every event in order, while up to `parallel` blocks
  /// are prepared ahead on other threads.
  ///
  /// Interrupted, it ends at the next cut. A source that gives nothing meanwhile (a pipe whose writer pauses) is not waited for: then it
  /// ends at once, and what lies behind the last cut is read again by the next run. Whenever it ends before the source does, the source
  /// is closed: its next event may never come.
  func forEach(
    _ source: any RecordSource, parallel: Int, until isInterrupted: @escaping @Sendable () -> Bool,
    _ body: (PreparedEvent) async throws -> Void
  ) async throws {
    let queue = PreparedQueue(parallel: parallel)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await self.read(source, into: queue, until: isInterrupted) }
      group.addTask { await self.watch(queue, isInterrupted) }
      defer { group.cancelAll() }
      do {
        if try await PreparerPool.hand(queue, isInterrupted, body) { return await queue.close() }
      } catch {
        await queue.close()
        await source.close()
        throw error
      }
      await queue.close()
      await source.close()
    }
  }

  /// - Returns: false if it was interrupted.
  private static func hand(
    _ queue: PreparedQueue, _ isInterrupted: () -> Bool, _ body: (PreparedEvent) async throws -> Void
  ) async throws -> Bool {
    while true {
      let event = try await queue.next()
      try await body(event)
      switch event {
      case .block, .pause: continue
      case .end: return true
      case .interrupted: return false
      case .cut:
        guard isInterrupted() else { continue }
        try await body(.interrupted)
        return false
      }
    }
  }

  private func read(_ source: any RecordSource, into queue: PreparedQueue, until isInterrupted: @Sendable () -> Bool) async {
    await withDiscardingTaskGroup { preparers in
      do {
        while await queue.hasRoom() {
          switch try await source.next() {
          case .block(let raw):
            let number = await queue.expect(end: raw.position + Int64(raw.count))
            guard let raw = try await resolve(raw, until: isInterrupted) else { return await queue.interrupt() }
            preparers.addTask { await queue.prepared(number, self.prepare(raw)) }
          case .cut(let position, let hash): await queue.append(.cut(position: position, prefixHash: hash))
          case .end: return await queue.append(.end)
          }
        }
      } catch { await queue.fail(error) }
    }
  }

  /// Twice without an event in between: the stream waits for its source. Looks until the task is cancelled.
  private func watch(_ queue: PreparedQueue, _ isInterrupted: @Sendable () -> Bool) async {
    var (before, told): (Int?, Int?) = (nil, nil)
    while !Task.isCancelled {
      await clock.sleep(nanoseconds: sourceLookNanoseconds)
      let starved = await queue.starvedAfter
      if let starved, starved == before {
        if isInterrupted() { return await queue.interrupt() }
        if told != starved { await queue.pause() }
        told = starved
      }
      before = starved
    }
  }
}

/// How often it is looked whether somebody who waits for a source does so in vain.
private let sourceLookNanoseconds: Int64 = 100_000_000

extension RecordSource {
  /// The next event; nil if it was interrupted while it waited for one. Then the source is closed.
  func next(until isInterrupted: @escaping @Sendable () -> Bool, _ clock: any Clock) async throws -> SourceEvent? {
    try await withThrowingTaskGroup(of: SourceEvent?.self) { group in
      group.addTask {
        do { return try await self.next() } catch {
          if isInterrupted() { return nil }
          throw error
        }
      }
      group.addTask {
        while !Task.isCancelled {
          await clock.sleep(nanoseconds: sourceLookNanoseconds)
          if isInterrupted() { break }
        }
        if !Task.isCancelled { await self.close() }
        return nil
      }
      defer { group.cancelAll() }
      return try await group.next() ?? nil
    }
  }
}
