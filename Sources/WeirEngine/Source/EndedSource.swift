import WeirCore
import WeirOperators
import WeirProtocol

/// A source of which everything was read before.
struct EndedSource: RecordSource {
  func next() async throws -> SourceEvent { .end }
  func close() async {}
}
