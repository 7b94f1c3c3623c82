import WeirCore
import WeirProtocol

/// One entry's worth of a replay of a recorded stream: what is consumed, and what is committed behind it.
struct RecordedStep: Sendable {
  enum Work: Sendable, Equatable {
    /// An epoch of each lane, cut behind its range. `isClosing`: the input has ended, open windows go.
    case epochs(isClosing: Bool)
    /// Epochs that only say something: where lanes begin, what was lost.
    case empty
    /// An epoch of the merge lane over the entries through `through`, finishing what `watermark` has passed.
    case merge(through: Int64, watermark: Int64)
    /// An epoch of the merge lane that carries decisions and merges nothing.
    case carrier
  }

  var work: Work
  /// The entry's number where it repeats a recorded one.
  var number: Int64?
  /// By lane; a lane that consumes nothing has an empty range.
  var ranges: [RecordedRange] = []
  var decisions: [LaneID: [Decision]] = [:]

  /// No part of it is committed yet.
  private(set) var isWhole = true
  /// There is something left to be committed of it.
  var hasMore: Bool { !decisions.isEmpty || ranges.contains { $0.to > $0.from } }

  /// The part of it that lies before `positions` (by shard), and the rest: where an epoch is cut in the middle for its memory.
  func split(at positions: [String: Int64]) -> (done: RecordedStep, rest: RecordedStep) {
    var (done, rest) = (self, self)
    rest.isWhole = false
    (done.ranges, done.decisions, rest.decisions) = ([], [:], [:])
    for (i, range) in ranges.enumerated() {
      let at = min(max(positions[range.shard] ?? range.from, range.from), range.to)
      rest.ranges[i].from = at
      rest.ranges[i].lost = range.lost.filter { $0.lowerBound >= at }
      let lane = LaneID(shard: range.shard)
      func isLater(_ decision: Decision) -> Bool {
        if case .gap(.offset(let from), _, _) = decision { from >= at } else { false }
      }
      let later = (decisions[lane] ?? []).filter(isLater)
      if !later.isEmpty { rest.decisions[lane] = later }
      guard at > range.from else { continue }
      done.ranges.append(
        RecordedRange(shard: range.shard, from: range.from, to: at, lost: range.lost.filter { $0.lowerBound < at }))
      let earlier = (decisions[lane] ?? []).filter { !isLater($0) }
      if !earlier.isEmpty { done.decisions[lane] = earlier }
    }
    return (done, rest)
  }

  /// A decision of the step is about the lane's own standing or position; others are only carried by it.
  func moves(_ lane: LaneID) -> Bool {
    (decisions[lane] ?? []).contains { decision in
      switch decision {
      case .partitioner, .unverified: false
      default: true
      }
    }
  }

  /// What the recorded entry counted: the same records must come again.
  var counts: [LaneID: BucketCounts] = [:]
}

/// The steps of a live run, from its ledger.
struct RecordedDecisions: Sendable {
  /// Entries that are held at once.
  private static let chunkMax: Int64 = 256

  let ledger: Ledger
  let lake: any ObjectStore
  /// The state that each lane had behind entry `through`: by it a commit that took a new one is told from one that only says something.
  private var states: [LaneID: StateRef] = [:]
  private var through: Int64 = 0

  init(ledger: Ledger, lake: any ObjectStore) {
    self.ledger = ledger
    self.lake = lake
  }

  /// - Parameter lake: of the recorded run.
  /// - Throws: `config` where there is no ledger, or none of a live run.
  static func open(_ layout: LedgerLayout, lake: any ObjectStore, _ environment: EngineEnvironment) async throws -> RecordedDecisions {
    let ledger = try await Ledger.required(
      layout, store: lake, clock: environment.clock, random: environment.random,
      advice: "--decisions takes the lake of the live run, which `weir run` of this pipeline wrote.")
    guard await ledger.fold.genesis.dealing == nil else {
      throw WeirError(
        "config", "the ledger \(layout.prefix) is that of a plain capture: its decisions are not those of a live run",
        advice: "Replay the capture without --decisions: its cuts depend on its bytes alone.")
    }
    return RecordedDecisions(ledger: ledger, lake: lake)
  }

  /// The steps behind entry `number`: some, and none at the end. One that changes a lookup comes alone.
  mutating func steps(after number: Int64) async throws -> [RecordedStep] {
    while through < number {
      for entry in try await entries(after: through, through: min(number, through + RecordedDecisions.chunkMax)) { note(entry) }
    }
    var steps: [RecordedStep] = []
    let head = await ledger.fold.number
    for entry in try await entries(after: number, through: min(head, number + RecordedDecisions.chunkMax)) {
      let step = try RecordedDecisions.step(entry, states)
      if step.changesLookup, !steps.isEmpty { break }
      note(entry)
      steps.append(step)
      if step.changesLookup { break }
    }
    return steps
  }

  private mutating func note(_ entry: LedgerEntry) {
    for lane in entry.lanes { states[lane.lane] = lane.state }
    through = entry.number
  }

  private func entries(after: Int64, through: Int64) async throws -> [LedgerEntry] {
    do { return try await ledger.entries(after: after, through: through) } catch let error as WeirError
      where error.code == "ledger_collected"
    {
      throw WeirError(
        "ledger_collected", "the ledger to repeat does not hold all its entries any more: \(error.message)",
        advice: "A longer lake.ledger_keep keeps them; replay without --decisions gives the same rows.")
    }
  }

  private static func step(_ entry: LedgerEntry, _ states: [LaneID: StateRef]) throws(WeirError) -> RecordedStep {
    var step = RecordedStep(work: .carrier, number: entry.number)
    for lane in entry.lanes where !lane.decisions.isEmpty { step.decisions[lane.lane] = lane.decisions }
    if let merge = entry[.merge] {
      guard entry.lanes.count == 1, !merge.endsAtItself, case .offset(let from) = merge.from, case .offset(let to) = merge.to else {
        throw WeirError("config", "entry \(entry.number) was not made by a live run", advice: "--decisions takes the lake of a live run.")
      }
      if to > from || merge.decisions.isEmpty { step.work = .merge(through: to, watermark: merge.watermark) }
      return step
    }
    for lane in entry.lanes {
      for case .recreated in lane.decisions {
        throw WeirError(
          "config",
          "entry \(entry.number) of the live run accepts that \(lane.lane.shard) was deleted and created again: a capture holds the records of one of the two",
          advice: "Replay the capture without --decisions: it takes what is in it.")
      }
      guard case .offset(let from) = lane.from, case .offset(let to) = lane.to else { continue }
      let lost = lane.decisions.compactMap { decision -> Range<Int64>? in
        guard case .gap(.offset(let a), .offset(let b), _) = decision else { return nil }
        return a..<b
      }
      step.ranges.append(RecordedRange(shard: lane.lane.shard, from: from, to: to, lost: lost))
      step.counts[lane.lane] = lane.counts
    }
    // What only says something keeps the state that the lane has.
    let isEmpty = entry.lanes.allSatisfy { $0.state == states[$0.lane] }
    step.work = isEmpty ? .empty : .epochs(isClosing: entry.lanes.contains { $0.watermark == Watermark.maximum })
    return step
  }
}

extension RecordedStep {
  var changesLookup: Bool {
    decisions.values.joined().contains { if case .lookup = $0 { true } else { false } }
  }

  /// What is to be read for it: an epoch that only says something reads nothing.
  var read: [RecordedRange] {
    guard case .epochs = work else { return [] }
    return ranges.filter { $0.to > $0.from }
  }
}
