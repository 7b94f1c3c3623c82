import WeirCore
import WeirProtocol

/// One worker process over some lanes, by mistake perhaps lanes that others have too.
///
/// It does what the engine's worker does, in the same order: restore from the ledger, roll followers forward, then
/// cut, write state rows ahead, write files, commit, follow.
///
/// `@unchecked Sendable`: one task uses it; see ``World``.
final class SimulatedWorker: @unchecked Sendable {
  let run: ProtocolRun
  let node: Node
  let name: String
  /// What it believes to own, the merge lane too; only shrinks.
  private(set) var owned: [LaneID]
  private(set) var isFinished = false
  let store: any ObjectStore
  let stateTable: any StateTable
  let clock: SimulatedClock
  let random: SimulatedRandom
  var lanes: [LaneID: LaneWork] = [:]
  var merge = MergeWork()

  init(run: ProtocolRun, node: Node, owned: [LaneID]) {
    self.run = run
    self.node = node
    self.owned = owned
    name = "w\(node.id)"
    store = run.store.reached(by: node)
    stateTable = run.stateTable.reached(by: node)
    clock = SimulatedClock(node: node)
    random = SimulatedRandom(run.world.random(name))
  }

  /// Stands in the state table once the lane's rows were made after a crash.
  static func meta(of lane: LaneID) -> String { "lane:" + lane.text }

  var ownsMerge: Bool { owned.contains(.merge) }

  func main() async {
    while !owned.isEmpty, run.oracle.violation == nil {
      do {
        try await work()
        break
      } catch let error as WeirError where error.isRetriable {
        await clock.sleep(nanoseconds: Int64(random.below(200_000_000)))
      } catch {
        run.oracle.fail("\(name) failed with an error that retries cannot fix: \(error)")
      }
    }
    isFinished = true
    run.lanesLost()
  }

  private func work() async throws {
    let ledger = try await openLedger()
    try await restore(from: ledger)
    _ = try await followTables(ledger)
    while try await cycle(ledger) {
      if random.chance(0.5) {
        let applied = try await followTables(ledger)
        if random.chance(run.config.collectChance) { try await collect(ledger, applied) }
      }
      await clock.sleep(nanoseconds: Int64(random.next() % UInt64(run.config.cycleNanosecondsMax)))
    }
    _ = try await followTables(ledger)
  }

  private func openLedger() async throws -> Ledger {
    let genesis = Genesis(
      ledgerID: "ledger", runID: "run", stream: "sim", plan: .null, planHash: "plan", lanes: run.workload.lanes + [.merge])
    let watcher = CommitWatcher(run: run)
    let ledger = try await Ledger.create(
      run.layout, genesis: genesis, worker: name, store: store, clock: clock, random: random, variant: run.variant,
      observer: { watcher.saw($0, $1) })
    let fold = await ledger.fold
    if fold.number > 0, run.store.peek(run.layout.entry(0)) == nil { run.mark(.startedFromSnapshot) }
    return ledger
  }

  /// The lanes that a commit lost are forgotten, the others are restored.
  func lose(_ lost: [LaneID], _ ledger: Ledger) async throws {
    owned.removeAll { lost.contains($0) }
    run.lanesLost()
    if !owned.isEmpty {
      run.mark(.someLanesLost)
      try await restore(from: ledger)
    }
  }

  private func followTables(_ ledger: Ledger) async throws -> Int64? {
    var applied: Int64?
    for name in SimulatedTable.names {
      let table = SimulatedTable(
        name: name, store: store, ledger: ledger, clock: clock, random: random, variant: run.variant,
        mark: { [run] in run.mark($0) })
      guard let txn = try await table.follow() else { return nil }
      applied = min(applied ?? txn, txn)
    }
    return applied
  }

  private func collect(_ ledger: Ledger, _ applied: Int64?) async throws {
    guard let applied else { return }
    let policy = CollectionPolicy(keepMicroseconds: run.config.keepMicroseconds, appliedThrough: applied)
    do {
      let before = await ledger.fold.number
      let report = try await ledger.collect(policy, worker: name)
      if !report.entriesDeleted.isEmpty { run.mark(.entriesCollected) }
      if !report.blobsDeleted.isEmpty { run.mark(.blobsSwept) }
      if try await ledger.read(before + 1)?.lanes.isEmpty == true { run.mark(.barrier) }
    } catch let error as WeirError where error.isRetriable {
      // A collection that stopped halfway is a collection; the next one goes on.
    }
  }
}

// MARK: - Restore

extension SimulatedWorker {
  func restore(from ledger: Ledger) async throws {
    let fold = try await ledger.refresh()
    lanes = [:]
    for lane in owned where lane != .merge {
      guard let laneFold = fold[lane] else { continue }
      var work = LaneWork(lane: lane)
      work.epoch = laneFold.epoch
      if case .offset(let position)? = laneFold.position { work.position = Int(position) }
      work.floor = laneFold.floor
      work.isIdle = laneFold.isIdle
      work.hasEnded = laneFold.hasEnded
      work.stateRef = laneFold.state
      work.state = try await state(laneFold.state)
      if let version = fold.lookups["of-" + lane.text] { work.version = try await lookup(version) }
      lanes[lane] = work
      try await rebuildStateTable(work, laneFold)
    }
    if ownsMerge { merge = try await MergeWork(fold.mergeLane) { try await self.slice($0) } }
  }

  private func state(_ ref: StateRef?) async throws -> LaneState {
    var state = LaneState()
    guard let ref else { return state }
    for part in [ref.base] + ref.deltas { state.add(try await slice(part)) }
    return state
  }

  /// A blob that is gone was superseded: read the head again, by starting over.
  func slice(_ ref: BlobRef) async throws -> [UInt8] {
    guard let bytes = try await store.get(ref.path, offset: ref.offset, count: Int(ref.length)),
      ContentHash(of: bytes).hex == ref.hash
    else { throw WeirError(.storage, "\(ref.path) is not there") }
    return bytes
  }

  private func lookup(_ version: LookupVersion) async throws -> Int {
    guard let bytes = try await store.get(version.path) else {
      throw WeirError(.storage, "\(version.path) is not there")
    }
    return Int(String(decoding: bytes, as: UTF8.self)) ?? -1
  }

  /// After a crash of the machine the state table is made again from the lane's state.
  private func rebuildStateTable(_ work: LaneWork, _ fold: LaneFold) async throws {
    let meta = SimulatedWorker.meta(of: work.lane)
    guard try await stateTable.readMeta(meta) == nil else { return }
    if work.epoch > 0 { run.mark(.stateRebuilt) }
    try await writeRows(of: work, keys: Set(work.state.sums.keys))
    try await stateTable.writeMeta([(meta, [1])])
  }

  /// The state table may run ahead of the ledger: its rows carry their fence.
  func writeRows(of work: LaneWork, keys: Set<Int>) async throws {
    var rows = StateBatch(
      table: "sums", lane: work.lane.text, fence: Fence(generation: 0, position: Int64(work.position)))
    for key in keys.sorted() {
      rows.append(key: Array("\(work.lane.text)/\(key)".utf8)[...]) { out in
        for byte in (work.state.sums[key] ?? Tally()).line(key).utf8 { out.write(byte) }
      }
    }
    guard !rows.isEmpty else { return }
    let batch = rows
    try await repeating { _ = try await self.stateTable.write([batch]) }
  }

  /// Tries a thing that does no harm when it is done twice, some times.
  func repeating(_ body: () async throws -> Void) async throws {
    var tries = 0
    while true {
      do { return try await body() } catch let error as WeirError where error.isRetriable && tries < 8 {
        tries += 1
        await clock.sleep(nanoseconds: Int64(random.below(20_000_000)))
      }
    }
  }
}

/// Marks the branches that commits take.
///
/// `@unchecked Sendable`: see ``World``.
final class CommitWatcher: @unchecked Sendable {
  let run: ProtocolRun
  private var read: LedgerEntry?

  init(run: ProtocolRun) { self.run = run }

  func saw(_ event: CommitMachine.Event, _ action: CommitMachine.Action) {
    switch (event, action) {
    case (.derived, _): read = nil
    case (.entryRead(let entry?), _): read = entry
    case (.pointerRead, .finish(.committed)): if read != nil { run.mark(.ownEntryFound) }
    case (.entryRead(nil), .rest): run.mark(.unknownRetried)
    case (.entryRead(nil), .readHead): run.mark(.entryNotThere)
    case (.pointerRead, .derive): run.mark(.conflict)
    case (.pointerRead, .readHead): run.mark(.fencedByPointer)
    case (.headRead, .derive): run.mark(.headReadAgain)
    default: break
    }
  }
}
