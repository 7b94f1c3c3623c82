import WeirCore
import WeirProtocol

/// One entry's worth of a replay of a recorded stream: what is consumed, and what is committed after it.
struct RecordedStep: Sendable {
  enum Work: Sendable, Equatable {
    /// An epoch of each lane, cut after its range. `isClosing`: the input has ended, open windows go.
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

  /// The part of it before `positions` (by shard), and the rest: where an epoch is cut in the middle for its memory.
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
        switch decision {
        case .gap(let from, _, _): from.ordinal >= at
        case .shardClosed: at < range.to
        default: false
        }
      }
      // Nothing of the lane is done yet: its decisions wait for its first records.
      let later = (decisions[lane] ?? []).filter { at <= range.from || isLater($0) }
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
  func moves(_ lane: LaneID) -> Bool { RecordedStep.moves(decisions[lane] ?? []) }

  /// The lane's shard ends with the step.
  func closes(_ lane: LaneID) -> Bool {
    decisions[lane]?.contains { if case .shardClosed = $0 { true } else { false } } ?? false
  }

  static func moves(_ decisions: [Decision]) -> Bool {
    decisions.contains { decision in
      switch decision {
      case .partitioner, .unverified, .lookupUsed: false
      default: true
      }
    }
  }

  /// What the recorded entry counted: the same records must come again.
  var counts: [LaneID: BucketCounts] = [:]
  /// The last record that each lane had read, where the recorded entry says it.
  var lasts: [LaneID: Fingerprint] = [:]
  /// By which idle lanes finished windows, see ``LaneCommit/floor``.
  var floors: [LaneID: Int64] = [:]
  /// Lanes that a worker took over, see ``LaneCommit/start``.
  var starts: [LaneID: ShardPoint] = [:]
  /// By name, the versions of lookups that its records were joined with where these were not the newest; nil: it has no records.
  var usedLookups: [String: String]?
  /// What the recorded entry gave the tables; nil: none is repeated.
  var rows: RecordedRows?
  /// Every idle lane's epoch through this one says by which floor it finished windows. If not, as in ledgers of earlier versions, its
  /// windows may come some entries earlier or later.
  var hasFloors = true
}

extension RecordedStep {
  var changesLookup: Bool { decisions.values.joined().contains { $0.broughtLookup != nil } }

  /// What is to be read for it: an epoch that only says something reads nothing.
  var read: [RecordedRange] {
    guard case .epochs = work else { return [] }
    return ranges.filter { $0.to > $0.from }
  }
}
