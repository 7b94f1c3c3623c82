import WeirCore

/// The rows of a block, lane by lane.
///
/// Few lanes read a block's columns where they lie. Of hundreds of lanes each has a row here and there, and every value of it
/// would be a cache line of its own: then the columns that lanes read are put into lane order first, which goes over each
/// once while it is in the cache, and a lane reads its own part from end to end. (Measured with 256 lanes: Performance.md.)
struct LaneDeal: Sendable {
  /// Lanes from which on the columns are put into lane order.
  static let arrangedFrom = 32

  /// Row numbers, lane by lane, ascending in each.
  private(set) var rows: [UInt32] = []
  /// Where each row's columns are: the row, or, in lane order, simply the next place.
  private(set) var places: [UInt32] = []
  /// Lane `n` has `bounds[n]..<bounds[n + 1]` of both.
  private var bounds: [Int] = [0, 0]
  private(set) var isArranged = false

  init() {}

  /// - Parameter laneOf: the lane of each row.
  init(_ laneOf: [UInt16], lanes: Int) {
    let count = laneOf.count
    guard lanes > 1 else {
      rows = Array(0..<UInt32(count))
      (places, bounds) = (rows, [0, count])
      return
    }
    bounds = [Int](repeating: 0, count: lanes + 1)
    for lane in laneOf { bounds[Int(lane) + 1] += 1 }
    for lane in 0..<lanes { bounds[lane + 1] += bounds[lane] }
    rows = [UInt32](unsafeUninitializedCapacity: count) { out, filled in
      withUnsafeTemporaryAllocation(of: Int.self, capacity: lanes) { next in
        for lane in 0..<lanes { next[lane] = bounds[lane] }
        for row in 0..<count {
          let lane = Int(laneOf[row])
          out[next[lane]] = UInt32(truncatingIfNeeded: row)
          next[lane] += 1
        }
      }
      filled = count
    }
    isArranged = lanes >= LaneDeal.arrangedFrom
    places = isArranged ? Array(0..<UInt32(count)) : rows
  }

  func range(_ lane: Int) -> Range<Int> { bounds[lane]..<bounds[lane + 1] }

  /// The row whose columns are at `place`.
  @inline(__always)
  func row(_ place: Int) -> Int { isArranged ? Int(rows[place]) : place }
}

extension PreparedBlock {
  /// Adds the deal, and puts what the lanes read into its order.
  mutating func deal(_ deal: LaneDeal) {
    self.deal = deal
    guard deal.isArranged else { return }
    let rows = deal.rows
    func arranged<T: BitwiseCopyable>(_ values: [T]) -> [T] { values.isEmpty ? values : values.gathered(rows) }
    verdict = arranged(verdict)
    ids = arranged(ids)
    hasID = arranged(hasID)
    watermark = arranged(watermark)
    time = arranged(time)
    for i in aggregates.indices {
      aggregates[i].mask = aggregates[i].mask.map { arranged($0) }
      aggregates[i].hashes = arranged(aggregates[i].hashes)
      aggregates[i].arguments = aggregates[i].arguments.map { $0?.gather(rows) }
    }
  }
}
