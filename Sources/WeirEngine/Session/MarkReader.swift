import WeirCore
import WeirOperators
import WeirProtocol

/// The reader's loop of a ``MarkConductor``: what the source gives becomes work for the lanes, in the order of the shard.
struct MarkReader {
  private let conductor: MarkConductor
  private let work: Handover<LaneWork>
  private let keepOpen: Bool
  private let interruption: Flag
  /// Blocks that the lanes get at once.
  private let together: Int
  private var confirmed: ConfirmedEvents
  private var firsts: FirstRecords
  private var rule: CutRule
  /// Blocks on their way to the lanes.
  private var waiting: [(block: PreparedBlock, end: Int64, watermark: Int64)] = []
  /// The last place where the source could be cut, or was.
  private var last: (position: Int64, hash: Hash128)
  private var end = WorkerEnd.finished
  /// Since the last cut.
  private var blankLines = 0

  private var session: Session { conductor.session }

  init(_ conductor: MarkConductor, _ work: Handover<LaneWork>, keepOpen: Bool, interruption: Flag) async {
    (self.conductor, self.work, self.keepOpen, self.interruption) = (conductor, work, keepOpen, interruption)
    let session = conductor.session
    together = LaneStage.together(lanes: conductor.lanesCount, isPaced: conductor.isPaced)
    confirmed = ConfirmedEvents(conductor.sequencer, keepOpen: keepOpen) { [pool = session.pool] in pool.prepare($0) }
    firsts = FirstRecords(session.compiled.plan, await session.ledger.fold)
    rule = CutRule(session.environment.memory, halvings: conductor.halvings)
    last = (conductor.start.position, conductor.start.prefix ?? RunningHash().digest)
  }

  /// - Throws: ``LanesGone``; what the source throws; what the records throw: `check_failed`, `all_rejected`.
  mutating func read(_ source: any RecordSource) async throws -> WorkerEnd {
    let (clock, reading) = (session.environment.clock, conductor.reading)
    do {
      reading.enter(.reading, now: clock.monotonicNanoseconds)
      if let watermark = conductor.closingWatermark { try await sendCut(watermark) }
      try await session.pool.forEach(source, .capture(session.environment, interruption)) { event in
        reading.enter(.working, now: clock.monotonicNanoseconds)
        defer { reading.enter(.reading, now: clock.monotonicNanoseconds) }
        for ready in try confirmed.admit(event) { try await take(ready) }
        let (uncounted, waitsFrom) = (confirmed.sequencer.uncounted, confirmed.waitsFrom)
        conductor.counts.update { ($0.uncounted, $0.waitsFrom) = (uncounted, waitsFrom) }
        return true
      }
    } catch is StoppedBehindCut { return .interrupted }
    return end
  }

  private mutating func take(_ event: SequencedEvent) async throws {
    switch event {
    case .block(let block, let position, let watermark): try await take(block, end: position, watermark: watermark)
    // A mark after a block where the epoch was cut already says nothing new.
    case .cut(let position, let hash, let watermark):
      if !rule.isEmpty || position != last.position { try await cut(position, hash, watermark, for: "size") }
    case .pause: try await deal()
    case .end where keepOpen:
      // What waits may be the first that can be used.
      if confirmed.waitsFrom == nil { try firsts.end() }
      try await deal()
      end = .keptOpen
    case .end: try await takeEnd()
    case .interrupted: end = .interrupted
    }
  }

  private mutating func take(_ block: PreparedBlock, end position: Int64, watermark: Int64) async throws {
    blankLines += block.decoded.blankLines
    guard block.count > 0 else { return }
    try firsts.take(block)
    rule.add(session.weights.weight(of: block))
    let hash = block.decoded.raw.prefixHash
    waiting.append((block, position, watermark))
    guard rule.isDue, let hash else {
      if waiting.count >= together { try await deal() }
      return
    }
    try await cut(position, hash, watermark, for: "memory")
    // The next mark of the source may be far.
    if interruption.isRaised { throw StoppedBehindCut() }
  }

  private mutating func cut(_ position: Int64, _ hash: Hash128, _ watermark: Int64, for reason: String) async throws {
    try invariant(position >= last.position, "a cut at byte \(position), after one at byte \(last.position)")
    try await deal()
    last = (position, hash)
    if firsts.holdsBack {
      // A cut changes no row: the next one takes these records along, if one that can be used comes first.
      guard position - conductor.start.position >= FirstRecords.bytesMax else { return }
      try firsts.end()
    }
    rule.cut()
    session.meter.cut(reason)
    try await sendCut(watermark)
  }

  /// The end of input is a decision: an empty epoch carries it, and only the entry after it closes windows.
  private mutating func takeEnd() async throws {
    try firsts.end()
    try await deal()
    if conductor.isClosed { return }
    if session.variant.contains(.endsAtOnce) { return try await sendCut(Watermark.maximum, [.endOfInput]) }
    if !conductor.endIsRecorded || session.variant.contains(.endsTwice) {
      try await sendCut(confirmed.sequencer.watermark, [.endOfInput])
    }
    try await sendCut(Watermark.maximum)
  }

  // MARK: Work for the lanes

  private mutating func sendCut(_ watermark: Int64, _ decisions: [Decision] = []) async throws(LanesGone) {
    let blankLines = blankLines
    self.blankLines = 0
    try await send(
      .cut(position: last.position, prefixHash: last.hash, watermark: watermark, decisions: decisions, blankLines: blankLines))
  }

  /// Sends what waits.
  private mutating func deal() async throws(LanesGone) {
    guard let last = waiting.last else { return }
    let all = waiting
    waiting.removeAll(keepingCapacity: true)
    let lanes = conductor.lanesCount
    let deals =
      lanes >= LaneDeal.arrangedFrom
      ? [DealtBlocks(all.map(\.block), lanes: lanes, end: last.end, watermark: last.watermark)]
      : all.map { DealtBlocks([$0.block], lanes: lanes, end: $0.end, watermark: $0.watermark) }
    try await send(.deals(deals, records: all.reduce(0) { $0 + $1.block.count }, end: last.end, watermark: last.watermark))
  }

  private func send(_ next: LaneWork) async throws(LanesGone) {
    if await !work.send(next) { throw LanesGone() }
  }
}

/// The lanes take no more work: a cut failed, or the committer did.
struct LanesGone: Error {}

/// Stopped from outside, after a cut that is not a mark of the source.
private struct StoppedBehindCut: Error {}
