import WeirCore
import WeirOperators

extension RecordSource {
  /// The next event; nil if it was interrupted while it waited for one. Then the source is closed.
  func next(until stop: Flag) async throws -> SourceEvent? {
    try await withThrowingTaskGroup(of: SourceEvent?.self) { group in
      group.addTask {
        do { return try await self.next() } catch {
          if stop.isRaised { return nil }
          throw error
        }
      }
      group.addTask {
        await stop.wait()
        if !Task.isCancelled { await self.close() }
        return nil
      }
      defer { group.cancelAll() }
      return try await group.next() ?? nil
    }
  }
}
