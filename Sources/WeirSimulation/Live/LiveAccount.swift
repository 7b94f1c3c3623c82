import WeirCore
import WeirProtocol

/// What is true of a live run after an entry.
struct LiveAccount: OracleAccount {
  struct Lane {
    var generation: Int64 = 0
    /// The ordinal at which a take-over started it; nil: something else did.
    var start: Int64?
    /// The worker that started the generation.
    var owner: String?
    var epoch: Int64 = 0
    /// In the source's records, which are numbered, and as the lane counts.
    var position: Int64?
    var ordinal: Int64?
    /// The largest event time, seconds.
    var maxTime: Int?
    /// Seconds; nil: the minimum.
    var floor: Int?
    var isIdle = false
    var isClosed = false
    /// Its last epoch left windows that it finishes.
    var isClosing = false
    /// By which it finished windows while it was idle, seconds: those that an epoch left follow with the next.
    var finished: Int?
    /// Of a shard with parents: those that are closed, and what each had reached.
    var parents: [(id: LaneID, reached: Int?)] = []
    /// Of the groups that it took over: what their records and their rows had been judged by before.
    var before: [String: (reached: Int?, clock: Int?)] = [:]
    /// Ranges that the source lost.
    var lost: [Range<Int64>] = []
    var seen: Set<Int> = []
    /// The state table that the lane finishes.
    var users: StateFold
    /// Windows that the lane finishes and has not emitted.
    var open: [WindowKey: Tally] = [:]
    var state: StateRef?

    init(ttl: Int?) { users = StateFold(ttl: ttl) }

    var stateFiles: [String] { state.map { [$0.base.path] + $0.deltas.map(\.path) } ?? [] }

    var watermark: Int? { maxTime.map { $0 - SourceWorkload.outOfOrder } }
    /// What the merged watermark sees of the lane.
    var reached: Int? { larger(watermark, floor) }
  }

  var entry: LedgerEntry
  var lanes: [LaneID: Lane]
  var merged: Int?
  var mergeEpoch: Int64 = 0
  /// Entries through this one are merged.
  var mergePosition: Int64 = 0
  var mergeWatermark: Int?
  var mergeIsClosing = false
  /// By which the merge lane has emitted everything, seconds.
  var mergeComplete: Int?
  /// Contributions by entry that the merge lane has not read, and those that it has read and not emitted.
  var unread: [(number: Int64, windows: [WindowKey: Tally], totals: [StateFold.Item])] = []
  var open: [WindowKey: Tally] = [:]
  /// The merged state table.
  var totals: StateFold
  /// The topic got more partitions: by the rule, where keys were, and what each partition had reached. From then on all is merged.
  var growth: (rule: Partitioner, reached: [Int?])?
  /// Merged windows that were emitted.
  var emitted: Set<WindowKey> = []
  var partialFiles: [(number: Int64, path: String)] = []
  var mergeFiles: [String] = []

  var blobs: [String] { lanes.values.flatMap(\.stateFiles) + partialFiles.map(\.path) + mergeFiles }
  func epoch(of lane: LaneID) -> Int64? { lane == .merge ? mergeEpoch : lanes[lane]?.epoch ?? 0 }
}
