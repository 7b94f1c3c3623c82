import WeirCore
import WeirOperators
import WeirProtocol

/// Whoever has lanes whose rows go to the state table.
protocol StateRowSource: Actor {
  nonisolated var ids: [LaneID] { get }
  /// Of each lane, the rows that changed since the last call.
  func takeStateRows() -> [LaneRows]
  /// Everything of one of the lanes; nil: it is another's.
  func allStateRows(of id: LaneID) -> LaneRows?
  /// Every row of the lane goes to the table again.
  func markAllUnflushed(_ id: LaneID)
}

/// State rows of a lane, and the mark to write behind them.
struct LaneRows: Sendable {
  var rows: [StateBatch]
  var mark: FlushMark
  /// Of the records that the rows come from, where that is watched.
  var arrivals: Arrivals

  init(_ rows: [StateBatch], of lane: LaneState, arrivals: Arrivals = Arrivals()) {
    self.rows = rows
    mark = FlushMark(lane: lane.id, generation: lane.generation, position: lane.position)
    self.arrivals = arrivals
  }
}

/// Takes changed rows of lane-finished state to the state table while the lanes go on (law 6).
///
/// Rows may run ahead of the ledger: each carries its lane's position as a fence. Flushes begin at the configured interval, and
/// take at most `spec.share` of the time: after one that took t, the next begins t / share later.
actor StateFlusher {
  private let lanes: @Sendable () async -> [any StateRowSource]
  private let state: (any StateTable)?
  private let clock: any Clock
  private let spec: StoreSpec
  private let reached: @Sendable () -> Int64
  private let meter: LatencyMeter?
  private let live: LiveMeter?
  /// Names this worker in the state table (see ``FlushMark/own(_:_:_:)``); nil: it has the table to itself.
  private let owner: [UInt8]?
  /// Without a move of its mark a lane has no new rows, unless it was restored just now.
  private var written: [LaneID: FlushMark] = [:]

  init(
    lanes: [any StateRowSource], state: (any StateTable)?, clock: any Clock, spec: StoreSpec,
    reached: @escaping @Sendable () -> Int64 = { 0 }, meter: LatencyMeter? = nil
  ) {
    self.init(lanes: { lanes }, state: state, clock: clock, spec: spec, reached: reached, meter: meter)
  }

  /// - Parameters:
  ///   - lanes: those of the moment.
  ///   - owner: names this worker, where several share the table.
  ///   - reached: the position up to which all lanes have consumed.
  ///   - meter: told of each position once its rows are visible.
  ///   - live: told of each flush.
  init(
    lanes: @escaping @Sendable () async -> [any StateRowSource], state: (any StateTable)?, clock: any Clock, spec: StoreSpec,
    owner: [UInt8]? = nil, reached: @escaping @Sendable () -> Int64 = { 0 }, meter: LatencyMeter? = nil, live: LiveMeter? = nil
  ) {
    self.owner = owner
    self.live = live
    self.reached = reached
    self.meter = meter
    self.lanes = lanes
    self.state = state
    self.clock = clock
    self.spec = spec
  }

  /// Flushes until `isDone`.
  func run(until isDone: @Sendable () -> Bool) async throws {
    guard state != nil else { return }
    var wait = spec.flushMicroseconds * 1000
    while !isDone(), !Task.isCancelled {
      // Short steps, so that the end of a run is not held up by a long interval.
      var left = wait
      while left > 0, !isDone(), !Task.isCancelled {
        let step = min(left, 20_000_000)
        await clock.sleep(nanoseconds: step)
        left -= step
      }
      let began = clock.monotonicNanoseconds
      try await flush()
      let took = clock.monotonicNanoseconds - began
      wait = max(spec.flushMicroseconds * 1000, Int64(Double(took) / spec.share)) - took
    }
  }

  /// Lanes that were restored anew: what was written of them before says nothing about them.
  func forget(_ lanes: [LaneID]) { for lane in lanes { written[lane] = nil } }

  func flush() async throws {
    guard let state else { return }
    let position = reached()
    var rows: [StateBatch] = []
    var marks: [FlushMark] = []
    var arrivals = Arrivals()
    let began = clock.monotonicNanoseconds
    let lanes = await lanes()
    let all = await withTaskGroup(of: (Int, [LaneRows]).self) { group in
      for (number, owner) in lanes.enumerated() { group.addTask { (number, await owner.takeStateRows()) } }
      return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }
    }
    for lane in all.flatMap(\.1) where lane.mark != written[lane.mark.lane] {
      rows += lane.rows
      marks.append(lane.mark)
      arrivals.add(lane.arrivals)
    }
    if !marks.isEmpty {
      _ = try await state.write(
        rows, meta: marks.map(\.entry), owners: marks.compactMap { mark in owner.map { (FlushMark.owner(mark.lane), $0) } })
      for mark in marks { written[mark.lane] = mark }
      live?.stateFlushed(nanoseconds: clock.monotonicNanoseconds - began, arrivals: arrivals)
    }
    meter?.visible(through: position, now: clock.monotonicNanoseconds)
  }
}

/// What the state table has of a lane: all rows up to a position. It is written in one transaction with the rows, so it is true
/// after any stop.
///
/// A lane that is restored from the ledger does not know which rows were flushed before it stopped; by the mark it does:
///
/// - `even`: exactly those of the ledger's position.
/// - `behind`: the worker stopped between an entry and the next flush. Every row is written once more.
/// - `ahead`: it stopped between a flush and the next entry. Most often the same rows would come again, and their fences would
///   skip them. But the records behind the ledger's position may come with another lookup file, or not at all, and then
///   the rows that ran ahead would stay. So they are taken back to what the ledger has.
struct FlushMark: Sendable, Equatable {
  enum Standing { case even, behind, ahead }

  var lane: LaneID
  var generation: Int64
  var position: Int64

  private static func name(_ lane: LaneID) -> String { "flushed/\(lane.text)" }

  fileprivate static func owner(_ lane: LaneID) -> String { "owner/\(lane.text)" }

  /// Says in the table whose the lanes are from now on. A worker that was taken for dead and still has rows to flush writes
  /// neither them nor a mark after this: such a mark could stand at the ledger's very position by chance, and vouch for rows that
  /// the lane's owner never flushed.
  static func own(_ lanes: [LaneID], _ owner: [UInt8], _ state: any StateTable) async throws {
    try await state.writeMeta(lanes.map { (FlushMark.owner($0), owner) })
  }

  var entry: (String, [UInt8]) { (FlushMark.name(lane), Array("\(generation) \(position)".utf8)) }

  static func standing(of lane: LaneID, _ state: any StateTable, _ fold: LedgerFold) async throws -> Standing {
    guard let committed = fold[lane], case .offset(let position)? = committed.position else { return .even }
    let mark = try await state.readMeta(name(lane)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    let numbers = mark.split(separator: " ").compactMap { Int64($0) }
    guard numbers.count == 2 else { return .behind }
    let (flushed, ledger) = ((numbers[0], numbers[1]), (committed.generation, position))
    return flushed == ledger ? .even : flushed < ledger ? .behind : .ahead
  }

  /// Brings the rows of lanes that were restored just now to the ledger's position, or marks them as not flushed.
  static func recover(_ owners: [any StateRowSource], _ state: any StateTable, _ fold: LedgerFold) async throws {
    for owner in owners {
      for lane in owner.ids {
        switch try await standing(of: lane, state, fold) {
        case .even: continue
        case .behind: await owner.markAllUnflushed(lane)
        case .ahead:
          guard let all = await owner.allStateRows(of: lane) else { continue }
          for batch in all.rows { try await state.retract(batch) }
          try await state.writeMeta([all.mark.entry])
        }
      }
    }
  }
}
