import WeirCore
import WeirOperators
import WeirProtocol

/// Takes changed rows of lane-finished state to the state table while the lanes continue (law 6).
///
/// Rows may run ahead of the ledger: each carries its lane's position as a fence. Flushes begin at the configured interval if a lane has
/// something, and take at most `spec.share` of the time: after one that took t, the next begins t / share later. While no lane has
/// anything, the flusher sleeps.
actor StateFlusher {
  /// What a flush may stretch the interval for, nanoseconds. One that seems to have taken longer was slept through: a process that is
  /// stopped for an hour in the middle of it must not wait for ten hours then.
  static let tookMax: Int64 = 10_000_000_000

  private let lanes: @Sendable () async -> [any StateRowSource]
  /// Rung when one of the lanes has something.
  private let news: Alarm
  private let state: (any StateTable)?
  private let clock: any Clock
  private let spec: StoreSpec
  private let reached: @Sendable () -> Int64
  private let meter: LatencyMeter?
  private let live: LiveMeter?
  /// Rows that are taken at once, from all lanes together.
  private let rowsMax: Int
  private let variant: EngineVariant
  /// Names this worker in the state table (see ``FlushMark/own(_:_:_:_:)``).
  private let owner: [UInt8]
  /// Without a move of its mark a lane has no new rows, unless it was restored just now.
  private var written: [LaneID: FlushMark] = [:]
  /// One flush at a time. Rows that one has taken are not there for the next: its marks would vouch for rows that are still on their way,
  /// and may fail.
  private let turnstile: Turnstile
  /// What a flush has failed with. Its rows are taken from the lanes and not in the table, so no later one may write a mark.
  private var failure: (any Error)?

  /// - Parameters:
  ///   - lanes: those of the moment.
  ///   - news: rung when one of them has something for the table.
  ///   - rowsMax: rows that are in memory at once on their way to the table.
  ///   - owner: names this worker, which has claimed the lanes.
  ///   - reached: the position up to which all lanes have consumed.
  ///   - meter: receives each position once its rows are visible.
  ///   - live: receives each flush.
  init(
    lanes: @escaping @Sendable () async -> [any StateRowSource], news: Alarm, state: (any StateTable)?, clock: any Clock, spec: StoreSpec,
    rowsMax: Int = .max, owner: [UInt8], reached: @escaping @Sendable () -> Int64 = { 0 }, meter: LatencyMeter? = nil,
    live: LiveMeter? = nil, variant: EngineVariant = []
  ) {
    self.rowsMax = rowsMax
    self.variant = variant
    turnstile = Turnstile(isOpen: variant.contains(.flushesTogether))
    self.owner = owner
    self.live = live
    self.reached = reached
    self.meter = meter
    self.lanes = lanes
    self.news = news
    self.state = state
    self.clock = clock
    self.spec = spec
  }

  /// Flushes until `isDone`.
  func run(until isDone: Flag) async throws {
    guard state != nil else { return }
    let watcher = isDone.whenRaised { [news] in news.ring() }
    defer { isDone.forget(watcher) }
    var due = clock.monotonicNanoseconds + spec.flushMicroseconds * 1000
    while true {
      await withTaskCancellationHandler { [news, clock] in
        await news.wait(until: nil, clock)
      } onCancel: { [news] in
        news.ring()
      }
      await isDone.wait(until: due, clock)
      if isDone.isRaised || Task.isCancelled { return }
      let began = clock.monotonicNanoseconds
      try await flush()
      due = StateFlusher.next(after: began, took: clock.monotonicNanoseconds - began, spec)
    }
  }

  /// When the flush comes that follows one which began at `began`, monotonic nanoseconds.
  static func next(after began: Int64, took: Int64, _ spec: StoreSpec) -> Int64 {
    began + max(spec.flushMicroseconds * 1000, Int64(Double(min(took, tookMax)) / spec.share))
  }

  /// Lanes that were restored again: what was written of them before says nothing about them.
  func forget(_ lanes: [LaneID]) { for lane in lanes { written[lane] = nil } }

  /// Writes what changed until now.
  ///
  /// Where that is more than is taken at once, the lanes continue between two parts. Then this ends after as many parts as the rows of the
  /// beginning make, and a lane that still has rows keeps the mark of a flush that has not ended.
  /// - Throws: what the state table throws. Then lanes are to be restored from the ledger: every later flush throws the same.
  func flush() async throws {
    guard state != nil else { return }
    try await turnstile.pass { try await self.flushAll() }
  }

  /// Does something while nothing is flushed.
  nonisolated func pausing(_ body: @Sendable () async throws -> Void) async throws { try await turnstile.pass(body) }

  private func flushAll() async throws {
    if let failure, !variant.contains(.flushesTogether) { throw failure }
    do { try await flushParts() } catch {
      failure = error
      throw error
    }
  }

  private func flushParts() async throws {
    let position = reached()
    let lanes = await lanes()
    let max = rowsMax == .max ? Int.max : Swift.max(1, rowsMax / Swift.max(1, lanes.reduce(0) { $0 + $1.ids.count }))
    let most = try await flushPart(lanes, max)
    var left = most
    for _ in 0..<(most / max + (most % max > 0 ? 1 : 0)) where left > 0 {
      left = try await flushPart(await self.lanes(), max)
    }
    meter?.visible(through: position, now: clock.monotonicNanoseconds)
  }

  /// - Parameter max: rows of a lane and table that are taken.
  /// - Returns: rows that the lane with the most of them still has.
  private func flushPart(_ lanes: [any StateRowSource], _ max: Int) async throws -> Int {
    guard let state else { return 0 }
    var rows: [StateBatch] = []
    var lanesFlushed: [LaneRows] = []
    var arrivals = Arrivals()
    let began = clock.monotonicNanoseconds
    let all = await withTaskGroup(of: (Int, [LaneRows]).self) { group in
      for (number, owner) in lanes.enumerated() where owner.news.take() { group.addTask { (number, await owner.takeStateRows(max: max)) } }
      return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }
    }
    for lane in all.flatMap(\.1) where lane.mark != written[lane.mark.lane] {
      rows += lane.rows
      lanesFlushed.append(lane)
      arrivals.add(lane.arrivals)
    }
    guard !lanesFlushed.isEmpty else { return 0 }
    for mark in lanesFlushed.map(\.mark) {
      guard let before = written[mark.lane] else { continue }
      try invariant(
        (before.generation, before.position) <= (mark.generation, mark.position),
        "the rows of \(mark.lane.text) go back from \(before.generation)/\(before.position) to \(mark.generation)/\(mark.position)")
    }
    for lane in lanesFlushed {
      let fence = Fence(generation: lane.mark.generation, position: lane.mark.position)
      try invariant(
        lane.rows.allSatisfy { $0.fence == fence },
        "rows of \(lane.mark.lane.text) are not at the place of their mark, \(fence.generation)/\(fence.position)")
    }
    let owners =
      variant.contains(.flushesOthersLanes) ? [] : FlushMark.owners(of: lanesFlushed.map(\.mark.lane), owner)
    if variant.contains(.marksBeforeRows) {
      try await state.write(StateWrite([], meta: lanesFlushed.map(\.mark.entry), owners: owners))
    }
    try await state.write(
      StateWrite(
        rows, meta: lanesFlushed.map { $0.left == 0 ? $0.mark.entry : $0.mark.intent }, owners: owners,
        intent: lanesFlushed.map(\.mark.intent)))
    for lane in lanesFlushed { written[lane.mark.lane] = lane.left == 0 ? lane.mark : nil }
    live?.stateFlushed(nanoseconds: clock.monotonicNanoseconds - began, arrivals: arrivals)
    live?.stateHas(oversizeRows: state.oversizeRows)
    return lanesFlushed.map(\.left).max() ?? 0
  }
}
