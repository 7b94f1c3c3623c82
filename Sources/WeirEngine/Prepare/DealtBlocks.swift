import WeirCore

/// Some neighbouring blocks of a shard whose records have their lanes: what lanes consume at a time.
///
/// A class: blocks are more than twenty arrays each, and copying that for each of hundreds of lanes, on several cores at once, costs
/// more than what most lanes do with it.
final class DealtBlocks: @unchecked Sendable {
  // Unchecked: `accepted` is written, each lane its own part of it, by the call that consumes, and read when all lanes have
  // consumed. All else never changes.
  let blocks: [PreparedBlock]
  /// Behind the last record: the shard's position and watermark.
  let end: Int64
  let watermark: Int64
  let deal: LaneDeal
  /// Of all blocks, where the deal says.
  let columns: LaneColumns
  /// Records of all blocks.
  let count: Int
  /// Of each lane, how many records it accepted; then, lane by lane where its rows are, which rows these are. nil: no aggregate of the
  /// plan asks for them.
  private let accepted: UnsafeMutablePointer<UInt32>?
  /// Number of each block's first row; empty if there is but one block.
  private let firstRows: [Int]
  /// Of some of the blocks: what lanes need not look at block by block otherwise. (An array's element is a copy, and this one's
  /// are more than twenty references that all cores count.)
  let hasArrivals: Bool

  /// One block for a lane that has all of it.
  convenience init(_ block: PreparedBlock, end: Int64, watermark: Int64) {
    self.init([block], lanes: 1, end: end, watermark: watermark)
  }

  /// - Parameter blocks: one, unless there are lanes enough for them to be put into lane order.
  init(_ blocks: [PreparedBlock], lanes: Int, end: Int64, watermark: Int64) {
    self.blocks = blocks
    self.end = end
    self.watermark = watermark
    var count = 0
    var firstRows: [Int] = []
    for block in blocks {
      if blocks.count > 1 { firstRows.append(count) }
      count += block.count
    }
    self.firstRows = firstRows
    self.count = count
    deal = LaneDeal(blocks.map(\.laneOf), count: count, lanes: lanes)
    precondition(blocks.count == 1 || deal.isArranged || count == 0, "the columns of several blocks are not contiguous")
    columns = deal.isArranged ? deal.arranged(blocks.map(\.columns)) : blocks[0].columns
    accepted = DealtBlocks.accepted(blocks[0], rows: count, lanes: lanes)
    hasArrivals = blocks.contains { $0.decoded.details != nil }
  }

  /// The same, with no watermark below `floor`. Blocks of one lane only.
  init(_ other: DealtBlocks, floor: Int64) {
    precondition(!other.deal.isArranged, "each lane has a floor of its own")
    var block = other.blocks[0]
    for i in block.columns.watermark.indices { block.columns.watermark[i] = max(block.columns.watermark[i], floor) }
    (blocks, columns, count) = ([block], block.columns, other.count)
    (end, watermark, deal, firstRows) = (other.end, other.watermark, other.deal, other.firstRows)
    hasArrivals = other.hasArrivals
    accepted = DealtBlocks.accepted(block, rows: other.count, lanes: 1)
  }

  deinit { accepted?.deallocate() }

  // MARK: Accepted records

  private static func accepted(_ block: PreparedBlock, rows: Int, lanes: Int) -> UnsafeMutablePointer<UInt32>? {
    guard block.columns.aggregates.contains(where: { !$0.isFinishedInLane }) else { return nil }
    let accepted = UnsafeMutablePointer<UInt32>.allocate(capacity: lanes + rows)
    accepted.initialize(repeating: 0, count: lanes)
    return accepted
  }

  /// Tells which records of its part a lane accepts, by their places: for ``ShardPartial``.
  func accept(_ places: UnsafeBufferPointer<UInt32>, lane: Int) {
    guard let accepted else { return }
    let rows = accepted + deal.lanes + deal.range(lane).lowerBound
    if deal.isArranged {
      deal.rows.withUnsafeBufferPointer { all in for i in 0..<places.count { rows[i] = all[Int(places[i])] } }
    } else {
      rows.update(from: places.baseAddress!, count: places.count)
    }
    accepted[lane] = UInt32(places.count)
  }

  /// The accepted rows of a lane, ascending.
  func accepted(lane: Int) -> UnsafeBufferPointer<UInt32> {
    UnsafeBufferPointer(start: accepted.map { $0 + deal.lanes + deal.range(lane).lowerBound }, count: accepted.map { Int($0[lane]) } ?? 0)
  }

  // MARK: Rows

  /// Whose columns are at `place`: the block, and the row in it.
  func source(_ place: Int) -> (block: PreparedBlock, row: Int) {
    let row = deal.row(place)
    guard blocks.count > 1 else { return (blocks[0], row) }
    let number = (firstRows.firstIndex { $0 > row } ?? firstRows.count) - 1
    return (blocks[number], row - firstRows[number])
  }

  /// How many of some rows have a value of a field.
  /// - Parameter places: ascending.
  func count(of places: UnsafeBufferPointer<UInt32>, with field: Int) -> Int {
    var count = 0
    forEachBlock(of: places.lazy.map { UInt32(self.deal.row(Int($0))) }) { block, rows in
      let column = block.decoded.columns[field]
      count += rows.reduce(0) { $0 + (column.isValid(Int($1)) ? 1 : 0) }
    }
    return count
  }

  /// Calls `body` with each block that has some of `rows` (numbers of all blocks, ascending), and which of its own they are.
  func forEachBlock(of rows: some RandomAccessCollection<UInt32>, _ body: (PreparedBlock, [UInt32]) -> Void) {
    guard blocks.count > 1 else { return body(blocks[0], Array(rows)) }
    var rest = rows[...]
    for (block, first) in zip(blocks, firstRows) {
      let own = rest.prefix { Int($0) < first + block.count }
      guard !own.isEmpty else { continue }
      body(block, own.map { $0 - UInt32(first) })
      rest = rest[own.endIndex...]
    }
  }
}
