import WeirCore

/// A slice of an object, with its content hash.
public struct BlobRef: Hashable, Sendable {
  /// Relative to the ledger's directory.
  public var path: String
  public var offset: Int64
  public var length: Int64
  /// SHA-256 of the slice.
  public var hash: ContentHash

  public init(path: String, offset: Int64, length: Int64, hash: ContentHash) {
    self.path = path
    self.offset = offset
    self.length = length
    self.hash = hash
  }
}

/// A lane's state after an epoch: a base snapshot and the deltas since, in order.
public struct StateRef: Hashable, Sendable {
  public var base: BlobRef
  public var deltas: [BlobRef]
  public init(base: BlobRef, deltas: [BlobRef] = []) {
    self.base = base
    self.deltas = deltas
  }
  public var blobs: [BlobRef] { [base] + deltas }
}

/// What could not be derived from the records. In force only after the entry that carries it (law 3).
public enum Decision: Hashable, Sendable {
  /// The capture is complete: open windows are closed.
  case endOfInput
  /// From here on the lookup `name` is the file with this content hash, kept under `path` (relative to the ledger).
  case lookup(name: String, hash: ContentHash, path: String)
  /// The lane leaves the minimum of watermarks.
  case idle
  /// The lane joins it again, with this floor.
  case wake(floor: Int64)
  /// Positions that the source lost.
  case gap(from: Position, to: Position, reason: String)
}

/// One epoch of one lane.
public struct LaneCommit: Hashable, Sendable {
  public var lane: LaneID
  public var generation: Int64
  /// The lane's last committed epoch plus one: the fence (law 1).
  public var epoch: Int64
  public var from: Position
  public var to: Position
  public var watermark: Int64
  /// Hash of the capture before `to`.
  public var prefixHash: Hash128?
  public var counts: BucketCounts
  /// By gold table.
  public var windows: [String: WindowCounts]
  public var decisions: [Decision]
  public var state: StateRef?

  public init(
    lane: LaneID, generation: Int64, epoch: Int64, from: Position, to: Position, watermark: Int64, prefixHash: Hash128?,
    counts: BucketCounts = .init(), windows: [String: WindowCounts] = [:], decisions: [Decision] = [], state: StateRef? = nil
  ) {
    self.lane = lane
    self.generation = generation
    self.epoch = epoch
    self.from = from
    self.to = to
    self.watermark = watermark
    self.prefixHash = prefixHash
    self.counts = counts
    self.windows = windows
    self.decisions = decisions
    self.state = state
  }
}

/// A data file that an entry adds to a table.
public struct DataFile: Hashable, Sendable {
  /// Relative to the lake.
  public var path: String
  public var rows: Int64
  public var bytes: Int64
  public var hash: ContentHash
  public var partition: [PartitionValue]
  /// Delta's `stats` as an object.
  public var stats: JSONText

  public struct PartitionValue: Hashable, Sendable {
    public var name: String
    public var value: String?
    public init(name: String, value: String?) {
      self.name = name
      self.value = value
    }
  }

  /// A JSON document kept as its text.
  public struct JSONText: Hashable, Sendable {
    public var text: String
    public init(_ text: String) { self.text = text }
  }

  public init(path: String, rows: Int64, bytes: Int64, hash: ContentHash, partition: [PartitionValue], stats: JSONText) {
    self.path = path
    self.rows = rows
    self.bytes = bytes
    self.hash = hash
    self.partition = partition
    self.stats = stats
  }
}

public struct TableCommit: Hashable, Sendable {
  /// `gold/campaign_views`
  public var table: String
  public var files: [DataFile]
  public init(table: String, files: [DataFile]) {
    self.table = table
    self.files = files
  }
}

/// Entry 0: what the ledger is about.
public struct Genesis: Hashable, Sendable {
  /// The ledger's id: 32 hex digits.
  public var ledgerID: String
  public var pipeline: String
  /// The plan's meaning, for telling what changed.
  public var meaning: DataFile.JSONText
  public var dealing: Dealing
  /// Lanes of the one shard; also the list of lanes that the merged watermark waits for.
  public var lanes: [LaneID]
  public var runID: String

  public init(
    ledgerID: String, pipeline: String, meaning: DataFile.JSONText, dealing: Dealing, lanes: [LaneID], runID: String
  ) {
    self.ledgerID = ledgerID
    self.pipeline = pipeline
    self.meaning = meaning
    self.dealing = dealing
    self.lanes = lanes
    self.runID = runID
  }
}

/// Everything of an entry but its number and its place in the chain: what a worker wants to commit.
public struct EntryDraft: Hashable, Sendable {
  /// Names the attempt; a lost reply is told from a conflict by it.
  public var commitID: String
  public var worker: String
  public var planHash: ContentHash
  public var genesis: Genesis?
  /// In lane order; the merge lane, if it is there, last.
  public var lanes: [LaneCommit]
  public var tables: [TableCommit]
  public var partials: BlobRef?
  public var mergedWatermark: Int64

  public init(
    commitID: String, worker: String, planHash: ContentHash, genesis: Genesis? = nil, lanes: [LaneCommit] = [],
    tables: [TableCommit] = [], partials: BlobRef? = nil, mergedWatermark: Int64 = Watermark.minimum
  ) {
    self.commitID = commitID
    self.worker = worker
    self.planHash = planHash
    self.genesis = genesis
    self.lanes = lanes
    self.tables = tables
    self.partials = partials
    self.mergedWatermark = mergedWatermark
  }
}

/// An entry of the ledger, as it stands in `ledger/<20 digits>.json`.
public struct LedgerEntry: Hashable, Sendable {
  public static let formatVersion: Int64 = 1

  public var number: Int64
  public var draft: EntryDraft
  /// The hash of entry `number - 1`; empty in entry 0.
  public var previousHash: String
  /// SHA-256 of the entry's bytes with this member empty.
  public var hash: String
  public var bytes: [UInt8]

  /// Seals a draft as entry `number` behind the entry with hash `previousHash`.
  public init(number: Int64, draft: EntryDraft, previousHash: String) {
    self.number = number
    self.draft = draft
    self.previousHash = previousHash
    let blank = EntryCoding.bytes(number: number, draft: draft, previousHash: previousHash, hash: "")
    hash = ContentHash(of: blank).hex
    bytes = EntryCoding.bytes(number: number, draft: draft, previousHash: previousHash, hash: hash)
  }

  /// Reads an entry and verifies its own hash: any changed byte is an error that names `path`.
  public init(bytes: [UInt8], path: String) throws(WeirError) {
    func corrupt(_ why: String) -> WeirError {
      WeirError(
        "corrupt", "the ledger entry \(path) is not what was written: \(why)",
        advice: "Restore the file from a copy of the lake.")
    }
    let value: JSONValue
    do { value = try JSONValue(parsing: bytes) } catch { throw corrupt(error.description) }
    guard let version = value["format"]?.int else { throw corrupt("it has no format version") }
    guard version == LedgerEntry.formatVersion else {
      throw WeirError(
        "format", "the ledger entry \(path) has format version \(version); this program reads \(LedgerEntry.formatVersion)",
        advice: "Use a version of weir that reads it.")
    }
    guard let decoded = EntryCoding.decode(value) else { throw corrupt("members are missing or of the wrong kind") }
    self.init(number: decoded.number, draft: decoded.draft, previousHash: decoded.previousHash)
    guard self.bytes == bytes else { throw corrupt("its bytes do not match its hash") }
  }
}
