import WeirCore

/// What the ledger says through one entry: the fold of all entries in order.
///
/// Its size is that of the lanes, lookups and tables, not that of the history; it is what a ledger snapshot holds.
public struct LedgerFold: Sendable, Equatable {
  public let genesis: Genesis
  /// The last entry that is in it.
  public private(set) var number: Int64
  /// That entry's own hash.
  public private(set) var hash: String
  /// The listed lanes; the merge lane too, if entry 0 lists it or it has an epoch.
  public internal(set) var lanes: [LaneID: LaneFold]
  /// By the lookup's name.
  public internal(set) var lookups: [String: LookupVersion]
  /// By the table's path; a table without files so far is missing.
  public internal(set) var tables: [String: TableFold]
  /// By stream: the rules for keys that all its records fit; missing: nothing was decided.
  public internal(set) var partitioners: [String: [Partitioner]]
  /// By stream: those that got more shards, where that moved keys.
  public internal(set) var growths: [String: PartitionGrowth] = [:]
  /// The last decision that replaced the plan of entry 0; nil: none.
  public internal(set) var planChange: PlanChange?
  /// Minimum of the watermarks of the listed lanes that are not idle (all idle: the greatest), decisions included. Never
  /// goes back.
  public private(set) var mergedWatermark: Int64

  /// The fold of entry 0.
  public init(genesis entry: LedgerEntry) throws(WeirError) {
    guard entry.number == 0, let genesis = entry.genesis else {
      throw WeirError.corruptLedger("entry \(entry.number) is not a first entry")
    }
    self.genesis = genesis
    number = 0
    hash = entry.hash
    lanes = [:]
    for lane in genesis.lanes {
      // The merge lane's source is the ledger itself: it begins after this entry.
      lanes[lane] = LaneFold(generation: 0, floor: Watermark.minimum, at: lane == .merge ? .offset(0) : nil)
    }
    lookups = [:]
    tables = [:]
    partitioners = [:]
    mergedWatermark = Watermark.minimum
  }

  init(
    genesis: Genesis, number: Int64, hash: String, lanes: [LaneID: LaneFold], lookups: [String: LookupVersion],
    tables: [String: TableFold], partitioners: [String: [Partitioner]], growths: [String: PartitionGrowth] = [:],
    planChange: PlanChange? = nil, mergedWatermark: Int64
  ) {
    self.growths = growths
    self.planChange = planChange
    self.genesis = genesis
    self.number = number
    self.hash = hash
    self.lanes = lanes
    self.lookups = lookups
    self.tables = tables
    self.partitioners = partitioners
    self.mergedWatermark = mergedWatermark
  }

  /// The plan's meaning at this entry.
  public var plan: JSONValue { planChange?.meaning ?? genesis.plan }
  /// What rows carry at this entry.
  public var runID: String { planChange?.runID ?? genesis.runID }

  /// What is recorded about a lane; a lane that is not listed (and the merge lane before its first epoch) has none.
  public subscript(lane: LaneID) -> LaneFold? { lanes[lane] }

  /// The epoch that an entry must give the lane next.
  public func nextEpoch(of lane: LaneID) -> Int64 { (lanes[lane]?.epoch ?? 0) + 1 }

  /// The state of the merge lane, also before its first epoch: it begins after entry 0.
  public var mergeLane: LaneFold { lanes[.merge] ?? LaneFold(generation: 0, floor: Watermark.minimum, at: .offset(0)) }

  /// True when every listed lane has ended its input, or its shard has ended.
  public var hasEnded: Bool { lanes.allSatisfy { $0.key == .merge || $0.value.hasEnded || $0.value.isShardClosed } }

  /// The end of input is recorded, and the entry that closes the windows comes after it.
  public var isFinished: Bool { hasEnded && lanes.allSatisfy { $0.key == .merge || $0.value.isClosed || $0.value.isShardClosed } }

  /// Of all lanes.
  public var counts: BucketCounts {
    lanes.reduce(into: BucketCounts()) { if $1.key != .merge { $0 += $1.value.counts } }
  }

  /// The same of each kind of record; empty where there is but one.
  public var kinds: [String: BucketCounts] {
    lanes.values.reduce(into: [:]) { sums, lane in for (kind, counts) in lane.kinds { sums[kind, default: BucketCounts()] += counts } }
  }

  /// Sums and means that are null because no double can hold them, by gold and state table; only those that there are.
  public var outOfRange: [String: Int64] {
    lanes.values.reduce(into: [:]) { sums, lane in
      for (table, counts) in lane.windows where counts.outOfRange > 0 { sums[table, default: 0] += counts.outOfRange }
    }
  }
}

/// What is recorded about one lane.
public struct LaneFold: Sendable, Equatable {
  public var generation: Int64
  /// Where the generation started, in the positions of the one before; nil: it is the lane's first, or older than this was kept.
  public var generationStart: ShardPoint?
  /// The last committed epoch; 0 before the first.
  public var epoch: Int64
  /// Everything before it is consumed; nil before the first epoch.
  public var position: ShardPoint?
  /// UTC microseconds or an end of ``Watermark``; ``Watermark/maximum`` after the end of input.
  public var watermark: Int64
  /// The lane judges by the larger of the shard's watermark and this (law 3).
  public var floor: Int64
  public var prefixHash: Hash128?
  /// Of a live shard, after its last records; nil: not known.
  public var identity: ShardIdentity?
  public var state: StateRef?
  public var isIdle: Bool
  /// The newest ``Decision/clock(_:)`` of the lane, UTC microseconds; nil: none.
  public var clock: Int64?
  /// An entry holds the lane's `endOfInput`.
  public var hasEnded: Bool
  /// An epoch has the watermark ``Watermark/maximum``, and leaves no windows: what `endOfInput` let go is out. The decision alone raises
  /// ``watermark`` as well, but a worker may die before the entry that closes the windows.
  public var isClosed: Bool
  /// See ``LaneCommit/isClosing``, of the last epoch.
  public var isClosing = false
  /// See ``LaneCommit/dueAt``, of the last epoch.
  public var dueAt: Int64?
  /// An entry holds the lane's `shardClosed`: no more records come, and it holds back no watermark.
  public var isShardClosed = false
  /// Of a lane whose shard has parents.
  public var origin: LaneOrigin?
  /// An entry holds the lane's `extensible`, and none after it more records.
  public var isExtensible: Bool
  /// Of all epochs.
  public var counts: BucketCounts
  /// Of each kind of record, where there are several.
  public var kinds: [String: BucketCounts] = [:]
  public var windows: [String: WindowCounts]

  init(generation: Int64, floor: Int64, at position: ShardPoint? = nil) {
    self.generation = generation
    self.floor = floor
    self.position = position
    epoch = 0
    watermark = Watermark.minimum
    isIdle = false
    hasEnded = false
    isClosed = false
    isExtensible = false
    counts = BucketCounts()
    windows = [:]
  }
}

/// A lookup's version: its content and where its bytes are kept.
public struct LookupVersion: Sendable, Hashable {
  /// SHA-256, hex.
  public var hash: String
  /// Under the lake's root.
  public var path: String
  /// The entry that brought it; it is in effect after it.
  public var entry: Int64
  /// The one that a refresh replaced; nil: none was.
  public var previous: Kept?

  /// Bytes that are kept: their hash and the object that has them.
  public struct Kept: Sendable, Hashable {
    public var hash: String
    public var path: String

    public init(hash: String, path: String) { (self.hash, self.path) = (hash, path) }
  }
}

/// A plan that replaced the one before.
public struct PlanChange: Sendable, Equatable {
  public var meaning: JSONValue
  public var hash: String
  public var runID: String
  /// The entry that brought it; it is in effect after it.
  public var entry: Int64
  /// Records that were rejected under the plans before.
  public var rejectedBefore: Int64 = 0
}

/// What the ledger gave a table so far.
public struct TableFold: Sendable, Equatable {
  /// The last entry with files of the table: a follower whose `txn` is at least that has them all.
  public var lastEntry: Int64
  public var files: Int64
  public var rows: Int64
  public var bytes: Int64
}

// MARK: - Adding an entry

extension LedgerFold {
  /// Adds the entry that follows.
  /// - Throws: `ledger_corrupt` if it does not: another number, a broken chain of hashes, a gap in a lane's epochs.
  public mutating func apply(_ entry: LedgerEntry) throws(WeirError) {
    guard entry.number == number + 1, entry.genesis == nil else {
      throw WeirError.corruptLedger("entry \(entry.number) is in the place of entry \(number + 1)")
    }
    guard entry.previousHash == hash else {
      throw WeirError.corruptLedger("entry \(entry.number) does not follow entry \(number): the chain of hashes breaks")
    }
    try checkEpochs(of: entry)
    guard entry.mergedWatermark == mergedWatermark(with: entry.lanes) else {
      throw WeirError.corruptLedger("entry \(entry.number) states a wrong merged watermark")
    }
    number = entry.number
    hash = entry.hash
    mergedWatermark = entry.mergedWatermark
    for commit in entry.lanes { add(commit) }
    for table in entry.tables { add(table) }
    for commit in entry.lanes { for decision in commit.decisions { add(decision, of: commit.lane) } }
    mergedWatermark = mergedWatermark(with: [])
  }

  /// What the merged watermark is with these epochs, leaving aside their decisions: by it the merge lane emits.
  ///
  /// If all lanes are idle, nothing is expected below what the furthest has seen: a stream that ends lets its windows go.
  /// That is safe, since each of them wakes above it.
  public func mergedWatermark(with commits: [LaneCommit]) -> Int64 {
    var least: Int64?
    var greatestIdle = Watermark.minimum
    for (lane, fold) in lanes where lane != .merge && !fold.isShardClosed {
      var watermark = max(fold.watermark, fold.floor)
      for commit in commits where commit.lane == lane { watermark = max(watermark, commit.watermark) }
      if fold.isIdle { greatestIdle = max(greatestIdle, watermark) } else { least = min(least ?? watermark, watermark) }
    }
    return max(mergedWatermark, least ?? greatestIdle)
  }

  /// The windows that lanes finish are all out that this watermark finishes. It is behind the merged watermark where a lane that is idle, or
  /// was until its last epoch, has windows that only its next epoch can finish. nil: an earlier version did not say.
  public var finishedThrough: Int64? {
    if lanes.contains(where: { $0.key != .merge && $0.value.isClosing && $0.value.dueAt == nil }) { return nil }
    guard let due = lanes.values.compactMap(\.dueAt).min(), due <= mergedWatermark else { return mergedWatermark }
    return due == Watermark.minimum ? due : due - 1
  }

  private func checkEpochs(of entry: LedgerEntry) throws(WeirError) {
    for (i, commit) in entry.lanes.enumerated() {
      guard i == 0 || entry.lanes[i - 1].lane < commit.lane else {
        throw WeirError.corruptLedger("entry \(entry.number) names lane \(commit.lane.text) twice or out of order")
      }
      guard admits(commit) else {
        throw WeirError.corruptLedger(
          "entry \(entry.number) holds epoch \(commit.epoch) of lane \(commit.lane.text), which does not follow")
      }
      if let position = self[commit.lane]?.position, commit.from != position {
        throw WeirError.corruptLedger(
          "entry \(entry.number): lane \(commit.lane.text) begins at \(commit.from.text), not at \(position.text)")
      }
      if let start = commit.start, start != commit.from {
        throw WeirError.corruptLedger(
          "entry \(entry.number): lane \(commit.lane.text) begins at \(commit.from.text), and its generation at \(start.text)")
      }
      if let floor = commit.floor, floor > max(mergedWatermark, lanes[commit.lane]?.floor ?? Watermark.minimum) {
        throw WeirError.corruptLedger(
          "entry \(entry.number): the floor of lane \(commit.lane.text) is above the merged watermark of the entries before it")
      }
    }
  }

  private mutating func add(_ commit: LaneCommit) {
    var lane = lanes[commit.lane] ?? mergeLane
    if lane.position != commit.to { lane.isExtensible = false }
    if commit.generation > lane.generation { lane.generationStart = commit.generationStart }
    lane.generation = commit.generation
    lane.epoch = commit.epoch
    lane.position = commit.to
    lane.watermark = max(lane.watermark, commit.watermark)
    lane.isClosing = commit.isClosing
    lane.dueAt = commit.dueAt
    if commit.watermark == Watermark.maximum, !commit.isClosing { lane.isClosed = true }
    lane.prefixHash = commit.prefixHash
    // One of an earlier entry is still true: its records are before the position too.
    lane.identity = commit.identity ?? lane.identity
    lane.state = commit.state
    lane.counts += commit.counts
    for (kind, counts) in commit.kinds { lane.kinds[kind, default: BucketCounts()] += counts }
    for (table, counts) in commit.windows { lane.windows[table, default: WindowCounts()] += counts }
    lanes[commit.lane] = lane
    releaseParents(of: commit.lane)
  }

  private mutating func add(_ table: TableCommit) {
    guard !table.files.isEmpty else { return }
    var fold = tables[table.table] ?? TableFold(lastEntry: 0, files: 0, rows: 0, bytes: 0)
    fold.lastEntry = number
    for file in table.files {
      fold.files = fold.files.saturatingSum(1)
      fold.rows = fold.rows.saturatingSum(file.rows)
      fold.bytes = fold.bytes.saturatingSum(file.bytes)
    }
    tables[table.table] = fold
  }

  /// A lane that wakes or joins gets the merged watermark as its floor: nothing that was merged is touched again. It
  /// is the watermark with this entry's epochs, so that a wake may share an entry with other lanes' epochs.
  private mutating func add(_ decision: Decision, of lane: LaneID) {
    switch decision {
    case .endOfInput:
      lanes[lane]?.hasEnded = true
      lanes[lane]?.watermark = Watermark.maximum
    case .extensible: lanes[lane]?.isExtensible = true
    case .idle: lanes[lane]?.isIdle = true
    case .wake:
      lanes[lane]?.isIdle = false
      // Never below an older floor: the merged watermark never goes back.
      lanes[lane]?.floor = mergedWatermark
    case .lookup(let name, let hash, let path):
      lookups[name] = LookupVersion(hash: hash, path: path, entry: number)
    case .lookupRefreshed(let name, let hash, let path):
      let before = lookups[name].map { LookupVersion.Kept(hash: $0.hash, path: $0.path) }
      lookups[name] = LookupVersion(hash: hash, path: path, entry: number, previous: before)
    case .lanesListed(let listed, let generation):
      for lane in listed where lanes[lane] == nil {
        lanes[lane] = LaneFold(generation: generation, floor: mergedWatermark)
      }
    case .partitioner(let stream, let rules):
      partitioners[stream] = (partitioners[stream] ?? Partitioner.allCases).filter(rules.contains)
    case .clock(let microseconds): lanes[lane]?.clock = microseconds
    case .plan(let meaning, let hash, let runID):
      planChange = PlanChange(meaning: meaning, hash: hash, runID: runID, entry: number, rejectedBefore: counts.quarantined)
    case .shardClosed(let range, let children): close(lane, range: range, children: children)
    case .partitionsAdded(let added): grow(added)
    case .gap, .recreated, .unverified, .lookupUsed: break
    }
  }
}

// MARK: - The fence

extension LedgerFold {
  /// The lanes of an attempt that another worker has moved on: their last epoch is not the one before the attempt's.
  public func fenced(_ commits: [LaneCommit]) -> [LaneID] {
    commits.filter { !admits($0) }.map(\.lane)
  }

  private func admits(_ commit: LaneCommit) -> Bool {
    guard let lane = lanes[commit.lane] ?? (commit.lane == .merge ? mergeLane : nil) else { return false }
    return commit.epoch == lane.epoch + 1 && commit.generation >= lane.generation
  }
}
