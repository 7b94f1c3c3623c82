import CLMDB
import WeirCore

/// Rows on their way into the table, in the order of their keys, some in each transaction.
///
/// Every row may be in a page of its own, and LMDB keeps each page that a transaction changes in memory until the end of it: so a
/// transaction ends after some pages, and not after some rows.
struct RowWrite: Sendable {
  private let batches: [StateBatch]
  private let orders: [[Int]]
  private let pagesMax: Int
  /// nil: all. Else those with such a key.
  private let only: Set<[UInt8]>?
  /// The batch that is being written, and the place of its next row in the order of the keys.
  private var batch = 0
  private var next = 0
  /// Rows whose stored fence was larger.
  private(set) var skipped = 0

  init(_ batches: [StateBatch], pagesMax: Int, only: Set<[UInt8]>? = nil) {
    self.batches = batches
    orders = batches.map { $0.keyOrder() }
    self.pagesMax = pagesMax
    self.only = only
  }

  var isDone: Bool { batch == batches.count }

  /// Puts the next rows.
  /// - Returns: LMDB's code.
  mutating func put(_ transaction: OpaquePointer, _ rows: MDB_dbi) -> Int32 {
    var pages = 0
    while batch < batches.count, pages < pagesMax {
      let code = putBatch(transaction, rows, &pages)
      if code != 0 { return code }
    }
    return 0
  }

  private mutating func putBatch(_ transaction: OpaquePointer, _ rows: MDB_dbi, _ pages: inout Int) -> Int32 {
    var cursor: OpaquePointer?
    var code = mdb_cursor_open(transaction, rows, &cursor)
    guard code == 0, let cursor else { return code }
    defer { mdb_cursor_close(cursor) }
    let (batch, order) = (batches[self.batch], orders[self.batch])
    let layout = RowLayout(batch)
    let prefix = TableKey.prefix(batch.table)
    var whole = prefix
    var (done, skipped, changed, last) = (next, self.skipped, pages, UInt(0))
    batch.forEach(order[next...]) { key, value in
      guard changed < pagesMax else { return false }
      whole.removeSubrange(prefix.count...)
      whole.append(contentsOf: key)
      if whole.count > TableKey.bytesMax { whole = TableKey.bytes(batch.table, Array(key)) }
      done += 1
      if let only, !only.contains(whole) { return true }
      var page = last
      code = RowWrite.put(cursor, whole, layout, &skipped, &page, key, value)
      if page != last { (changed, last) = (changed + 1 + layout.count(key, value) / RowWrite.pageBytes, page) }
      return code == 0
    }
    (next, self.skipped, pages) = (done, skipped, changed)
    if next == order.count { (self.batch, next) = (self.batch + 1, 0) }
    return code
  }
  private static let pageBytes = 4096

  /// Law 6: written only if the stored fence is not larger; what is stored must be sound for that. The row is written into the
  /// page itself.
  /// - Parameter page: becomes the number of the page that the row was written to.
  private static func put(
    _ cursor: OpaquePointer, _ whole: [UInt8], _ layout: RowLayout, _ skipped: inout Int, _ page: inout UInt,
    _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?
  ) -> Int32 {
    LMDBEnvironment.value(whole) { place in
      var stored = MDB_val()
      let found = mdb_cursor_get(cursor, &place, &stored, MDB_SET)
      if found == 0 {
        guard let row = RowLayout.Stored(LMDBEnvironment.raw(stored), seed: layout.seed), row.key.elementsEqual(key) else {
          return MDB_CORRUPTED
        }
        if row.fence > layout.fence {
          skipped += 1
          return 0
        }
      } else if found != MDB_NOTFOUND {
        return found
      }
      var row = MDB_val(mv_size: layout.count(key, value), mv_data: nil)
      let code = mdb_cursor_put(cursor, &place, &row, UInt32(MDB_RESERVE) | (found == 0 ? UInt32(MDB_CURRENT) : 0))
      if code == 0, let data = row.mv_data {
        page = UInt(bitPattern: data) / UInt(pageBytes)
        layout.write(key, value, to: data)
      }
      return code
    }
  }
}

extension LMDBStateTable {
  /// Each transaction is a job of its own: a claim of another worker of this process, or a read, need not wait for the whole write.
  @discardableResult
  package func write(_ write: StateWrite) async throws -> Int {
    guard !write.isEmpty else { return 0 }
    var rows = try await transaction(nil, write)
    while !rows.isDone {
      try await onPart()
      rows = try await transaction(rows, write)
    }
    return rows.skipped
  }

  private func transaction(_ rows: RowWrite?, _ write: StateWrite) async throws -> RowWrite {
    try await thread.run { [environment, pagesMax] in
      // Their keys are sorted on the table's thread, too.
      try LMDBStateTable.transaction(
        environment, rows ?? RowWrite(write.batches, pagesMax: pagesMax), write, isFirst: rows == nil)
    }
  }

  /// - Returns: what is still to be written.
  private static func transaction(
    _ environment: LMDBEnvironment, _ rows: RowWrite, _ write: StateWrite, isFirst: Bool
  ) throws(WeirError) -> RowWrite {
    var after = rows
    var lost: String?
    // Done again from its beginning when the map must grow.
    try environment.write { transaction in
      (after, lost) = (rows, nil)
      let standing = LMDBStateTable.check(write.owners, transaction, environment.meta, &lost)
      if standing != 0 || lost != nil { return standing }
      let code = after.put(transaction, environment.rows)
      if code != 0 { return code }
      if after.isDone { return LMDBStateTable.put(transaction, environment.meta, write.meta) }
      return isFirst ? LMDBStateTable.put(transaction, environment.meta, write.intent) : 0
    }
    if let lost { throw StateWrite.fenced(lost) }
    return after
  }

  /// - Parameter lost: becomes the name of an owner that is no longer stored.
  /// - Returns: LMDB's code.
  static func check(
    _ owners: [(String, [UInt8])], _ transaction: OpaquePointer, _ meta: MDB_dbi, _ lost: inout String?
  ) -> Int32 {
    for (name, owner) in owners {
      var found: [UInt8]?
      let code = LMDBStateTable.meta(transaction, meta, name, &found)
      if code != 0 { return code }
      if found != owner { lost = name }
    }
    return 0
  }
}
