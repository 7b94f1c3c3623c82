import WeirCore
import WeirProtocol

/// Streams (topics) of which the user accepts a change that does harm.
struct AcceptedStreams: Sendable {
  /// Another incarnation.
  var recreated: Set<String> = []
  /// More shards, which moves keys.
  var grown: Set<String> = []
}

/// Which shards there are.
extension GroupConductor {
  /// The group gave shards that were not there at the start, or whole streams may have gone: the source is asked what it has now.
  /// - Throws: `shards_changed`.
  /// - Returns: false: the session ends.
  func lookAtNewShards(_ names: [String], _ fold: LedgerFold) async throws -> Bool {
    let known = Set(shards.withLock { $0.map(\.name) })
    guard settings.readsSeveralStreams || names.contains(where: { !known.contains($0) }) else { return true }
    guard let now = try await askForShards(fold) else { return false }
    if let stream = try GroupConductor.check(now, session.compiled, fold, accepted) { throw PartitionsFound(stream: stream) }
    shards.withLock { $0 = now }
    return true
  }

  /// What the source has now, as ``confirmed(_:_:_:_:clock:until:)`` says.
  /// - Returns: nil: the session ends.
  func askForShards(_ fold: LedgerFold) async throws -> [SourceShard]? {
    try await asking {
      let first = try await group.shards()
      return try await GroupConductor.confirmed(
        first, group, fold, accepted, clock: session.environment.clock, until: { hasEnded })
    }
  }

  /// An answer without a shard that lanes read may be older than the ledger: another worker has listed the shard since, or the broker that
  /// answered does not know it yet. So the source is asked again, as for an end that seems too low, before anything follows from it.
  /// - Parameter first: an answer that came before the fold was read, or after.
  /// - Returns: the first answer that lacks nothing, or the last of ``ShardCheck/endAsksMax``.
  static func confirmed(
    _ first: [SourceShard], _ group: any ShardGroup, _ fold: LedgerFold, _ accepted: AcceptedStreams, clock: any Clock,
    until isOver: () -> Bool = { false }
  ) async throws -> [SourceShard] {
    var shards = first
    for ask in 1..<ShardCheck.endAsksMax {
      let isLacking =
        missing(shards, fold).contains { !accepted.recreated.contains(ShardName($0)?.stream ?? "") }
        || !gone(shards, fold).isEmpty
      guard isLacking, !isOver() else { break }
      // The first answer may be old: the next one is asked for at once.
      if ask > 1 { await clock.sleep(nanoseconds: ShardCheck.pauseNanoseconds) }
      shards = try await group.shards()
    }
    return shards
  }

  /// Where a key is not where it is expected, the stream may have more shards than this worker has seen.
  func explained(_ error: any Error) async -> any Error {
    guard (error as? WeirError)?.code == .misplaced, var now = try? await group.shards() else { return error }
    let known = Set(shards.withLock { $0.map(\.name) })
    guard now.contains(where: { !known.contains($0.name) && $0.parents.isEmpty }) else { return error }
    do {
      let fold = try await session.ledger.refresh()
      try session.compiled.check(fold)
      now = try await GroupConductor.confirmed(now, group, fold, accepted, clock: session.environment.clock)
      return try GroupConductor.check(now, session.compiled, fold, accepted).map { PartitionsFound(stream: $0) } ?? error
    } catch let other { return other }
  }

  /// Keys move when a stream gets more shards: what a lane has finished by key would continue in another lane. (A stream that is new
  /// as a whole moves none.)
  /// - Returns: a stream whose growth is accepted and not recorded.
  /// - Throws: `recreated`, `shards_changed`.
  static func check(
    _ shards: [SourceShard], _ compiled: CompiledPlan, _ fold: LedgerFold, _ accepted: AcceptedStreams
  ) throws(WeirError) -> String? {
    if let missing = missing(shards, fold).first(where: { !accepted.recreated.contains(ShardName($0)?.stream ?? "") }) {
      throw MissingShards.error(missing, holder: "The ledger", advice: advice(ShardName(missing)?.stream ?? missing))
    }
    let known = Set(fold.lanes.keys.map(\.shard))
    let streams = Set(shards.filter { known.contains($0.name) }.map(\.stream))
    // A shard with parents takes over what their lanes have finished.
    for shard in shards where !known.contains(shard.name) && streams.contains(shard.stream) && shard.parents.isEmpty {
      guard Placement.spread(compiled, shard, of: shards) != nil else { continue }
      if accepted.grown.contains(shard.stream) { return shard.stream }
      throw WeirError(
        .shardsChanged, "\(shard.stream) has a new partition, \(shard.name), since the ledger was created: keys move",
        advice:
          "Tables by key are finished in the lanes here. Either continue with \(.acceptPartitions(stream: shard.stream)): the ledger records it, tables, state and dedup are kept, and from then on tables by key are merged over the partitions. Or start \(.newLake)."
      )
    }
    return nil
  }

  /// Lanes that count for the merged watermark and that no worker can read any more.
  static func missing(_ shards: [SourceShard], _ fold: LedgerFold) -> [String] {
    MissingShards(held(fold).keys.map(\.shard), of: shards).names
  }

  /// The same of streams that the source does not have any more at all, as a topic that fitted a pattern and was deleted.
  static func gone(_ shards: [SourceShard], _ fold: LedgerFold) -> [String: [String]] {
    let streams = Set(shards.map(\.stream))
    let names = held(fold).keys.map(\.shard).filter { ShardName($0).map { !streams.contains($0.stream) } == true }
    return Dictionary(grouping: names.sorted()) { ShardName($0)?.stream ?? $0 }
  }

  private static func held(_ fold: LedgerFold) -> [LaneID: LaneFold] {
    // A shard that took over keys of others may be newer than what the source was asked for.
    fold.lanes.filter { id, lane in
      id != .merge && !lane.isIdle && !lane.hasEnded && !lane.isShardClosed && lane.origin == nil
    }
  }

  /// What to do about a stream that was recreated.
  static func advice(_ stream: String) -> Wording {
    "Either continue with the new topic from its start: \(.acceptRecreated(stream: stream)) records what was lost and keeps tables, state and dedup. Or restore the old topic, or start \(.newLake)."
  }
}
