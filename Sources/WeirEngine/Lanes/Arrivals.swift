import WeirCore

/// When the records of some blocks arrived: first and last of each block, and how many; not one by one.
struct Arrivals: Sendable {
  /// Blocks that are kept separately; beyond them two neighbours become one.
  private static let blocksMax = 256
  private var blocks: [(first: Int64, last: Int64, records: Int64)] = []

  /// A block as it is consumed; one without arrivals counts for nothing.
  mutating func add(_ block: PreparedBlock) {
    guard let details = block.decoded.details, let first = details.arrivals.first, let last = details.arrivals.last,
      first != RecordDetails.noArrival, last != RecordDetails.noArrival
    else { return }
    blocks.append((first, last, Int64(details.arrivals.count)))
    if blocks.count > Arrivals.blocksMax { halve() }
  }

  private mutating func halve() {
    blocks = stride(from: 0, to: blocks.count, by: 2).map { i in
      guard i + 1 < blocks.count else { return blocks[i] }
      return (blocks[i].first, blocks[i + 1].last, blocks[i].records + blocks[i + 1].records)
    }
  }

  mutating func add(_ other: Arrivals) {
    blocks += other.blocks
    while blocks.count > Arrivals.blocksMax { halve() }
  }

  /// Observes the time from each arrival until `wall` (UTC microseconds); clocks that differ make none negative.
  func observe(into histogram: inout Histogram, wall: Int64) {
    for block in blocks {
      let (early, late) = (min(block.first, block.last), max(block.first, block.last))
      histogram.observe(
        from: max(0, Double(wall - late) / 1e6), to: max(0, Double(wall - early) / 1e6), count: block.records)
    }
  }
}
