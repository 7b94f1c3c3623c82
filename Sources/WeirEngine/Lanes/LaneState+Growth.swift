import WeirCore
import WeirOperators
import WeirProtocol

/// What becomes of a lane's state when its stream got more shards (``AddedPartitions``): tables by key leave it, and ids of the other lanes come.
extension LaneState {
  /// Adds the ids that the lanes of the stream had seen to a lane that has none yet.
  /// - Parameter blob: as ``ids(of:from:to:)`` wrote it.
  func begin(withIDs blob: [UInt8]) throws(WeirError) {
    guard let dedup, let spec = compiled.plan.dedup else { return }
    let ids = DedupIndex(withinMicroseconds: spec.withinMicroseconds)
    var reader = ByteReader(blob[...], what: "the ids of the shards that there were")
    try ids.restore(from: &reader)
    dedup.inherit([(ids, rise: 0)])
  }

  /// The ids of all lanes, in one blob.
  /// - Parameter floor: by no less than this ids are forgotten from here on.
  static func ids(of lanes: [LaneState], _ spec: DedupSpec, floor: Int64) -> [[UInt8]] {
    let all = DedupIndex(withinMicroseconds: spec.withinMicroseconds)
    all.inherit(
      lanes.compactMap { lane in lane.dedup.map { ($0, rise: LaneState.rise(from: max(lane.watermark, lane.floor), to: floor)) } })
    var out = ByteWriter()
    all.save(base: true, into: &out)
    return out.pieces
  }

  /// The lane's next base: what lanes still finish by themselves, and no ids.
  /// - Parameter compiled: of after the change.
  func withoutKeys(_ compiled: CompiledPlan) -> [[UInt8]] {
    LaneState(keeping: self, compiled).save().pieces
  }
}

extension MergeLane {
  /// Takes over what a lane has of the tables that are merged from here on.
  func adopt(_ lane: LaneState) {
    for (i, store) in windows.enumerated() {
      guard let store, let theirs = lane.windows[i] else { continue }
      // What the lane has written out is not written again.
      store.inherit(theirs, reached: theirs.finishedThrough) { _ in true }
    }
    for (i, store) in keyed.enumerated() { if let store, let theirs = lane.keyed[i] { store.inherit(theirs) { _ in true } } }
  }
}

extension PartitionGrowth {
  /// The number of the shard in which a key was before.
  private func place(of key: UnsafeBufferPointer<UInt8>) -> Int { decision.rule?.shard(of: key, count: reached.count) ?? 0 }

  /// Raises the watermarks of a block's records to what the shard had reached in which their keys were.
  func raise(_ block: inout PreparedBlock) {
    guard case .string(let keys) = block.key.values else {
      for row in block.columns.watermark.indices { block.columns.watermark[row] = max(block.columns.watermark[row], dedupFloor) }
      return
    }
    for row in block.columns.watermark.indices where block.key.isValid(row) {
      block.columns.watermark[row] = max(block.columns.watermark[row], reached[place(of: keys[row].bytes)])
    }
  }
}
