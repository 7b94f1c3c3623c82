import WeirCore

/// One entry of the ledger: the commit of one epoch of each lane that it names (law 1).
///
/// An entry is made by sealing an ``EntryDraft`` on the fold of all entries before it; see ``LedgerEntry/bytes``
/// for the form in which it is stored.
public struct LedgerEntry: Sendable, Equatable {
  /// The format that it is written in; it keeps it when it is read.
  var format = LedgerFormat.current
  /// Entries are numbered without gaps from 0, the entry with the ``genesis``.
  public var number: Int64
  /// Names the attempt (hex); distinguishes our entry from another's after an unknown outcome (law 2).
  public var commitID: String
  public var worker: String
  /// Hash of the plan's meaning under which the entry was made.
  public var planHash: String
  /// Own hash of entry `number - 1`; empty in entry 0.
  public var previousHash: String
  /// Epochs, each lane at most once, in the order of ``LaneID``.
  public var lanes: [LaneCommit]
  /// New data files; the tables in the order of their names' bytes.
  public var tables: [TableCommit]
  /// What the lanes of this entry contribute to merged aggregates.
  public var partials: BlobRef?
  /// All records with an event time below it are in: by the lanes' watermarks of this entry, without its decisions.
  public var mergedWatermark: Int64
  /// Entry 0 only.
  public var genesis: Genesis?
  /// SHA-256 of ``bytes`` with this member empty.
  public internal(set) var hash: String

  /// The epoch of one lane in this entry.
  public subscript(lane: LaneID) -> LaneCommit? { lanes.first { $0.lane == lane } }

  /// Number of files that this entry adds to all tables.
  var filesCount: Int { tables.reduce(0) { $0 + $1.files.count } }

  /// The files that this entry adds to a table.
  public func files(of table: String) -> [DataFile] {
    tables.filter { $0.table == table }.flatMap(\.files)
  }
}

/// An entry before it has a number: what a worker wants to commit.
public struct EntryDraft: Sendable, Equatable {
  /// See ``LedgerEntry/commitID``; the same on every try of one attempt.
  public var commitID: String
  public var worker: String
  public var planHash: String
  public var lanes: [LaneCommit]
  public var tables: [TableCommit]
  public var partials: BlobRef?

  public init(
    commitID: String, worker: String, planHash: String, lanes: [LaneCommit] = [], tables: [TableCommit] = [],
    partials: BlobRef? = nil
  ) {
    self.commitID = commitID
    self.worker = worker
    self.planHash = planHash
    self.lanes = lanes
    self.tables = tables
    self.partials = partials
  }

  /// The entry that follows a fold's last one: numbered, chained, lanes and tables in canonical order, `to: self`
  /// filled in, the merged watermark computed.
  public func sealed(on fold: LedgerFold) -> LedgerEntry {
    let number = fold.number + 1
    var lanes = lanes.sorted { $0.lane < $1.lane }
    for i in lanes.indices where lanes[i].endsAtItself { lanes[i].to = .offset(number) }
    // The one place that raises a generation, by what the draft says, so that a replay of it gives the same.
    for i in lanes.indices where lanes[i].generationStart != nil { lanes[i].generation = (fold[lanes[i].lane]?.generation ?? 0) + 1 }
    return LedgerEntry(
      number: number, commitID: commitID, worker: worker, planHash: planHash, previousHash: fold.hash, lanes: lanes,
      tables: tables.sorted { utf8Precedes($0.table, $1.table) }, partials: partials,
      mergedWatermark: fold.mergedWatermark(with: lanes), genesis: nil, hash: ""
    ).sealed()
  }
}

/// One lane's epoch: all effects of the positions `(from, to]`; empty if they are equal.
public struct LaneCommit: Sendable, Equatable {
  public var lane: LaneID
  /// How keys are partitioned over the lanes of the lane's shard, if it has several.
  public var dealing: Dealing?
  /// Larger than those of the lanes whose state was inherited; first part of the fence of state rows.
  public var generation: Int64
  /// The lane's last committed epoch plus one: the fence (law 1). The first epoch is 1.
  public var epoch: Int64
  /// Everything before it was consumed by earlier epochs.
  public var from: ShardPoint
  /// Everything before it is consumed by this one. For the merge lane: entries through this number.
  public var to: ShardPoint
  /// `to` is the number of the entry itself (merge lane in an entry shared with other lanes).
  public var endsAtItself: Bool
  /// The shard's watermark at `to`, UTC microseconds, or an end of ``Watermark``.
  public var watermark: Int64
  /// Of all bytes of the shard before `to`, where the source supports it: finds a capture that was changed.
  public var prefixHash: Hash128?
  /// Of a live shard: what shows later whether it is still the one that was read. nil: not known, or as in the entry before.
  public var identity: ShardIdentity?
  public var counts: BucketCounts
  /// The same of each kind of record that there is, in plans with several: together they are ``counts``.
  public var kinds: [String: BucketCounts] = [:]
  /// Per windowed table.
  public var windows: [String: WindowCounts]
  /// In effect only after this entry (law 3).
  public var decisions: [Decision]
  /// The lane's state at `to`; nil if the lane has none.
  public var state: StateRef?
  /// Windows that the watermark has finished are left for the lane's next epochs: they belong to more partitions than one entry may have.
  public var isClosing: Bool
  /// Of an idle lane: windows were finished by no less than this watermark, which the lane had taken from the merged one when it was cut
  /// (another worker's entry may have come since). nil: the lane was not idle, or an earlier version made the epoch.
  public var floor: Int64?
  /// The watermark that finishes the first of the windows that the lane has left open; nil: there are none, or it was not said.
  public var dueAt: Int64?
  /// A worker takes the lane over here, and its state rows are of a new generation from this position on: that of the ledger. nil: no worker
  /// does, the pipeline has no state table, or an earlier version made the epoch.
  public var start: ShardPoint?

  /// An epoch of the merge lane by which everything that its watermark finishes is out. One that only carries decisions finishes nothing.
  var finishesWindows: Bool { !isClosing && (from != to || decisions.isEmpty) }

  /// An epoch of the merge lane that takes over windows of lanes, of which some may be due.
  var takesOverWindows: Bool { decisions.contains { if case .partitionsAdded = $0 { true } else { false } } }

  /// Where a new generation of the lane starts in this epoch; nil: none does.
  public var generationStart: ShardPoint? { decidedStart ?? start }
  /// The same by a decision, after which other records follow at the source.
  var decidedStart: ShardPoint? { decisions.lazy.compactMap(\.generationStart).first }

  public init(
    lane: LaneID, dealing: Dealing? = nil, generation: Int64 = 0, epoch: Int64, from: ShardPoint, to: ShardPoint,
    endsAtItself: Bool = false, watermark: Int64, prefixHash: Hash128? = nil, identity: ShardIdentity? = nil,
    counts: BucketCounts = BucketCounts(), windows: [String: WindowCounts] = [:], decisions: [Decision] = [], state: StateRef? = nil,
    isClosing: Bool = false, floor: Int64? = nil, dueAt: Int64? = nil, start: ShardPoint? = nil
  ) {
    self.lane = lane
    self.dealing = dealing
    self.generation = generation
    self.epoch = epoch
    self.from = from
    self.to = to
    self.endsAtItself = endsAtItself
    self.watermark = watermark
    self.prefixHash = prefixHash
    self.identity = identity
    self.counts = counts
    self.windows = windows
    self.decisions = decisions
    self.state = state
    self.isClosing = isClosing
    self.floor = floor
    self.dueAt = dueAt
    self.start = start
  }
}

/// The files that an entry adds to one table.
public struct TableCommit: Sendable, Equatable {
  /// Path under the lake's root: `gold/campaign_views`.
  public var table: String
  /// Order of rows: files in this order, each by (lane, position).
  public var files: [DataFile]

  public init(table: String, files: [DataFile]) {
    self.table = table
    self.files = files
  }
}

/// One data file.
public struct DataFile: Sendable, Equatable {
  public struct PartitionValue: Sendable, Equatable {
    public var name: String
    /// As text, see `PartitionValues` of the engine; nil is null.
    public var value: String?
    public init(_ name: String, _ value: String?) {
      self.name = name
      self.value = value
    }
  }

  /// Under the lake's root, parts separated by "/", not percent-encoded.
  public var path: String
  public var rows: Int64
  public var bytes: Int64
  /// SHA-256 (hex) of the whole file.
  public var hash: String
  /// In the order of the table's partition columns.
  public var partition: [PartitionValue]
  public var stats: FileStats

  public init(
    path: String, rows: Int64, bytes: Int64, hash: String, partition: [PartitionValue] = [], stats: FileStats = .none
  ) {
    self.path = path
    self.rows = rows
    self.bytes = bytes
    self.hash = hash
    self.partition = partition
    self.stats = stats
  }
}

/// A slice of a file under the ledger's `blobs/`.
public struct BlobRef: Sendable, Hashable {
  /// Under the lake's root.
  public var path: String
  public var offset: Int64
  public var length: Int64
  /// SHA-256 (hex) of the slice.
  public var hash: String

  public init(path: String, offset: Int64 = 0, length: Int64, hash: String) {
    self.path = path
    self.offset = offset
    self.length = length
    self.hash = hash
  }
}

/// A lane's state: a base snapshot and the deltas of the epochs since, oldest first.
public struct StateRef: Sendable, Hashable {
  public var base: BlobRef
  public var deltas: [BlobRef]

  public init(base: BlobRef, deltas: [BlobRef] = []) {
    self.base = base
    self.deltas = deltas
  }
}

/// What entry 0 holds: who the ledger is and what it counts.
public struct Genesis: Sendable, Equatable {
  /// Stands in each table's configuration (law 5) and before `/<table>` in its `txn`.
  public var ledgerID: String
  /// `_run_id` of the rows.
  public var runID: String
  /// The stream's name in table paths.
  public var stream: String
  /// The plan's meaning: not paths, brokers, intervals.
  public var plan: JSONValue
  public var planHash: String
  /// How a plain capture's keys are partitioned over lanes; nil where lanes are whole shards.
  public var dealing: Dealing?
  /// The lanes listed from the start; ``LaneID/merge`` among them if the plan has merged aggregates, so that
  /// collection leaves it the entries that it has not read.
  public var lanes: [LaneID]
  /// What the end of a capture's file means; nil in ledgers of live streams and in those from before there was a choice.
  public var fileEnds: FileEnds?
  /// The inputs after the first; nil: there is one. Lanes of the others have their input's name (``LaneID/input``).
  public var inputs: [LedgerInput]?

  public init(
    ledgerID: String, runID: String, stream: String, plan: JSONValue, planHash: String, dealing: Dealing? = nil,
    lanes: [LaneID]
  ) {
    self.ledgerID = ledgerID
    self.runID = runID
    self.stream = stream
    self.plan = plan
    self.planHash = planHash
    self.dealing = dealing
    self.lanes = lanes
  }

  /// Entry 0.
  public func sealed(commitID: String, worker: String) -> LedgerEntry {
    LedgerEntry(
      number: 0, commitID: commitID, worker: worker, planHash: planHash, previousHash: "", lanes: [], tables: [],
      partials: nil, mergedWatermark: Watermark.minimum, genesis: self, hash: ""
    ).sealed()
  }
}

/// The order of strings in everything that is written: by their UTF-8 bytes.
func utf8Precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }
