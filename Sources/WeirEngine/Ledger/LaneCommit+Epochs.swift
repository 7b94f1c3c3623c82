import WeirCore
import WeirOperators
import WeirProtocol

// All epochs that this program commits are made here, so that they carry over by one rule what the ledger has of their lane.

extension LaneCommit {
  /// What a cut took out of a lane.
  /// - Parameter state: where the blob is stored, and what it is a delta of.
  init(
    _ epoch: LaneEpoch, after before: CommittedLane, dealing: Dealing?, prefixHash: Hash128?, decisions: [Decision],
    windows: [String: WindowCounts], state: StateRef
  ) {
    self.init(
      lane: epoch.lane, dealing: dealing, generation: before.generation, epoch: before.epoch + 1, from: before.position,
      to: epoch.point, watermark: epoch.watermark, prefixHash: prefixHash, identity: epoch.identity, counts: epoch.counts,
      windows: windows, decisions: decisions, state: state, isClosing: epoch.isClosing, floor: epoch.floor,
      // The lanes of a plain capture have one watermark, and none is idle.
      dueAt: dealing == nil || epoch.isClosing ? epoch.dueAt : nil)
    kinds = epoch.kinds
  }

  /// An epoch of the merge lane over the entries through `number`.
  init(_ merged: MergedEpoch, through number: Int64, itself endsAtItself: Bool, after before: CommittedLane, state: StateRef) {
    self.init(
      lane: .merge, generation: before.generation, epoch: before.epoch + 1, from: before.position, to: .offset(number),
      endsAtItself: endsAtItself, watermark: merged.watermark, windows: merged.counts, state: state, isClosing: merged.isClosing)
  }
}

extension LedgerFold {
  /// An epoch that moves nothing and keeps what the ledger has of the lane: it carries decisions.
  func emptyEpoch(of lane: LaneID, decisions: [Decision] = []) -> LaneCommit {
    let before = lane == .merge ? mergeLane : self[lane]
    let position = before?.position ?? .offset(0)
    return LaneCommit(
      lane: lane, dealing: lane == .merge ? nil : genesis.dealing, generation: before?.generation ?? 0, epoch: nextEpoch(of: lane),
      from: position, to: position, watermark: before?.watermark ?? Watermark.minimum, prefixHash: before?.prefixHash,
      decisions: decisions, state: before?.state, isClosing: before?.isClosing ?? false, dueAt: before?.dueAt)
  }
}
