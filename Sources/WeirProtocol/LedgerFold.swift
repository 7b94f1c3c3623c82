import WeirCore

/// What the entries 0 … N-1 say, taken together: all that a worker needs to go on. O(lanes), not O(history).
public struct LedgerFold: Hashable, Sendable {
  public static let formatVersion: Int64 = 1

  public struct Lane: Hashable, Sendable {
    public var generation: Int64
    public var epoch: Int64
    public var position: Position
    public var watermark: Int64
    public var prefixHash: Hash128?
    public var state: StateRef?
    public var isIdle: Bool
    public var counts: BucketCounts
    public var windows: [String: WindowCounts]
  }

  /// The number that the next entry gets.
  public private(set) var next: Int64 = 0
  public private(set) var lastHash = ""
  public private(set) var genesis: Genesis?
  public private(set) var lanes: [LaneID: Lane] = [:]
  /// Lookup versions in force: content hash and path by name.
  public private(set) var lookups: [String: LookupVersion] = [:]
  public private(set) var endOfInput = false
  public private(set) var mergedWatermark = Watermark.minimum
  public private(set) var planHash = ContentHash(hex: "")

  public struct LookupVersion: Hashable, Sendable {
    public var hash: ContentHash
    public var path: String
  }

  public init() {}

  /// The epoch that an entry which names `lane` must carry.
  public func nextEpoch(_ lane: LaneID) -> Int64 { (lanes[lane]?.epoch ?? 0) + 1 }

  /// Buckets of all lanes since entry 0.
  public var totals: BucketCounts {
    lanes.values.reduce(into: BucketCounts()) { $0 += $1.counts }
  }

  /// The lanes of `draft` whose epoch is not the next one here: somebody else committed for them (law 1).
  public func fenced(_ draft: EntryDraft) -> [LaneID] {
    draft.lanes.filter { $0.epoch != nextEpoch($0.lane) }.map(\.lane)
  }

  /// The minimum of the watermarks of the ledger's lanes after `draft`: a listed lane without an epoch holds the minimum,
  /// an idle one does not count. It never falls.
  public func mergedWatermark(after draft: EntryDraft) -> Int64 {
    var watermarks: [LaneID: Int64] = [:]
    for lane in genesis?.lanes ?? [] { watermarks[lane] = Watermark.minimum }
    for (lane, state) in lanes where lane != .merge { watermarks[lane] = state.isIdle ? nil : state.watermark }
    for lane in draft.lanes where lane.lane != .merge { watermarks[lane.lane] = lane.watermark }
    return max(mergedWatermark, watermarks.values.min() ?? mergedWatermark)
  }

  /// Folds the next entry in; an entry that does not follow is an error that names `path`.
  public mutating func apply(_ entry: LedgerEntry, path: String) throws(WeirError) {
    guard entry.number == next, entry.previousHash == lastHash else {
      throw WeirError(
        "corrupt", "the ledger entry \(path) does not follow the one before it",
        advice: "An entry was changed, lost or taken from another ledger: restore the ledger's directory from a copy.")
    }
    let fenced = fenced(entry.draft)
    guard fenced.isEmpty else {
      throw WeirError("corrupt", "the ledger entry \(path) repeats an epoch of lane \(fenced[0].text)")
    }
    if let genesis = entry.draft.genesis { self.genesis = genesis }
    mergedWatermark = max(mergedWatermark, entry.draft.mergedWatermark)
    for lane in entry.draft.lanes { apply(lane) }
    next += 1
    lastHash = entry.hash
    planHash = entry.draft.planHash
  }

  private mutating func apply(_ commit: LaneCommit) {
    var lane =
      lanes[commit.lane]
      ?? Lane(
        generation: commit.generation, epoch: 0, position: commit.from, watermark: Watermark.minimum, prefixHash: nil,
        state: nil, isIdle: false, counts: .init(), windows: [:])
    lane.generation = commit.generation
    lane.epoch = commit.epoch
    lane.position = commit.to
    lane.watermark = commit.watermark
    lane.prefixHash = commit.prefixHash
    if let state = commit.state { lane.state = state }
    lane.counts += commit.counts
    for (table, counts) in commit.windows { lane.windows[table, default: .init()] += counts }
    for decision in commit.decisions {
      switch decision {
      case .endOfInput: endOfInput = true
      case .lookup(let name, let hash, let path): lookups[name] = LookupVersion(hash: hash, path: path)
      case .idle: lane.isIdle = true
      case .wake: lane.isIdle = false
      case .gap: break
      }
    }
    lanes[commit.lane] = lane
  }

  /// Blobs that this fold needs.
  public var namedPaths: Set<String> {
    Set(lanes.values.flatMap { $0.state?.blobs.map(\.path) ?? [] } + lookups.values.map(\.path))
  }
}

// MARK: - As a ledger snapshot

extension LedgerFold {
  /// A snapshot of the ledger below ``next``: JSON with its own hash.
  public var snapshotBytes: [UInt8] {
    let blank = snapshot(hash: "")
    return snapshot(hash: ContentHash(of: blank).hex)
  }

  private func snapshot(hash: String) -> [UInt8] {
    let lanes = lanes.sorted { $0.key < $1.key }.map { id, lane in
      JSONValue.members([
        "lane": .string(id.text), "generation": .int(lane.generation), "epoch": .int(lane.epoch),
        "position": .string(lane.position.text), "watermark": EntryCoding.watermark(lane.watermark),
        "prefixHash": lane.prefixHash.map { .string($0.hex) } ?? .null, "state": EntryCoding.state(lane.state),
        "idle": .bool(lane.isIdle), "counts": EntryCoding.counts(lane.counts), "windows": EntryCoding.windows(lane.windows),
      ])
    }
    let lookups = lookups.sorted { $0.key < $1.key }.map { name, version in
      JSONValue.Member(name, .members(["hash": .string(version.hash.hex), "path": .string(version.path)]))
    }
    let value = JSONValue.members([
      "format": .int(LedgerFold.formatVersion), "next": .int(next), "lastHash": .string(lastHash),
      "genesis": genesis.map(EntryCoding.genesis) ?? .null, "lanes": .array(lanes), "lookups": .object(lookups),
      "endOfInput": .bool(endOfInput), "mergedWatermark": EntryCoding.watermark(mergedWatermark),
      "planHash": .string(planHash.hex), "hash": .string(hash),
    ])
    return value.bytes + [0x0A]
  }

  /// Reads a snapshot and verifies its hash.
  public init(snapshot bytes: [UInt8], path: String) throws(WeirError) {
    self.init()
    func corrupt(_ why: String) -> WeirError {
      WeirError("corrupt", "the ledger snapshot \(path) is not what was written: \(why)", advice: "Restore it from a copy.")
    }
    let v: JSONValue
    do { v = try JSONValue(parsing: bytes) } catch { throw corrupt(error.description) }
    guard v["format"]?.int == LedgerFold.formatVersion else { throw corrupt("unknown format version") }
    guard let next = v["next"]?.int, let lastHash = v["lastHash"]?.string, let lanes = v["lanes"]?.array,
      let lookups = v["lookups"]?.members, let end = v["endOfInput"]?.bool,
      let merged = EntryCoding.watermark(v["mergedWatermark"]), let plan = v["planHash"]?.string
    else { throw corrupt("members are missing") }
    (self.next, self.lastHash, endOfInput, mergedWatermark) = (next, lastHash, end, merged)
    planHash = ContentHash(hex: plan)
    genesis = v["genesis"].flatMap(EntryCoding.genesis)
    for value in lanes {
      guard let id = value["lane"]?.string, let lane = LedgerFold.lane(value) else { throw corrupt("a lane is broken") }
      self.lanes[LaneID(text: id)] = lane
    }
    for member in lookups {
      guard let hash = member.value["hash"]?.string, let path = member.value["path"]?.string else { throw corrupt("a lookup") }
      self.lookups[member.name] = LookupVersion(hash: ContentHash(hex: hash), path: path)
    }
    guard snapshotBytes == bytes else { throw corrupt("its bytes do not match its hash") }
  }

  private static func lane(_ v: JSONValue) -> Lane? {
    guard let generation = v["generation"]?.int, let epoch = v["epoch"]?.int,
      let position = v["position"]?.string.flatMap(Position.init(text:)),
      let watermark = EntryCoding.watermark(v["watermark"]), let idle = v["idle"]?.bool,
      let counts = EntryCoding.counts(v["counts"]), let windows = EntryCoding.windows(v["windows"])
    else { return nil }
    return Lane(
      generation: generation, epoch: epoch, position: position, watermark: watermark,
      prefixHash: v["prefixHash"]?.string.flatMap(Hash128.init(hex:)), state: EntryCoding.state(v["state"]), isIdle: idle,
      counts: counts, windows: windows)
  }
}
