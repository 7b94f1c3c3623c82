import WeirCore

extension PreparerPool {
  /// Rest after an error that passes: the client itself tries again; this only keeps its errors from making a busy loop.
  private static let restNanoseconds: Int64 = 100_000_000
  /// A block of fewer bytes is prepared at once: another task costs more than it saves.
  private static let inlineBytesMax = 16 << 10

  /// Reads a live shard until it is released, or nothing is taken from the queue any more, and prepares its blocks side by side.
  ///
  /// It is a task of its own, which never throws: errors are handed out in their order, after what was read before them.
  /// - Parameter resolves: called when schemas are asked for, and when they are there.
  func read(
    _ reader: any ShardReader, into queue: PreparedQueue, until isStopped: @escaping @Sendable () -> Bool,
    resolves: @escaping @Sendable (Bool) -> Void
  ) async {
    await withDiscardingTaskGroup { preparers in
      do {
        while !isStopped() {
          let read: ShardRead
          do { read = try await reader.next() } catch let error as WeirError where error.isRetriable {
            await clock.sleep(nanoseconds: PreparerPool.restNanoseconds)
            continue
          }
          switch read {
          case .block(let raw, let next):
            guard await queue.hasRoomForBlock() else { return }
            if asksForSchemas { resolves(true) }
            let resolved = try await resolve(raw, until: isStopped)
            if asksForSchemas { resolves(false) }
            guard let resolved else { return await queue.append(.shard(.closed)) }
            let number = await queue.expect(end: next)
            if resolved.count < PreparerPool.inlineBytesMax {
              await queue.prepared(number, prepare(resolved))
            } else {
              preparers.addTask { await queue.prepared(number, self.prepare(resolved)) }
            }
          case .caughtUp(let next):
            await queue.append(.shard(.caughtUp(next: next)))
            // There is nothing to prepare ahead. Who asks the source again has consumed what it gave.
            guard await queue.isDrained() else { return }
          case .outOfRange(let at): return await queue.append(.shard(.outOfRange(at: at)))
          case .closed: return await queue.append(.shard(.closed))
          }
        }
        await queue.append(.shard(.closed))
      } catch { await queue.fail(error) }
    }
  }
}
