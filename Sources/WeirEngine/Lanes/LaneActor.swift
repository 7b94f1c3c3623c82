import WeirCore
import WeirOperators

/// The one owner of lane state while a worker runs: of the lane that has a live shard to itself, or of some neighbouring lanes of a
/// capture. A thin actor around ``LaneState``.
///
/// Messages carry blocks, never records. Between two of them a cut may end the epoch, and the state flusher may take changed rows.
actor LaneActor {
  nonisolated let ids: [LaneID]
  nonisolated let news = StateNews()
  /// Number of the first among the shard's lanes.
  private let first: Int
  private let lanes: [LaneState]
  /// nil: other actors have lanes of the shard too, and one partial follows all of them.
  private let partial: ShardPartial?
  /// Where an epoch was cut last, or the lanes were restored.
  private var cutPoint: ShardPoint
  /// The source's position after what was consumed, where it is not the ordinal.
  private var sequence: SequenceNumber?
  /// Of a child's keys, see ``InheritedFloors``.
  private var inherited: InheritedFloors?
  /// Of the current epoch, and of what is not in the state table yet; live only.
  private var arrivals = Arrivals()
  private var unflushed = Arrivals()
  /// Behind the records that were consumed; live only.
  private(set) var identity = ShardIdentity()
  /// With which the records of the current epoch are prepared; nil: with whatever the blocks were.
  private(set) var lookups: LookupSet?
  /// With which those of the next epoch are to be.
  private var wanted: LookupSet?

  /// A lane that has its shard to itself.
  /// - Parameters:
  ///   - point: where it was restored; nil: it has no epoch.
  ///   - inherited: what keys of its shard's parents are judged by.
  init(
    _ lane: sending LaneState, _ partial: sending ShardPartial, at point: ShardPoint? = nil, inherited: InheritedFloors? = nil
  ) {
    self.inherited = inherited
    (ids, first, sequence) = ([lane.id], 0, point?.sequence)
    cutPoint = ShardPoint(ordinal: lane.position, sequence: point?.sequence)
    lanes = [lane]
    self.partial = partial
  }

  /// Neighbouring lanes of a shard.
  init(_ lanes: sending [LaneState], first: Int) {
    (ids, cutPoint) = (lanes.map(\.id), ShardPoint(lanes.first?.position ?? 0))
    self.first = first
    self.lanes = lanes
    partial = nil
  }

  /// The first lane, or the only one.
  nonisolated var id: LaneID { ids[0] }

  /// Consumes the rows of these lanes of a live block.
  /// - Parameter read: the first (if known) and the last record of the block.
  /// - Returns: nil, or nothing was consumed: with which lookups it is to be prepared.
  @discardableResult
  func consume(_ block: DealtBlocks, read: (first: Fingerprint?, last: Fingerprint)?, to end: ShardPoint) throws -> LookupSet? {
    turn()
    if let lookups, block.blocks.contains(where: { $0.lookups !== lookups }) { return lookups }
    try move(to: end)
    if let read { identity.read(first: read.first, last: read.last) }
    try consume([block])
    // Outer records without elements have no rows, and are consumed all the same.
    if block.count == 0 { try pass(to: end.ordinal, watermark: block.watermark) }
    return nil
  }

  /// Consumes the rows of these lanes of some deals, in turn, to the deals' own ends.
  func consume(_ deals: [DealtBlocks]) throws {
    defer { news.mark() }
    for deal in deals where deal.count > 0 {
      if lanes.count > 1 { warm() }
      let next = raised(deal)
      for (number, lane) in lanes.enumerated() { try lane.consume(next, lane: first + number) }
      guard let partial else { continue }
      partial.fold(next)
      guard next.hasArrivals else { continue }
      for block in next.blocks {
        arrivals.add(block)
        unflushed.add(block)
      }
    }
  }

  /// The deal with no watermark below the floors of the lanes.
  private func raised(_ deal: DealtBlocks) -> DealtBlocks {
    let next = floor > Watermark.minimum ? DealtBlocks(deal, floor: floor) : deal
    guard var inherited else { return next }
    var block = next.blocks[0]
    self.inherited = inherited.raise(&block, shard: lanes[0].watermark) ? inherited : nil
    return self.inherited == nil ? next : DealtBlocks(block, end: next.end, watermark: next.watermark)
  }

  private func warm() { for step in 0..<DedupIndex.warmingSteps { for lane in lanes { lane.warm(step) } } }

  // MARK: Cuts

  /// Ends the epoch between any two blocks.
  /// - Parameter isWhole: no cut follows.
  func cut(isWhole: Bool = false) throws -> [LaneEpoch] {
    turn()
    let joined = lookups
    cutPoint = point
    turn()
    var epochs = try lanes.map { try $0.cut(isWhole: isWhole) }
    partial?.finish(into: &epochs)
    for i in epochs.indices { (epochs[i].sequence, epochs[i].lookups) = (sequence, joined) }
    epochs[0].arrivals = arrivals
    epochs[0].identity = identity.isEmpty ? nil : identity
    arrivals = Arrivals()
    return epochs
  }

  /// The next epoch's records are prepared with these: at once, if the current one has none.
  func use(_ next: LookupSet) {
    if lookups == nil { lookups = next }
    wanted = next
    turn()
  }

  private func turn() {
    guard let wanted, point == cutPoint else { return }
    (lookups, self.wanted) = (wanted, nil)
  }

  /// Ends the epoch at a mark of the shard, which every lane of it has reached.
  func cut(position: Int64, watermark: Int64) throws -> [LaneEpoch] {
    try pass(to: position, watermark: watermark)
    return try cut()
  }

  /// Goes past positions that hold no records, to a place that the source or a recorded entry names.
  func pass(to position: Int64, watermark: Int64) throws {
    let before = self.position
    for lane in lanes { try lane.advance(position: position, watermark: watermark) }
    if self.position != before { news.mark() }
  }

  /// The same in a live shard.
  func advance(to point: ShardPoint, watermark: Int64) throws {
    try move(to: point)
    try pass(to: point.ordinal, watermark: watermark)
  }

  private func move(to point: ShardPoint) throws {
    try invariant(
      (point.sequence == nil) == (sequence == nil) || position == 0,
      "lane \(id.text) gets a position of another kind at \(position): \(point.ordinal)")
    if let before = sequence, let next = point.sequence {
      try invariant(before <= next, "lane \(id.text) goes back from \(before) to \(next)")
    }
    sequence = point.sequence
  }

  /// The last cut left final windows to the next ones.
  var isClosing: Bool { lanes.contains(where: \.isClosing) }

  /// What the lanes hold that no cut frees.
  var stateBytes: StateBytes { lanes.reduce(StateBytes()) { $0 + $1.stateBytes } }

  /// What the blobs of the next cut take at most.
  var blobBytes: Int64 { lanes.reduce(0) { $0 + $1.blobBytes } }

  /// The shard's position and last cut, and whether windows of its own lanes are open above its floor.
  var standing: (point: ShardPoint, cutPoint: ShardPoint, floor: Int64, hasOpenWindows: Bool) {
    (point, cutPoint, floor, lanes.contains { $0.hasOpenWindows })
  }

  private var position: Int64 { lanes[0].position }
  private var point: ShardPoint { ShardPoint(ordinal: position, sequence: sequence) }
  private var floor: Int64 { lanes[0].floor }

  func raise(floor: Int64) { for lane in lanes { lane.raise(floor: floor) } }

  /// An entry says this of the lane, see ``LaneState/begin(generation:)``.
  func committed(floor: Int64, generation: Int64) {
    raise(floor: floor)
    for lane in lanes where lane.generation != generation {
      lane.begin(generation: generation)
      news.mark()
    }
  }

  // MARK: The shard's identity

  /// What the ledger has, when the lane is taken over.
  func begin(_ identity: ShardIdentity) { self.identity = identity }

  /// The source was looked at.
  func adopt(_ outcome: ShardCheck.Outcome) { identity.adopt(outcome) }
}

extension LaneActor: StateRowSource {
  func takeStateRows(max: Int) -> [LaneRows] {
    var rows = lanes.map { LaneRows($0.takeStateRows(max: max), of: $0) }
    // What is left is of some of these records.
    if rows.allSatisfy({ $0.left == 0 }) {
      for i in rows.indices { rows[i].arrivals = unflushed }
      unflushed = Arrivals()
    } else {
      news.mark()
    }
    return rows
  }

  func allStateRows(of id: LaneID) -> LaneRows? { lanes.first { $0.id == id }.map { LaneRows($0.allStateRows(), of: $0) } }

  func markAllUnflushed(_ id: LaneID) {
    lanes.first { $0.id == id }?.markAllUnflushed()
    news.mark()
  }
}
