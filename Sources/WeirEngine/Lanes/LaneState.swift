import WeirCore
import WeirOperators

/// All state of one lane and what it does with a block: dedup, windows, keyed state, rows. No effects, no clock.
///
/// Rows come in shard order; a cut changes none of them (law 3).
package final class LaneState {
  static let formatVersion: UInt8 = 2
  /// Rows between asking for the dedup table's cache line and using it.
  private static let ahead = 12

  let id: LaneID
  private(set) var generation: Int64
  let compiled: CompiledPlan
  private let run: RunInfo

  let dedup: DedupIndex?
  /// By aggregate number: what is finished here. (The others: ``ShardPartial``.)
  let windows: [(any WindowOperator)?]
  let keyed: [KeyedStore?]
  private let scratch: Scratch

  private var counts = BucketCounts()
  private var kinds: KindCounts?
  /// The field of what no other field reads; nil: it is not kept.
  private let rescued: Int?
  private var windowCounts: [WindowCounts]
  private var all: [RowChunk] = []
  private var accepted: [RowChunk] = []
  /// By number of the silver table that has a name of its own.
  private var tableRows: [[RowChunk]]
  /// nil: none yet. A lane has seldom some, and builders of ten columns are made for them.
  private var quarantine: QuarantineRows?
  /// By gold table number.
  private var late: [LateRows?]
  private var rejected = RejectedReasons()
  private(set) var watermark = Watermark.minimum
  /// A lane that joined or woke judges by the larger of the shard's watermark and this (law 3); the minimum elsewhere.
  private(set) var floor = Watermark.minimum
  /// Ids are forgotten by no less than this (see ``LedgerFold/dedupFloor(of:)``).
  var dedupFloor = Watermark.minimum
  /// Where rows expire and the shard has parents.
  private(set) var ancestry: KeyAncestry?
  /// Everything of the shard before this ordinal is consumed.
  private(set) var position: Int64 = 0

  private var saved = SavedState(version: LaneState.formatVersion)

  /// - Parameter scratch: that of lanes that are visited one after the other.
  package init(_ id: LaneID, generation: Int64, compiled: CompiledPlan, run: RunInfo, scratch: Scratch) {
    self.id = id
    self.generation = generation
    self.compiled = compiled
    self.run = run
    dedup = compiled.plan.dedup.map { DedupIndex(withinMicroseconds: $0.withinMicroseconds) }
    (windows, keyed) = compiled.stores { $0.isFinishedInLane }
    self.scratch = scratch
    let rescued = compiled.plan.record.rescued
    kinds = compiled.plan.record.route.map { KindCounts($0, rescued: rescued) }
    self.rescued = rescued
    windowCounts = [WindowCounts](repeating: .init(), count: compiled.goldCount)
    late = [LateRows?](repeating: nil, count: compiled.goldCount)
    tableRows = [[RowChunk]](repeating: [], count: compiled.rowTables.count)
  }

  /// The lane as `other` is, for another form of the plan: without the tables that it does not finish by that, and without ids.
  init(keeping other: LaneState, _ compiled: CompiledPlan) {
    (id, generation, self.compiled, run, scratch) = (other.id, other.generation, compiled, other.run, other.scratch)
    dedup = compiled.plan.dedup.map { DedupIndex(withinMicroseconds: $0.withinMicroseconds) }
    windows = zip(compiled.aggregates, other.windows).map { $0.isFinishedInLane ? $1 : nil }
    keyed = zip(compiled.aggregates, other.keyed).map { $0.isFinishedInLane ? $1 : nil }
    let rescued = compiled.plan.record.rescued
    kinds = compiled.plan.record.route.map { KindCounts($0, rescued: rescued) }
    self.rescued = rescued
    windowCounts = [WindowCounts](repeating: .init(), count: compiled.goldCount)
    late = [LateRows?](repeating: nil, count: compiled.goldCount)
    tableRows = [[RowChunk]](repeating: [], count: compiled.rowTables.count)
    (watermark, floor, position) = (other.watermark, other.floor, other.position)
  }

  // MARK: Records

  /// See ``DedupIndex/warm(_:)``.
  func warm(_ step: Int) { dedup?.warm(step) }

  /// Consumes the rows of lane `number` of a deal, and reports to the deal which of them it accepts.
  func consume(_ next: DealtBlocks, lane number: Int) throws(WeirError) {
    let range = next.deal.range(number)
    guard !range.isEmpty else { return }
    if compiled.plan.bronze != nil {
      next.forEachBlock(of: next.deal.rows[range]) { block, rows in
        all.append(RowChunk(position: block.decoded.raw.position, source: .bronze(ReceivedRows(block)), rows: rows))
      }
    }
    next.deal.places.withUnsafeBufferPointer { places in
      scratch.with(UInt32.self, range.count) { passed in
        let count = sift(next, UnsafeBufferPointer(rebasing: places[range]), into: passed)
        kinds?.add(next, range, accepted: UnsafeBufferPointer(rebasing: passed[..<count]))
        guard count > 0 else { return }
        counts.accepted += Int64(count)
        let passed = UnsafeBufferPointer(rebasing: passed[..<count])
        if let rescued { counts.rescued += Int64(next.count(of: passed, with: rescued)) }
        next.accept(passed, lane: number)
        take(next, passed)
      }
    }
    try advance(position: next.end, watermark: next.watermark)
  }

  /// What becomes of accepted records here.
  private func take(_ next: DealtBlocks, _ passed: UnsafeBufferPointer<UInt32>) {
    if compiled.plan.silver != nil {
      next.forEachBlock(of: passed.lazy.map { UInt32(next.deal.row(Int($0))) }) { block, rows in
        accepted.append(RowChunk(position: block.decoded.raw.position, source: .columns(block.silver), rows: rows))
      }
    }
    if !tableRows.isEmpty { takeTableRows(next, passed) }
    for i in compiled.aggregates.indices where compiled.aggregates[i].isFinishedInLane {
      next.columns.matching(passed, of: i, scratch) { aggregate(i, next, $0) }
    }
  }

  private func takeTableRows(_ next: DealtBlocks, _ passed: UnsafeBufferPointer<UInt32>) {
    next.forEachBlock(of: passed.lazy.map { UInt32(next.deal.row(Int($0))) }) { block, records in
      for (number, table) in block.tables.enumerated() {
        let rows = table.rows(of: records)
        guard !rows.isEmpty else { continue }
        tableRows[number].append(RowChunk(position: block.decoded.raw.position, source: RowChunk.Source(table.source), rows: rows))
      }
    }
  }

  /// Puts every row into its bucket; gives the places of the accepted ones, and how many they are.
  private func sift(
    _ next: DealtBlocks, _ places: UnsafeBufferPointer<UInt32>, into passed: UnsafeMutableBufferPointer<UInt32>
  ) -> Int {
    // Without the counting of references, record by record: the lane holds its index.
    let dedup = dedup.map { Unmanaged.passUnretained($0) }
    return SiftInput.with(next) { input in
      if let dedup { for place in places.prefix(LaneState.ahead) { dedup._withUnsafeGuaranteedRef { $0.prefetch(input.ids[Int(place)]) } } }
      var count = 0
      for (i, place) in places.enumerated() {
        if let dedup, i + LaneState.ahead < places.count {
          let ahead = input.ids[Int(places[i + LaneState.ahead])]
          dedup._withUnsafeGuaranteedRef { $0.prefetch(ahead) }
        }
        guard passes(input, Int(place), dedup) else { continue }
        passed[count] = place
        count += 1
      }
      return count
    }
  }

  /// Whether the record is accepted; if not, it is in another bucket now.
  @inline(__always)
  private func passes(_ input: SiftInput, _ place: Int, _ dedup: Unmanaged<DedupIndex>?) -> Bool {
    if input.verdicts[place] == PreparedBlock.Verdict.proceeds {
      guard let dedup, input.hasID?[place] ?? true,
        !dedup._withUnsafeGuaranteedRef({ $0.insert(input.ids[place], watermark: max(input.watermark[place], dedupFloor)) })
      else {
        return true
      }
      counts.duplicate += 1
    } else if input.verdicts[place] == PreparedBlock.Verdict.filtered {
      counts.filtered += 1
    } else {
      let (block, row) = input.next.source(place)
      reject(block, row, block.rejections[row])
    }
    return false
  }

  private func reject(_ block: PreparedBlock, _ row: Int, _ rejection: Rejection?) {
    counts.quarantined += 1
    let rejection = rejection ?? Rejection(stage: .decode, reason: "not decoded")
    let reason = rejection.reason
    if quarantine == nil { quarantine = QuarantineRows(run) }
    quarantine?.add(block, row, stage: rejection.stage.rawValue, reason: reason)
    rejected.add(block, row, shard: id.shard, rejection, reason: reason) {
      compiled.format.hint(for: rejection, of: block.value(row).bytes, compiled.plan.record)
    }
  }

  /// Folds places into the store of an aggregate that is finished here.
  private func aggregate(_ i: Int, _ next: DealtBlocks, _ places: UnsafeBufferPointer<UInt32>) {
    func key(_ place: Int) -> [UInt8] {
      let (block, row) = next.source(place)
      return block.groupKey(i, row)
    }
    if let store = keyed[i] { next.columns.fold(places, of: i, into: store, key: key, scratch) }
    guard let store = windows[i] else { return }
    var counts = [WindowCounts()]
    let missed = next.columns.fold(places, of: i, into: store, owners: [], counts: &counts, key: key, scratch)
    windowCounts[i] += counts[0]
    for late in missed {
      let (block, row) = next.source(Int(late.row))
      if self.late[i] == nil { self.late[i] = LateRows(run) }
      self.late[i]?.add(block, row, late)
    }
  }

  /// The lane joins or wakes: it judges by no less than this from here on.
  func raise(floor: Int64) { self.floor = max(self.floor, floor) }

  /// The last cut left final windows to the next ones.
  var isClosing: Bool { windows.contains { $0?.isBehind == true } }

  /// The ledger says so of the lane's last cut.
  func resumeClosing() { for store in windows { store?.isBehind = true } }

  /// Windows are open here that a watermark can close.
  var hasOpenWindows: Bool { windows.contains { $0?.isEmpty == false } }

  /// What is held here that no cut frees.
  var stateBytes: StateBytes { StateBytes(dedup: Int64(dedup?.bytes ?? 0), windows: windows, keyed: keyed) }

  /// Follows the shard: everything before `position` was handed over, and this is the shard's watermark there.
  package func advance(position: Int64, watermark: Int64) throws(WeirError) {
    try invariant(
      position >= self.position && watermark >= self.watermark,
      "lane \(id.text) goes back from \(self.position), watermark \(self.watermark), to \(position), watermark \(watermark)")
    // The end of the input is no time: what was reached before it is.
    if watermark == Watermark.maximum { expire() }
    self.position = position
    self.watermark = watermark
  }

  // MARK: State rows

  /// Rows of lane-finished state that changed since the last call, fenced by the lane's position.
  /// - Parameter max: rows of a table at most.
  func takeStateRows(max: Int) -> [StateBatch] { stateRows { $0.takeUnflushed(max: max, into: &$1) } }

  /// Rows that expired in the lanes of the shard's parents stay away.
  func begin(_ ancestry: KeyAncestry) {
    self.ancestry = ancestry
    for i in compiled.aggregates.indices { keyed[i]?.inherit(clocks: ancestry.mostClock) { ancestry.clock(of: $0, of: i) } }
  }

  /// Tables whose rows expire.
  var expiringTables: Set<String> { compiled.expiringTables }

  /// Rows of a table that changed and were not taken.
  var stateRowsLeft: Int { keyed.reduce(0) { Swift.max($0, $1?.unflushedCount ?? 0) } }

  /// All rows of lane-finished state, a batch for each table: for a rebuild, or to take back what ran ahead.
  package func allStateRows() -> [StateBatch] { stateRows(isEmptyToo: true) { $0.allRows(into: &$1) } }

  /// A decision started a new generation after records that are consumed already: their rows may be in the state table with the older
  /// one, so every row goes there again.
  func begin(generation: Int64) {
    guard generation > self.generation else { return }
    self.generation = generation
    markAllUnflushed()
  }

  /// The state table is behind the ledger: every row goes there again.
  func markAllUnflushed() { for store in keyed { store?.markAllUnflushed() } }

  private func stateRows(isEmptyToo: Bool = false, _ take: (KeyedStore, inout StateBatch) -> Void) -> [StateBatch] {
    expire()
    return keyed.enumerated().compactMap { i, store in
      guard let store else { return nil }
      var batch = StateBatch(
        table: compiled.aggregates[i].name, lane: id.text, fence: Fence(generation: generation, position: position))
      take(store, &batch)
      return batch.isEmpty && !isEmptyToo ? nil : batch
    }
  }

  /// Rows expire by the shard's own watermark, which is a function of the position: a flush at a position always has the same rows.
  private func expire() { for store in keyed { store?.advance(to: watermark) } }

  // MARK: Cut

  /// Ends the epoch: everything since the last cut, and the lane's state after it.
  /// - Parameter isWhole: no cut of the lane follows.
  package func cut(isWhole: Bool = false) throws(WeirError) -> LaneEpoch {
    let tables = LaneTables(bronze: all, silver: accepted, silverTables: tableRows)
    tables.quarantine = quarantine?.finish()
    var sizes = LaneSizes()
    for i in 0..<compiled.goldCount {
      guard let store = windows[i] else { continue }
      tables.late[i] = late[i]?.finish(store.kind)
      let results = store.finish(watermark: max(watermark, floor), isWhole: isWhole)
      if !results.isEmpty { tables.gold[i] = results }
      windowCounts[i].outOfRange += results.outOfRange
    }
    let stateOutOfRange = compiled.stateOutOfRange(keyed)
    let stateLate = compiled.stateLate(keyed)
    let (state, isBase) = save()
    sizes.state = stateBytes
    sizes.dedupEntries = dedup?.count ?? 0
    sizes.openWindows = windows.reduce(0) { $0 + ($1?.openCount ?? 0) }
    let epoch = LaneEpoch(
      lane: id, position: position, watermark: watermark, counts: counts, kinds: kinds?.byName ?? [:], windowCounts: windowCounts,
      stateOutOfRange: stateOutOfRange,
      stateLate: stateLate, tables: tables,
      state: state, stateIsBase: isBase, isClosing: isClosing, dueAt: windows.compactMap { $0?.dueAt }.min(), sizes: sizes,
      rejected: rejected)
    reset()
    return epoch
  }

  private func reset() {
    counts = BucketCounts()
    kinds?.reset()
    windowCounts = [WindowCounts](repeating: .init(), count: compiled.goldCount)
    all = []
    accepted = []
    tableRows = [[RowChunk]](repeating: [], count: compiled.rowTables.count)
    quarantine = nil
    rejected = RejectedReasons()
    late = [LateRows?](repeating: nil, count: compiled.goldCount)
  }

  // MARK: State blobs

  /// Bytes that the blob of the next cut takes at most.
  var blobBytes: Int64 {
    let (live, unsaved) = savedCounts
    let windows = windows.reduce(0) { $0 + Int64($1?.byteCount ?? 0) }
    let all = stateBytes.total - windows
    guard !saved.isBaseNext(live: live, unsaved: unsaved), live > 0 else { return windows + all }
    return windows + Int64(Double(all) * Double(unsaved) / Double(live))
  }

  private var savedCounts: (live: Int, unsaved: Int) {
    (
      (dedup?.count ?? 0) + keyed.reduce(0) { $0 + ($1?.count ?? 0) },
      (dedup?.unsavedCount ?? 0) + keyed.reduce(0) { $0 + ($1?.unsavedCount ?? 0) }
    )
  }

  /// Open windows are written whole in base and delta: they are what an epoch changes most.
  func save() -> (pieces: [[UInt8]], isBase: Bool) {
    dedup?.expire()
    expire()
    for store in keyed { store?.retire() }
    let (live, unsaved) = savedCounts
    return saved.save(live: live, unsaved: unsaved) { isBase, out in
      out.write(floor)
      out.write(UInt8(dedup == nil ? 0 : 1))
      dedup?.save(base: isBase, into: &out)
      for i in compiled.aggregates.indices {
        windows[i]?.save(into: &out)
        keyed[i]?.save(base: isBase, into: &out)
      }
    }
  }

  /// Restores the lane as an entry left it: base first, then deltas in order.
  package func restore(blobs: [[UInt8]], position: Int64, watermark: Int64) throws(WeirError) {
    try saved.restore(blobs, of: "lane \(id.text)") { reader throws(WeirError) in
      floor = try reader.read(Int64.self)
      guard (try reader.read(UInt8.self) == 1) == (dedup != nil) else { throw reader.corrupt("it belongs to another plan") }
      try dedup?.restore(from: &reader)
      for i in compiled.aggregates.indices {
        try windows[i]?.restore(from: &reader)
        try keyed[i]?.restore(from: &reader)
      }
    }
    try invariant(position >= self.position, "lane \(id.text) is restored at \(position), before what it has consumed (\(self.position))")
    self.position = position
    self.watermark = watermark
  }
}

/// What sifting reads of each record, through pointers: a block's arrays would be retained and released for every one of them.
private struct SiftInput {
  let next: DealtBlocks
  let verdicts: UnsafeBufferPointer<UInt8>
  /// Empty without dedup.
  let ids: UnsafeBufferPointer<Hash128>
  /// nil: every record has one.
  let hasID: UnsafeBufferPointer<Bool>?
  let watermark: UnsafeBufferPointer<Int64>

  static func with<Result>(_ next: DealtBlocks, _ body: (SiftInput) -> Result) -> Result {
    next.columns.verdict.withUnsafeBufferPointer { verdicts in
      next.columns.ids.withUnsafeBufferPointer { ids in
        pointer(to: next.columns.hasID) { hasID in
          next.columns.watermark.withUnsafeBufferPointer { watermark in
            body(SiftInput(next: next, verdicts: verdicts, ids: ids, hasID: hasID, watermark: watermark))
          }
        }
      }
    }
  }

  private static func pointer<Result>(to flags: [Bool]?, _ body: (UnsafeBufferPointer<Bool>?) -> Result) -> Result {
    guard let flags else { return body(nil) }
    return flags.withUnsafeBufferPointer { body($0) }
  }
}
