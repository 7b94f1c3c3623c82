import WeirCore

/// Rows that expired between the last flush and the place from which lanes are restored.
///
/// A lane's state has no trace of them any more, so no lane writes their tombstones: what the state table has of a lane and the lane
/// does not have is expired. It is looked for where the table is not known to be at the lane's place: the rows of a table with a `ttl` are
/// read once for all such lanes.
struct ExpiredRows {
  /// Tombstones that are written at once.
  private static let atOnce = 4096

  /// A lane, and the rows that it has. The lane is this worker's, so no other writes rows of it.
  private struct Holder {
    let lane: String
    let fence: Fence
    let ancestry: KeyAncestry?
    var kept: [String: Set<Hash128>] = [:]
  }

  private var holders: [Holder] = []
  private var owners: [(String, [UInt8])] = []
  /// All rows are the only lane's: those of a merged table, also those that lanes wrote before the stream grew.
  private let isMerged: Bool

  /// For tables of lanes.
  init() { isMerged = false }

  /// For merged tables.
  /// - Parameters:
  ///   - all: every row, a batch for each table.
  ///   - tables: whose rows expire.
  init(merged all: [StateBatch], of tables: Set<String>, owners: [(String, [UInt8])]) {
    isMerged = true
    add(all, of: tables, nil, owners)
  }

  /// - Parameters:
  ///   - all: everything of a lane.
  ///   - owners: of the lane, without which nothing is written.
  mutating func add(_ all: LaneRows, owners: [(String, [UInt8])]) { add(all.rows, of: all.expiring, all.ancestry, owners) }

  private mutating func add(
    _ all: [StateBatch], of tables: Set<String>, _ ancestry: KeyAncestry?, _ owners: [(String, [UInt8])]
  ) {
    let expiring = all.filter { tables.contains($0.table) }
    guard let first = expiring.first else { return }
    var holder = Holder(lane: first.lane, fence: first.fence, ancestry: ancestry)
    for batch in expiring {
      var kept: Set<Hash128> = []
      batch.forEachInKeyOrder { key, _ in
        kept.insert(Hash128(key))
        return true
      }
      holder.kept[batch.table] = kept
    }
    holders.append(holder)
    self.owners += owners
  }

  /// - Throws: `fenced` when a lane is another worker's by now.
  func remove(from state: any StateTable) async throws {
    for table in Set(holders.flatMap(\.kept.keys)).sorted() { try await remove(from: table, state) }
  }

  private func remove(from table: String, _ state: any StateTable) async throws {
    let numbers = Dictionary(holders.enumerated().map { ($1.lane, $0) }) { first, _ in first }
    let heirs = holders.indices.filter { holders[$0].ancestry != nil }
    func holder(of row: StateRow) -> Int? {
      isMerged ? 0 : numbers[row.lane] ?? heirs.first { holders[$0].ancestry?.has(row) == true }
    }
    var start: StateContinuation?
    var gone: [Int: StateBatch] = [:]
    repeat {
      let page = try await state.page(of: table, prefix: [], from: start, rowsMax: StatePage.rowsMax)
      for row in page.rows {
        guard let number = holder(of: row), let kept = holders[number].kept[table] else { continue }
        guard !kept.contains(row.key.withUnsafeBytes { Hash128($0) }) else { continue }
        gone[number, default: StateBatch(table: table, lane: holders[number].lane, fence: holders[number].fence)].remove(key: row.key[...])
      }
      start = page.next
      guard start == nil || gone.values.reduce(0, { $0 + $1.count }) >= ExpiredRows.atOnce, !gone.isEmpty else { continue }
      let batches = gone.sorted { $0.key < $1.key }.map(\.value)
      try await state.write(StateWrite(batches, meta: [], owners: owners))
      gone = [:]
    } while start != nil
  }
}
