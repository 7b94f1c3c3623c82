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

/// The data files and blobs of a batch, encoded but not yet written.
struct EncodedBatch: Sendable {
  var files: [EncodedFile]
  /// All blobs of the entry in one object.
  var blobs: [UInt8]
  /// Where each lane's state stands in `blobs`, in the order of the epochs; then the merge lane's, then the partials.
  var laneState: [Range<Int>]
  var mergeState: Range<Int>?
  var partials: Range<Int>?
}
