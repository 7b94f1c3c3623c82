import WeirCore
import WeirOperators
import WeirProtocol

/// What an epoch of the merge lane takes out of it.
struct MergedEpoch: Sendable {
  /// By gold table number.
  var results: [Int: WindowResults]
  /// By table.
  var counts: [String: WindowCounts]
  /// By which windows were finished.
  var watermark: Int64
  /// See ``LaneCommit/isClosing``.
  var isClosing: Bool
  var state: (pieces: [[UInt8]], isBase: Bool)
}
