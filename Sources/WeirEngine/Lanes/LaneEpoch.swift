import WeirCore
import WeirOperators

/// One epoch's contribution of a lane to the aggregates that the merge lane finishes.
final class Partial: @unchecked Sendable {
  // Unchecked: a lane fills it, gives it away at the cut and makes a new one; the merge lane only reads it.
  /// By aggregate number; nil: finished in the lane.
  let windows: [WindowStore?]
  let keyed: [KeyedStore?]

  init(_ compiled: CompiledPlan) { (windows, keyed) = compiled.stores { !$0.isFinishedInLane } }

  /// Reads what ``save(into:)`` wrote.
  func restore(from reader: inout ByteReader) throws(WeirError) {
    for store in windows { try store?.restore(from: &reader) }
    for store in keyed { try store?.restore(from: &reader) }
  }

  /// Everything in the order of the plan's aggregates: the entry's `partials`.
  func save(into out: inout ByteWriter) {
    for store in windows { store?.save(into: &out) }
    for store in keyed { store?.save(base: true, into: &out) }
  }
}

/// Rows of one lane and epoch, by table.
final class LaneTables: @unchecked Sendable {
  // Unchecked: a lane fills it and gives it away at the cut; then the encoder alone takes out of it. It is a class so that
  // what was taken is held nowhere else, and each block is freed as soon as it is encoded.
  var bronze: [RowChunk]
  var silver: [RowChunk]
  var quarantine: [Column]?
  /// By gold table number.
  var late: [Int: LateChunk] = [:]
  var gold: [Int: WindowResults] = [:]

  init(bronze: [RowChunk], silver: [RowChunk]) {
    self.bronze = bronze
    self.silver = silver
  }

  func removeAll() {
    (bronze, silver, quarantine) = ([], [], nil)
    (late, gold) = ([:], [:])
  }
}

/// What a cut takes out of a lane.
struct LaneEpoch: Sendable {
  var lane: LaneID
  /// Everything before it is consumed.
  var position: Int64
  var watermark: Int64
  var counts: BucketCounts
  /// By gold table number.
  var windowCounts: [WindowCounts]
  var tables: LaneTables
  /// Of all lanes of the shard; the first has it.
  var partial: Partial?
  var state: [UInt8]
  var stateIsBase: Bool
  /// Of a live shard, at ``position``.
  var identity: ShardIdentity?
  /// For whoever watches; nothing is committed of these.
  var sizes = LaneSizes()
  var rejected = RejectedReasons()
  var arrivals = Arrivals()
}
