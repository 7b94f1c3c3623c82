import WeirCore

/// How large a lane's state is at a cut.
struct LaneSizes: Sendable {
  var dedupEntries = 0
  /// Windows of one key each that are open in the lane; 0 for a plan whose windows are merged.
  var openWindows = 0
  var state = StateBytes()
}
