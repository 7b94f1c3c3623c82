import WeirCore
import WeirKinesisSettings

/// Checkpoints that another program (KCL) wrote, and that are beyond the ledger: its records would be processed twice.
extension KinesisGroup {
  /// Of a shard that the other program has read to its end, the shard's own end.
  /// - Throws: `unavailable`: the stream does not say where such a shard ends.
  package func processedElsewhere(_ positions: [String: ShardPoint]) async throws -> [String: Position] {
    guard parts.acceptsCheckpoints else { return [:] }
    var found: [String: Position] = [:]
    for (name, point) in positions.sorted(by: { $0.key < $1.key }) {
      let shard = try await known(name)
      guard let lease = keeper.lease(shard.id), lease.isForeign(aheadOf: point, end: shard.end) else { continue }
      guard let next = lease.next(end: shard.end) else {
        throw WeirError(
          .unavailable, "another program has read \(name) to its end, and the stream does not list the shard as ended",
          advice: "It is asked again. If it stays so, was the stream deleted and created again?")
      }
      found[name] = .sequence(next)
    }
    return found
  }

  func refuseForeign(_ shard: KinesisShard, at point: ShardPoint) throws {
    guard let lease = keeper.lease(shard.id), lease.isForeign(aheadOf: point, end: shard.end) else { return }
    throw WeirError(
      .refused,
      "the application \(spec.settings.app) has a checkpoint of another program for \(spec.stream)/\(shard.id), \(lease.checkpoint), which is ahead of the ledger's position \(point.text)",
      advice:
        "Records up to there were processed elsewhere. Stop the other program first. Then either continue at its checkpoints with \(.acceptCheckpoints(stream: spec.stream)): the ledger records a gap, and this pipeline's tables do not get those records. Or give the pipeline an application of its own (\(.setting(.sourceGroup))), which reads from its start."
    )
  }
}
