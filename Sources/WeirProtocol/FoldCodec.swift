import WeirCore

/// A ledger snapshot: a fold as one line of JSON, verified like an entry.
extension LedgerFold {
  /// The snapshot's line, ending with a line feed.
  public var bytes: [UInt8] { bytes(format: LedgerFormat.current) }

  private func bytes(format: Int64) -> [UInt8] { encoded(format, hash: ContentHash(of: encoded(format, hash: "")).hex) }

  /// Reads and verifies a snapshot.
  /// - Throws: `ledger_corrupt`, `ledger_format`.
  public init(bytes: [UInt8]) throws(WeirError) {
    let json = try JSONValue.document(bytes, "a ledger snapshot")
    try json.checkFormat("a ledger snapshot")
    try self.init(json: json)
    guard self.bytes(format: try json.requiredInt("format")) == bytes else {
      throw WeirError.corruptLedger("ledger snapshot \(number) was changed: its form or its hash is wrong")
    }
  }

  private func encoded(_ format: Int64, hash snapshotHash: String) -> [UInt8] {
    var document = JSONValue.members([
      "format": .int(format), "number": .int(number), "entryHash": .string(hash), "genesis": genesis.json,
      "lanes": .array(lanes.sorted { $0.key < $1.key }.map { $0.value.json(of: $0.key) }),
      "lookups": .object(
        lookups.sorted { utf8Precedes($0.key, $1.key) }.map { JSONValue.Member($0.key, $0.value.json) }),
      "tables": .object(tables.sorted { utf8Precedes($0.key, $1.key) }.map { JSONValue.Member($0.key, $0.value.json) }),
      "mergedWatermark": .watermark(mergedWatermark), "hash": .string(snapshotHash),
    ])
    // Left out where nothing was decided, as in snapshots from before there was such a decision.
    if !partitioners.isEmpty, case .object(let members) = document {
      let rules = partitioners.sorted { utf8Precedes($0.key, $1.key) }.map { JSONValue.Member($0.key, $0.value.json) }
      document = .object(members + [JSONValue.Member("partitioners", .object(rules))])
    }
    if !growths.isEmpty, case .object(let members) = document {
      let all = growths.sorted { utf8Precedes($0.key, $1.key) }.map { JSONValue.Member($0.key, $0.value.json) }
      document = .object(members + [JSONValue.Member("growths", .object(all))])
    }
    if let planChange, case .object(let members) = document {
      document = .object(members + [JSONValue.Member("planChange", planChange.json)])
    }
    return document.bytes + [0x0A]
  }

  private init(json: JSONValue) throws(WeirError) {
    var lanes: [LaneID: LaneFold] = [:]
    for item in try json.requiredArray("lanes") {
      lanes[try LaneID(json: item.required("lane"))] = try LaneFold(json: item)
    }
    var lookups: [String: LookupVersion] = [:]
    for member in try json.requiredMembers("lookups") { lookups[member.name] = try LookupVersion(json: member.value) }
    var tables: [String: TableFold] = [:]
    for member in try json.requiredMembers("tables") { tables[member.name] = try TableFold(json: member.value) }
    var partitioners: [String: [Partitioner]] = [:]
    if json["partitioners"] != nil {
      for member in try json.requiredMembers("partitioners") { partitioners[member.name] = try [Partitioner](json: member.value) }
    }
    var growths: [String: PartitionGrowth] = [:]
    if json["growths"] != nil {
      for member in try json.requiredMembers("growths") { growths[member.name] = try PartitionGrowth(json: member.value) }
    }
    self.init(
      genesis: try Genesis(json: json.required("genesis")), number: try json.requiredCount("number"),
      hash: try json.requiredString("entryHash"), lanes: lanes, lookups: lookups, tables: tables, partitioners: partitioners,
      growths: growths, planChange: try json["planChange"].map { v throws(WeirError) in try PlanChange(json: v) },
      mergedWatermark: try json.requiredWatermark("mergedWatermark"))
  }
}

extension LaneFold {
  func json(of lane: LaneID) -> JSONValue {
    let document = JSONValue.members([
      "lane": .string(lane.text), "generation": .int(generation), "epoch": .int(epoch),
      "position": position.map { .string($0.text) } ?? .null, "watermark": .watermark(watermark),
      "floor": .watermark(floor), "prefixHash": prefixHash.map { .string($0.hex) } ?? .null,
      "idle": .bool(isIdle), "ended": .bool(hasEnded), "closed": .bool(isClosed),
      "extensible": .bool(isExtensible), "counts": counts.json,
      "windows": windows.json, "state": state?.json ?? .null,
    ])
    // Left out where there is none, as in snapshots from before there was such a decision.
    guard case .object(var members) = document else { return document }
    if let clock { members.append(JSONValue.Member("clock", .int(clock))) }
    if let generationStart { members.append(JSONValue.Member("generationStart", .string(generationStart.text))) }
    if isShardClosed { members.append(JSONValue.Member("shardClosed", .bool(true))) }
    if isClosing { members.append(JSONValue.Member("closing", .bool(true))) }
    if let dueAt { members.append(JSONValue.Member("dueAt", .watermark(dueAt))) }
    if let origin { members.append(JSONValue.Member("origin", origin.json)) }
    if !kinds.isEmpty { members.append(JSONValue.Member("kinds", kinds.json)) }
    return JSONValue.object(members).adding(identity)
  }

  init(json: JSONValue) throws(WeirError) {
    self.init(generation: try json.requiredCount("generation"), floor: try json.requiredWatermark("floor"))
    epoch = try json.requiredCount("epoch")
    position = json["position"]?.isNull == true ? nil : try json.requiredPosition("position")
    watermark = try json.requiredWatermark("watermark")
    prefixHash = try json.optional("prefixHash") { v throws(WeirError) in try Hash128(json: v) }
    isIdle = try json.required("idle") == .bool(true)
    hasEnded = try json.required("ended") == .bool(true)
    isClosed = try json.required("closed") == .bool(true)
    isExtensible = try json.required("extensible") == .bool(true)
    counts = try BucketCounts(json: json.required("counts"))
    windows = try Dictionary(json: json.requiredMembers("windows"))
    state = try json.optional("state") { v throws(WeirError) in try StateRef(json: v) }
    clock = json["clock"] == nil ? nil : try json.requiredTime("clock")
    generationStart = json["generationStart"] == nil ? nil : try json.requiredPosition("generationStart")
    isClosing = json["closing"] == .bool(true)
    dueAt = json["dueAt"] == nil ? nil : try json.requiredWatermark("dueAt")
    isShardClosed = json["shardClosed"] == .bool(true)
    origin = try json["origin"].map { v throws(WeirError) in try LaneOrigin(json: v) }
    identity = try ShardIdentity(memberOf: json)
    kinds = try json.kinds()
  }
}

extension LookupVersion {
  var json: JSONValue {
    let members: [JSONValue.Member] = [.init("hash", .string(hash)), .init("path", .string(path)), .init("entry", .int(entry))]
    // Left out where no refresh replaced one, as in snapshots from before there were refreshes.
    guard let previous else { return .object(members) }
    return .object(members + [.init("previous", .members(["hash": .string(previous.hash), "path": .string(previous.path)]))])
  }

  init(json: JSONValue) throws(WeirError) {
    hash = try json.requiredString("hash")
    path = try json.requiredString("path")
    entry = try json.requiredCount("entry")
    previous = try json["previous"].map { kept throws(WeirError) in
      Kept(hash: try kept.requiredString("hash"), path: try kept.requiredString("path"))
    }
  }
}

extension PlanChange {
  var json: JSONValue {
    let members: [JSONValue.Member] = [
      .init("plan", meaning), .init("planHash", .string(hash)), .init("runID", .string(runID)), .init("entry", .int(entry)),
    ]
    // Left out where it is 0, as in snapshots from before there was such a count.
    return .object(members + (rejectedBefore == 0 ? [] : [.init("rejectedBefore", .int(rejectedBefore))]))
  }

  init(json: JSONValue) throws(WeirError) {
    meaning = try json.required("plan")
    hash = try json.requiredString("planHash")
    runID = try json.requiredString("runID")
    entry = try json.requiredInt("entry")
    rejectedBefore = try json["rejectedBefore"] == nil ? 0 : json.requiredCount("rejectedBefore")
  }
}

extension TableFold {
  var json: JSONValue {
    .members(["lastEntry": .int(lastEntry), "files": .int(files), "rows": .int(rows), "bytes": .int(bytes)])
  }

  init(json: JSONValue) throws(WeirError) {
    lastEntry = try json.requiredCount("lastEntry")
    files = try json.requiredCount("files")
    rows = try json.requiredCount("rows")
    bytes = try json.requiredCount("bytes")
  }
}
