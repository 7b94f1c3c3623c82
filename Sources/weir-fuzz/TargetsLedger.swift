import WeirCore
import WeirProtocol

extension FuzzTarget {
  private static let ledgerWords =
    jsonWords + [
      "self", "max", "s/0of2", "s/1of3", "_merge", "\"lanes\":[", "\"decisions\":[", "\"epoch\":", "\"from\":", "\"to\":", "\"counts\":{",
    ]

  private static let genesis = Genesis(
    ledgerID: "l", runID: "r", stream: "s", plan: .members(["a": .int(1)]), planHash: "p", dealing: .murmur2,
    lanes: [LaneID(shard: "s", index: 0, of: 2), LaneID(shard: "s", index: 1, of: 2), .merge])

  private static func draft(_ fold: LedgerFold, _ position: Int64) -> EntryDraft {
    let blob = BlobRef(path: "b", offset: 3, length: 4, hash: "h")
    var counts = BucketCounts()
    (counts.accepted, counts.duplicate, counts.filtered, counts.quarantined, counts.blankLines) = (1, 2, 3, 4, 5)
    var windows = WindowCounts()
    (windows.onTime, windows.corrected, windows.late) = (1, 2, 3)
    let decisions: [Decision] = [
      .gap(from: .offset(5), to: .offset(6), reason: "r"), .lanesListed([LaneID(shard: "t")], generation: 9), .extensible,
    ]
    var lanes: [LaneCommit] = [0, 1].map { index in
      let id = LaneID(shard: "s", index: index, of: 2)
      return LaneCommit(
        lane: id, dealing: .murmur2, generation: 7, epoch: fold.nextEpoch(of: id), from: fold[id]?.position ?? .offset(0),
        to: .offset(position),
        watermark: position * 1000, prefixHash: Hash128(low: 1, high: 2), counts: counts, windows: ["gold/g": windows],
        decisions: index == 0 ? [] : decisions, state: StateRef(base: blob, deltas: [blob]))
    }
    lanes.append(
      LaneCommit(
        lane: .merge, epoch: fold.nextEpoch(of: .merge), from: fold.mergeLane.position ?? .offset(0), to: .offset(0), endsAtItself: true,
        watermark: 5))
    let stats = FileStats.columns([
      ColumnStats(name: "n", type: .int64, nulls: 3, min: .int64(-4), max: .int64(9)),
      ColumnStats(name: "x", type: .double, nulls: 0, nans: 2, min: .double(-0.0), max: .double(.infinity)),
      ColumnStats(
        name: "d", type: .decimal(precision: 38, scale: 2), nulls: 0, min: .decimal(-5, precision: 38, scale: 2),
        max: .decimal(Int128.max, precision: 38, scale: 2)),
      ColumnStats(name: "s", type: .string, nulls: 0, min: .string("a"), max: .string(String(repeating: "é", count: 200))),
    ])
    return EntryDraft(
      commitID: "c", worker: "w", planHash: "p", lanes: lanes,
      tables: [TableCommit(table: "gold/g", files: [DataFile(path: "f", rows: 10, bytes: 20, hash: "h", stats: stats)])],
      partials: blob)
  }

  /// The fold of three entries, and the entry that follows.
  private static func ledger() throws -> (fold: LedgerFold, next: LedgerEntry) {
    var fold = try LedgerFold(genesis: genesis.sealed(commitID: "c", worker: "w"))
    for number in Int64(0)..<3 { try fold.apply(draft(fold, (number + 1) * 100).sealed(on: fold)) }
    return (fold, draft(fold, 1000).sealed(on: fold))
  }

  /// The document's bytes with the hash that they have.
  private static func sealed(_ input: [UInt8]) -> [UInt8]? {
    guard case .object(var members)? = try? JSONValue(parsing: input), let hash = members.lastIndex(where: { $0.name == "hash" }) else {
      return nil
    }
    members[hash].value = .string("")
    members[hash].value = .string(ContentHash(of: JSONValue.object(members).bytes + [0x0A]).hex)
    return JSONValue.object(members).bytes + [0x0A]
  }

  /// All that a worker does with a fold.
  private static func use(_ fold: LedgerFold) throws {
    _ = (fold.counts.input, fold.hasEnded, fold.isFinished, fold.plan)
    expect(try LedgerFold(bytes: fold.bytes) == fold, "written and read it is another fold")
    for lane in fold.lanes.keys { _ = (fold.nextEpoch(of: lane), CivilTime.text(ofMicroseconds: fold[lane]?.watermark ?? 0)) }
    var next = fold
    for step in Int64(1)...3 {
      let entry = draft(next, 10_000 * step).sealed(on: next)
      guard (try? next.apply(entry)) != nil else { return }
      _ = (entry.bytes, next.counts.input)
    }
  }

  static let ledgerEntry = FuzzTarget(
    "ledger-entry", words: ledgerWords,
    seeds: { [try ledger().next.bytes, genesis.sealed(commitID: "c", worker: "w").bytes] }
  ) { input in
    if let entry = try? LedgerEntry(bytes: input) { expect(entry.bytes == input, "written it is another entry") }
    guard let bytes = sealed(input) else { return }
    let entry = try LedgerEntry(bytes: bytes)
    expect(entry.bytes == bytes, "written it is another entry")
    if entry.genesis != nil { try use(try LedgerFold(genesis: entry)) }
    var fold = try ledger().fold
    try fold.apply(entry)
    try use(fold)
  }

  static let ledgerSnapshot = FuzzTarget("ledger-snapshot", words: ledgerWords, seeds: { [try ledger().fold.bytes] }) { input in
    if let fold = try? LedgerFold(bytes: input) { expect(fold.bytes == input, "written it is another snapshot") }
    guard let bytes = sealed(input) else { return }
    try use(try LedgerFold(bytes: bytes))
  }
}
