import WeirCore

/// Names of the keys of a state table. All begin with the prefix in braces, so that a cluster keeps them in one slot.
package struct RedisKeys: Sendable {
  private let tag: String

  package init(prefix: String) { tag = "{\(prefix)}:" }

  /// A hash: `incarnation`, `format`, `values`, `replaced`, `remains`, and `rows/TABLE`, the number of rows of each table.
  package var store: String { tag + "store" }
  /// A hash: the values next to the rows, by name.
  package var meta: String { tag + "meta" }
  /// A sorted set of their names, all with score 0.
  package var names: String { tag + "names" }
  /// A number that grows with each write of a worker.
  package func writer(_ id: String) -> String { tag + "writer:" + id }
  /// A hash: rows by key.
  package func rows(_ table: String) -> String { tag + "rows:" + table }
  /// A sorted set of the rows' keys, all with score 0.
  package func keys(_ table: String) -> String { tag + "keys:" + table }
  /// Those of a table that will be in the place of another.
  package func newRows(_ table: String, _ id: String) -> String { tag + "new:\(id):rows:" + table }
  package func newKeys(_ table: String, _ id: String) -> String { tag + "new:\(id):keys:" + table }
}

/// The bytes of a row: generation and position of its fence as signed big-endian 64-bit numbers, 1 (0 for a tombstone), the length of its
/// lane's name as a big-endian 16-bit number, the lane's name, the value.
///
/// Scripts compare fences by the first 16 bytes, in four parts: Lua's numbers are doubles.
package enum RedisRow {
  static let headBytes = 19
  static let laneBytesMax = Int(UInt16.max)

  package static func fence(_ fence: Fence) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(16)
    for number in [fence.generation, fence.position] { withUnsafeBytes(of: number.bigEndian) { out.append(contentsOf: $0) } }
    return out
  }

  /// What all rows of a batch begin with.
  static func head(_ batch: StateBatch, isRow: Bool) -> [UInt8] {
    let lane = Array(batch.lane.utf8.prefix(laneBytesMax))
    return fence(batch.fence) + [isRow ? 1 : 0, UInt8(lane.count >> 8), UInt8(lane.count & 0xFF)] + lane
  }

  /// - Returns: nil if the bytes are not a row.
  package static func decode(_ bytes: [UInt8], table: String, key: [UInt8], lane last: String = "") -> StateRow? {
    guard bytes.count >= headBytes, bytes[16] <= 1 else { return nil }
    let end = headBytes + (Int(bytes[17]) << 8 | Int(bytes[18]))
    guard bytes.count >= end, bytes[16] == 1 || bytes.count == end else { return nil }
    func number(_ at: Int) -> Int64 { bytes[at..<at + 8].reduce(0) { $0 << 8 | Int64($1) } }
    let lane = bytes[headBytes..<end]
    return StateRow(
      table: table, key: key, fence: Fence(generation: number(0), position: number(8)),
      lane: lane.elementsEqual(last.utf8) ? last : String(decoding: lane, as: UTF8.self),
      value: bytes[16] == 1 ? Array(bytes[end...]) : nil)
  }
}
