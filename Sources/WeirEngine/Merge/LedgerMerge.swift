import WeirCore
import WeirOperators
import WeirProtocol

/// The merge lane of a live pipeline: a lane whose source is the ledger (DESIGN section 5).
///
/// It reads the partials of the entries after its position, whichever worker wrote them, finishes the windows that the merged
/// watermark has passed, and commits an epoch of its own. Its draft depends on nothing after the entries that it read, so
/// a conflict only gives it another number. It runs in the worker that holds the ledger's first lane; two that both
/// believe so are distinguished by the lane's epoch.
actor LedgerMerge {
  /// Entries without anything to merge after which its position is committed all the same: collection waits for it.
  private static let idleEntriesMax: Int64 = 50

  private let compiled: CompiledPlan
  private let ledger: Ledger
  private let lake: any ObjectStore
  private let committer: EpochCommitter
  private let followers: Followers
  private let meter: LiveMeter?
  private let variant: EngineVariant
  private let state: (any StateTable)?
  /// Names this worker in the state table, where several share it.
  private let owner: [UInt8]
  private var lane: MergeLane?
  /// Entries through this one are merged in.
  private var position: Int64 = 0
  private var committed: Int64 = 0
  /// What was finished last.
  private var watermark = Watermark.minimum

  /// - Parameter owner: names this worker in the state table (see ``FlushMark/own(_:_:_:_:)``).
  init(
    compiled: CompiledPlan, ledger: Ledger, environment: EngineEnvironment, committer: EpochCommitter, followers: Followers,
    owner: [UInt8], meter: LiveMeter? = nil
  ) {
    variant = environment.variant
    lake = environment.lake
    state = environment.state
    self.owner = owner
    self.compiled = compiled
    self.ledger = ledger
    self.committer = committer
    self.followers = followers
    self.meter = meter
  }

  /// What the merge lane holds, if it is here.
  var stateBytes: StateBytes { lane?.stateBytes ?? StateBytes() }

  var isHeld: Bool { lane != nil }
  /// What collection may count on.
  var appliedThrough: Int64 { committed }

  /// Takes the lane over, as the ledger has it.
  func begin(_ fold: LedgerFold, run: RunInfo) async throws {
    let restored = try await Restorer(compiled: compiled, store: lake, fold: fold, run: run, ledger: ledger).merge()
    let before = fold.mergeLane
    guard let position = before.position?.ordinal else { throw WeirError(.corrupt, "the merge lane has no position") }
    await committer.hold(.merge, before)
    // It is unknown whether the previous worker wrote the rows of its last entry; the fence skips existing rows.
    let repeats = before.epoch > 0 && !variant.contains(.mergedRowsNotRepeated)
    let rows = repeats ? restored.everyStateRow(ledgerNumber: fold.number) : []
    lane = restored
    (self.position, committed) = (position, position)
    if variant.contains(.mergeBeginsAtHead) { self.position = fold.number }
    // Some of what came with the decision may be due already.
    let isAdded = fold.growths.values.contains { $0.entry == position }
    watermark = isAdded ? Watermark.minimum : before.watermark
    // The mark comes with them: the fold's last entry may be one that merges nothing, and then no later one says that they are committed.
    try await claim(fold)
    if let state, !rows.isEmpty {
      if !variant.contains(.expiredRowsStay) {
        try await ExpiredRows(merged: rows, of: restored.expiringTables, owners: owners).remove(from: state)
      }
      try await state.write(StateWrite(rows, meta: Followers.marks(fold, of: [.merge]), owners: owners))
    }
  }

  private var owners: [(String, [UInt8])] {
    guard !variant.contains(.mergeUnclaimed) else { return [] }
    return FlushMark.owners(of: [.merge], owner)
  }

  /// Merged rows are fenced one by one, their mark is not: a worker that slept since another one led would put it back. So the mark is
  /// written by its owner only, and the ledger's number orders who that is: a sleeper has not seen the entry that gave the other the lead.
  private func claim(_ fold: LedgerFold) async throws {
    guard let state, !variant.contains(.mergeUnclaimed) else { return }
    try await FlushMark.own([.merge], owner, state, fold)
  }

  func drop() async {
    lane = nil
    meter?.merging(openWindows: 0)
    await committer.drop([.merge])
  }

  /// Merges what the ledger got since the last round: one entry, or several where windows of very many partitions close.
  /// - Returns: the ledger after it; nil if there was nothing to do.
  func round() async throws -> LedgerFold? {
    do {
      var after = try await mergeNews()
      while after != nil, lane?.isClosing == true { after = try await mergeNews() ?? after }
      return after
    } catch {
      // Some of the partials may be merged already, or windows finished that no entry has.
      await committer.refuse()
      throw error
    }
  }

  private func mergeNews() async throws -> LedgerFold? {
    guard let lane else { return nil }
    let fold = try await ledger.refresh()
    try invariant(fold.number >= position, "entries through \(position) are merged, and the ledger ends at \(fold.number)")
    guard fold.number > position || lane.isClosing else { return nil }
    // What entries contribute is in another form then.
    if !variant.contains(.growthUnnoticed) { try compiled.check(fold) }
    meter?.know(fold)
    meter?.enter(.merging)
    defer { meter?.enter(.idle) }
    let last = variant.contains(.mergeMissesLastEntry) ? fold.number - 1 : fold.number
    let hasPartials = try await take(through: last, lane, fold)
    let hasNews = hasPartials || lane.isClosing || fold.mergedWatermark > watermark || fold.number - committed > LedgerMerge.idleEntriesMax
    position = fold.number
    guard hasNews else { return nil }
    return try await commit(lane, through: fold.number, watermark: fold.mergedWatermark)
  }

  /// Makes an epoch again that a live run made: over the entries through `number`, with the watermark that was merged then.
  /// - Parameter rows: that it gave the tables.
  func repeats(through number: Int64, watermark: Int64, rows: RecordedRows?) async throws {
    guard let lane else { throw WeirError(.internal, "a repeated merge, and the merge lane is not held") }
    try invariant(number >= position, "a repeated merge goes back from entry \(position) to \(number)")
    let fold = await ledger.fold
    _ = try await take(through: variant.contains(.repeatsMergeAtHead) ? fold.number : number, lane, fold)
    position = number
    _ = try await commit(lane, through: number, watermark: watermark, rows)
  }

  /// Folds in what the entries after the position contribute; false: they contribute nothing.
  private func take(through number: Int64, _ lane: MergeLane, _ fold: LedgerFold) async throws -> Bool {
    var hasNews = false
    for entry in try await ledger.entries(after: position, through: number) {
      guard let ref = entry.partials else { continue }
      hasNews = true
      let partials = try await Restorer(compiled: compiled, store: lake, fold: fold, run: RunInfo(shard: "", runID: ""), ledger: ledger)
        .partials(ref)
      _ = lane.merge(partials, watermark: Watermark.minimum)
    }
    return hasNews
  }

  private func commit(
    _ lane: MergeLane, through number: Int64, watermark: Int64, _ rows: RecordedRows? = nil
  ) async throws -> LedgerFold {
    let merged = lane.epoch(watermark: watermark)
    meter?.merging(openWindows: lane.openWindows)
    let after = try await committer.commit(merged: merged, through: number, repeating: rows).fold()
    committed = number
    self.watermark = watermark
    let fence = variant.contains(.mergedFenceTooLow) ? number : after.number
    try await claim(after)
    try await followers.applied(fold: after, merged: lane.takeStateRows(ledgerNumber: fence), lanes: [.merge], owners: owners)
    return after
  }
}
