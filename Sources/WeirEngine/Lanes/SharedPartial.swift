import WeirCore
import WeirOperators

/// The partial that lanes fill together: each alone, or, of hundreds of lanes of one capture, so many side by side. What the merge
/// lane folds is the same, but a hundred lanes that each see a few rows of every group and window fold next to nothing together.
///
/// Each lane in turn says which of its records go on (``add(_:of:to:_:)``), and then those of all of them are folded at once
/// (``fold(_:)``): a table of groups and windows is looked for once, not lane by lane.
final class SharedPartial: @unchecked Sendable {
  // Unchecked: one actor has all lanes that share it (`LaneGroup`, `ShardActor`).
  private let compiled: CompiledPlan
  private var current: Partial
  /// By aggregate that is not finished in the lanes.
  private var waiting: [Waiting]
  /// For the lanes, too: none needs it while another does.
  let scratch = Scratch()

  /// What waits to be folded into one aggregate.
  private struct Waiting {
    let places = PlaceList()
    /// Whose they are, run by run. Not retained: a lane is asked to fold in the call in which it adds.
    var lanes: [Unmanaged<LaneState>] = []
    var runs: [WindowStore.Run] = []
  }

  init(_ compiled: CompiledPlan) {
    self.compiled = compiled
    current = Partial(compiled)
    waiting = compiled.aggregates.map { _ in Waiting() }
  }

  /// At the cut, the first of the lanes takes everything: all of them have consumed what lies before it.
  func take() -> Partial {
    defer { current = Partial(compiled) }
    return current
  }

  /// Keeps those of `places` that the aggregate takes until ``fold(_:)``.
  func add(_ places: UnsafeBufferPointer<UInt32>, of lane: LaneState, to i: Int, _ next: DealtBlocks) {
    let list = waiting[i].places
    let before = list.count
    list.append(places, where: next.columns.aggregates[i].mask)
    guard list.count > before else { return }
    waiting[i].lanes.append(.passUnretained(lane))
    waiting[i].runs.append(.init(end: list.count))
  }

  /// Folds what waits: all of it is of these blocks.
  func fold(_ next: DealtBlocks) {
    for i in waiting.indices where waiting[i].places.count > 0 {
      if let store = current.keyed[i] { next.fold(waiting[i].places.all, of: i, into: store, scratch) }
      if let store = current.windows[i] {
        let late = next.fold(waiting[i].places.all, runs: &waiting[i].runs, of: i, into: store, scratch)
        report(late, waiting[i], i, next)
      }
      waiting[i].places.removeAll()
      waiting[i].lanes.removeAll(keepingCapacity: true)
      waiting[i].runs.removeAll(keepingCapacity: true)
    }
  }

  /// Tells each lane what became of its records.
  private func report(_ late: [LateRow], _ waiting: Waiting, _ i: Int, _ next: DealtBlocks) {
    for (lane, run) in zip(waiting.lanes, waiting.runs) { lane._withUnsafeGuaranteedRef { $0.count(run.counts, i) } }
    for row in late {
      // Places of a lane lie side by side, and lanes in their order.
      let run = waiting.runs.firstIndex { row.row <= waiting.places.all[$0.end - 1] } ?? 0
      waiting.lanes[run]._withUnsafeGuaranteedRef { $0.add(row, i, next) }
    }
  }
}

/// Places, one behind the other, in memory that stays from block to block.
private final class PlaceList {
  private var memory: UnsafeMutablePointer<UInt32>
  private var capacity = 0
  private(set) var count = 0

  init() { memory = .allocate(capacity: 0) }

  deinit { memory.deallocate() }

  var all: UnsafeBufferPointer<UInt32> { UnsafeBufferPointer(start: memory, count: count) }

  /// - Parameter mask: by place; nil: all.
  func append(_ places: UnsafeBufferPointer<UInt32>, where mask: [Bool]?) {
    if count + places.count > capacity { grow(to: count + places.count) }
    let out = memory + count
    guard let mask else {
      for i in 0..<places.count { out[i] = places[i] }
      count += places.count
      return
    }
    var added = 0
    mask.withUnsafeBufferPointer { mask in
      for place in places {
        out[added] = place
        added += mask[Int(place)] ? 1 : 0
      }
    }
    count += added
  }

  func removeAll() { count = 0 }

  private func grow(to least: Int) {
    capacity = max(capacity * 2, least)
    let more = UnsafeMutablePointer<UInt32>.allocate(capacity: capacity)
    more.update(from: memory, count: count)
    memory.deallocate()
    memory = more
  }
}

extension DealtBlocks {
  /// The key of the group of aggregate `i` that the record at `place` belongs to.
  private func key(_ i: Int, _ place: Int) -> [UInt8] {
    let (block, row) = source(place)
    return StateKey.encode(block.groups[i].map { $0.literal(row) })
  }

  func fold(_ places: UnsafeBufferPointer<UInt32>, of i: Int, into store: KeyedStore, _ scratch: Scratch) {
    let input = columns.aggregates[i]
    store.update(rows: places, hashes: input.hashes, arguments: input.arguments, key: { key(i, $0) }, scratch: scratch)
  }

  /// - Returns: what came after its window was final.
  func fold(
    _ places: UnsafeBufferPointer<UInt32>, runs: inout [WindowStore.Run], of i: Int, into store: WindowStore, _ scratch: Scratch
  ) -> [LateRow] {
    let input = columns.aggregates[i]
    var late: [LateRow] = []
    store.update(
      rows: places, runs: &runs, times: columns.time, watermarks: columns.watermark, hashes: input.hashes, arguments: input.arguments,
      key: { key(i, $0) }, late: &late, scratch: scratch)
    return late
  }
}
