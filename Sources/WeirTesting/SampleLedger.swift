import WeirCore
import WeirProtocol

/// A ledger's documents with a value in each of their members.
public enum SampleLedger {
  public static let genesis = Genesis(
    ledgerID: "l", runID: "r", stream: "s", plan: .members(["a": .int(1)]), planHash: "p", dealing: .murmur2,
    lanes: [LaneID(shard: "s", index: 0, of: 2), LaneID(shard: "s", index: 1, of: 2), .merge])

  public static var first: LedgerEntry { genesis.sealed(commitID: "c", worker: "w") }

  /// An entry on `fold` that takes each lane to `position`.
  public static func draft(_ fold: LedgerFold, _ position: Int64) -> EntryDraft {
    let blob = BlobRef(path: "b", offset: 3, length: 4, hash: "h")
    return EntryDraft(
      commitID: "c", worker: "w", planHash: "p", lanes: lanes(fold, position, blob),
      tables: [TableCommit(table: "gold/g", files: [DataFile(path: "f", rows: 10, bytes: 20, hash: "h", stats: .columns(stats))])],
      partials: blob)
  }

  private static func lanes(_ fold: LedgerFold, _ position: Int64, _ blob: BlobRef) -> [LaneCommit] {
    var counts = BucketCounts()
    (counts.accepted, counts.duplicate, counts.filtered, counts.quarantined, counts.blankLines) = (1, 2, 3, 4, 5)
    var windows = WindowCounts()
    (windows.onTime, windows.corrected, windows.late) = (1, 2, 3)
    let decisions: [Decision] = [
      .gap(from: .offset(5), to: .offset(6), reason: "r"), .lanesListed([LaneID(shard: "t")], generation: 9), .extensible,
    ]
    // The blank lines are in no kind.
    var (some, others) = (BucketCounts(), BucketCounts())
    (some.accepted, some.filtered, others.duplicate, others.quarantined) = (1, 3, 2, 4)
    let lanes = [0, 1].map { index in
      let id = LaneID(shard: "s", index: index, of: 2)
      var lane = LaneCommit(
        lane: id, dealing: .murmur2, generation: 7, epoch: fold.nextEpoch(of: id), from: fold[id]?.position ?? .offset(0),
        to: .offset(position), watermark: position * 1000, prefixHash: Hash128(low: 1, high: 2), counts: counts,
        windows: ["gold/g": windows],
        decisions: index == 0 ? [] : decisions, state: StateRef(base: blob, deltas: [blob]))
      if index == 0 { lane.kinds = ["order": some, RouteSpec.noKind: others] }
      return lane
    }
    return lanes + [
      LaneCommit(
        lane: .merge, epoch: fold.nextEpoch(of: .merge), from: fold.mergeLane.position ?? .offset(0), to: .offset(0), endsAtItself: true,
        watermark: 5)
    ]
  }

  private static let stats = [
    ColumnStats(name: "i", type: .int64, nulls: 3, min: .int64(-4), max: .int64(9)),
    ColumnStats(name: "t", type: .timestamp, nulls: 0, min: .timestamp(-4), max: .timestamp(9)),
    ColumnStats(name: "x", type: .double, nulls: 0, nans: 2, min: .double(-0.0), max: .double(.infinity)),
    ColumnStats(
      name: "d", type: .decimal(precision: 38, scale: 2), nulls: 0, min: .decimal(-5, precision: 38, scale: 2),
      max: .decimal(Int128.max, precision: 38, scale: 2)),
    ColumnStats(name: "s", type: .string, nulls: 0, min: .string("a"), max: .string(String(repeating: "é", count: 200))),
    ColumnStats(name: "b", type: .binary, nulls: 1, min: .binary([1]), max: .binary([2])),
  ]

  /// The fold of the first entry and `entries` more, and the entry that follows.
  public static func folded(_ entries: Int = 3) throws -> (fold: LedgerFold, next: LedgerEntry) {
    var fold = try LedgerFold(genesis: first)
    for number in 0..<entries { try fold.apply(draft(fold, Int64(number + 1) * 100).sealed(on: fold)) }
    return (fold, draft(fold, 1000).sealed(on: fold))
  }

  /// The document's bytes with the hash that fits them; nil if it has no hash.
  public static func sealed(_ document: JSONValue) -> [UInt8]? {
    guard case .object(var members) = document, let hash = members.lastIndex(where: { $0.name == "hash" }) else { return nil }
    members[hash].value = .string("")
    members[hash].value = .string(ContentHash(of: JSONValue.object(members).bytes + [0x0A]).hex)
    return JSONValue.object(members).bytes + [0x0A]
  }

  /// All that a worker does with a fold: a number that does not fit ends the process.
  public static func use(_ fold: LedgerFold) {
    _ = (fold.counts.input, fold.hasEnded, fold.isFinished, fold.plan, fold.bytes)
    for lane in fold.lanes.keys { _ = (fold.nextEpoch(of: lane), CivilTime.text(ofMicroseconds: fold[lane]?.watermark ?? 0)) }
    var next = fold
    for step in Int64(1)...3 {
      let entry = draft(next, 10_000 * step).sealed(on: next)
      guard (try? next.apply(entry)) != nil else { return }
      _ = (entry.bytes, next.counts.input)
    }
  }
}
