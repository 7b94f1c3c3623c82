import WeirCore
import WeirOperators
import Synchronization

/// What a worker reads: prepared blocks in shard order, with the source's marks between them.
enum PreparedEvent: Sendable {
  case block(PreparedBlock, end: Int64)
  case cut(position: Int64, prefixHash: Hash128)
  case end
  /// Stopped from outside behind the last cut: the stream ends here.
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

  /// - Parameter dealer: nil: one lane has all rows of a block.
  init(_ compiled: CompiledPlan, _ environment: EngineEnvironment, dealer: LaneDealer? = nil) {
    self.compiled = compiled
    self.dealer = dealer
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
  /// Reads `source` to its end, or to the first cut at which it is interrupted, and calls `body` for every event in order, while up to `parallel` blocks are prepared
  /// ahead on other threads.
  func forEach(
    _ source: any RecordSource, parallel: Int, until isInterrupted: @Sendable () -> Bool,
    _ body: (PreparedEvent) async throws -> Void
  ) async throws {
    enum Waiting {
      case block(Int, end: Int64)
      case mark(PreparedEvent)
    }
    try await withThrowingTaskGroup(of: (Int, PreparedBlock).self) { group in
      var queue: [Waiting] = []
      var done: [Int: PreparedBlock] = [:]
      var started = 0
      var inFlight = 0
      var isReading = true
      while isReading || !queue.isEmpty {
        while isReading, inFlight < parallel, queue.count < parallel * 2 {
          switch try await source.next() {
          case .block(let raw):
            let number = started
            started += 1
            inFlight += 1
            queue.append(.block(number, end: raw.position + Int64(raw.count)))
            guard let raw = try await resolve(raw, until: isInterrupted) else {
              // What lies behind the last cut is read again by the next run.
              try await body(.interrupted)
              group.cancelAll()
              return
            }
            group.addTask { (number, self.prepare(raw)) }
          case .cut(let position, let hash): queue.append(.mark(.cut(position: position, prefixHash: hash)))
          case .end:
            queue.append(.mark(.end))
            isReading = false
          }
        }
        guard let first = queue.first else { break }
        switch first {
        case .mark(let event):
          queue.removeFirst()
          try await body(event)
          if case .cut = event, isInterrupted() {
            try await body(.interrupted)
            group.cancelAll()
            return
          }
        case .block(let number, let end):
          while done[number] == nil, let (finished, block) = try await group.next() { done[finished] = block }
          guard let block = done.removeValue(forKey: number) else { preconditionFailure("a block was prepared and lost") }
          inFlight -= 1
          queue.removeFirst()
          try await body(.block(block, end: end))
        }
      }
    }
  }
}
