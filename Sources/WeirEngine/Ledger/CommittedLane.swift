import WeirCore
import WeirProtocol

/// What an epoch of a lane follows: the lane as this worker restored it or committed it last. It is never what was read in the ledger
/// later, because it is the fence: an epoch of a lane that another worker has moved on is refused.
struct CommittedLane: Sendable {
  var generation: Int64
  var epoch: Int64
  /// Everything before it is committed.
  var position: ShardPoint
  var state: StateRef?

  /// - Parameter lane: of the fold from which the lane was restored, or of the one that ends with this worker's own entry.
  init(_ lane: LaneFold?) {
    generation = lane?.generation ?? 0
    epoch = lane?.epoch ?? 0
    position = lane?.position ?? .offset(0)
    state = lane?.state
  }
}
