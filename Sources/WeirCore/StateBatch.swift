/// Rows of one state table that one lane writes at one fence, flat: no allocation a row.
public struct StateBatch: Sendable {
  public let table: String
  /// The lane whose positions the fence counts (``LaneID/text``), or `merge`.
  public let lane: String
  public let fence: Fence
  private var keys: [UInt8] = []
  private var keyEnds: [Int] = []
  private var values = ByteWriter()
  private var valueEnds: [Int] = []
  /// Numbers of the rows that are deleted.
  private var removed: Set<Int> = []

  public init(table: String, lane: String, fence: Fence) {
    self.table = table
    self.lane = lane
    self.fence = fence
  }

  public var count: Int { keyEnds.count }
  public var isEmpty: Bool { keyEnds.isEmpty }

  public mutating func reserve(_ count: Int) {
    keyEnds.reserveCapacity(count)
    valueEnds.reserveCapacity(count)
  }

  /// Adds a row; each key once. `value` writes the row's value.
  @inline(__always)
  public mutating func append(key: ArraySlice<UInt8>, value: (inout ByteWriter) -> Void) {
    keys.append(contentsOf: key)
    keyEnds.append(keys.count)
    value(&values)
    valueEnds.append(values.bytes.count)
  }

  /// Deletes a row: its tombstone has the fence of the batch.
  public mutating func remove(key: ArraySlice<UInt8>) {
    removed.insert(count)
    append(key: key) { _ in }
  }

  /// Calls `body` with key and value of every row, in the order of the keys' bytes, until it says false. A tombstone has no value.
  public func forEachInKeyOrder(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer?) -> Bool) { forEach(keyOrder()[...], body) }

  /// Numbers of the rows in the order of their keys' bytes.
  public func keyOrder() -> [Int] { keys.withUnsafeBytes { order($0) } }

  /// Calls `body` with key and value of these rows, until it says false.
  public func forEach(_ rows: ArraySlice<Int>, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer?) -> Bool) {
    keys.withUnsafeBytes { keys in
      values.bytes.withUnsafeBytes { values in
        for row in rows {
          let key = keys[(row == 0 ? 0 : keyEnds[row - 1])..<keyEnds[row]]
          let value = values[(row == 0 ? 0 : valueEnds[row - 1])..<valueEnds[row]]
          let isThere = removed.isEmpty || !removed.contains(row)
          if !body(UnsafeRawBufferPointer(rebasing: key), isThere ? UnsafeRawBufferPointer(rebasing: value) : nil) { return }
        }
      }
    }
  }

  /// Row numbers by key. The eight bytes after the common prefix of all keys compare as one number, which distinguishes most pairs.
  private func order(_ keys: UnsafeRawBufferPointer) -> [Int] {
    func bytes(_ row: Int) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(rebasing: keys[(row == 0 ? 0 : keyEnds[row - 1])..<keyEnds[row]])
    }
    guard count > 1 else { return Array(0..<count) }
    let first = bytes(0)
    var common = first.count
    for row in 1..<count {
      let key = bytes(row)
      var same = 0
      while same < common, same < key.count, key[same] == first[same] { same += 1 }
      common = same
    }
    var prefixes = [(prefix: UInt64, row: Int)]()
    prefixes.reserveCapacity(count)
    for row in 0..<count {
      var prefix: UInt64 = 0
      let key = bytes(row)
      for i in common..<common + 8 { prefix = prefix << 8 | (i < key.count ? UInt64(key[i]) : 0) }
      prefixes.append((prefix, row))
    }
    prefixes.sort { a, b in
      a.prefix != b.prefix ? a.prefix < b.prefix : bytes(a.row).lexicographicallyPrecedes(bytes(b.row))
    }
    return prefixes.map(\.row)
  }

  /// The rows one by one, in the order of their keys.
  public var rows: [StateRow] {
    var rows: [StateRow] = []
    forEachInKeyOrder { key, value in
      rows.append(StateRow(table: table, key: Array(key), fence: fence, lane: lane, value: value.map { Array($0) }))
      return true
    }
    return rows
  }
}
