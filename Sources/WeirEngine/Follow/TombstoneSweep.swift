import WeirCore
import WeirProtocol

/// Deletes tombstones of expired rows from the state table, at least a day after the ledger has reached them (law 6).
///
/// A row has no time of its own, and a tombstone is small because of that. So each lane has a mark: the fence that the ledger had reached, and
/// when. A day later everything up to that fence is old: no request from before it is under way any more, and no retraction asks for it. Then
/// the table is read once, tombstones up to the fence go, and the mark is set again. So a tombstone stays for one to two days, and the table
/// is read once a day.
///
/// Only a worker that has the lane does that, and only tombstones go, each by its own fence: a row never does, and none comes back. A key that
/// has records later gets a row like a new key.
struct TombstoneSweep {
  /// Before the lane's name, in the names of the marks.
  static let prefix = "tombstones/"

  let state: any StateTable
  let tables: Set<String>
  /// How long tombstones stay at least: a day.
  let keepMicroseconds: Int64

  private struct Mark {
    var fence: Fence
    /// UTC microseconds.
    var at: Int64

    init(_ fence: Fence, at: Int64) { (self.fence, self.at) = (fence, at) }

    /// - Returns: nil: it is not a mark.
    init?(_ value: [UInt8]) {
      let numbers = String(decoding: value, as: UTF8.self).split(separator: " ").compactMap { Int64($0) }
      guard numbers.count == 3 else { return nil }
      self.init(Fence(generation: numbers[0], position: numbers[1]), at: numbers[2])
    }

    var bytes: [UInt8] { Array("\(fence.generation) \(fence.position) \(at)".utf8) }
  }

  /// - Parameters:
  ///   - lanes: those that this worker has.
  ///   - fold: what the ledger has reached.
  ///   - now: UTC microseconds.
  ///   - isOver: looked at before each part.
  /// - Throws: what the state table throws: `state_fenced` if a lane is another worker's by now.
  func run(
    _ lanes: [LaneID], _ fold: LedgerFold, owner: [UInt8], now: Int64, until isOver: @Sendable () -> Bool
  ) async throws {
    let marks = Dictionary(try await state.listMeta(prefix: TombstoneSweep.prefix).map { ($0.name, Mark($0.value)) }) { first, _ in first }
    var through: [String: Fence] = [:]
    var set: [LaneID] = []
    for lane in lanes {
      let mark = marks[TombstoneSweep.prefix + lane.text] ?? nil
      guard let mark, mark.at <= now, mark.fence <= TombstoneSweep.reached(lane, fold) else {
        // There is none, the clock went back, or it is of another history of the ledger.
        set.append(lane)
        continue
      }
      guard now - mark.at >= keepMicroseconds else { continue }
      set.append(lane)
      through[lane.text] = mark.fence
      // Lanes of shards that ended before that have no worker any more.
      for ancestor in fold.ancestors(of: lane) { through[ancestor.lane.text] = TombstoneSweep.reached(ancestor.lane, fold) }
    }
    if !through.isEmpty {
      let owners = FlushMark.owners(of: lanes.filter { through[$0.text] != nil }, owner)
      for table in tables.sorted() {
        var start: StateContinuation?
        repeat {
          if isOver() { return }
          start = try await state.collect(TombstoneBound(table: table, through: through, owners: owners), from: start).next
        } while start != nil
      }
    }
    guard !set.isEmpty, !isOver() else { return }
    try await state.write(
      StateWrite(
        [], meta: set.map { (TombstoneSweep.prefix + $0.text, Mark(TombstoneSweep.reached($0, fold), at: now).bytes) },
        owners: FlushMark.owners(of: set, owner)))
  }

  private static func reached(_ lane: LaneID, _ fold: LedgerFold) -> Fence {
    let mark = LedgerMark(of: lane, in: fold)
    return Fence(generation: mark.generation, position: mark.position)
  }
}
