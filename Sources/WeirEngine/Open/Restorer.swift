import WeirCore
import WeirOperators
import WeirProtocol

/// Makes lanes from what the ledger names.
struct Restorer: Sendable {
  let compiled: CompiledPlan
  let store: any ObjectStore
  let fold: LedgerFold
  let run: RunInfo
  /// Of a worker that others run beside: `fold` may be old by the time its blobs are read.
  var ledger: Ledger?
  /// For the simulation.
  var variant: EngineVariant = []

  /// Reads a blob and verifies its hash.
  /// - Throws: `corrupt` if the blob is missing or damaged; `fenced` if the ledger has moved and its blobs may have been collected since: a
  ///   worker that slept for longer than the ledger keeps its entries finds that.
  func blob(_ ref: BlobRef) async throws -> [UInt8] {
    let path = ref.path
    guard let bytes = try await store.get(path, offset: ref.offset, count: Int(ref.length)) else {
      if let head = try await ledger?.refresh().number, head > fold.number {
        throw WeirError(
          .fenced, "the state blob \(path) of entry \(fold.number) was collected while this worker slept: the ledger is at entry \(head)",
          advice: "The worker continues from there.")
      }
      throw WeirError(.corrupt, "the state blob \(path) is missing", advice: "Restore it from a copy of the lake.")
    }
    guard ContentHash(of: bytes).hex == ref.hash else {
      throw WeirError(
        .corrupt, "the state blob \(path) is not what the ledger names (bytes \(ref.offset) to \(ref.offset + ref.length))",
        advice: "Restore it from a copy of the lake.")
    }
    return bytes
  }

  func blobs(_ lane: LaneID) async throws -> [[UInt8]] {
    var all: [[UInt8]] = []
    let state = fold[lane]?.state
    let isWhole = !variant.contains(.restoresBaseOnly)
    for ref in (state.map { [$0.base] + (isWhole ? $0.deltas : []) }) ?? [] { all.append(try await blob(ref)) }
    return all
  }

  func state(_ id: LaneID, _ scratch: Scratch) async throws -> LaneState {
    let before = fold[id]
    try invariant(before?.position != nil || before?.state == nil, "lane \(id.text) has a state and no position")
    let lane = LaneState(
      id, generation: before?.generation ?? 0, compiled: compiled, run: run.of(id.shard), scratch: scratch)
    if let before, let position = before.position {
      try lane.restore(blobs: try await blobs(id), position: position.ordinal, watermark: before.watermark)
    }
    if let origin = before?.origin, before?.state == nil { try await inherit(origin, into: lane) }
    if !variant.contains(.childShowsExpired), let ancestry = KeyAncestry(compiled, fold, of: id) { lane.begin(ancestry) }
    let growth = fold.growth(of: id)
    if let ids = fold.idsAwaited(by: id), !variant.contains(.growthForgetsIDs) { try lane.begin(withIDs: try await blob(ids)) }
    lane.dedupFloor = max(fold.dedupFloor(of: id), growth?.dedupFloor ?? Watermark.minimum)
    // The floor of a lane that woke or joined is known only after the entry that says so.
    if variant.contains(.restoresWithoutFloor) { return lane }
    lane.raise(floor: before?.floor ?? Watermark.minimum)
    if before?.isClosing == true { lane.resumeClosing() }
    return lane
  }

  /// A child begins with what its parents ended with. Their blobs stay until it has one of its own.
  private func inherit(_ origin: LaneOrigin, into lane: LaneState) async throws {
    var parents: [(state: LaneState, source: LaneOrigin.Parent)] = []
    for parent in origin.parents {
      guard let known = fold[parent.lane] else {
        throw WeirError(.corrupt, "the ledger has no lane \(parent.lane.text), whose keys \(lane.id.text) took over")
      }
      // A parent that had no state has nothing to leave; one that never began hands on what it would have had.
      guard known.state != nil || known.origin != nil else { continue }
      parents.append((try await state(parent.lane, Scratch()), parent))
    }
    try lane.inherit(parents, origin, dedupFloor: fold.dedupFloor(of: lane.id), variant)
  }

  /// A lane that has its shard to itself.
  func shard(_ id: LaneID) async throws -> LaneActor {
    LaneActor(
      try await state(id, Scratch()), ShardPartial(compiled, lanes: 1, run: run.of(id.shard)), at: fold[id]?.position,
      inherited: variant.contains(.childIgnoresFloors)
        ? nil
        : InheritedFloors(
          fold.ancestors(of: id), variant.contains(.growthIgnoresFloors) ? nil : fold.growth(of: id),
          above: fold[id]?.floor ?? Watermark.minimum))
  }

  func shards(_ ids: [LaneID], parallel: Int) async throws -> [LaneActor] {
    try await all(ids.count, parallel: parallel) { try await shard(ids[$0]) }
  }

  /// - Parameter isOver: looked at before each lane.
  /// - Returns: nil: it is over.
  func shards(_ ids: [LaneID], parallel: Int, until isOver: @Sendable () -> Bool) async throws -> [LaneActor]? {
    var made: [LaneActor] = []
    var left = ids[...]
    while !left.isEmpty {
      if isOver() { return nil }
      made += try await shards(Array(left.prefix(parallel)), parallel: parallel)
      left = left.dropFirst(parallel)
    }
    return made
  }

  /// The lanes of a capture. Neighbours are visited together once there are more than `groupsMax` of them.
  func groups(_ ids: [LaneID], parallel: Int) async throws -> [LaneActor] {
    if let lane = ids.first(where: { (fold[$0]?.floor ?? Watermark.minimum) > Watermark.minimum }) {
      throw WeirError(
        .corrupt, "the ledger gives \(lane.text) a floor, which no lane of a capture has",
        advice: "Restore the ledger from a copy of the lake.")
    }
    let size = max(1, ids.count / Restorer.groupsMax)
    let firsts = Array(stride(from: 0, to: ids.count, by: size))
    return try await all(firsts.count, parallel: parallel) { number in
      let scratch = Scratch()
      var lanes: [LaneState] = []
      for id in ids[firsts[number]...].prefix(size) { lanes.append(try await state(id, scratch)) }
      return LaneActor(lanes, first: firsts[number])
    }
  }
  private static let groupsMax = 16

  /// `count` of them, as many side by side as run at once: a lane's blobs are held while it is restored.
  private func all<Made: Sendable>(
    _ count: Int, parallel: Int, _ make: @escaping @Sendable (Int) async throws -> Made
  ) async throws -> [Made] {
    try await withThrowingTaskGroup(of: (Int, Made).self) { tasks in
      var all = [Made?](repeating: nil, count: count)
      for number in 0..<count {
        if number >= parallel, let (done, made) = try await tasks.next() { all[done] = made }
        tasks.addTask { (number, try await make(number)) }
      }
      for try await (done, made) in tasks { all[done] = made }
      let whole = all.compactMap(\.self)
      try invariant(whole.count == count, "\(count) were to be restored, and \(whole.count) were")
      return whole
    }
  }

  /// What the lanes of an entry contribute to merged tables.
  func partials(_ ref: BlobRef) async throws -> sending [Partial] {
    let bytes = try await blob(ref)
    var reader = ByteReader(bytes[...], what: "partials in \(ref.path)")
    var all: [Partial] = []
    while !reader.isAtEnd {
      let partial = Partial(compiled)
      try partial.restore(from: &reader)
      all.append(partial)
    }
    return all
  }

  func merge() async throws -> sending MergeLane {
    let merged = fold.mergeLane.position?.ordinal ?? 0
    try invariant(merged <= fold.number, "entries through \(merged) are merged, and the ledger ends at \(fold.number)")
    let lane = MergeLane(compiled)
    try lane.restore(blobs: try await blobs(.merge))
    if fold.mergeLane.isClosing { lane.resumeClosing() }
    return lane
  }
}
