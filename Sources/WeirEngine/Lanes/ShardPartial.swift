import WeirCore
import WeirOperators

/// What the lanes of one shard add, in one epoch, to the aggregates that the merge lane finishes.
///
/// The lanes say which records they accept; those are folded here in the order of the shard, whatever lanes they are of: hundreds of
/// lanes, each with a few rows of every group and window, would fold next to nothing together. So the partial does not depend on how
/// many lanes there are, nor on where blocks begin.
final class ShardPartial {
  private let compiled: CompiledPlan
  private let run: RunInfo
  private let lanes: Int
  private var current: Partial
  private var windowCounts: [[WindowCounts]]
  private var late: [[LateRows?]]
  private let scratch = Scratch()

  /// - Parameter lanes: of the shard, here.
  init(_ compiled: CompiledPlan, lanes: Int, run: RunInfo) {
    self.compiled = compiled
    self.lanes = lanes
    self.run = run
    current = Partial(compiled)
    // Both by gold table, and then by lane.
    windowCounts = Array(repeating: Array(repeating: WindowCounts(), count: lanes), count: compiled.goldCount)
    late = Array(repeating: Array(repeating: nil, count: lanes), count: compiled.goldCount)
  }

  // MARK: Records

  /// Folds what the lanes have accepted of some blocks. All of them must have consumed these.
  func fold(_ next: DealtBlocks) {
    guard compiled.hasMerge else { return }
    guard lanes > 1 else { return fold(next.blocks[0], next.accepted(lane: 0)) }
    scratch.with(UInt8.self, next.count) { isAccepted in
      isAccepted.update(repeating: 0)
      for lane in 0..<lanes { for row in next.accepted(lane: lane) { isAccepted[Int(row)] = 1 } }
      var first = 0
      for block in next.blocks {
        scratch.with(UInt32.self, block.count) { rows in
          var count = 0
          for row in 0..<block.count {
            rows[count] = UInt32(truncatingIfNeeded: row)
            count += Int(isAccepted[first + row])
          }
          fold(block, UnsafeBufferPointer(rebasing: rows[..<count]))
        }
        first += block.count
      }
    }
  }

  /// - Parameter rows: accepted ones of the block, ascending.
  private func fold(_ block: PreparedBlock, _ rows: UnsafeBufferPointer<UInt32>) {
    for i in compiled.aggregates.indices where !compiled.aggregates[i].isFinishedInLane {
      block.columns.matching(rows, of: i, scratch) { fold(block, $0, i) }
    }
  }

  private func fold(_ block: PreparedBlock, _ rows: UnsafeBufferPointer<UInt32>, _ i: Int) {
    func key(_ row: Int) -> [UInt8] { block.groupKey(i, row) }
    if let store = current.keyed[i] { block.columns.fold(rows, of: i, into: store, key: key, scratch) }
    guard let store = current.windows[i] else { return }
    let missed = block.columns.fold(rows, of: i, into: store, owners: block.laneOf, counts: &windowCounts[i], key: key, scratch)
    for row in missed {
      let lane = block.laneOf.isEmpty ? 0 : Int(block.laneOf[Int(row.row)])
      if late[i][lane] == nil { late[i][lane] = LateRows(run) }
      late[i][lane]?.add(block, Int(row.row), row)
    }
  }

  // MARK: Cut

  /// Ends the epoch: adds what there is to the epochs of the lanes, which are all and in their order. The first takes the partial.
  func finish(into epochs: inout [LaneEpoch]) {
    guard compiled.hasMerge else { return }
    epochs[0].partial = current
    epochs[0].stateLate.merge(compiled.stateLate(current.keyed)) { $0 + $1 }
    current = Partial(compiled)
    for i in windowCounts.indices {
      for lane in 0..<lanes {
        epochs[lane].windowCounts[i] += windowCounts[i][lane]
        windowCounts[i][lane] = WindowCounts()
        guard let rows = late[i][lane], let store = current.windows[i] else { continue }
        epochs[lane].tables.late[i] = rows.finish(store.kind)
        late[i][lane] = nil
      }
    }
  }
}

extension PreparedBlock {
  /// The key of the group of aggregate `i` that a row belongs to.
  func groupKey(_ i: Int, _ row: Int) -> [UInt8] { StateKey.encode(groups[i].map { $0.literal(row) }) }
}

extension LaneColumns {
  /// Calls `body` with those of `places` that match the `where` of aggregate `i`, unless there are none.
  func matching(
    _ places: UnsafeBufferPointer<UInt32>, of i: Int, _ scratch: Scratch, _ body: (UnsafeBufferPointer<UInt32>) -> Void
  ) {
    guard !places.isEmpty else { return }
    guard let mask = aggregates[i].mask else { return body(places) }
    scratch.with(UInt32.self, places.count) { matching in
      var count = 0
      mask.withUnsafeBufferPointer { mask in
        for place in places {
          matching[count] = place
          count += mask[Int(place)] ? 1 : 0
        }
      }
      if count > 0 { body(UnsafeBufferPointer(rebasing: matching[..<count])) }
    }
  }

  func fold(
    _ places: UnsafeBufferPointer<UInt32>, of i: Int, into store: KeyedStore, key: (Int) -> [UInt8], _ scratch: Scratch
  ) {
    store.update(
      rows: places, times: time, watermarks: watermark, hashes: aggregates[i].hashes, arguments: aggregates[i].arguments, key: key,
      scratch: scratch)
  }

  /// - Parameters:
  ///   - owners: by place, the number of whose windows are counted; empty: there is but one.
  ///   - counts: by owner.
  /// - Returns: what came after its window was final.
  func fold(
    _ places: UnsafeBufferPointer<UInt32>, of i: Int, into store: any WindowOperator, owners: [UInt16], counts: inout [WindowCounts],
    key: (Int) -> [UInt8], _ scratch: Scratch
  ) -> [LateRow] {
    var late: [LateRow] = []
    store.update(
      rows: places, owners: owners, times: time, watermarks: watermark, hashes: aggregates[i].hashes, arguments: aggregates[i].arguments,
      key: key, counts: &counts, late: &late, scratch: scratch)
    return late
  }
}
