import WeirCore
import WeirOperators

/// All state of one lane and what it does with a block: dedup, windows, keyed state, rows. No effects, no clock.
///
/// Rows come in shard order; a cut changes none of them (law 3).
final class LaneState {
  static let formatVersion: UInt8 = 2
  /// Rows between asking for the dedup table's cache line and using it.
  private static let ahead = 12

  let id: LaneID
  let generation: Int64
  private let compiled: CompiledPlan
  private let run: RunInfo

  private let dedup: DedupIndex?
  /// By aggregate number: what is finished here …
  private var windows: [Int: WindowStore] = [:]
  private var keyed: [Int: KeyedStore] = [:]
  /// … and this epoch's contribution to what is merged.
  private var partial: Partial

  private var counts = BucketCounts()
  private var windowCounts: [WindowCounts]
  private var all: [RowChunk] = []
  private var accepted: [RowChunk] = []
  private var quarantine: QuarantineRows
  private var late: [LateRows]
  private var rejected = RejectedSamples()
  private(set) var watermark = Watermark.minimum
  /// A lane that joined or woke judges by the larger of the shard's watermark and this (law 3); the minimum elsewhere.
  private(set) var floor = Watermark.minimum
  /// Everything of the shard before this is consumed.
  private(set) var position: Int64 = 0

  private var savedBaseBytes = 0
  private var savedDeltaBytes = 0
  private var savedDeltas = 0

  init(_ id: LaneID, generation: Int64, compiled: CompiledPlan, run: RunInfo) {
    self.id = id
    self.generation = generation
    self.compiled = compiled
    self.run = run
    dedup = compiled.plan.dedup.map { DedupIndex(withinMicroseconds: $0.withinMicroseconds) }
    for (i, aggregate) in compiled.aggregates.enumerated() where aggregate.isFinishedInLane {
      if let window = aggregate.window {
        windows[i] = WindowStore(window, layout: aggregate.layout)
      } else {
        keyed[i] = KeyedStore(layout: aggregate.layout)
      }
    }
    partial = Partial(compiled)
    windowCounts = [WindowCounts](repeating: .init(), count: compiled.goldCount)
    quarantine = QuarantineRows(run)
    late = compiled.plan.gold.map { _ in LateRows(run) }
  }

  // MARK: Records

  /// Consumes the lane's `rows` of a sequenced block.
  func consume(_ block: PreparedBlock, rows: [UInt32]) {
    guard !rows.isEmpty else { return }
    var block = block
    if floor > Watermark.minimum { for i in block.watermark.indices { block.watermark[i] = max(block.watermark[i], floor) } }
    let passed = sift(block, rows)
    if compiled.plan.bronze != nil { all.append(RowChunk(position: block.decoded.raw.position, source: .bronze(ReceivedRows(block)), rows: rows)) }
    guard !passed.isEmpty else { return }
    if compiled.plan.silver != nil { accepted.append(RowChunk(position: block.decoded.raw.position, source: .columns(block.silver), rows: passed)) }
    for i in compiled.aggregates.indices { aggregate(i, block, passed) }
  }

  /// Puts every row into its bucket; returns the accepted ones.
  private func sift(_ block: PreparedBlock, _ rows: [UInt32]) -> [UInt32] {
    let passed = [UInt32](unsafeUninitializedCapacity: rows.count) { passed, count in
      SiftInput.with(block) { input in
        for (i, row) in rows.enumerated() {
          if let dedup, i + LaneState.ahead < rows.count { dedup.prefetch(input.ids[Int(rows[i + LaneState.ahead])]) }
          guard passes(input, Int(row), dedup) else { continue }
          passed[count] = row
          count += 1
        }
      }
    }
    counts.accepted += Int64(passed.count)
    return passed
  }

  /// Whether the row is accepted; if not, it is in another bucket now.
  @inline(__always)
  private func passes(_ input: SiftInput, _ row: Int, _ dedup: DedupIndex?) -> Bool {
    if input.verdicts[row] == PreparedBlock.Verdict.proceeds {
      guard let dedup, input.hasID[row], !dedup.insert(input.ids[row], watermark: input.watermark[row]) else {
        return !input.hasErrors || hasNoError(input.block, row)
      }
      counts.duplicate += 1
    } else if input.verdicts[row] == PreparedBlock.Verdict.filtered {
      counts.filtered += 1
    } else {
      reject(input.block, row, input.block.rejections[row])
    }
    return false
  }

  private func hasNoError(_ block: PreparedBlock, _ row: Int) -> Bool {
    guard let reason = block.errors[row] else { return true }
    reject(block, row, Rejection(stage: .expression, reason: reason))
    return false
  }

  private func reject(_ block: PreparedBlock, _ row: Int, _ rejection: Rejection?) {
    counts.quarantined += 1
    let rejection = rejection ?? Rejection(stage: .decode, reason: "not decoded")
    quarantine.add(block, row, stage: rejection.stage.rawValue, reason: rejection.reason)
    rejected.add(block, row, stage: rejection.stage.rawValue, reason: rejection.reason)
  }

  /// One array of the right size, where `filter` makes seven.
  private static func rows(_ rows: [UInt32], where mask: [Bool]) -> [UInt32] {
    [UInt32](unsafeUninitializedCapacity: rows.count) { out, count in
      for row in rows {
        out[count] = row
        count += mask[Int(row)] ? 1 : 0
      }
    }
  }

  private func aggregate(_ i: Int, _ block: PreparedBlock, _ passed: [UInt32]) {
    let input = block.aggregates[i]
    let rows = input.mask.map { LaneState.rows(passed, where: $0) } ?? passed
    guard !rows.isEmpty else { return }
    let key = { (row: Int) in StateKey.encode(input.by.map { $0.literal(row) }) }
    if compiled.aggregates[i].window == nil {
      let store = keyed[i] ?? partial.keyed[i]!
      store.update(rows: rows, hashes: input.hashes, arguments: input.arguments, key: key)
      return
    }
    let store = windows[i] ?? partial.windows[i]!
    var missed: [LateRow] = []
    store.update(
      rows: rows, times: block.time, watermarks: block.watermark, hashes: input.hashes, arguments: input.arguments,
      key: key, counts: &windowCounts[i], late: &missed)
    for row in missed { late[i].add(block, row) }
  }

  /// The lane joins or wakes: it judges by no less than this from here on.
  func raise(floor: Int64) { self.floor = max(self.floor, floor) }

  /// Windows are open here that a watermark can close.
  var hasOpenWindows: Bool { windows.values.contains { !$0.isEmpty } }

  /// Follows the shard: everything before `position` was handed over, and this is the shard's watermark there.
  func advance(position: Int64, watermark: Int64) {
    precondition(position >= self.position && watermark >= self.watermark, "a lane never goes back")
    self.position = position
    self.watermark = watermark
  }

  // MARK: State rows

  /// Rows of lane-finished state that changed since the last call, fenced by the lane's position.
  func takeStateRows() -> [StateBatch] { stateRows { $0.takeUnflushed(into: &$1) } }

  /// All rows of lane-finished state, a batch for each table: for a rebuild, or to take back what ran ahead.
  func allStateRows() -> [StateBatch] { stateRows(isEmptyToo: true) { $0.allRows(into: &$1) } }

  /// The state table is behind the ledger: every row goes there again.
  func markAllUnflushed() { for store in keyed.values { store.markAllUnflushed() } }

  private func stateRows(isEmptyToo: Bool = false, _ take: (KeyedStore, inout StateBatch) -> Void) -> [StateBatch] {
    keyed.sorted { $0.key < $1.key }.compactMap { i, store in
      var batch = StateBatch(
        table: compiled.aggregates[i].name, lane: id.text, fence: Fence(generation: generation, position: position))
      take(store, &batch)
      return batch.isEmpty && !isEmptyToo ? nil : batch
    }
  }

  // MARK: Cut

  /// Ends the epoch: everything since the last cut, and the lane's state after it.
  func cut() throws(WeirError) -> LaneEpoch {
    let tables = LaneTables(bronze: all, silver: accepted)
    if quarantine.count > 0 { tables.quarantine = quarantine.finish() }
    var sizes = LaneSizes()
    for i in 0..<compiled.goldCount {
      if late[i].count > 0 { tables.late[i] = late[i].finish() }
      guard let store = windows[i] else { continue }
      let results = store.finish(watermark: max(watermark, floor))
      if !results.isEmpty { tables.gold[i] = results }
      sizes.closedWindows[i] = results.count
    }
    let (state, isBase) = save()
    sizes.dedupEntries = dedup?.count ?? 0
    sizes.openWindows = windows.values.reduce(0) { $0 + $1.openCount }
    let epoch = LaneEpoch(
      lane: id, position: position, watermark: watermark, counts: counts, windowCounts: windowCounts, tables: tables,
      partial: partial, state: state, stateIsBase: isBase, sizes: sizes, rejected: rejected)
    reset()
    return epoch
  }

  private func reset() {
    counts = BucketCounts()
    windowCounts = [WindowCounts](repeating: .init(), count: compiled.goldCount)
    all = []
    accepted = []
    quarantine = QuarantineRows(run)
    rejected = RejectedSamples()
    late = compiled.plan.gold.map { _ in LateRows(run) }
    partial = Partial(compiled)
  }

  // MARK: State blobs

  /// A base snapshot when the deltas since the last one have outgrown it, else a delta. Open windows are written whole
  /// in both: they are what an epoch changes most.
  private func save() -> (bytes: [UInt8], isBase: Bool) {
    let live = (dedup?.count ?? 0) + keyed.values.reduce(0) { $0 + $1.count }
    let unsaved = (dedup?.unsavedCount ?? 0) + keyed.values.reduce(0) { $0 + $1.unsavedCount }
    let isBase = savedBaseBytes == 0 || unsaved * 2 >= live || savedDeltas >= 16 || savedDeltaBytes > savedBaseBytes
    var out = ByteWriter()
    // Ids are the most of it, 17 to 19 bytes each; an array that doubles would be half air.
    out.reserve((isBase ? dedup?.count ?? 0 : dedup?.unsavedCount ?? 0) * 18 + 1 << 10)
    out.write(LaneState.formatVersion)
    out.write(UInt8(isBase ? 1 : 0))
    out.write(floor)
    out.write(UInt8(dedup == nil ? 0 : 1))
    dedup?.save(base: isBase, into: &out)
    for i in compiled.aggregates.indices {
      windows[i]?.save(into: &out)
      keyed[i]?.save(base: isBase, into: &out)
    }
    if isBase {
      (savedBaseBytes, savedDeltaBytes, savedDeltas) = (out.bytes.count, 0, 0)
    } else {
      savedDeltaBytes += out.bytes.count
      savedDeltas += 1
    }
    return (out.bytes, isBase)
  }

  /// Restores the lane as an entry left it: base first, then deltas in order.
  func restore(blobs: [[UInt8]], position: Int64, watermark: Int64) throws(WeirError) {
    for (number, bytes) in blobs.enumerated() {
      var reader = ByteReader(bytes[...], what: "state blob \(number) of lane \(id.text)")
      let version = try reader.read(UInt8.self)
      guard version == LaneState.formatVersion else {
        throw reader.corrupt("its format version is \(version), this program reads \(LaneState.formatVersion)")
      }
      let isBase = try reader.read(UInt8.self) == 1
      guard isBase == (number == 0) else { throw reader.corrupt("base and deltas are out of order") }
      floor = try reader.read(Int64.self)
      guard (try reader.read(UInt8.self) == 1) == (dedup != nil) else { throw reader.corrupt("it belongs to another plan") }
      try dedup?.restore(from: &reader)
      for i in compiled.aggregates.indices {
        try windows[i]?.restore(from: &reader)
        try keyed[i]?.restore(from: &reader)
      }
      guard reader.isAtEnd else { throw reader.corrupt("there are bytes behind its end") }
      if isBase { savedBaseBytes = bytes.count } else { savedDeltaBytes += bytes.count }
    }
    savedDeltas = max(0, blobs.count - 1)
    self.position = position
    self.watermark = watermark
  }
}

/// What sifting reads of each row, through pointers: a block's arrays would be retained and released for every one of them.
private struct SiftInput {
  let block: PreparedBlock
  let verdicts: UnsafeBufferPointer<UInt8>
  /// Empty without dedup, as is `hasID`.
  let ids: UnsafeBufferPointer<Hash128>
  let hasID: UnsafeBufferPointer<Bool>
  let watermark: UnsafeBufferPointer<Int64>
  let hasErrors: Bool

  static func with(_ block: PreparedBlock, _ body: (SiftInput) -> Void) {
    block.verdict.withUnsafeBufferPointer { verdicts in
      block.ids.withUnsafeBufferPointer { ids in
        block.hasID.withUnsafeBufferPointer { hasID in
          block.watermark.withUnsafeBufferPointer { watermark in
            body(
              SiftInput(
                block: block, verdicts: verdicts, ids: ids, hasID: hasID, watermark: watermark, hasErrors: !block.errors.isEmpty))
          }
        }
      }
    }
  }
}
