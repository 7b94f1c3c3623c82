import CLMDB
import WeirCore

/// The state table in a local LMDB directory: one writing worker, readers in any process.
package final class LMDBStateTable: StateTable {
  let environment: LMDBEnvironment
  let thread: any BlockingRunner
  private let isReader: Bool
  let pagesMax: Int
  /// Called between two transactions of one write.
  let onPart: @Sendable () async throws -> Void

  /// Pages that a transaction changes at most: LMDB holds each of them in memory until it ends.
  package static let pagesMax = 1 << 15

  /// - Parameters:
  ///   - path: the directory; made unless `readOnly`.
  ///   - pagesMax: see ``pagesMax``.
  ///   - thread: ONE thread: LMDB's write transactions stay on it.
  package convenience init(
    path: String, readOnly: Bool = false, pagesMax: Int = LMDBStateTable.pagesMax, thread: any BlockingRunner
  ) throws(WeirError) {
    try self.init(path: path, readOnly: readOnly, pagesMax: pagesMax, thread: thread, onPart: {})
  }

  /// - Parameters:
  ///   - turnSecondsMax: how long a write waits for another process's transaction; nil: as long as for other locks.
  ///   - onPart: called between two transactions of one write; if it throws, the write ends there.
  package init(
    path: String, readOnly: Bool = false, pagesMax: Int, turnSecondsMax: Int? = nil, thread: any BlockingRunner,
    onPart: @escaping @Sendable () async throws -> Void
  ) throws(WeirError) {
    self.onPart = onPart
    self.pagesMax = pagesMax
    isReader = readOnly
    environment = try LMDBEnvironment(path: path, readOnly: readOnly, turnSecondsMax: turnSecondsMax ?? FileLock.secondsMax)
    self.thread = thread
  }

  /// Checks every page and every row of the file.
  package func check() async throws { try await thread.run { [environment] in try environment.check() } }

  /// Looks whether the store's file is sound, without LMDB.
  /// - Returns: `corrupt`; nil if it is sound, or a worker would make a new one.
  package static func damage(in path: String, thread: any BlockingRunner) async throws -> WeirError? {
    do {
      let table = try LMDBStateTable(path: path, readOnly: true, thread: thread)
      try await table.check()
      try await table.close()
    } catch let error as WeirError where [.corrupt, .stateMissing, .uncleanStop].contains(error.code) {
      return error.code == .corrupt ? error : nil
    }
    return nil
  }

  package func reopen() async throws { try await thread.run { [environment] in try environment.reopen() } }

  /// Ends the use of the file: a process opens an LMDB file once.
  package func close() async throws { try await thread.run { [environment] in environment.close() } }

  // MARK: Write

  package func retract(_ batch: StateBatch, beyond: Fence, owners: [(String, [UInt8])]) async throws {
    try await thread.run { [environment] in
      var lost: String?
      try environment.write { transaction in
        lost = nil
        let standing = LMDBStateTable.check(owners, transaction, environment.meta, &lost)
        if standing != 0 || lost != nil { return standing }
        var ahead: Set<[UInt8]> = []
        let prefix = TableKey.prefix(batch.table)
        let seed = RowLayout.seed(batch.table)
        // A removal needs pages too: a map that is full is made larger and all of it done again, by the code that began the transaction.
        var removal: Int32 = 0
        var code = LMDBStateTable.forEach(transaction, environment.rows, prefix: prefix) { cursor, key, value in
          guard let stored = RowLayout.Stored(LMDBEnvironment.raw(value), seed: seed) else {
            removal = MDB_CORRUPTED
            return false
          }
          guard stored.fence > beyond, stored.lane.elementsEqual(batch.lane.utf8) else { return true }
          ahead.insert(LMDBEnvironment.bytes(key))
          removal = mdb_cursor_del(cursor, 0)
          return removal == 0
        }
        if removal != 0 { code = removal }
        guard code == 0, !ahead.isEmpty else { return code }
        var rows = RowWrite([batch], pagesMax: .max, only: ahead)
        return rows.put(transaction, environment.rows)
      }
      if let lost { throw StateWrite.fenced(lost) }
    }
  }

  package func claim(_ claims: [StateClaim]) async throws {
    try await thread.run { [environment] in
      var late: StateClaim?
      try environment.write { transaction in
        late = nil
        for claim in claims {
          var stored: [UInt8]?
          let code = LMDBStateTable.meta(transaction, environment.meta, claim.numberName, &stored)
          if code != 0 { return code }
          if !claim.isInTime(stored) {
            late = claim
            return 0
          }
        }
        return LMDBStateTable.put(transaction, environment.meta, claims.flatMap(\.meta))
      }
      if let late { throw late.tooLate }
    }
  }

  package func writeMeta(_ entries: [(String, [UInt8])]) async throws {
    try await thread.run { [environment] in
      try environment.write { LMDBStateTable.put($0, environment.meta, entries) }
    }
  }

  static func put(_ transaction: OpaquePointer, _ meta: MDB_dbi, _ entries: [(String, [UInt8])]) -> Int32 {
    for (name, bytes) in entries {
      let name = Array(name.utf8)
      let code = LMDBEnvironment.value(name) { key in
        LMDBEnvironment.value(MetaLayout.encode(name, bytes)) { value in mdb_put(transaction, meta, &key, &value, 0) }
      }
      if code != 0 { return code }
    }
    return 0
  }

  package func replace(
    tables: [String], with batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]
  ) async throws {
    try await thread.run { [environment] in
      var lost: String?
      try environment.write { transaction in
        lost = nil
        let standing = LMDBStateTable.check(owners, transaction, environment.meta, &lost)
        if standing != 0 || lost != nil { return standing }
        for table in tables {
          let code = LMDBStateTable.clear(transaction, environment.rows, table)
          if code != 0 { return code }
        }
        // In one transaction, whatever pages it changes.
        var rows = RowWrite(batches, pagesMax: .max)
        let code = rows.put(transaction, environment.rows)
        return code != 0 ? code : LMDBStateTable.put(transaction, environment.meta, meta)
      }
      if let lost { throw StateWrite.fenced(lost) }
    }
  }

  private static func clear(_ transaction: OpaquePointer, _ rows: MDB_dbi, _ table: String) -> Int32 {
    var removal: Int32 = 0
    let code = forEach(transaction, rows, prefix: TableKey.prefix(table)) { cursor, _, _ in
      removal = mdb_cursor_del(cursor, 0)
      return removal == 0
    }
    return removal != 0 ? removal : code
  }

  package func sync() async throws { try await thread.run { [environment] in try environment.sync() } }

  package func finish() async throws { try await thread.run { [environment] in try environment.finish() } }

  /// Within a write transaction: sees what it wrote.
  static func meta(_ transaction: OpaquePointer, _ meta: MDB_dbi, _ name: String, _ found: inout [UInt8]?) -> Int32 {
    let name = Array(name.utf8)
    var value = MDB_val()
    let code = LMDBEnvironment.value(name) { mdb_get(transaction, meta, &$0, &value) }
    if code == MDB_NOTFOUND { return 0 }
    guard code == 0 else { return code }
    found = MetaLayout.decode(name, LMDBEnvironment.bytes(value))
    return found == nil ? MDB_CORRUPTED : 0
  }

  /// Calls `body` for each pair whose key begins with `prefix`, in key order, until it says false.
  /// - Parameter first: where to begin; nil: with the prefix.
  static func forEach(
    _ transaction: OpaquePointer, _ database: MDB_dbi, prefix: [UInt8], from first: [UInt8]? = nil,
    _ body: (OpaquePointer, MDB_val, MDB_val) -> Bool
  ) -> Int32 {
    var cursor: OpaquePointer?
    let code = mdb_cursor_open(transaction, database, &cursor)
    guard code == 0, let cursor else { return code }
    defer { mdb_cursor_close(cursor) }
    return LMDBEnvironment.value(first ?? prefix) { start in
      var key = start
      var value = MDB_val()
      var code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)
      while code == 0 {
        guard UnsafeRawBufferPointer(start: key.mv_data, count: key.mv_size).starts(with: prefix) else { return 0 }
        guard body(cursor, key, value) else { return 0 }
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
      }
      return code == MDB_NOTFOUND ? 0 : code
    }
  }

  // MARK: Read

  /// Calls `body` with the store as it is; a reader follows a file that was replaced.
  private func look<T: Sendable>(_ body: @escaping @Sendable (StateView) throws(WeirError) -> T) async throws -> T {
    try await thread.run { [environment, isReader] in
      if isReader { try environment.reopen() }
      return try environment.read(body)
    }
  }

  package func read(table: String, key: [UInt8]) async throws -> StateRow? {
    try await look { (view) throws(WeirError) in try view.row(table, key) }
  }

  package func readMeta(_ name: String) async throws -> [UInt8]? {
    try await look { (view) throws(WeirError) in try view.meta(name) }
  }

  package func listMeta(prefix: String) async throws -> [(name: String, value: [UInt8])] {
    try await look { (view) throws(WeirError) in try view.metas(prefix: prefix) }
  }

  package func page(of table: String, prefix: [UInt8], from start: StateContinuation?, rowsMax: Int) async throws -> StatePage {
    try await look { (view) throws(WeirError) in try view.page(table, prefix: prefix, from: start, rowsMax: rowsMax) }
  }

  /// The rows are of one moment, whose pages stay in the file until it ends; a reader that may not write to the lock file sees a later
  /// moment with every page of rows.
  package func moment<T: Sendable>(
    of tables: [String], into first: T, _ body: @escaping @Sendable (inout T, StateRow) -> Void
  ) async throws -> (meta: [String: [UInt8]], result: T) {
    try await thread.run { [environment, isReader] in
      if isReader { try environment.reopen() }
      return try environment.pinnedIfPossible { () throws(WeirError) in
        func meta() throws(WeirError) -> [String: [UInt8]] {
          let all = try environment.read { (view) throws(WeirError) in try view.metas(prefix: "") }
          return Dictionary(all.map { ($0.name, $0.value) }) { first, _ in first }
        }
        let before = try meta()
        var result = first
        for table in tables {
          var start: StateContinuation?
          repeat {
            let page = try environment.read { (view) throws(WeirError) in
              try view.page(table, prefix: [], from: start, rowsMax: StatePage.rowsMax)
            }
            for row in page.rows { body(&result, row) }
            start = page.next
          } while start != nil
        }
        let after = try meta()
        return (before.filter { after[$0.key] == $0.value }, result)
      }
    }
  }
}
