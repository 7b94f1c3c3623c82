/// The low-latency key-value table, as every program reads it: the worker that writes it, and others at the same time.
///
/// Keys are in order by their bytes, as far as a table indexes them: keys whose first ``StateKey/indexedBytes`` bytes are equal have an
/// order of the table's own, which does not change.
public protocol StateTableReader: Sendable {
  /// A row with its fence; nil: there is none. A tombstone is a row without a value.
  func read(table: String, key: [UInt8]) async throws -> StateRow?
  /// A value next to the rows.
  func readMeta(_ name: String) async throws -> [UInt8]?
  /// Names and values of all meta entries whose name begins with `prefix`, in the order of their names.
  func listMeta(prefix: String) async throws -> [(name: String, value: [UInt8])]
  /// Rows of the table whose key begins with `prefix`, in the order of their keys, tombstones left out.
  ///
  /// The rows of one page are of one moment, and those of the next may be of a later one: a row that is there from the first page to the
  /// last is in exactly one of them.
  /// - Parameters:
  ///   - start: of the page before; nil: the first page.
  ///   - rowsMax: at least 1, and at most ``StatePage/rowsMax``.
  func page(of table: String, prefix: [UInt8], from start: StateContinuation?, rowsMax: Int) async throws -> StatePage
  /// One moment of the store: all values next to the rows, and what `body` makes of the rows of `tables`, which it gets table by table in
  /// the order of the keys. A value that changed on the way, where the moment cannot be kept, is left out.
  func moment<T: Sendable>(
    of tables: [String], into first: T, _ body: @escaping @Sendable (inout T, StateRow) -> Void
  ) async throws -> (meta: [String: [UInt8]], result: T)
  /// Looks at everything that can be damaged.
  /// - Throws: `corrupt`.
  func check() async throws
  /// Ends the use of the table.
  func close() async throws
}

/// The same table as the worker that has its lanes writes it.
///
/// Every request may be repeated: an error may mean that a part of it has its effect, or all of it.
public protocol StateTable: StateTableReader {
  /// Rows that this process has written without their values, because these are too large for the table (``OversizeValue``).
  var oversizeRows: Int64 { get }
  /// Writes what each claim says, if no claim of a larger number exists; else nothing is written. One transaction.
  /// - Throws: `state_fenced` if one does.
  func claim(_ claims: [StateClaim]) async throws
  /// Writes rows, each unless the stored fence is larger, and the values that belong to them: in as many transactions as the table's bound
  /// on one of them asks for, each only while the owners are stored. Visible to readers on return; durable after ``sync()``.
  /// - Returns: rows that a larger fence kept from being written.
  /// - Throws: `state_fenced` if one of the owners is no longer stored.
  @discardableResult
  func write(_ write: StateWrite) async throws -> Int
  /// Takes back what ran ahead: rows of the batch's table and lane whose fence is larger than `beyond` become what the batch has of
  /// them, or go; other rows stay as they are. One transaction.
  /// - Throws: `state_fenced`, and nothing is changed, if one of `owners` (see ``StateWrite/owners``) is no longer stored.
  func retract(_ batch: StateBatch, beyond: Fence, owners: [(String, [UInt8])]) async throws
  /// Puts `batches` in the place of all rows of the tables, and writes `meta`, in one transaction: readers see the tables as they were
  /// or as they are then, and so does the next worker if this one is killed.
  /// - Throws: `state_fenced`, and nothing is changed, if one of `owners` is no longer stored.
  func replace(
    tables: [String], with batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]
  ) async throws
  /// Looks at some rows, and deletes those of them that are tombstones within the bound: nothing shows any more that there was such a row.
  /// - Parameter start: of the part before; nil: the first part.
  /// - Throws: `state_fenced` if one of the owners is no longer stored.
  func collect(_ bound: TombstoneBound, from start: StateContinuation?) async throws -> CollectedTombstones
  /// Values that no lane owns: schemas, whose table this is. One transaction.
  func writeMeta(_ entries: [(String, [UInt8])]) async throws
  /// What was written is durable on return.
  func sync() async throws
  /// Syncs, and marks the table as whole: the worker writes no more. Without this mark a table that a stopped machine
  /// left behind is not trusted.
  func finish() async throws
  /// Opens the table that now has this one's place, if another process put a rebuilt one there.
  func reopen() async throws
}

extension StateTableReader {
  /// Calls `body` with the rows of a table one after the other, page by page, so that memory does not grow with the table.
  /// - Parameter limit: maximum number of rows; nil: all.
  public func forEachRow(
    of table: String, prefix: [UInt8] = [], limit: Int? = nil, isolation: isolated (any Actor)? = #isolation,
    _ body: (StateRow) throws -> Void
  ) async throws {
    var left = limit ?? Int.max
    var start: StateContinuation?
    while left > 0 {
      let page = try await page(of: table, prefix: prefix, from: start, rowsMax: min(left, StatePage.rowsMax))
      for row in page.rows { try body(row) }
      left -= page.rows.count
      guard let next = page.next else { return }
      start = next
    }
  }
}

extension StateTable {
  /// For tables that take values of every size.
  public var oversizeRows: Int64 { 0 }

  /// For tables that are not files.
  public func reopen() async throws {}
}
