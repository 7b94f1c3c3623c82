import WeirCore
import WeirProtocol

/// A lane that is restored from the ledger does not know which rows were flushed before it stopped; by the mark it does:
///
/// - `even`: exactly those of the ledger's position.
/// - `behind`: the worker stopped between an entry and the next flush. Every row is written once more.
/// - `ahead`: it stopped between a flush and the next entry. Most often the same rows would come again, and their fences would
///   skip them. But the records behind the ledger's position may come with another lookup file, or not at all, and then
///   the rows that ran ahead would stay. So they are taken back to what the ledger has.
/// - `torn`: it stopped within a flush that takes several transactions. Both may be needed, and both are done.
extension FlushMark {
  enum Standing { case even, behind, ahead, torn }

  static func owner(_ lane: LaneID) -> String { "owner/\(lane.text)" }

  /// Says in the table whose the lanes are from now on. A worker that was taken for dead and still has rows to flush writes
  /// neither them nor a mark after this: such a mark could stand at the ledger's very position by chance, and vouch for rows that
  /// the lane's owner never flushed.
  static func own(_ lanes: [LaneID], _ owner: [UInt8], _ state: any StateTable) async throws {
    try await state.writeMeta(lanes.map { (FlushMark.owner($0), owner) })
  }

  static func standing(of lane: LaneID, _ state: any StateTable, _ fold: LedgerFold) async throws -> Standing {
    standing(of: lane, mark: try await state.readMeta(name(lane)), fold)
  }

  /// - Parameter meta: of one moment of the state table.
  static func standing(of lane: LaneID, _ meta: [String: [UInt8]], _ fold: LedgerFold) -> Standing {
    standing(of: lane, mark: meta[name(lane)], fold)
  }

  private static func standing(of lane: LaneID, mark: [UInt8]?, _ fold: LedgerFold) -> Standing {
    guard let committed = fold[lane] else { return .even }
    let position: Int64
    switch committed.position {
    case .offset(let offset)?: position = offset
    case .sequence?: return .even
    // No entry has moved the lane yet. Its first rows may have run ahead.
    case nil:
      if mark == nil { return .even }
      position = 0
    }
    let text = String(decoding: mark ?? [], as: UTF8.self)
    if text.hasPrefix(begun) { return .torn }
    let numbers = text.split(separator: " ").compactMap { Int64($0) }
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
        case .torn:
          guard let all = await owner.allStateRows(of: lane) else { continue }
          for batch in all.rows { try await state.retract(batch) }
          await owner.markAllUnflushed(lane)
        }
      }
    }
  }
}
