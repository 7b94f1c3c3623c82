import Glibc
import WeirCore

extension DynamoDBStateTable {
  /// Times that a read begins once more because a rebuild was published in the middle of it.
  private static let readsMax = 8

  package func read(table: String, key: [UInt8]) async throws -> StateRow? {
    var layout = try await layout()
    for _ in 0..<DynamoDBStateTable.readsMax {
      if let item = try await requests.get(layout.row(table, key)), let row = RowItem.row(table, item) {
        return DynamoDBStateTable.row(row, of: item, as: key)
      }
      // The generation may have been deleted meanwhile.
      let now = try await self.layout()
      if now.generation(of: table) == layout.generation(of: table) { return nil }
      layout = now
    }
    throw contended("the table \(table)")
  }

  /// - Returns: nil: the item is of another long key with the same beginning and hash.
  private static func row(_ row: StateRow, of item: Item, as key: [UInt8]) -> StateRow? {
    guard row.key != key else { return row }
    // A key that is too large for its item is known by its hash alone.
    guard key.count > TableLayout.keyBytesMax, item.bytes(RowItem.rowKey) == nil else { return nil }
    var row = row
    row.key = key
    return row
  }

  /// Each bucket is read a little beyond its share of the page. The page ends at the key up to which all of them were read, so it may have
  /// fewer rows than asked for. Its rows are of a short time, and not of one moment.
  package func page(of table: String, prefix: [UInt8], from start: StateContinuation?, rowsMax: Int) async throws -> StatePage {
    let rowsMax = min(max(1, rowsMax), StatePage.rowsMax)
    var layout = try await layout()
    for _ in 0..<DynamoDBStateTable.readsMax {
      let page = try await page(of: table, prefix, from: start, rowsMax: rowsMax, layout)
      let now = try await self.layout()
      if now.generation(of: table) == layout.generation(of: table) { return page }
      layout = now
    }
    throw contended("the table \(table)")
  }

  private func page(
    of table: String, _ prefix: [UInt8], from start: StateContinuation?, rowsMax: Int, _ layout: TableLayout
  ) async throws -> StatePage {
    let whole = [TableLayout.rowPrefix] + prefix.prefix(TableLayout.keyBytesCut)
    let end = DynamoDBRequests.end(of: whole)
    var from = whole
    if let start {
      // A continuation is a row's key; it may come from anyone.
      let key = [TableLayout.rowPrefix] + start.bytes.prefix(TableLayout.keyBytesMax)
      guard let next = DynamoDBRequests.after(key), !end.precedes(next) else { return StatePage([], next: nil) }
      if from.precedes(next) { from = next }
    }
    let share = rowsMax / layout.buckets
    let limit = max(8, share + share / 4)
    let generation = layout.generation(of: table)
    let found = try await InFlight.map(0..<layout.buckets, max: bounds.inFlight) { [requests, from] bucket in
      try await requests.query(layout.partition(table, generation: generation, bucket: bucket), (from, end), limit: limit)
    }
    var page = DynamoDBStateTable.merged(found, table, whole, rowsMax: rowsMax)
    // A prefix may be longer than what items are named by.
    if prefix.count > TableLayout.keyBytesCut { page.rows.removeAll { !$0.key.starts(with: prefix) } }
    return page
  }

  /// The rows of all buckets in the order of their keys, as far as all of them were read.
  static func merged(_ found: [DynamoDBRequests.Found], _ table: String, _ prefix: [UInt8], rowsMax: Int) -> StatePage {
    let bound = found.compactMap(\.last).min { $0.precedes($1) }
    let items = found.flatMap(\.items)
      .filter { item in item.sort.starts(with: prefix) && bound.map { !$0.precedes(item.sort) } ?? true }
      .sorted { $0.sort.precedes($1.sort) }
    var rows: [StateRow] = []
    var (bytes, last) = (0, [UInt8]())
    for item in items {
      guard let row = RowItem.row(table, item), let value = row.value else { continue }
      if rows.count == rowsMax || bytes >= StatePage.bytesMax {
        return StatePage(rows, next: StateContinuation(Array(last.dropFirst())))
      }
      rows.append(row)
      last = item.sort
      bytes += row.key.count + value.count
    }
    return StatePage(rows, next: bound.map { StateContinuation(Array($0.dropFirst())) })
  }

  /// The values are those that were the same before and after the rows were read. Rows that lanes write meanwhile are of different moments;
  /// those of a rebuild are all of before it or all of after it.
  package func moment<T: Sendable>(
    of tables: [String], into first: T, _ body: @escaping @Sendable (inout T, StateRow) -> Void
  ) async throws -> (meta: [String: [UInt8]], result: T) {
    for _ in 0..<DynamoDBStateTable.readsMax {
      let layout = try await layout()
      let before = Dictionary(try await metas().map { ($0.name, $0.value) }) { first, _ in first }
      var result = first
      for table in tables {
        var start: StateContinuation?
        repeat {
          let page = try await page(of: table, [], from: start, rowsMax: StatePage.rowsMax, layout)
          for row in page.rows { body(&result, row) }
          start = page.next
        } while start != nil
      }
      let after = Dictionary(try await metas().map { ($0.name, $0.value) }) { first, _ in first }
      let now = try await self.layout()
      if tables.allSatisfy({ now.generation(of: $0) == layout.generation(of: $0) }) {
        return (before.filter { after[$0.key] == $0.value }, result)
      }
    }
    throw contended("the tables")
  }
}

extension [UInt8] {
  /// By bytes, as DynamoDB orders sort keys.
  func precedes(_ other: [UInt8]) -> Bool {
    let order = memcmp(self, other, Swift.min(count, other.count))
    return order == 0 ? count < other.count : order < 0
  }
}
