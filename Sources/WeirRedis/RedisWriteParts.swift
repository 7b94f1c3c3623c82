import WeirCore

/// Rows on their way to a server, in the order of their keys, some in each script: a script keeps the server from all other work.
struct RedisWriteParts: Sendable {
  /// What one script gets.
  struct Part {
    /// By the number that segments name them by, from 1.
    var tables: [String] = []
    /// Table, fence, number of rows, and the rows.
    var segments = RedisCommand()
    var segmentCount = 0
    var rows = 0
  }

  static let rowsMax = 1000
  static let bytesMax = 1 << 20

  private let batches: [StateBatch]
  private let orders: [[Int]]
  private let rowsMax: Int
  private let fit: RedisRowFit
  private var batch = 0
  private var next = 0

  init(_ batches: [StateBatch], rowsMax: Int = RedisWriteParts.rowsMax, fit: RedisRowFit) {
    self.batches = batches.filter { !$0.isEmpty }
    orders = self.batches.map { $0.keyOrder() }
    (self.rowsMax, self.fit) = (rowsMax, fit)
  }

  var isDone: Bool { batch == batches.count }

  mutating func part() -> Part {
    var part = Part()
    while batch < batches.count, part.rows < rowsMax, part.segments.byteCount < RedisWriteParts.bytesMax {
      let (batch, order) = (batches[self.batch], orders[self.batch])
      let (rows, count) = segment(batch, order[next...], rowsMax - part.rows, RedisWriteParts.bytesMax - part.segments.byteCount)
      let table = part.tables.firstIndex(of: batch.table) ?? part.tables.count
      if table == part.tables.count { part.tables.append(batch.table) }
      part.segments.append(table + 1)
      part.segments.append(RedisRow.fence(batch.fence))
      part.segments.append(count)
      part.segments.append(all: rows)
      part.rows += count
      part.segmentCount += 1
      next += count
      if next == order.count { (self.batch, next) = (self.batch + 1, 0) }
    }
    return part
  }

  /// Key and row of some rows, at least of one.
  private func segment(
    _ batch: StateBatch, _ order: ArraySlice<Int>, _ rowsMax: Int, _ bytesMax: Int
  ) -> (rows: RedisCommand, count: Int) {
    let heads = (row: RedisRow.head(batch, isRow: true), tombstone: RedisRow.head(batch, isRow: false))
    var rows = RedisCommand()
    var count = 0
    batch.forEach(order) { key, value in
      guard count < rowsMax, count == 0 || rows.byteCount < bytesMax else { return false }
      rows.append(key)
      if let value, let small = fit.inPlace(of: value, head: heads.row.count, key: key, table: batch.table) {
        small.withUnsafeBytes { rows.append(heads.row, $0) }
      } else {
        rows.append(value == nil ? heads.tombstone : heads.row, value)
      }
      count += 1
      return true
    }
    return (rows, count)
  }
}

/// Which rows a server takes.
struct RedisRowFit: Sendable {
  /// Bytes of a row.
  var bytesMax: Int
  var oversize: OversizeRows

  /// - Returns: nil: the row fits.
  func inPlace(of value: UnsafeRawBufferPointer, head: Int, key: UnsafeRawBufferPointer, table: String) -> [UInt8]? {
    guard head + value.count > bytesMax else { return nil }
    oversize.note(table: table, key: Array(key), bytes: head + value.count)
    return OversizeValue(key: key, value: value).encoded
  }
}

extension RedisCommand {
  /// Their number, names and values.
  mutating func append(pairs: [(String, [UInt8])]) {
    append(pairs.count)
    for (name, value) in pairs {
      append(name)
      append(value)
    }
  }
}
