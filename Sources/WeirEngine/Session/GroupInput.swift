import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// A member of a group of workers that share the shards of a live source.
final class GroupInput: SessionInput {
  private let group: any ShardGroup
  /// What the source had when it was last asked.
  private let shards: Mutex<[SourceShard]>
  private let accepted: AcceptedStreams
  private let observe: @Sendable (WorkerEvent) -> Void

  /// - Throws: `topic_missing`.
  init(_ group: any ShardGroup, _ accepted: AcceptedStreams, observe: @escaping @Sendable (WorkerEvent) -> Void) async throws {
    (self.group, self.accepted, self.observe) = (group, accepted, observe)
    let found = try await group.shards()
    shards = Mutex(found)
    guard !found.isEmpty else {
      throw WeirError(.topicMissing, "the source has no shards", advice: "Create the topic, or name another.")
    }
  }

  var isShared: Bool { true }
  var mayCollect: Bool { true }

  func complete(_ request: inout LedgerRequest) { request.shards = shards.withLock { $0.map(\.name) } }

  func check(_ opened: inout OpenedLedger) async throws {
    var fold = await opened.ledger.fold
    // The source was asked before the ledger was read.
    let shards = try await GroupConductor.confirmed(
      shards.withLock { $0 }, group, fold, accepted, clock: opened.environment.clock)
    self.shards.withLock { $0 = shards }
    if let stream = try GroupConductor.check(shards, opened.compiled.following(fold), fold, accepted) {
      let count = fold.lanes.count
      fold = try await PartitionsToAdd(
        compiled: opened.compiled, ledger: opened.ledger, environment: opened.environment, planHash: opened.planHash, stream: stream,
        shards: shards
      ).decide()
      if let decision = fold.growths[stream]?.decision, fold.lanes.count > count {
        observe(.partitionsAdded(stream: stream, before: decision.before.count, added: decision.added.count))
      }
    }
    if !opened.environment.variant.contains(.growthUnnoticed) { opened.compiled = opened.compiled.following(fold) }
    try await opened.environment.state?.reopen()
  }

  func begin(_ opened: OpenedLedger, _ counts: WorkerCounts) async throws -> any Conductor {
    var opened = opened
    try await opened.lookAtLookups(observe: observe)
    try await opened.decideLookups(carrier: [.merge])
    let session = await Session(opened, .init(recordsTakeOvers: true))
    return await GroupConductor(session, group: group, shards: shards.withLock { $0 }, counts: counts, accepted: accepted, observe: observe)
  }

  func close() async { await group.close() }
}
