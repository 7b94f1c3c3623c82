import WeirCore

/// Rows that expired between the last flush and the place from which lanes are restored.
///
/// A lane's state has no trace of them any more, so no lane writes their tombstones: what the state table has of a lane and the lane
/// does not have is expired. It is looked for where the table is not known to be at the lane's place: the rows of a table with a `ttl` are
/// read once for each such lane.
enum ExpiredRows {
  /// Tombstones that are written at once.
  private static let atOnce = 4096

  /// - Parameters:
  ///   - all: every row of a lane, a batch for each table. The lane is this worker's, so no other writes rows of it.
  ///   - tables: whose rows expire.
  ///   - isOwn: whether a row is the lane's, by the lane that wrote it and its key.
  /// - Throws: `fenced` when the lane is another worker's by now.
  static func remove(
    butFor all: [StateBatch], of tables: Set<String>, from state: any StateTable, owners: [(String, [UInt8])],
    isOwn: (StateRow) -> Bool
  ) async throws {
    for batch in all where tables.contains(batch.table) {
      var kept: Set<Hash128> = []
      batch.forEachInKeyOrder { key, _ in
        kept.insert(Hash128(key))
        return true
      }
      var start: StateContinuation?
      var gone = StateBatch(table: batch.table, lane: batch.lane, fence: batch.fence)
      repeat {
        let page = try await state.page(of: batch.table, prefix: [], from: start, rowsMax: StatePage.rowsMax)
        for row in page.rows where !kept.contains(row.key.withUnsafeBytes { Hash128($0) }) && isOwn(row) {
          gone.remove(key: row.key[...])
        }
        start = page.next
        guard gone.count >= atOnce || start == nil, !gone.isEmpty else { continue }
        try await state.write(StateWrite([gone], meta: [], owners: owners))
        gone = StateBatch(table: batch.table, lane: batch.lane, fence: batch.fence)
      } while start != nil
    }
  }
}
