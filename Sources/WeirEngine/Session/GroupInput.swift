import WeirCore
import WeirOperators
import WeirProtocol

/// A member of a group of workers that share the shards of a live source.
struct GroupInput: SessionInput {
  private let group: any ShardGroup
  private let shards: [SourceShard]
  private let accepted: Set<String>
  private let observe: @Sendable (WorkerEvent) -> Void

  /// - Throws: `topic_missing`.
  init(_ group: any ShardGroup, accepted: Set<String>, observe: @escaping @Sendable (WorkerEvent) -> Void) async throws {
    (self.group, self.accepted, self.observe) = (group, accepted, observe)
    shards = try await group.shards()
    guard !shards.isEmpty else {
      throw WeirError(.topicMissing, "the source has no shards", advice: "Make the topic, or name another.")
    }
  }

  var isShared: Bool { true }

  func complete(_ request: inout LedgerRequest) { request.shards = shards.map(\.name) }

  func check(_ opened: inout OpenedLedger) async throws {
    try GroupConductor.check(shards, opened.compiled, await opened.ledger.fold, accepted)
    try await opened.environment.state?.reopen()
  }

  func begin(_ opened: OpenedLedger, _ counts: WorkerCounts) async throws -> any Conductor {
    try await opened.decideLookups(carrier: [.merge])
    let session = await Session(opened, .init(owner: Array(String(opened.environment.random.next(), radix: 16).utf8)))
    return await GroupConductor(session, group: group, shards: shards, counts: counts, accepted: accepted, observe: observe)
  }

  func close() async { await group.close() }
}
