import WeirCore
import WeirOperators

extension PreparerPool {
  /// How often it is checked whether a wait for a source is in vain.
  static let sourceLookNanoseconds: Int64 = 100_000_000

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
      case .block, .pause, .shard: continue
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
      await clock.sleep(nanoseconds: PreparerPool.sourceLookNanoseconds)
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
