import WeirCore
import WeirOperators

/// From a source to the sequencer: blocks are read, prepared side by side, handed on in order.
extension PreparerPool {
  /// A source that gives nothing for this long pauses.
  static let sourceRestNanoseconds: Int64 = 100_000_000
  /// Rest after an error that passes: the client itself tries again; this only keeps its errors from making a busy loop.
  private static let restNanoseconds: Int64 = 100_000_000
  /// A block of fewer bytes is prepared at once: another task costs more than it saves.
  private static let inlineBytesMax = 16 << 10

  /// Reads `source` and calls `body` for every event in order, while blocks are prepared ahead on other threads. Ends with the source,
  /// when `body` says that it wants no more, or interrupted.
  ///
  /// An interrupted stream ends at the next cut. If it may pause, its source is not waited for: when it gives nothing meanwhile (a pipe
  /// whose writer pauses), the stream ends at once, and what comes after the last cut is read again by the next run. Whenever the stream
  /// ends before its source does, the source is closed: its next event may never come.
  /// - Parameter body: false: nothing more is wanted.
  func forEach(
    _ source: any RecordSource, _ reading: Reading, _ body: (PreparedEvent) async throws -> Bool
  ) async throws {
    let queue = PreparedQueue(ahead: reading.ahead, consumed: { [memory] in memory.freed() })
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await self.read(source, reading, into: queue) }
      if reading.mayPause {
        group.addTask { await self.pauses(queue) }
        group.addTask { await self.interrupts(queue, reading.interruption) }
      }
      defer { group.cancelAll() }
      do {
        if try await PreparerPool.hand(queue, reading.interruption, body) { return await queue.close() }
      } catch {
        await queue.close()
        await source.close()
        throw error
      }
      await queue.close()
      await source.close()
    }
  }

  /// - Returns: false if it ended before the source.
  private static func hand(
    _ queue: PreparedQueue, _ interruption: Flag, _ body: (PreparedEvent) async throws -> Bool
  ) async throws -> Bool {
    while true {
      let event = try await queue.next()
      guard try await body(event) else { return false }
      switch event {
      case .block, .pause, .caughtUp: continue
      case .end, .outOfRange, .closed: return true
      case .interrupted: return false
      case .cut:
        guard interruption.isRaised else { continue }
        _ = try await body(.interrupted)
        return false
      }
    }
  }

  /// Never throws: an error is handed out in its order, after what was read before it.
  private func read(_ source: any RecordSource, _ reading: Reading, into queue: PreparedQueue) async {
    await withDiscardingTaskGroup { preparers in
      do {
        while await queue.hasRoom(forBlock: reading.gathers) {
          try await reading.admit?({ await queue.hasBlocks })
          let event: SourceEvent
          do { event = try await source.next() } catch let error as WeirError where error.isRetriable && reading.retries {
            await clock.sleep(nanoseconds: PreparerPool.restNanoseconds)
            continue
          }
          switch event {
          case .block(let raw, let next):
            try memory.budget.check(raw, of: reading.shard)
            guard await queue.hasRoomForBlock() else { return }
            guard let resolved = try await resolve(raw, reading) else { return await queue.interrupt() }
            let number = await queue.expect(end: next)
            if resolved.count < PreparerPool.inlineBytesMax {
              await queue.prepared(number, prepare(resolved))
            } else {
              preparers.addTask { await queue.prepared(number, self.prepare(resolved)) }
            }
          case .cut(let position, let hash): await queue.append(.cut(position: position, prefixHash: hash))
          case .caughtUp(let next):
            await queue.append(.caughtUp(next: next))
            // There is nothing to prepare ahead. Who asks the source again has consumed what it gave.
            guard await queue.isDrained() else { return }
          case .outOfRange(let at): return await queue.append(.outOfRange(at: at))
          case .closed(let at, let children): return await queue.append(.closed(at: at, children: children))
          case .end: return await queue.append(.end)
          }
        }
      } catch { await queue.fail(error) }
    }
  }

  /// - Returns: nil when it was interrupted.
  private func resolve(_ raw: RawBlock, _ reading: Reading) async throws -> RawBlock? {
    guard asksForSchemas else { return raw }
    reading.resolves(true)
    defer { reading.resolves(false) }
    return try await resolve(raw, until: { reading.interruption.isRaised })
  }

  /// Says once in each pause of the source that it pauses.
  private func pauses(_ queue: PreparedQueue) async {
    var last: Int?
    while let starved = await queue.starved(butNot: last) {
      guard await isPausing(queue, starved) else { continue }
      await queue.pause()
      last = starved
    }
  }

  /// Ends an interrupted stream in the first pause of its source.
  private func interrupts(_ queue: PreparedQueue, _ interruption: Flag) async {
    await interruption.wait()
    guard interruption.isRaised else { return }
    while let starved = await queue.starved() {
      if await isPausing(queue, starved) { return await queue.interrupt() }
    }
  }

  /// The stream, which waits for its source since this many events, still does so after a rest.
  private func isPausing(_ queue: PreparedQueue, _ starved: Int) async -> Bool {
    await clock.sleep(nanoseconds: PreparerPool.sourceRestNanoseconds)
    return await queue.starvedAfter == starved
  }
}
