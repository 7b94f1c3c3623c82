import WeirCore
import WeirProtocol

/// One entry's worth of work on its way to the ledger: an epoch of every lane of the worker, cut at one mark.
struct EpochBatch: Sendable {
  /// In lane order.
  var epochs: [LaneEpoch]
  /// Over all bytes of the capture before the mark.
  var prefixHash: Hash128
  var decisions: [Decision]
}
