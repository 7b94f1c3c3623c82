import CLMDB
import WeirCore

extension LMDBStateTable {
  /// Rows that one transaction looks at.
  private static let looksMax = 1024

  /// The continuation is the last key of the tree that was looked at.
  package func collect(_ bound: TombstoneBound, from start: StateContinuation?) async throws -> CollectedTombstones {
    try await thread.run { [environment] in
      var lost: String?
      var found = CollectedTombstones(gone: 0, next: nil)
      // Done again from its beginning when the map must grow.
      try environment.write { transaction in
        (lost, found) = (nil, CollectedTombstones(gone: 0, next: nil))
        let standing = LMDBStateTable.check(bound.owners, transaction, environment.meta, &lost)
        if standing != 0 || lost != nil { return standing }
        return LMDBStateTable.collect(bound, from: start, transaction, environment.rows, &found)
      }
      if let lost { throw StateWrite.fenced(lost) }
      return found
    }
  }

  /// - Returns: LMDB's code.
  private static func collect(
    _ bound: TombstoneBound, from start: StateContinuation?, _ transaction: OpaquePointer, _ rows: MDB_dbi,
    _ found: inout CollectedTombstones
  ) -> Int32 {
    let (prefix, seed) = (TableKey.prefix(bound.table), RowLayout.seed(bound.table))
    var (looked, last, fault, gone) = (0, [UInt8](), Int32(0), 0)
    var next: StateContinuation?
    let code = forEach(transaction, rows, prefix: prefix, from: start.map { $0.bytes + [0] }) { cursor, key, value in
      if looked == looksMax {
        next = StateContinuation(last)
        return false
      }
      guard let stored = RowLayout.Stored(LMDBEnvironment.raw(value), seed: seed) else {
        fault = MDB_CORRUPTED
        return false
      }
      looked += 1
      last = LMDBEnvironment.bytes(key)
      guard stored.value == nil, bound.has(lane: String(decoding: stored.lane, as: UTF8.self), stored.fence) else { return true }
      fault = mdb_cursor_del(cursor, 0)
      gone += 1
      return fault == 0
    }
    found = CollectedTombstones(gone: gone, next: next)
    return fault != 0 ? fault : code
  }
}
