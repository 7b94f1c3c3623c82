import Synchronization
import WeirCore
import WeirOperators
import WeirProtocol

/// Collects what a live worker shows of itself: counters that only rise, and current values.
///
/// Lanes write their own ``LaneReading``s; all else comes once per commit, flush or survey, under a lock that is never held
/// while working. It outlives sessions, so counters rise for the life of the process.
package final class LiveMeter: Sendable {
  /// Shards that are shown separately; a source with more than these is read all the same.
  package static let shardsMax = 4096
  /// Codes of errors that are counted separately.
  static let codesMax = 64

  /// Since the start of the worker.
  package struct Totals: Sendable {
    package var accepted: Int64 = 0
    package var duplicate: Int64 = 0
    package var filtered: Int64 = 0
    package var quarantined: Int64 = 0
    /// Accepted records with members that no field reads, where the plan keeps them.
    package var rescued: Int64 = 0
    /// The same of each kind of record, where there are several.
    package var kinds: [String: BucketCounts] = [:]
    /// Rows of windows that were closed already, by gold table.
    package var late: [String: Int64] = [:]
    /// Quarantined records, by stage.
    package var rejected: [String: Int64] = [:]
    /// Rows and bytes of data files in committed entries, by table.
    package var rows: [String: Int64] = [:]
    package var bytes: [String: Int64] = [:]
    /// Windows of one key each whose row was committed, by the path of the gold table.
    package var windowsClosed: [String: Int64] = [:]
    /// Sums and means that are null because no double can hold them, by gold and state table.
    package var outOfRange: [String: Int64] = [:]
    package var entries: Int64 = 0
    package var fenced: Int64 = 0
    /// Entries that took a second try, because another worker had taken the number.
    package var conflicts: Int64 = 0
    /// Commits whose outcome is unknown.
    package var ambiguous: Int64 = 0
    package var lanesTaken: Int64 = 0
    package var lanesHandedOver: Int64 = 0
    package var lanesLost: Int64 = 0
    /// Positions that the source lost before they were read.
    package var lostPositions: Int64 = 0
    package var cuts: [String: Int64] = [:]
    package var troubles: [String: Int64] = [:]
    /// By lookup.
    package var lookups: [String: LookupLooks] = [:]
    package var openMergeWindows: Int64 = 0
    package var fileBytes = Histogram.bytes
    /// Encoding and writing of an epoch's files.
    package var flushes = Histogram.seconds
    /// By what is committed: `ledger`, or a table of the lake.
    package var commits: [String: Histogram] = [:]
    /// A transaction of the state table.
    package var stateFlushes = Histogram.seconds
    /// Rows that this worker wrote to the state table without their values.
    package var oversizeRows: Int64 = 0
    /// From a record's arrival to the ledger entry.
    package var toLedger = Histogram.seconds
    /// From a record's arrival to the state table.
    package var toState = Histogram.seconds

    package init() {}
  }

  /// What came of the looks at a lookup's file.
  package struct LookupLooks: Sendable, Equatable {
    package enum Outcome: Sendable { case unchanged, changed, failed }
    package var unchanged: Int64 = 0
    package var changed: Int64 = 0
    package var failed: Int64 = 0
    /// The entry that brought the version that this worker uses; nil: none yet.
    package var entry: Int64?

    package init(unchanged: Int64 = 0, changed: Int64 = 0, failed: Int64 = 0, entry: Int64? = nil) {
      (self.unchanged, self.changed, self.failed, self.entry) = (unchanged, changed, failed, entry)
    }
  }

  private struct Standing {
    var shards = ShardStandings(shardsMax: LiveMeter.shardsMax)
    var ledgerNumber: Int64 = -1
    var mergedWatermark = Watermark.minimum
    var surveyedAt: Int64?
    var groupIsShared: String?
    var cutAt: Int64?
    var state = StateBytes()
    var budget: Int64?
    var memoryPeak: Int64?
    var totals = Totals()
  }

  private let standing = Mutex(Standing())
  private let stage = Atomic(LiveSnapshot.Stage.idle.rawValue)
  private let stageSince = Atomic<Int64>(0)
  private let epochBytes = Atomic<Int64>(0)
  private let epochHeld = Atomic<Int64>(0)
  private let topics = Atomic(false)
  private let clock: any Clock
  private let readsCapture: Bool

  /// - Parameter readsCapture: of a replay: epochs end with the input's bytes and never by their age, and no source can be asked what it has.
  package init(clock: any Clock, readsCapture: Bool = false) { (self.clock, self.readsCapture) = (clock, readsCapture) }

  /// The current values.
  package func snapshot() -> LiveSnapshot {
    let now = clock.monotonicNanoseconds
    var snapshot = LiveSnapshot()
    snapshot.monotonicNanoseconds = now
    snapshot.wallMicroseconds = clock.wallMicroseconds
    snapshot.stage = LiveSnapshot.Stage(rawValue: stage.load(ordering: .relaxed)) ?? .idle
    snapshot.stageNanoseconds = max(0, now - stageSince.load(ordering: .relaxed))
    snapshot.epochBytes = epochBytes.load(ordering: .relaxed)
    snapshot.epochHeldBytes = epochHeld.load(ordering: .relaxed)
    snapshot.waitsForTopics = topics.load(ordering: .relaxed)
    snapshot.readsCapture = readsCapture
    standing.withLock { standing in
      snapshot.ledgerNumber = standing.ledgerNumber
      snapshot.mergedWatermark = standing.mergedWatermark
      snapshot.surveyNanoseconds = standing.surveyedAt.map { max(0, now - $0) }
      snapshot.epochNanoseconds = standing.cutAt.map { max(0, now - $0) } ?? 0
      (snapshot.state, snapshot.memoryBudget, snapshot.memoryPeak) = (standing.state, standing.budget, standing.memoryPeak)
      snapshot.groupIsShared = standing.groupIsShared
      snapshot.meter = standing.totals
      standing.shards.sort()
      snapshot.lanes = standing.shards.inOrder.map { $0.lane(now: now) }
    }
    return snapshot
  }

  // MARK: Reported by the worker

  /// The reading of a lane that is taken over; its counters continue from an earlier time.
  func take(_ shard: String, position: ShardPoint, watermark: Int64) -> LaneReading {
    let now = clock.monotonicNanoseconds
    let reading = standing.withLock { standing in
      standing.totals.lanesTaken += 1
      if let known = standing.shards[shard]?.reading { return known }
      let made = LaneReading(shard: shard, now: now)
      standing.shards.change(shard, isOwn: true) { $0.reading = made }
      return made
    }
    reading.begin(at: position.ordinal, watermark: watermark, now: now)
    return reading
  }

  func released(_ shards: [String], isLost: Bool) {
    let now = clock.monotonicNanoseconds
    standing.withLock { standing in
      for shard in shards {
        guard let reading = standing.shards[shard]?.reading, reading.isHeld else { continue }
        reading.end(now: now)
        if isLost { standing.totals.lanesLost += 1 } else { standing.totals.lanesHandedOver += 1 }
      }
    }
  }

  /// The session is over: nothing is held any more.
  func releasedAll() {
    released(standing.withLock { $0.shards.inOrder.map(\.name) }, isLost: false)
    enter(.idle)
  }

  func enter(_ next: LiveSnapshot.Stage) {
    stageSince.store(clock.monotonicNanoseconds, ordering: .relaxed)
    stage.store(next.rawValue, ordering: .relaxed)
  }

  /// - Parameter words: who else is in the group, and what that means; nil: no one.
  func groupIsShared(_ words: String?) { standing.withLock { $0.groupIsShared = words } }

  /// Whether a topic holds up reading.
  func waits(forTopics isBehind: Bool) { topics.store(isBehind, ordering: .relaxed) }

  /// - Parameter held: memory that the current epoch is estimated to hold.
  func filling(bytes: Int64, held: Int64) {
    epochBytes.store(bytes, ordering: .relaxed)
    epochHeld.store(held, ordering: .relaxed)
  }

  /// What lanes and merge lane hold that no cut frees.
  func holding(_ state: StateBytes, of budget: MemoryBudget, peak: Int64) {
    standing.withLock { ($0.state, $0.budget, $0.memoryPeak) = (state, budget.total, peak) }
  }

  /// - Parameter reason: `size`, `memory`, `age`, `decision`, `trimmed` or `drain`.
  func cut(_ reason: String) {
    let now = clock.monotonicNanoseconds
    standing.withLock { standing in
      standing.cutAt = now
      standing.totals.cuts[reason, default: 0] += 1
    }
  }

  func encoded(_ files: [EncodedFile], nanoseconds: Int64) {
    standing.withLock { standing in
      standing.totals.flushes.observe(Double(nanoseconds) / 1e9)
      for file in files { standing.totals.fileBytes.observe(Double(file.data.bytes)) }
    }
  }

  /// An entry of this worker's is in the ledger.
  func committed(_ epochs: [LaneEpoch], _ entry: EntryDraft, plan: Plan, fold: LedgerFold) {
    let goldTables = Set(plan.gold.indices.map { plan.path(of: .gold($0)) })
    let wall = clock.wallMicroseconds
    standing.withLock { standing in
      standing.totals.entries += 1
      for lane in entry.lanes {
        for (table, counts) in lane.windows where counts.outOfRange > 0 {
          standing.totals.outOfRange[table, default: 0] += counts.outOfRange
        }
      }
      for table in entry.tables {
        for file in table.files {
          standing.totals.rows[table.table, default: 0] += file.rows
          standing.totals.bytes[table.table, default: 0] += file.bytes
        }
        // Each row of a gold table is one of a closed window.
        guard goldTables.contains(table.table) else { continue }
        standing.totals.windowsClosed[table.table, default: 0] += table.files.reduce(0) { $0 + $1.rows }
      }
      for epoch in epochs {
        standing.totals.add(epoch, plan: plan, wall: wall)
        standing.shards[epoch.lane.shard]?.reading?.sized(epoch.sizes)
      }
    }
    know(fold)
  }

  func commitTook(_ nanoseconds: Int64, of what: String) {
    standing.withLock { $0.totals.commits[what, default: .seconds].observe(Double(nanoseconds) / 1e9) }
  }

  /// - Parameter tries: drafts that were made; each but the first because another worker had taken the number.
  func told(_ outcome: CommitOutcome, tries: Int) {
    standing.withLock { standing in
      standing.totals.conflicts += Int64(max(0, tries - 1))
      switch outcome {
      case .committed: break
      case .abandoned: break
      case .fenced: standing.totals.fenced += 1
      case .unknown: standing.totals.ambiguous += 1
      }
    }
  }

  /// Of all writes of this worker.
  func stateHas(oversizeRows: Int64) { standing.withLock { $0.totals.oversizeRows = oversizeRows } }

  func stateFlushed(nanoseconds: Int64, arrivals: Arrivals) {
    let wall = clock.wallMicroseconds
    standing.withLock { standing in
      standing.totals.stateFlushes.observe(Double(nanoseconds) / 1e9)
      arrivals.observe(into: &standing.totals.toState, wall: wall)
    }
  }

  func merging(openWindows: Int) { standing.withLock { $0.totals.openMergeWindows = Int64(openWindows) } }

  /// - Parameter positions: nil: the source's positions do not show how many.
  func lost(positions: Int64?) { standing.withLock { $0.totals.lostPositions += positions ?? 0 } }

  /// An error after which the worker continued by itself.
  package func troubled(_ code: String) {
    standing.withLock {
      let isKnown = $0.totals.troubles[code] != nil || $0.totals.troubles.count < LiveMeter.codesMax
      $0.totals.troubles[isKnown ? code : "other", default: 0] += 1
    }
  }

  func looked(at lookup: String, _ outcome: LookupLooks.Outcome) {
    standing.withLock {
      switch outcome {
      case .unchanged: $0.totals.lookups[lookup, default: LookupLooks()].unchanged += 1
      case .changed: $0.totals.lookups[lookup, default: LookupLooks()].changed += 1
      case .failed: $0.totals.lookups[lookup, default: LookupLooks()].failed += 1
      }
    }
  }

  /// By lookup: the entry that brought the version that this worker uses.
  func uses(_ entries: [String: Int64]) {
    standing.withLock { standing in
      for (name, entry) in entries { standing.totals.lookups[name, default: LookupLooks()].entry = entry }
    }
  }

  /// What the ledger says now.
  func know(_ fold: LedgerFold) {
    let now = clock.monotonicNanoseconds
    standing.withLock { standing in
      // The same entries say the same.
      guard fold.number > standing.ledgerNumber else { return }
      standing.ledgerNumber = fold.number
      standing.mergedWatermark = fold.mergedWatermark
      // A plain capture is one shard with several lanes.
      var lanes: [String: LiveSnapshot.LedgerLane] = [:]
      for (id, lane) in fold.lanes where id != .merge {
        let next = LiveSnapshot.LedgerLane(lane, before: standing.shards[id.shard]?.ledger, now: now)
        if lanes[id.shard] == nil { lanes[id.shard] = next } else { lanes[id.shard]?.add(next) }
      }
      for (shard, lane) in lanes { standing.shards.change(shard) { $0.ledger = lane } }
    }
  }

  /// What the source holds now.
  func surveyed(_ bounds: [String: ShardBounds]) {
    let now = clock.monotonicNanoseconds
    standing.withLock { standing in
      standing.surveyedAt = now
      standing.shards.surveyed(bounds, at: now)
    }
  }
}

extension LiveMeter.Totals {
  fileprivate mutating func add(_ epoch: LaneEpoch, plan: Plan, wall: Int64) {
    accepted += epoch.counts.accepted
    duplicate += epoch.counts.duplicate
    filtered += epoch.counts.filtered
    quarantined += epoch.counts.quarantined
    rescued += epoch.counts.rescued
    for (kind, counts) in epoch.kinds { kinds[kind, default: BucketCounts()] += counts }
    for (number, counts) in epoch.windowCounts.enumerated() where counts.late > 0 {
      late[plan.path(of: .gold(number)), default: 0] += counts.late
    }
    for (table, count) in epoch.stateLate { late[table, default: 0] += count }
    for (stage, count) in epoch.rejected.byStage { rejected[stage, default: 0] += count }
    epoch.arrivals.observe(into: &toLedger, wall: wall)
  }
}

extension LiveSnapshot.LedgerLane {
  /// Another lane of the same shard, which is cut with it.
  fileprivate mutating func add(_ other: Self) {
    watermark = min(watermark, other.watermark)
    isIdle = isIdle && other.isIdle
    accepted += other.accepted
    duplicate += other.duplicate
    filtered += other.filtered
    quarantined += other.quarantined
    stateBytes += other.stateBytes
  }

  fileprivate init(_ lane: LaneFold, before: LiveSnapshot.LedgerLane?, now: Int64) {
    let at = lane.position
    self.init(
      position: at?.ordinal, epoch: lane.epoch, generation: lane.generation, watermark: max(lane.watermark, lane.floor),
      isIdle: lane.isIdle,
      accepted: lane.counts.accepted, duplicate: lane.counts.duplicate, filtered: lane.counts.filtered,
      quarantined: lane.counts.quarantined,
      stateBytes: lane.state.map { ($0.deltas + [$0.base]).reduce(0) { $0 + $1.length } } ?? 0,
      seenAt: before.flatMap { $0.place == at?.position ? $0.seenAt : nil } ?? now, sequence: at?.sequence)
  }
}
