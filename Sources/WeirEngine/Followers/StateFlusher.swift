import WeirCore
import WeirOperators
import WeirProtocol

/// Takes changed rows of lane-finished state to the state table while the lanes go on (law 6).
///
/// Rows may run ahead of the ledger: each carries its lane's position as a fence. Flushes take at most `spec.share` of the
/// time: after one that took t, the next waits at least t / share - t.
actor StateFlusher {
  private let lanes: @Sendable () async -> [ShardActor]
  private let state: (any StateTable)?
  private let clock: any Clock
  private let spec: StoreSpec

  init(lanes: [ShardActor], state: (any StateTable)?, clock: any Clock, spec: StoreSpec) {
    self.init(lanes: { lanes }, state: state, clock: clock, spec: spec)
  }

  /// - Parameter lanes: those of the moment.
  init(lanes: @escaping @Sendable () async -> [ShardActor], state: (any StateTable)?, clock: any Clock, spec: StoreSpec) {
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
        await clock.sleep(nanoseconds: min(left, 20_000_000))
        left -= 20_000_000
      }
      let began = clock.monotonicNanoseconds
      try await flush()
      let took = clock.monotonicNanoseconds - began
      wait = max(spec.flushMicroseconds * 1000, Int64(Double(took) / spec.share) - took)
    }
  }

  func flush() async throws {
    guard let state else { return }
    var rows: [StateBatch] = []
    var marks: [FlushMark] = []
    for lane in await lanes() {
      let taken = await lane.takeStateRows()
      guard !taken.rows.isEmpty else { continue }
      rows += taken.rows
      marks.append(taken.mark)
    }
    guard !rows.isEmpty else { return }
    _ = try await state.write(rows)
    try await state.writeMeta(marks.map(\.entry))
  }
}

/// All rows of a lane's state up to a position stand in the state table. Written behind them.
///
/// A lane that is restored from the ledger does not know which rows were flushed before it stopped. If its mark is at or
/// beyond the ledger's position, all were; a row that is changed again gets a larger fence or, when it had run ahead,
/// is skipped by it. If the mark is behind, every row is written once more: that happens after a kill only, since an
/// orderly end flushes.
struct FlushMark: Sendable {
  var lane: LaneID
  var generation: Int64
  var position: Int64

  private static func name(_ lane: LaneID) -> String { "flushed/\(lane.text)" }

  var entry: (String, [UInt8]) { (FlushMark.name(lane), Array("\(generation) \(position)".utf8)) }

  /// Marks the rows of lanes that were restored at these positions as not flushed, where the state table is behind.
  static func check(_ lanes: [ShardActor], _ state: any StateTable, _ fold: LedgerFold) async throws {
    for lane in lanes {
      let id = lane.id
      guard let committed = fold[id], case .offset(let position)? = committed.position else { continue }
      let mark = try await state.readMeta(name(id)).map { String(decoding: $0, as: UTF8.self) } ?? ""
      let numbers = mark.split(separator: " ").compactMap { Int64($0) }
      let isWhole = numbers.count == 2 && (numbers[0], numbers[1]) >= (committed.generation, position)
      if !isWhole { await lane.markAllUnflushed() }
    }
  }
}
