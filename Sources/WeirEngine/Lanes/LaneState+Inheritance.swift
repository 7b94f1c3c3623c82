import WeirCore
import WeirOperators
import WeirProtocol

/// What a lane takes over from the lanes of its shard's parents (DESIGN section 4, "Reshard"), of keys in its range: open windows and keyed
/// state. Of the ids of dedup it takes all, because they are hashes, which do not show the key.
extension LaneState {
  /// - Parameters:
  ///   - parents: as their last entries left them.
  ///   - dedupFloor: see ``LedgerFold/dedupFloor(of:)``.
  /// - Throws: `corrupt` if the state does not show which keys it has.
  func inherit(
    _ parents: [(state: LaneState, source: LaneOrigin.Parent)], _ origin: LaneOrigin, dedupFloor: Int64, _ variant: EngineVariant = []
  ) throws(WeirError) {
    let keys = try InheritedKeys(compiled, origin, of: id)
    if let dedup, !variant.contains(.childForgetsIDs) {
      dedup.inherit(
        parents.compactMap { parent, _ in
          // Its ids were judged by no less than its own floor of them.
          parent.dedup.map {
            ($0, rise: LaneState.rise(from: max(parent.watermark, parent.floor, parent.dedupFloor), to: dedupFloor))
          }
        })
    }
    for (parent, source) in parents {
      let reached = max(parent.watermark, parent.floor)
      for i in compiled.aggregates.indices {
        func keeps(_ key: ArraySlice<UInt8>) -> Bool {
          variant.contains(.childKeepsAllKeys) || keys.contains(key, of: i, from: source.range)
        }
        if let store = windows[i], let theirs = parent.windows[i] { store.inherit(theirs, reached: reached, where: keeps) }
        if let store = keyed[i], let theirs = parent.keyed[i] { store.inherit(theirs, where: keeps) }
      }
    }
  }

  /// By how much the marks of a parent's ids rise, so that they keep their distance to the child's clock.
  static func rise(from reached: Int64, to clock: Int64) -> Int64 {
    reached == Watermark.minimum || clock <= reached ? 0 : clock &- reached
  }
}

/// Which groups of a parent's tables belong to a child.
struct InheritedKeys {
  private let range: HashRange?
  private let keys: GroupKeys

  init(_ compiled: CompiledPlan, _ origin: LaneOrigin, of lane: LaneID) throws(WeirError) {
    range = origin.range
    keys = GroupKeys(compiled)
    // Without ranges a merge is known, and a split is not.
    guard range != nil || origin.parents.count > 1 else {
      throw WeirError(
        .corrupt, "the shard \(lane.shard) has a parent and no range of hashes, so it is not known which keys it took over",
        advice: "Start \(.newLake), or use a source that says which hashes its shards have.")
    }
  }

  /// - Parameter parent: the hashes of the parent whose group it is.
  func contains(_ key: ArraySlice<UInt8>, of aggregate: Int, from parent: HashRange?) -> Bool {
    guard let range else { return true }
    // Groups of the parent itself continue in the child that has its first hash, so that exactly one finishes them.
    guard let hash = keys.hash(of: key, of: aggregate) else { return parent.map { range.contains($0.first) } ?? true }
    return range.contains(hash)
  }
}

/// Until a child's own watermark has passed it: what the keys of each parent are judged by, and of each of their parents.
struct InheritedFloors {
  private var floors: [(range: HashRange, floor: Int64)]
  /// Of a stream that got more shards: what the keys of each shard of before are judged by.
  private var growth: PartitionGrowth?

  /// nil: there are none above the lane's own floor.
  init?(_ ancestors: [LedgerFold.Ancestor], _ growth: PartitionGrowth? = nil, above floor: Int64) {
    self.growth = growth.flatMap { $0.dedupFloor > floor ? $0 : nil }
    floors = ancestors.compactMap { parent in parent.range.flatMap { parent.reached > floor ? ($0, parent.reached) : nil } }
    if floors.isEmpty, self.growth == nil { return nil }
  }

  /// Raises the watermarks of a block's records, and forgets what the shard has passed.
  /// - Parameter watermark: of the shard, before the block at the earliest.
  /// - Returns: whether a floor is left.
  mutating func raise(_ block: inout PreparedBlock, shard watermark: Int64) -> Bool {
    floors.removeAll { $0.floor <= watermark }
    if let growth, growth.dedupFloor <= watermark { self.growth = nil }
    if let growth { growth.raise(&block) }
    guard !floors.isEmpty else { return growth != nil }
    for row in block.columns.watermark.indices {
      let hash = KeyHash.of(block.key, row)
      for (range, floor) in floors where range.contains(hash) { block.columns.watermark[row] = max(block.columns.watermark[row], floor) }
    }
    return true
  }
}
