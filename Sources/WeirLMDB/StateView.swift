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

  /// A page of rows whose key begins with `prefix`, tombstones left out. Its continuation is the last key of the tree that it covers.
  func page(_ table: String, prefix: [UInt8], from start: StateContinuation?, rowsMax: Int) throws(WeirError) -> StatePage {
    let begin = Array((TableKey.prefix(table) + prefix).prefix(TableKey.cutBytes))
    let seed = RowLayout.seed(table)
    let rowsMax = min(max(1, rowsMax), StatePage.rowsMax)
    var cursor = TreeCursor(file, snapshot, rows)
    var page = StatePage([], next: nil)
    var (looked, bytes, lane, last) = (0, 0, "", [UInt8]())
    // The least key after the one of the page before.
    var isThere = try cursor.seek(start.map { $0.bytes + [0] } ?? begin)
    while isThere, cursor.key.starts(with: begin) {
      if looked == StatePage.rowsMax || page.rows.count == rowsMax || bytes >= StatePage.bytesMax {
        page.next = StateContinuation(last)
        return page
      }
      let row = try StateView.row(table, seed: seed, cursor, file, lane: lane)
      // A prefix may be longer than what the tree has of a key.
      if row.value != nil, row.key.starts(with: prefix) { page.rows.append(row) }
      (looked, lane, last) = (looked + 1, row.lane, Array(cursor.key))
      bytes += row.key.count + (row.value?.count ?? 0)
      isThere = try cursor.next()
    }
    return page
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
      return StateRow(table: table, key: Array(stored.key), fence: stored.fence, lane: lane, value: stored.value.map { Array($0) })
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
