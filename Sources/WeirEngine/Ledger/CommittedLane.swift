import WeirCore
import WeirProtocol

/// What an epoch of a lane follows: the lane as this worker restored it or committed it last. It is never what was read in the ledger
/// later, because it is the fence: an epoch of a lane that another worker has moved on is refused.
struct CommittedLane: Sendable {
  var generation: Int64
  var epoch: Int64
  /// Everything before it is committed.
  var position: Position
  var state: StateRef?

  init(_ lane: LaneFold?) {
    generation = lane?.generation ?? 0
    epoch = lane?.epoch ?? 0
    position = lane?.position ?? .offset(0)
    state = lane?.state
  }

  /// Behind an entry of this worker's.
  init(_ commit: LaneCommit, entry number: Int64) {
    generation = commit.generation
    epoch = commit.epoch
    position = commit.endsAtItself ? .offset(number) : commit.to
    state = commit.state
  }
}
