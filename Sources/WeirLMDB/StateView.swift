import WeirCore

/// One moment of a store, for reading.
struct StateView {
  let file: PageFile
  let snapshot: Snapshot
  private let rows: Tree
  private let meta: Tree

  /// - Throws: `state_missing` if a worker has not made the two trees yet.
  init(_ file: PageFile, _ snapshot: Snapshot) throws(WeirError) {
    (self.file, self.snapshot) = (file, snapshot)
    guard snapshot.main.root != nil else {
      throw WeirError(
        .stateMissing, "there is no state table in \(file.path) yet", advice: "A replay creates it: run one, or wait until it has started.")
    }
    func tree(_ name: String) throws(WeirError) -> Tree {
      var cursor = TreeCursor(file, snapshot, snapshot.main)
      let key = Array(name.utf8)
      guard try cursor.seek(key), cursor.key == key[...] else { throw file.damaged("one of its two trees is missing") }
      return try cursor.subtree()
    }
    (rows, meta) = (try tree("rows"), try tree("meta"))
  }

  func row(_ table: String, _ key: [UInt8]) throws(WeirError) -> StateRow? {
    let whole = TableKey.bytes(table, key)
    var cursor = TreeCursor(file, snapshot, rows)
    guard try cursor.seek(whole), cursor.key == whole[...] else { return nil }
    let row = try StateView.row(table, seed: RowLayout.seed(table), cursor, file)
    return row.key == key ? row : nil
  }

  /// Calls `body` with each row whose key in the tree is at or after `start` and begins with `prefix`, in the order of the keys,
  /// until it says false.
  func forEachRow(
    _ table: String, prefix: [UInt8], from start: [UInt8], _ body: (StateRow, ArraySlice<UInt8>) -> Bool
  ) throws(WeirError) {
    var cursor = TreeCursor(file, snapshot, rows)
    let seed = RowLayout.seed(table)
    var lane = ""
    var isThere = try cursor.seek(start)
    while isThere, cursor.key.starts(with: prefix) {
      let row = try StateView.row(table, seed: seed, cursor, file, lane: lane)
      lane = row.lane
      guard body(row, cursor.key) else { return }
      isThere = try cursor.next()
    }
  }

  /// - Parameter last: the lane of the row before, whose name is not built again.
  private static func row(
    _ table: String, seed: UInt64, _ cursor: TreeCursor, _ file: PageFile, lane last: String = ""
  ) throws(WeirError) -> StateRow {
    let (key, value) = (cursor.key, try cursor.value())
    let prefix = TableKey.prefix(table)
    let row = value.withUnsafeBytes { bytes -> StateRow? in
      guard let stored = RowLayout.Stored(bytes, seed: seed), RowCheck.isKey(key, of: stored, prefix) else { return nil }
      let lane = stored.lane.elementsEqual(last.utf8) ? last : String(decoding: stored.lane, as: UTF8.self)
      return StateRow(table: table, key: Array(stored.key), fence: stored.fence, lane: lane, value: Array(stored.value))
    }
    guard let row else { throw file.damaged("a row of \(table) is not what was written there") }
    return row
  }

  func meta(_ name: String) throws(WeirError) -> [UInt8]? {
    let key = Array(name.utf8)
    var cursor = TreeCursor(file, snapshot, meta)
    guard try cursor.seek(key), cursor.key == key[...] else { return nil }
    return try StateView.mark(cursor, file)
  }

  func metas(prefix: String) throws(WeirError) -> [(name: String, value: [UInt8])] {
    var found: [(name: String, value: [UInt8])] = []
    var cursor = TreeCursor(file, snapshot, meta)
    var isThere = try cursor.seek(Array(prefix.utf8))
    while isThere, cursor.key.starts(with: prefix.utf8) {
      found.append((String(decoding: cursor.key, as: UTF8.self), try StateView.mark(cursor, file)))
      isThere = try cursor.next()
    }
    return found
  }

  private static func mark(_ cursor: TreeCursor, _ file: PageFile) throws(WeirError) -> [UInt8] {
    guard let value = MetaLayout.decode(Array(cursor.key), try cursor.value()) else {
      throw file.damaged("the mark \(String(decoding: cursor.key, as: UTF8.self)) is not what was written there")
    }
    return value
  }
}
