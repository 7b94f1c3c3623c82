import WeirCore
import WeirProtocol

/// One entry's worth of work on its way to the ledger: an epoch of every lane of the worker, cut at one mark.
struct EpochBatch: Sendable {
  /// In lane order.
  var epochs: [LaneEpoch]
  /// Over all bytes of the capture before the mark; nil where the source has no such hash.
  var prefixHash: Hash128?
  var decisions: [LaneID: [Decision]]

  init(epochs: [LaneEpoch], prefixHash: Hash128? = nil, decisions: [LaneID: [Decision]]) {
    self.epochs = epochs.sorted { $0.lane < $1.lane }
    (self.prefixHash, self.decisions) = (prefixHash, decisions)
  }
}

extension EpochBatch {
  var hasDecisions: Bool { decisions.contains { !$0.value.isEmpty } }

  /// Why its records were rejected.
  var rejected: RejectedReasons { epochs.reduce(into: RejectedReasons()) { $0.add($1.rejected) } }

  /// The chunks shard by shard, each in the order of its positions: those of different shards have nothing to do with one another.
  func inShardOrder(_ rows: (LaneTables) -> [RowChunk]) -> [RowChunk] {
    var chunks: [RowChunk] = []
    var first = 0
    while first < epochs.count {
      let next = epochs[first...].firstIndex { $0.lane.shard != epochs[first].lane.shard } ?? epochs.count
      chunks += RowChunk.inPositionOrder(epochs[first..<next].map { rows($0.tables) })
      first = next
    }
    return chunks
  }

  /// - Throws: `quarantine_halt` when more of the batch's records would be quarantined than the plan allows.
  func checkQuarantine(_ plan: Plan) throws(WeirError) {
    guard let share = plan.quarantine.haltAbove else { return }
    var counts = BucketCounts()
    for epoch in epochs { counts += epoch.counts }
    guard counts.input > 0, Double(counts.quarantined) > share * Double(counts.input) else { return }
    throw WeirError(
      .quarantineHalt,
      "\(counts.quarantined) of the \(counts.input) records up to position \(epochs[0].point) would be quarantined, more than the limit of \(share * 100)%\n"
        + rejected.text(),
      advice:
        "Nothing of this epoch was committed. Correct what rejects the records; or leave \(.setting(.haltAbove)) out to let them into quarantine."
    )
  }
}
