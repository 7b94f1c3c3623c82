import WeirCore
import WeirProtocol

/// A lane that is restored from the ledger does not know which rows were flushed before it stopped; by the mark it does:
///
/// - `even`: exactly those of the ledger's position.
/// - `behind`: the worker stopped between an entry and the next flush. Every row is written once more.
/// - `ahead`: it stopped between a flush and the next entry. Most often the same rows would come again, and their fences would
///   skip them. But the records after the ledger's position may come with another lookup file, or not at all, and then
///   the rows that ran ahead would stay. So they are taken back to what the ledger has.
/// - `torn`: it stopped within a flush that takes several transactions. Both may be needed, and both are done.
/// - `older`: a gap may have started the lane's generation. Rows of the generations before that are beyond the place where the new one
///   started come from records that will not come again. They are taken back, and every row is written once more.
///
/// A take-over starts a generation too. Then the mark is of the generation before, and says the same as one of this generation while
/// nothing was consumed since: `even` where it is at the start, `ahead` where it is beyond. Its next mark is of the new one. If two
/// take-overs had no mark between them, it is not known where the rows of the first generation ended, and all of them are `older`.
///
/// The order is: the entry that takes the lane over, then the claim (see ``own(_:_:_:_:)``), then the recovery. So the ledger decides between
/// two workers that take the same lane over, however long one of them sleeps in between.
extension FlushMark {
  enum Standing: Equatable {
    case even, behind
    /// The same as `even`, by a mark of the generation before.
    case evenBefore
    /// Rows beyond the fence are of records that no entry has.
    case ahead(beyond: Fence)
    /// Rows beyond the fence may be of records that no entry has.
    case torn(beyond: Fence)
    case older(beyond: Fence)

    /// The table has exactly the rows of the ledger's position.
    var isEven: Bool { self == .even || self == .evenBefore }
  }

  /// The only lane of a capture has the stream's name, which a state table may have, too: `owner/NAME` says whose the table is
  /// (``StateOwnership``). Other lanes' names have a slash or begin with an underscore, and tables' do not.
  static func owner(_ lane: LaneID) -> String {
    lane == .merge || ShardName.hasParts(lane.text) ? "owner/\(lane.text)" : "holder/\(lane.text)"
  }

  /// Says in the table whose the lanes are from now on. A worker that was taken for dead and still has rows to flush writes
  /// neither them nor a mark after this: such a mark could be at the ledger's very position by chance, and vouch for rows that
  /// the lane's owner never flushed.
  ///
  /// - Parameter fold: through the entry that takes the lanes over. A lane's epoch there orders the claims: a worker that fell asleep after
  ///   its own entry, while another took the lane over, is refused. It would take back what the other has flushed, and no worker writes that again.
  /// - Throws: `fenced` when a lane was taken over by a later entry.
  static func own(_ lanes: [LaneID], _ owner: [UInt8], _ state: any StateTable, _ fold: LedgerFold) async throws {
    try await state.claim(claims(of: lanes, owner, fold))
  }

  static func claims(of lanes: [LaneID], _ owner: [UInt8], _ fold: LedgerFold) -> [StateClaim] {
    // No entry of its own carries a take-over of the merge lane, so its claims are ordered by the last entry that the worker has seen: the
    // one that gave a worker the lead is after every entry of the worker that had it before.
    lanes.map { StateClaim(name: FlushMark.owner($0), owner: owner, number: $0 == .merge ? fold.number : fold[$0]?.epoch ?? 0) }
  }

  static func owners(of lanes: some Sequence<LaneID>, _ owner: [UInt8]) -> [(String, [UInt8])] {
    lanes.map { (FlushMark.owner($0), owner) }
  }

  static func standing(of lane: LaneID, _ state: any StateTableReader, _ fold: LedgerFold) async throws -> Standing {
    standing(of: lane, mark: try await state.readMeta(name(lane)), fold)
  }

  /// - Parameter meta: of one moment of the state table.
  static func standing(of lane: LaneID, _ meta: [String: [UInt8]], _ fold: LedgerFold) -> Standing {
    standing(of: lane, mark: meta[name(lane)], fold)
  }

  private static func standing(of lane: LaneID, mark: [UInt8]?, _ fold: LedgerFold) -> Standing {
    guard let committed = fold[lane] else { return .even }
    // No entry has moved the lane yet. Its first rows may have run ahead. Of a child's keys the table has what the parents left.
    if committed.position == nil, mark == nil { return committed.origin == nil ? .even : .behind }
    let position = committed.position?.ordinal ?? 0
    var text = String(decoding: mark ?? [], as: UTF8.self)
    let isTorn = text.hasPrefix(begun)
    if isTorn { text.removeFirst(begun.count) }
    let numbers = text.split { $0 == " " || $0 == "/" }.compactMap { Int64($0) }
    let ledger = Fence(generation: committed.generation, position: position)
    guard numbers.count == 2 else { return isTorn ? .torn(beyond: ledger) : .behind }
    let flushed = Fence(generation: numbers[0], position: numbers[1])
    if flushed.generation < ledger.generation { return standing(ofOlder: flushed, isTorn, committed, at: position) }
    if isTorn { return .torn(beyond: ledger) }
    return flushed == ledger ? .even : flushed < ledger ? .behind : .ahead(beyond: ledger)
  }

  /// - Parameter flushed: of a generation before that of the lane.
  private static func standing(ofOlder flushed: Fence, _ isTorn: Bool, _ lane: LaneFold, at position: Int64) -> Standing {
    let start = generationStart(lane, after: flushed.generation)
    if isTorn { return .older(beyond: start) }
    let isAtStart = start.generation == flushed.generation && start.position == position
    if flushed == start, isAtStart { return .evenBefore }
    if flushed <= start { return .behind }
    return isAtStart ? .ahead(beyond: start) : .older(beyond: start)
  }

  /// Through where rows of an older generation are committed. Only the last start is kept, so all rows of still older ones are in doubt.
  private static func generationStart(_ lane: LaneFold, after generation: Int64) -> Fence {
    guard generation == lane.generation - 1, let start = lane.generationStart?.ordinal else {
      return Fence(generation: 0, position: 0)
    }
    return Fence(generation: generation, position: start)
  }

  /// Brings the rows of lanes that were restored just now to the ledger's position, or marks them as not flushed.
  /// - Parameter owner: names this worker (see ``own(_:_:_:_:)``). A worker that falls asleep here must not
  ///   take back what the lane's next owner has flushed meanwhile: that one would not write it again.
  /// - Throws: `fenced` when a lane is another worker's by now.
  static func recover(
    _ sources: [any StateRowSource], _ state: any StateTable, _ fold: LedgerFold, owner: [UInt8], _ variant: EngineVariant = []
  ) async throws {
    var expired = ExpiredRows()
    var unflushed: [(source: any StateRowSource, lane: LaneID)] = []
    for source in sources {
      for lane in source.ids {
        let owners = variant.contains(.recoversOthersLanes) ? [] : FlushMark.owners(of: [lane], owner)
        switch try await standing(of: lane, state, fold) {
        case .even: continue
        case .evenBefore:
          // The next worker's recovery knows only the last start.
          let mark = FlushMark(lane: lane, generation: fold[lane]?.generation ?? 0, position: fold[lane]?.position?.ordinal ?? 0)
          try await state.write(StateWrite([], meta: [mark.entry], owners: owners))
        case .behind:
          guard !variant.contains(.rowsBehindStay) else { continue }
          if let all = await source.allStateRows(of: lane) { expired.add(all, owners: owners) }
          unflushed.append((source, lane))
        case .ahead(let beyond):
          guard !variant.contains(.rowsAheadStay), let all = await source.allStateRows(of: lane) else { continue }
          for batch in all.rows { try await state.retract(batch, beyond: beyond, owners: owners) }
          try await state.write(StateWrite([], meta: [all.mark.entry], owners: owners))
        case .torn(let beyond), .older(let beyond):
          guard let all = await source.allStateRows(of: lane) else { continue }
          if !variant.contains(.gapRowsStay) { for batch in all.rows { try await state.retract(batch, beyond: beyond, owners: owners) } }
          expired.add(all, owners: owners)
          unflushed.append((source, lane))
        }
      }
    }
    if !variant.contains(.expiredRowsStay) { try await expired.remove(from: state) }
    for (source, lane) in unflushed { await source.markAllUnflushed(lane) }
  }
}
