import CLMDB
import WeirCore

/// The state table in a local LMDB directory: one writing worker, readers in any process.
public final class LMDBStateTable: StateTable {
  private let environment: LMDBEnvironment
  private let thread: any BlockingRunner

  /// - Parameters:
  ///   - path: the directory; made unless `readOnly`.
  ///   - thread: ONE thread: LMDB's write transactions stay on it.
  public init(path: String, readOnly: Bool = false, thread: any BlockingRunner) throws(WeirError) {
    environment = try LMDBEnvironment(path: path, readOnly: readOnly)
    self.thread = thread
  }

  // MARK: Layout

  /// `table 0x00 key`; a key too long for LMDB is cut and its hash put behind (the whole key stands in the value).
  private static func key(_ table: String, _ key: [UInt8]) -> [UInt8] {
    let whole = Array(table.utf8) + [0] + key
    guard whole.count > LMDBEnvironment.keyBytesMax else { return whole }
    let hash = key.withUnsafeBytes { Hash128($0) }
    var cut = Array(whole.prefix(LMDBEnvironment.keyBytesMax - 16))
    for half in [hash.high, hash.low] { withUnsafeBytes(of: half.bigEndian) { cut.append(contentsOf: $0) } }
    return cut
  }

  /// A row's bytes: fence first, so that a writer decides by the first 16; then lane, key, tombstone flag, row.
  private struct RowLayout {
    /// Fence and lane are the same in all rows of a batch.
    private let head: [UInt8]

    init(_ batch: StateBatch) {
      var out = ByteWriter()
      out.write(batch.fence.generation)
      out.write(batch.fence.position)
      out.write(batch.lane)
      head = out.bytes
    }

    func count(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Int { head.count + 9 + key.count + value.count }

    /// - Parameter place: ``count(_:_:)`` bytes of the table itself.
    func write(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, to place: UnsafeMutableRawPointer) {
      var at = place
      func put(_ bytes: UnsafeRawBufferPointer) {
        if let base = bytes.baseAddress { at.copyMemory(from: base, byteCount: bytes.count) }
        at += bytes.count
      }
      head.withUnsafeBytes(put)
      withUnsafeBytes(of: UInt32(key.count).littleEndian, put)
      put(key)
      withUnsafeBytes(of: UInt8(1), put)
      withUnsafeBytes(of: UInt32(value.count).littleEndian, put)
      put(value)
    }
  }

  private static func decode(_ table: String, _ bytes: UnsafeRawBufferPointer, lane last: String = "") throws(WeirError) -> StateRow {
    var at = 0
    func take(_ count: Int) throws(WeirError) -> UnsafeRawBufferPointer {
      guard count >= 0, bytes.count - at >= count else {
        throw WeirError(
          "corrupt", "a row of the state table \(table) cannot be read: it ends too early",
          advice: "The state table was damaged: `weir state rebuild PIPELINE` makes it again.")
      }
      defer { at += count }
      return UnsafeRawBufferPointer(rebasing: bytes[at..<at + count])
    }
    func number<T: FixedWidthInteger>(_: T.Type) throws(WeirError) -> T {
      T(littleEndian: try take(MemoryLayout<T>.size).loadUnaligned(as: T.self))
    }
    let fence = Fence(generation: try number(Int64.self), position: try number(Int64.self))
    let lane = try take(Int(try number(UInt32.self)))
    let key = try take(Int(try number(UInt32.self)))
    let isRow = try number(UInt8.self) == 1
    let value = try take(Int(try number(UInt32.self)))
    // Neighbours are most often of few lanes: a name that is at hand is not made again.
    let name = lane.elementsEqual(last.utf8) ? last : String(decoding: lane, as: UTF8.self)
    return StateRow(table: table, key: Array(key), fence: fence, lane: name, value: isRow ? Array(value) : nil)
  }

  // MARK: Write

  public func write(_ batches: [StateBatch], meta: [(String, [UInt8])]) async throws -> Int {
    try await write(batches, meta: meta, owners: [])
  }

  public func write(_ batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]) async throws -> Int {
    guard !meta.isEmpty || batches.contains(where: { !$0.isEmpty }) else { return 0 }
    return try await thread.run { [environment] in
      var skipped = 0
      var lost: String?
      try environment.write { transaction in
        skipped = 0
        lost = owners.first { LMDBStateTable.meta(transaction, environment.meta, $0.0) != $0.1 }?.0
        if lost != nil { return 0 }
        for batch in batches {
          let code = LMDBStateTable.put(transaction, environment.rows, batch, &skipped)
          if code != 0 { return code }
        }
        return LMDBStateTable.put(transaction, environment.meta, meta)
      }
      if let lost {
        throw WeirError(
          "fenced", "the state table's \(lost) is another worker's now",
          advice: "Nothing was lost: whoever has the lane now writes its rows.",
          isRetriable: true, fatalTo: .worker)
      }
      return skipped
    }
  }

  public func retract(_ batch: StateBatch) async throws {
    try await thread.run { [environment] in
      try environment.write { transaction in
        var ahead: Set<[UInt8]> = []
        let prefix = Array(batch.table.utf8) + [0]
        // A removal needs pages too: a map that is full is made larger and all of it done again, by whoever began the transaction.
        var removal: Int32 = 0
        var code = LMDBStateTable.forEach(transaction, environment.rows, prefix: prefix) { cursor, key, value in
          guard LMDBStateTable.isBeyond(value, batch) else { return true }
          ahead.insert(LMDBEnvironment.bytes(key))
          removal = mdb_cursor_del(cursor, 0)
          return removal == 0
        }
        if removal != 0 { code = removal }
        guard code == 0, !ahead.isEmpty else { return code }
        var skipped = 0
        code = LMDBStateTable.put(transaction, environment.rows, batch, &skipped, only: ahead)
        return code
      }
    }
  }

  /// Whether a stored row is of the batch's lane and has a larger fence.
  private static func isBeyond(_ stored: MDB_val, _ batch: StateBatch) -> Bool {
    guard stored.mv_size >= 20, fence(stored) > batch.fence else { return false }
    let count = Int(UInt32(littleEndian: stored.mv_data.loadUnaligned(fromByteOffset: 16, as: UInt32.self)))
    guard stored.mv_size >= 20 + count else { return false }
    return UnsafeRawBufferPointer(start: stored.mv_data + 20, count: count).elementsEqual(batch.lane.utf8)
  }

  private static func fence(_ stored: MDB_val) -> Fence {
    Fence(
      generation: Int64(littleEndian: stored.mv_data.loadUnaligned(as: Int64.self)),
      position: Int64(littleEndian: stored.mv_data.loadUnaligned(fromByteOffset: 8, as: Int64.self)))
  }

  /// Puts a batch's rows in the order of their keys; with `only`, those with such a key.
  private static func put(
    _ transaction: OpaquePointer, _ rows: MDB_dbi, _ batch: StateBatch, _ skipped: inout Int, only: Set<[UInt8]>? = nil
  ) -> Int32 {
    var cursor: OpaquePointer?
    var code = mdb_cursor_open(transaction, rows, &cursor)
    guard code == 0, let cursor else { return code }
    defer { mdb_cursor_close(cursor) }
    let layout = RowLayout(batch)
    let prefix = Array(batch.table.utf8) + [0]
    var whole = prefix
    batch.forEachInKeyOrder { key, value in
      whole.removeSubrange(prefix.count...)
      whole.append(contentsOf: key)
      if whole.count > LMDBEnvironment.keyBytesMax { whole = LMDBStateTable.key(batch.table, Array(key)) }
      if let only, !only.contains(whole) { return true }
      code = LMDBStateTable.put(cursor, whole, batch.fence, &skipped, count: layout.count(key, value)) { layout.write(key, value, to: $0) }
      return code == 0
    }
    return code
  }

  /// Law 6: written only if the stored fence is not larger. `row` writes the row's `count` bytes into the page itself.
  private static func put(
    _ cursor: OpaquePointer, _ key: [UInt8], _ fence: Fence, _ skipped: inout Int, count: Int,
    _ row: (UnsafeMutableRawPointer) -> Void
  ) -> Int32 {
    LMDBEnvironment.value(key) { key in
      var stored = MDB_val()
      let found = mdb_cursor_get(cursor, &key, &stored, MDB_SET)
      if found == 0, stored.mv_size >= 16 {
        if LMDBStateTable.fence(stored) > fence {
          skipped += 1
          return 0
        }
      } else if found != 0, found != MDB_NOTFOUND {
        return found
      }
      var place = MDB_val(mv_size: count, mv_data: nil)
      let code = mdb_cursor_put(cursor, &key, &place, UInt32(MDB_RESERVE) | (found == 0 ? UInt32(MDB_CURRENT) : 0))
      if code == 0, let data = place.mv_data { row(data) }
      return code
    }
  }

  public func writeMeta(_ entries: [(String, [UInt8])]) async throws {
    try await thread.run { [environment] in
      try environment.write { LMDBStateTable.put($0, environment.meta, entries) }
    }
  }

  private static func put(_ transaction: OpaquePointer, _ meta: MDB_dbi, _ entries: [(String, [UInt8])]) -> Int32 {
    for (name, bytes) in entries {
      let code = LMDBEnvironment.value(Array(name.utf8)) { key in
        LMDBEnvironment.value(bytes) { value in mdb_put(transaction, meta, &key, &value, 0) }
      }
      if code != 0 { return code }
    }
    return 0
  }

  public func clear(tables: [String]) async throws {
    try await thread.run { [environment] in
      for table in tables {
        try environment.write { transaction in
          var removal: Int32 = 0
          let code = LMDBStateTable.forEach(transaction, environment.rows, prefix: Array(table.utf8) + [0]) { cursor, _, _ in
            removal = mdb_cursor_del(cursor, 0)
            return removal == 0
          }
          return removal != 0 ? removal : code
        }
      }
    }
  }

  public func sync() async throws { try await thread.run { [environment] in try environment.sync() } }

  public func finish() async throws { try await thread.run { [environment] in try environment.finish() } }

  // MARK: Read

  public func read(table: String, key: [UInt8]) async throws -> StateRow? {
    try await thread.run { [environment] in
      try environment.read { (transaction) throws(WeirError) -> StateRow? in
        let found: Result<StateRow?, WeirError> = LMDBEnvironment.value(LMDBStateTable.key(table, key)) { key in
          var value = MDB_val()
          guard mdb_get(transaction, environment.rows, &key, &value) == 0 else { return .success(nil) }
          return Result { () throws(WeirError) in try LMDBStateTable.decode(table, LMDBEnvironment.raw(value)) }
        }
        guard let row = try found.get() else { return nil }
        return row.key == key ? row : nil
      }
    }
  }

  public func scan(table: String, prefix: [UInt8], limit: Int) async throws -> [StateRow] {
    try await withRows(table: table, prefix: prefix, limit: limit) { (rows) throws(WeirError) in
      var all: [StateRow] = []
      try rows.forEach { (row) throws(WeirError) in all.append(row) }
      return all
    }
  }

  /// Rows of one moment, handed out one after the other: what a scan takes of memory does not grow with the table. The moment's
  /// pages stay in the file until `body` returns.
  /// - Parameters:
  ///   - limit: rows at most; negative: all.
  ///   - body: runs on the table's thread.
  public func withRows<T: Sendable>(
    table: String, prefix: [UInt8], limit: Int, _ body: @escaping @Sendable (Rows) throws(WeirError) -> T
  ) async throws -> T {
    try await thread.run { [environment] in
      try environment.read { (transaction) throws(WeirError) in
        try body(
          Rows(transaction: transaction, database: environment.rows, table: table, prefix: prefix, limit: limit, path: environment.path))
      }
    }
  }

  /// The rows of a scan; lives as long as its transaction.
  public struct Rows {
    fileprivate let transaction: OpaquePointer
    fileprivate let database: MDB_dbi
    fileprivate let table: String
    fileprivate let prefix: [UInt8]
    fileprivate let limit: Int
    fileprivate let path: String

    /// In key order, tombstones left out.
    public func forEach(_ body: (StateRow) throws(WeirError) -> Void) throws(WeirError) {
      var left = limit < 0 ? Int.max : limit
      guard left > 0 else { return }
      var failure: WeirError?
      var lane = ""
      let begin = Array((Array(table.utf8) + [0] + prefix).prefix(LMDBEnvironment.keyBytesMax - 16))
      let code = LMDBStateTable.forEach(transaction, database, prefix: begin) { _, _, value in
        do throws(WeirError) {
          let row = try LMDBStateTable.decode(table, LMDBEnvironment.raw(value), lane: lane)
          lane = row.lane
          guard row.value != nil, row.key.starts(with: prefix) else { return true }
          try body(row)
          left -= 1
          return left > 0
        } catch {
          failure = error
          return false
        }
      }
      if let failure { throw failure }
      guard code == 0 else { throw LMDBEnvironment.error("read", path, code) }
    }
  }

  /// Calls `body` for each pair whose key begins with `prefix`, in key order, until it says false.
  private static func forEach(
    _ transaction: OpaquePointer, _ database: MDB_dbi, prefix: [UInt8], _ body: (OpaquePointer, MDB_val, MDB_val) -> Bool
  ) -> Int32 {
    var cursor: OpaquePointer?
    let code = mdb_cursor_open(transaction, database, &cursor)
    guard code == 0, let cursor else { return code }
    defer { mdb_cursor_close(cursor) }
    return LMDBEnvironment.value(prefix) { start in
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

  public func readMeta(_ name: String) async throws -> [UInt8]? {
    try await thread.run { [environment] in
      try environment.read { (transaction) throws(WeirError) -> [UInt8]? in
        LMDBStateTable.meta(transaction, environment.meta, name)
      }
    }
  }

  private static func meta(_ transaction: OpaquePointer, _ meta: MDB_dbi, _ name: String) -> [UInt8]? {
    LMDBEnvironment.value(Array(name.utf8)) { key in
      var value = MDB_val()
      return mdb_get(transaction, meta, &key, &value) == 0 ? LMDBEnvironment.bytes(value) : nil
    }
  }

  /// Names and values of all meta entries whose name begins with `prefix`.
  public func listMeta(prefix: String) async throws -> [(name: String, value: [UInt8])] {
    try await thread.run { [environment] in
      try environment.read { (transaction) throws(WeirError) -> [(name: String, value: [UInt8])] in
        var found: [(name: String, value: [UInt8])] = []
        _ = LMDBStateTable.forEach(transaction, environment.meta, prefix: Array(prefix.utf8)) { _, key, value in
          found.append((String(decoding: LMDBEnvironment.bytes(key), as: UTF8.self), LMDBEnvironment.bytes(value)))
          return true
        }
        return found
      }
    }
  }
}
