import Synchronization
import WeirCore

/// A source that gives what its test gives it, and waits for more in between: a pipe whose writer pauses.
public final class ScriptedSource: RecordSource {
  private static let closed = WeirError(.internal, "closed")
  private let events: Mailbox<Result<SourceEvent, any Error>>
  private let askedFor = Atomic(0)

  public init(_ events: [SourceEvent] = []) { self.events = Mailbox(events.map { .success($0) }) }

  public var isClosed: Bool { events.hasEnded }
  /// How often ``next()`` was called.
  public var asked: Int { askedFor.load(ordering: .sequentiallyConsistent) }

  public func give(_ event: Result<SourceEvent, any Error>) { events.give(event) }
  public func give(cut position: Int64) { give(.success(.cut(position: position, prefixHash: Hash128(low: 0, high: 0)))) }

  public func next() async throws -> SourceEvent {
    askedFor.add(1, ordering: .sequentiallyConsistent)
    return try await events.next().get()
  }

  /// What was not asked for is lost.
  public func close() async { events.end(with: .failure(ScriptedSource.closed), drops: true) }
}
