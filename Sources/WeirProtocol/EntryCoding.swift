import WeirCore

/// Ledger entries as JSON. Deterministic: a value has one text, so that a hash over the text covers every byte.
enum EntryCoding {
  static func bytes(number: Int64, draft: EntryDraft, previousHash: String, hash: String) -> [UInt8] {
    var members: [JSONValue.Member] = [
      .init("format", .int(LedgerEntry.formatVersion)),
      .init("number", .int(number)),
      .init("commitID", .string(draft.commitID)),
      .init("worker", .string(draft.worker)),
      .init("planHash", .string(draft.planHash.hex)),
    ]
    if let genesis = draft.genesis { members.append(.init("genesis", self.genesis(genesis))) }
    members += [
      .init("lanes", .array(draft.lanes.map(lane))),
      .init("tables", .array(draft.tables.map(table))),
      .init("partials", draft.partials.map(blob) ?? .null),
      .init("mergedWatermark", watermark(draft.mergedWatermark)),
      .init("previousHash", .string(previousHash)),
      .init("hash", .string(hash)),
    ]
    return JSONValue.object(members).bytes + [0x0A]
  }

  // MARK: Parts

  static func watermark(_ w: Int64) -> JSONValue {
    w == Watermark.minimum ? .null : w == Watermark.maximum ? .string("closed") : .int(w)
  }

  static func watermark(_ value: JSONValue?) -> Int64? {
    switch value {
    case .null?: Watermark.minimum
    case .string("closed")?: Watermark.maximum
    case .int(let w)?: w
    default: nil
    }
  }

  static func blob(_ b: BlobRef) -> JSONValue {
    .members(["path": .string(b.path), "offset": .int(b.offset), "length": .int(b.length), "hash": .string(b.hash.hex)])
  }

  static func blob(_ v: JSONValue) -> BlobRef? {
    guard let path = v["path"]?.string, let offset = v["offset"]?.int, let length = v["length"]?.int,
      let hash = v["hash"]?.string
    else { return nil }
    return BlobRef(path: path, offset: offset, length: length, hash: ContentHash(hex: hash))
  }

  static func state(_ s: StateRef?) -> JSONValue {
    guard let s else { return .null }
    return .members(["base": blob(s.base), "deltas": .array(s.deltas.map(blob))])
  }

  static func state(_ v: JSONValue?) -> StateRef? {
    guard let v, let base = v["base"].flatMap(blob), let deltas = v["deltas"]?.array else { return nil }
    return StateRef(base: base, deltas: deltas.compactMap(blob))
  }

  static func counts(_ c: BucketCounts) -> JSONValue {
    .members([
      "in": .int(c.input), "accepted": .int(c.accepted), "duplicate": .int(c.duplicate), "filtered": .int(c.filtered),
      "quarantined": .int(c.quarantined),
    ])
  }

  static func counts(_ v: JSONValue?) -> BucketCounts? {
    guard let a = v?["accepted"]?.int, let d = v?["duplicate"]?.int, let f = v?["filtered"]?.int,
      let q = v?["quarantined"]?.int, v?["in"]?.int == a + d + f + q
    else { return nil }
    var c = BucketCounts()
    (c.accepted, c.duplicate, c.filtered, c.quarantined) = (a, d, f, q)
    return c
  }

  static func windows(_ w: [String: WindowCounts]) -> JSONValue {
    .object(
      w.sorted { $0.key < $1.key }.map { name, c in
        .init(name, .members(["onTime": .int(c.onTime), "corrected": .int(c.corrected), "late": .int(c.late)]))
      })
  }

  static func windows(_ v: JSONValue?) -> [String: WindowCounts]? {
    guard let members = v?.members else { return nil }
    var out: [String: WindowCounts] = [:]
    for member in members {
      guard let o = member.value["onTime"]?.int, let c = member.value["corrected"]?.int, let l = member.value["late"]?.int
      else { return nil }
      var counts = WindowCounts()
      (counts.onTime, counts.corrected, counts.late) = (o, c, l)
      out[member.name] = counts
    }
    return out
  }

  static func decision(_ d: Decision) -> JSONValue {
    switch d {
    case .endOfInput: .members(["kind": .string("end of input")])
    case .lookup(let name, let hash, let path):
      .members(["kind": .string("lookup"), "name": .string(name), "hash": .string(hash.hex), "path": .string(path)])
    case .idle: .members(["kind": .string("idle")])
    case .wake(let floor): .members(["kind": .string("wake"), "floor": watermark(floor)])
    case .gap(let from, let to, let reason):
      .members([
        "kind": .string("gap"), "from": .string(from.text), "to": .string(to.text), "reason": .string(reason),
      ])
    }
  }

  static func decision(_ v: JSONValue) -> Decision? {
    switch v["kind"]?.string {
    case "end of input": return .endOfInput
    case "idle": return .idle
    case "wake": return watermark(v["floor"]).map { .wake(floor: $0) }
    case "lookup":
      guard let name = v["name"]?.string, let hash = v["hash"]?.string, let path = v["path"]?.string else { return nil }
      return .lookup(name: name, hash: ContentHash(hex: hash), path: path)
    case "gap":
      guard let from = v["from"]?.string.flatMap(Position.init(text:)), let to = v["to"]?.string.flatMap(Position.init(text:)),
        let reason = v["reason"]?.string
      else { return nil }
      return .gap(from: from, to: to, reason: reason)
    default: return nil
    }
  }

  static func lane(_ l: LaneCommit) -> JSONValue {
    .members([
      "lane": .string(l.lane.text), "generation": .int(l.generation), "epoch": .int(l.epoch),
      "from": .string(l.from.text), "to": .string(l.to.text), "watermark": watermark(l.watermark),
      "prefixHash": l.prefixHash.map { .string($0.hex) } ?? .null, "counts": counts(l.counts),
      "windows": windows(l.windows), "decisions": .array(l.decisions.map(decision)), "state": state(l.state),
    ])
  }

  static func lane(_ v: JSONValue) -> LaneCommit? {
    guard let lane = v["lane"]?.string, let generation = v["generation"]?.int, let epoch = v["epoch"]?.int,
      let from = v["from"]?.string.flatMap(Position.init(text:)), let to = v["to"]?.string.flatMap(Position.init(text:)),
      let watermark = watermark(v["watermark"]), let counts = counts(v["counts"]), let windows = windows(v["windows"]),
      let decisions = v["decisions"]?.array
    else { return nil }
    let read = decisions.compactMap(decision)
    guard read.count == decisions.count else { return nil }
    return LaneCommit(
      lane: LaneID(text: lane), generation: generation, epoch: epoch, from: from, to: to, watermark: watermark,
      prefixHash: v["prefixHash"]?.string.flatMap(Hash128.init(hex:)), counts: counts, windows: windows, decisions: read,
      state: state(v["state"]))
  }

  static func table(_ t: TableCommit) -> JSONValue {
    .members(["table": .string(t.table), "files": .array(t.files.map(file))])
  }

  private static func file(_ f: DataFile) -> JSONValue {
    .members([
      "path": .string(f.path), "rows": .int(f.rows), "bytes": .int(f.bytes), "hash": .string(f.hash.hex),
      "partition": .object(f.partition.map { .init($0.name, $0.value.map { .string($0) } ?? .null) }),
      "stats": .string(f.stats.text),
    ])
  }

  static func table(_ v: JSONValue) -> TableCommit? {
    guard let table = v["table"]?.string, let files = v["files"]?.array else { return nil }
    let read = files.compactMap(file)
    return read.count == files.count ? TableCommit(table: table, files: read) : nil
  }

  private static func file(_ v: JSONValue) -> DataFile? {
    guard let path = v["path"]?.string, let rows = v["rows"]?.int, let bytes = v["bytes"]?.int, let hash = v["hash"]?.string,
      let partition = v["partition"]?.members, let stats = v["stats"]?.string
    else { return nil }
    return DataFile(
      path: path, rows: rows, bytes: bytes, hash: ContentHash(hex: hash),
      partition: partition.map { .init(name: $0.name, value: $0.value.string) }, stats: .init(stats))
  }

  static func genesis(_ g: Genesis) -> JSONValue {
    .members([
      "ledgerID": .string(g.ledgerID), "pipeline": .string(g.pipeline), "meaning": .string(g.meaning.text),
      "dealing": .string(g.dealing.rawValue), "lanes": .array(g.lanes.map { .string($0.text) }), "runID": .string(g.runID),
    ])
  }

  static func genesis(_ v: JSONValue) -> Genesis? {
    guard let id = v["ledgerID"]?.string, let pipeline = v["pipeline"]?.string, let meaning = v["meaning"]?.string,
      let dealing = v["dealing"]?.string.flatMap(Dealing.init(rawValue:)), let lanes = v["lanes"]?.array,
      let runID = v["runID"]?.string
    else { return nil }
    return Genesis(
      ledgerID: id, pipeline: pipeline, meaning: .init(meaning), dealing: dealing,
      lanes: lanes.compactMap(\.string).map { LaneID(text: $0) }, runID: runID)
  }

  // MARK: Entry

  static func decode(_ v: JSONValue) -> (number: Int64, draft: EntryDraft, previousHash: String)? {
    guard let number = v["number"]?.int, let commitID = v["commitID"]?.string, let worker = v["worker"]?.string,
      let planHash = v["planHash"]?.string, let lanes = v["lanes"]?.array, let tables = v["tables"]?.array,
      let merged = watermark(v["mergedWatermark"]), let previous = v["previousHash"]?.string
    else { return nil }
    let readLanes = lanes.compactMap(lane)
    let readTables = tables.compactMap(table)
    guard readLanes.count == lanes.count, readTables.count == tables.count else { return nil }
    let draft = EntryDraft(
      commitID: commitID, worker: worker, planHash: ContentHash(hex: planHash), genesis: v["genesis"].flatMap(genesis),
      lanes: readLanes, tables: readTables, partials: v["partials"].flatMap(blob), mergedWatermark: merged)
    return (number, draft, previous)
  }
}
