import WeirCore
import WeirProtocol

/// The steps of a live run, from its ledger.
struct RecordedDecisions: Sendable {
  /// Entries that are held at once.
  private static let chunkMax: Int64 = 256

  let ledger: Ledger
  let lake: any ObjectStore
  /// The state that each lane had after entry `through`: it distinguishes a commit with new state from one that only carries decisions.
  private var states: [LaneID: StateRef] = [:]
  private var through: Int64 = 0
  /// Lanes that are idle after entry `through`.
  private var idle: Set<LaneID> = []
  /// See ``RecordedStep/hasFloors``.
  private var hasFloors = true

  init(ledger: Ledger, lake: any ObjectStore) {
    self.ledger = ledger
    self.lake = lake
  }

  /// - Parameter lake: of the recorded run.
  /// - Throws: `config` where there is no ledger, or none of a live run.
  static func open(_ layout: LedgerLayout, lake: any ObjectStore, _ environment: EngineEnvironment) async throws -> RecordedDecisions {
    let ledger = try await Ledger.required(
      layout, store: lake, clock: environment.clock, random: environment.random,
      advice: "\(.decisions) needs the lake of a live run of this pipeline.")
    guard await ledger.fold.genesis.dealing == nil else {
      throw WeirError(
        .config, "the ledger \(layout.prefix) is that of a plain capture: its decisions are not those of a live run",
        advice: "Replay the capture \(.withoutDecisions): its cuts depend on its bytes alone.")
    }
    let change = await ledger.fold.planChange?.entry
    if let change, let entry = try await ledger.read(change), entry.lanes.count > 1 {
      throw WeirError(
        .config, "entry \(change) of the live run replaces a plan that had rejected records: one pipeline file cannot repeat both",
        advice: "Replay the capture \(.withoutDecisions).")
    }
    return RecordedDecisions(ledger: ledger, lake: lake)
  }

  /// Some of the steps after entry `number`; none at the end. One that changes a lookup comes alone, and all have one version of each.
  mutating func steps(after number: Int64) async throws -> [RecordedStep] {
    while through < number {
      for entry in try await entries(after: through, through: min(number, through + RecordedDecisions.chunkMax)) { note(entry) }
    }
    var steps: [RecordedStep] = []
    var used: [String: String]?
    let head = await ledger.fold.number
    for entry in try await entries(after: number, through: min(head, number + RecordedDecisions.chunkMax)) {
      var step = try RecordedDecisions.step(entry, states)
      if step.changesLookup, !steps.isEmpty { break }
      if let used, let next = step.usedLookups, next != used { break }
      used = used ?? step.usedLookups
      note(entry)
      step.hasFloors = hasFloors
      steps.append(step)
      if step.changesLookup { break }
    }
    return steps
  }

  private mutating func note(_ entry: LedgerEntry) {
    for lane in entry.lanes {
      let isCut = lane.state != states[lane.lane] && !RecordedStep.moves(lane.decisions)
      if idle.contains(lane.lane), isCut, lane.floor == nil { hasFloors = false }
      for decision in lane.decisions {
        if case .idle = decision { idle.insert(lane.lane) }
        if case .wake = decision { idle.remove(lane.lane) }
      }
      states[lane.lane] = lane.state
    }
    through = entry.number
  }

  private func entries(after: Int64, through: Int64) async throws -> [LedgerEntry] {
    do { return try await ledger.entries(after: after, through: through) } catch let error as WeirError
      where error.code == .ledgerCollected
    {
      throw WeirError(
        .followerBehind, "the ledger to repeat no longer contains all its entries: \(error.message)",
        advice: "A longer \(.setting(.ledgerKeep)) keeps them; replay \(.withoutDecisions) gives the same rows.")
    }
  }

  private static func step(_ entry: LedgerEntry, _ states: [LaneID: StateRef]) throws(WeirError) -> RecordedStep {
    var step = RecordedStep(work: .carrier, number: entry.number)
    step.rows = RecordedRows(entry)
    for lane in entry.lanes {
      // The commit of the repeated entry says what its records are joined with.
      let decisions = lane.decisions.filter { if case .lookupUsed = $0 { false } else { true } }
      if !decisions.isEmpty { step.decisions[lane.lane] = decisions }
    }
    if entry.lanes.contains(where: { $0.lane != .merge && $0.counts.input > 0 }) {
      step.usedLookups = entry.lanes.flatMap(\.decisions).reduce(into: [:]) { used, decision in
        if case .lookupUsed(let name, let hash, _) = decision { used[name] = hash }
      }
    }
    if let merge = entry[.merge] {
      for case .partitionsAdded(let added) in merge.decisions {
        throw WeirError(
          .config,
          "entry \(entry.number) of the live run accepts new partitions of \(added.stream): a replay cannot finish tables by key first and merge them later",
          advice: "Replay the capture \(.withoutDecisions).")
      }
      guard entry.lanes.count == 1, !merge.endsAtItself else {
        throw WeirError(.config, "entry \(entry.number) was not made by a live run", advice: "\(.decisions) needs the lake of a live run.")
      }
      let to = merge.to.ordinal
      if to > merge.from.ordinal || merge.decisions.isEmpty { step.work = .merge(through: to, watermark: merge.watermark) }
      return step
    }
    for lane in entry.lanes {
      for case .shardClosed in lane.decisions {
        throw WeirError(
          .config,
          "entry \(entry.number) of the live run closes the shard \(lane.lane.shard): a capture does not record which shards took over its keys",
          advice: "Replay the capture \(.withoutDecisions).")
      }
      for case .recreated in lane.decisions {
        throw WeirError(
          .config,
          "entry \(entry.number) of the live run accepts that \(lane.lane.shard) was deleted and created again: a capture holds the records of one of the two",
          advice: "Replay the capture \(.withoutDecisions): it replays all records that it has.")
      }
      let (from, to) = (try lane.from.offset(in: lane.lane.shard), try lane.to.offset(in: lane.lane.shard))
      var lost: [Range<Int64>] = []
      for case .gap(let from, let to, _) in lane.decisions {
        lost.append(try from.offset(in: lane.lane.shard)..<to.offset(in: lane.lane.shard))
      }
      step.ranges.append(RecordedRange(shard: lane.lane.shard, from: from, to: to, lost: lost))
      step.counts[lane.lane] = lane.counts
      step.floors[lane.lane] = lane.floor
      // Of an epoch without records it is that of an earlier one.
      if lane.counts.input > 0 { step.lasts[lane.lane] = lane.identity?.last }
      step.starts[lane.lane] = lane.start
    }
    // What only says something keeps the state that the lane has.
    let isEmpty = entry.lanes.allSatisfy { $0.state == states[$0.lane] }
    step.work = isEmpty ? .empty : .epochs(isClosing: entry.lanes.contains { $0.watermark == Watermark.maximum })
    return step
  }
}
