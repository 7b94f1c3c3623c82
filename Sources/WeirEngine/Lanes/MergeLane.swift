import WeirCore
import WeirOperators

/// The lane whose source is the ledger: folds the partials of all lanes, in lane order, and finishes what they share.
final class MergeLane {
  static let formatVersion: UInt8 = 1

  private let compiled: CompiledPlan
  /// By aggregate number; nil: finished in the lanes.
  let windows: [(any WindowOperator)?]
  let keyed: [KeyedStore?]
  private var saved = SavedState(version: MergeLane.formatVersion)

  init(_ compiled: CompiledPlan) {
    self.compiled = compiled
    (windows, keyed) = compiled.stores { !$0.isFinishedInLane }
  }

  /// The lane as `other` is, for a form of the plan by which more tables are merged.
  init(keeping other: MergeLane, _ compiled: CompiledPlan) {
    self.compiled = compiled
    let fresh = compiled.stores { !$0.isFinishedInLane }
    windows = zip(other.windows, fresh.windows).map { $0 ?? $1 }
    keyed = zip(other.keyed, fresh.keyed).map { $0 ?? $1 }
  }

  /// Folds one epoch in and returns the windows that the merged watermark finishes, by gold table number.
  func merge(_ partials: [Partial], watermark: Int64) -> [Int: WindowResults] {
    for partial in partials {
      for (store, theirs) in zip(windows, partial.windows) { if let theirs { store?.merge(theirs) } }
      for (store, theirs) in zip(keyed, partial.keyed) { if let theirs { store?.merge(theirs) } }
    }
    var results: [Int: WindowResults] = [:]
    for (i, store) in windows.enumerated() {
      guard let store else { continue }
      let done = store.finish(watermark: watermark)
      if !done.isEmpty { results[i] = done }
    }
    return results
  }

  /// Folds one epoch in and makes what is committed of it.
  func epoch(_ partials: [Partial] = [], watermark: Int64) -> MergedEpoch {
    epoch(of: merge(partials, watermark: watermark), watermark: watermark)
  }

  /// What is committed where nothing is finished.
  func unfinishedEpoch(watermark: Int64) -> MergedEpoch { epoch(of: [:], watermark: watermark) }

  private func epoch(of results: [Int: WindowResults], watermark: Int64) -> MergedEpoch {
    let counts = takeCounts(results)
    for store in keyed {
      store?.advance(to: watermark)
      store?.retire()
    }
    return MergedEpoch(results: results, counts: counts, watermark: watermark, isClosing: isClosing, state: save())
  }

  /// What an entry says of the tables that are finished here. Before ``save()``: state tables say what changed since the last one.
  private func takeCounts(_ results: [Int: WindowResults]) -> [String: WindowCounts] {
    var all: [String: WindowCounts] = [:]
    for (gold, windows) in results where windows.outOfRange > 0 {
      all[compiled.plan.path(of: .gold(gold)), default: WindowCounts()].outOfRange += windows.outOfRange
    }
    for (table, count) in compiled.stateOutOfRange(keyed) { all[table, default: WindowCounts()].outOfRange += count }
    return all
  }

  /// Final windows were left to the next epochs.
  var isClosing: Bool { windows.contains { $0?.isBehind == true } }

  /// The ledger says so of the last epoch.
  func resumeClosing() { for store in windows { store?.isBehind = true } }

  /// Windows (of all keys together) that hold something.
  var openWindows: Int { windows.reduce(0) { $0 + ($1?.openCount ?? 0) } }

  /// What is held here that no commit frees.
  var stateBytes: StateBytes { StateBytes(dedup: 0, windows: windows, keyed: keyed) }

  /// Tables that are finished here whose rows expire.
  var expiringTables: Set<String> { Set(compiled.aggregates.lazy.filter { $0.ttl != nil && !$0.isFinishedInLane }.map(\.name)) }

  /// Changed rows of merged state, fenced by the ledger number of the entry that changed them.
  func takeStateRows(ledgerNumber: Int64) -> [StateBatch] { stateRows(ledgerNumber) { $0.takeUnflushed(into: &$1) } }

  /// - Parameter isEmptyToo: also a batch without rows for a table that has none.
  func allStateRows(ledgerNumber: Int64, isEmptyToo: Bool = false) -> [StateBatch] {
    stateRows(ledgerNumber, isEmptyToo: isEmptyToo) { $0.allRows(into: &$1) }
  }

  /// The same, and an empty batch for a table whose rows have all expired.
  func everyStateRow(ledgerNumber: Int64) -> [StateBatch] {
    allStateRows(ledgerNumber: ledgerNumber, isEmptyToo: !expiringTables.isEmpty)
  }

  private func stateRows(_ number: Int64, isEmptyToo: Bool = false, _ take: (KeyedStore, inout StateBatch) -> Void) -> [StateBatch] {
    keyed.enumerated().compactMap { i, store in
      guard let store else { return nil }
      var batch = StateBatch(
        table: compiled.aggregates[i].name, lane: LaneID.merge.text, fence: Fence(generation: 0, position: number))
      take(store, &batch)
      return batch.isEmpty && !isEmptyToo ? nil : batch
    }
  }

  // MARK: State blobs

  private func save() -> (pieces: [[UInt8]], isBase: Bool) {
    let live = keyed.reduce(0) { $0 + ($1?.count ?? 0) }
    let unsaved = keyed.reduce(0) { $0 + ($1?.unsavedCount ?? 0) }
    return saved.save(live: live, unsaved: unsaved) { isBase, out in
      for i in compiled.aggregates.indices {
        windows[i]?.save(into: &out)
        keyed[i]?.save(base: isBase, into: &out)
      }
    }
  }

  func restore(blobs: [[UInt8]]) throws(WeirError) {
    try saved.restore(blobs, of: "the merge lane") { reader throws(WeirError) in
      for i in compiled.aggregates.indices {
        try windows[i]?.restore(from: &reader)
        try keyed[i]?.restore(from: &reader)
      }
    }
  }
}
