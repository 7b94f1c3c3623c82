import WeirCore

/// The form of an entry in the store: one line of JSON with a fixed order of members.
///
/// `hash` is the SHA-256 of the line with an empty hash. Reading encodes the entry again and compares all bytes, so
/// that any changed byte is found: white space, order of members and unknown members too.
extension LedgerEntry {
  /// The entry's line, ending with a line feed.
  public var bytes: [UInt8] { LedgerEntry.with(hash, encodedWithoutHash) }

  /// Reads and verifies one entry.
  /// - Throws: `ledger_corrupt`, `ledger_format`, `ledger_decision`.
  public init(bytes: [UInt8]) throws(WeirError) {
    let json = try JSONValue.document(bytes, "a ledger entry")
    try json.checkFormat("a ledger entry")
    let number = json["number"]?.int.map { "entry \($0)" } ?? "a ledger entry"
    // Before anything is made of its members.
    guard let stated = json["hash"]?.string, let plain = LedgerEntry.withoutHash(bytes, stated) else {
      throw WeirError.corruptLedger("\(number) is not in canonical form")
    }
    guard stated == ContentHash(of: plain).hex else { throw WeirError.corruptLedger("\(number) does not have the hash it states") }
    try self.init(json: json)
    guard encodedWithoutHash == plain else { throw WeirError.corruptLedger("\(number) is not in canonical form") }
  }

  /// The bytes with an empty hash; nil if they do not end with this one.
  private static func withoutHash(_ bytes: [UInt8], _ hash: String) -> [UInt8]? {
    let tail = Array((hash + end).utf8)
    guard bytes.count > tail.count, bytes.suffix(tail.count).elementsEqual(tail) else { return nil }
    return Array(bytes.dropLast(tail.count)) + Array(end.utf8)
  }

  func sealed() -> LedgerEntry {
    var entry = self
    entry.hash = ContentHash(of: encodedWithoutHash).hex
    return entry
  }

  /// The line with an empty hash. Files are written one by one: an entry may have tens of thousands.
  private var encodedWithoutHash: [UInt8] {
    var members: [JSONValue.Member] = [
      .init("format", .int(format)), .init("number", .int(number)), .init("commitID", .string(commitID)),
      .init("worker", .string(worker)), .init("planHash", .string(planHash)),
    ]
    if let genesis { members.append(.init("genesis", genesis.json)) }
    members.append(.init("lanes", .array(lanes.map(\.json))))
    var out: [UInt8] = []
    JSONValue.object(members).write(into: &out)
    out.removeLast()
    out += ",\"tables\":".utf8
    JSONValue.write(tables, into: &out) { $0.write(into: &$1, format: format) }
    let rest = JSONValue.object([
      .init("partials", partials?.json ?? .null), .init("mergedWatermark", .watermark(mergedWatermark)),
      .init("previousHash", .string(previousHash)),
    ])
    out.append(UInt8(ascii: ","))
    out += rest.bytes.dropFirst().dropLast()
    out += LedgerEntry.hashMember.utf8
    out += LedgerEntry.end.utf8
    return out
  }

  /// The hash is the last member.
  private static let hashMember = ",\"hash\":\""
  private static let end = "\"}\n"

  private static func with(_ hash: String, _ encodedWithoutHash: [UInt8]) -> [UInt8] {
    var out = encodedWithoutHash
    out.removeLast(end.utf8.count)
    // As a string of JSON, whatever it is: a damaged one is compared before anything else is done with it.
    var text: [UInt8] = []
    JSONValue.write(hash, into: &text)
    out += text[1...]
    out += end.utf8.dropFirst()
    return out
  }

  private init(json: JSONValue) throws(WeirError) {
    format = try json.requiredInt("format")
    number = try json.requiredCount("number")
    commitID = try json.requiredString("commitID")
    worker = try json.requiredString("worker")
    planHash = try json.requiredString("planHash")
    genesis = json["genesis"] == nil ? nil : try Genesis(json: json.required("genesis"))
    lanes = []
    for item in try json.requiredArray("lanes") { lanes.append(try LaneCommit(json: item, entry: number)) }
    tables = []
    for item in try json.requiredArray("tables") { tables.append(try TableCommit(json: item, format: format)) }
    partials = try json.optional("partials") { v throws(WeirError) in try BlobRef(json: v) }
    mergedWatermark = try json.requiredWatermark("mergedWatermark")
    previousHash = try json.requiredString("previousHash")
    hash = try json.requiredString("hash")
  }
}

extension Genesis {
  var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("ledgerID", .string(ledgerID)), .init("runID", .string(runID)), .init("stream", .string(stream)), .init("plan", plan),
      .init("planHash", .string(planHash)), .init("dealing", dealing.map { .string($0.rawValue) } ?? .null),
      .init("lanes", .array(lanes.map { .string($0.text) })),
    ]
    if let fileEnds { members.append(.init("fileEnds", .string(fileEnds.rawValue))) }
    if let inputs { members.append(.init("inputs", .array(inputs.map(\.json)))) }
    return .object(members)
  }

  init(json: JSONValue) throws(WeirError) {
    ledgerID = try json.requiredString("ledgerID")
    runID = try json.requiredString("runID")
    stream = try json.requiredString("stream")
    plan = try json.required("plan")
    planHash = try json.requiredString("planHash")
    dealing = try json.optional("dealing") { v throws(WeirError) in try Dealing(json: v) }
    lanes = []
    for item in try json.requiredArray("lanes") { lanes.append(try LaneID(json: item)) }
    guard dealing == nil || (1...Bounds.lanes).contains(lanes.count { $0 != .merge }), Set(lanes).count == lanes.count else {
      throw WeirError.corruptLedger("entry 0 lists a lane twice, or does not list 1 to \(Bounds.lanes) lanes of a capture")
    }
    inputs = try Genesis.inputs(in: json, of: lanes)
    guard let ends = json["fileEnds"] else { return }
    guard let rule = ends.string.flatMap(FileEnds.init(rawValue:)) else {
      throw WeirError.corruptLedger("unknown rule for the ends of files \(ends.text)")
    }
    fileEnds = rule
  }
}

extension Dealing {
  init(json: JSONValue) throws(WeirError) {
    guard let text = json.string, let dealing = Dealing(rawValue: text) else {
      throw WeirError.corruptLedger("unknown dealing \(json.text)")
    }
    self = dealing
  }
}

extension LaneCommit {
  var json: JSONValue {
    let members: KeyValuePairs<String, JSONValue> = [
      "lane": .string(lane.text), "dealing": dealing.map { .string($0.rawValue) } ?? .null,
      "generation": .int(generation), "epoch": .int(epoch), "from": .string(from.text),
      "to": .string(endsAtItself ? "self" : to.text), "watermark": .watermark(watermark),
      "prefixHash": prefixHash.map { .string($0.hex) } ?? .null, "counts": counts.json, "windows": windows.json,
      "decisions": .array(decisions.map(\.json)), "state": state?.json ?? .null,
    ]
    let document = JSONValue.members(members).adding(identity)
    // Left out where there is none, as in entries from before there was such a thing.
    guard isClosing || floor != nil || dueAt != nil || start != nil || !kinds.isEmpty, case .object(var all) = document else {
      return document
    }
    if isClosing { all.append(.init("closing", .bool(true))) }
    if let floor { all.append(.init("floor", .watermark(floor))) }
    if let dueAt { all.append(.init("dueAt", .watermark(dueAt))) }
    if let start { all.append(.init("start", .string(start.text))) }
    if !kinds.isEmpty { all.append(.init("kinds", kinds.json)) }
    return .object(all)
  }

  init(json: JSONValue, entry: Int64) throws(WeirError) {
    lane = try LaneID(json: json.required("lane"))
    dealing = try json.optional("dealing") { v throws(WeirError) in try Dealing(json: v) }
    generation = try json.requiredCount("generation")
    epoch = try json.requiredCount("epoch")
    from = try json.requiredPosition("from")
    endsAtItself = json["to"]?.string == "self"
    to = endsAtItself ? .offset(entry) : try json.requiredPosition("to")
    watermark = try json.requiredWatermark("watermark")
    prefixHash = try json.optional("prefixHash") { v throws(WeirError) in try Hash128(json: v) }
    counts = try BucketCounts(json: json.required("counts"))
    windows = try Dictionary(json: json.requiredMembers("windows"))
    decisions = []
    for item in try json.requiredArray("decisions") { decisions.append(try Decision(json: item)) }
    state = try json.optional("state") { v throws(WeirError) in try StateRef(json: v) }
    identity = try ShardIdentity(memberOf: json)
    isClosing = json["closing"] == .bool(true)
    floor = json["floor"] == nil ? nil : try json.requiredWatermark("floor")
    dueAt = json["dueAt"] == nil ? nil : try json.requiredWatermark("dueAt")
    start = json["start"] == nil ? nil : try json.requiredPosition("start")
    kinds = try json.kinds(of: counts)
  }
}

extension Hash128 {
  init(json: JSONValue) throws(WeirError) {
    guard let text = json.string, let hash = Hash128(hex: text) else {
      throw WeirError.corruptLedger("\(json.text) is not a 128-bit hash")
    }
    self = hash
  }
}

extension BucketCounts {
  var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("in", .int(input)), .init("accepted", .int(accepted)), .init("duplicate", .int(duplicate)), .init("filtered", .int(filtered)),
      .init("quarantined", .int(quarantined)),
    ]
    // Left out where there are none, as in entries from before they were counted.
    if blankLines > 0 { members.append(.init("blankLines", .int(blankLines))) }
    if rescued > 0 { members.append(.init("rescued", .int(rescued))) }
    return .object(members)
  }

  init(json: JSONValue) throws(WeirError) {
    self.init()
    accepted = try json.requiredCount("accepted")
    duplicate = try json.requiredCount("duplicate")
    filtered = try json.requiredCount("filtered")
    quarantined = try json.requiredCount("quarantined")
    if json["blankLines"] != nil { blankLines = try json.requiredCount("blankLines") }
    if json["rescued"] != nil { rescued = try json.requiredCount("rescued") }
    guard try json.requiredCount("in") == input else {
      throw WeirError.corruptLedger("the buckets of a lane do not add up to the records that went in")
    }
  }
}

extension [String: BucketCounts] {
  /// By the names of kinds.
  public var json: JSONValue { .object(sorted { $0.key < $1.key }.map { .init($0.key, $0.value.json) }) }
}

extension JSONValue {
  /// The counts of kinds of records; empty where there is but one kind.
  /// - Parameter all: what they are together; nil: records from before there were kinds may be among them.
  func kinds(of all: BucketCounts? = nil) throws(WeirError) -> [String: BucketCounts] {
    guard self["kinds"] != nil else { return [:] }
    var kinds: [String: BucketCounts] = [:]
    var sum = BucketCounts()
    for member in try requiredMembers("kinds") {
      let counts = try BucketCounts(json: member.value)
      kinds[member.name] = counts
      sum += counts
    }
    guard let all else { return kinds }
    // They are in no sum.
    sum.blankLines = all.blankLines
    guard sum == all else { throw WeirError.corruptLedger("the records of the kinds of a lane do not add up to those of the lane") }
    return kinds
  }
}

extension WindowCounts {
  /// `outOfRange` is seldom there.
  public var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("onTime", .int(onTime)), .init("corrected", .int(corrected)), .init("late", .int(late)),
    ]
    if outOfRange > 0 { members.append(.init("outOfRange", .int(outOfRange))) }
    return .object(members)
  }
}

extension [String: WindowCounts] {
  var json: JSONValue {
    let sorted = sorted { utf8Precedes($0.key, $1.key) }
    return .object(
      sorted.map { table, counts in JSONValue.Member(table, counts.json) })
  }

  init(json members: [JSONValue.Member]) throws(WeirError) {
    self = [:]
    for member in members {
      var counts = WindowCounts()
      counts.onTime = try member.value.requiredCount("onTime")
      counts.corrected = try member.value.requiredCount("corrected")
      counts.late = try member.value.requiredCount("late")
      counts.outOfRange = member.value["outOfRange"] == nil ? 0 : try member.value.requiredCount("outOfRange")
      self[member.name] = counts
    }
  }
}

extension JSONValue {
  /// An array whose items are written one after the other, so that they are not in memory together as values.
  fileprivate static func write<Item>(_ items: [Item], into out: inout [UInt8], _ write: (Item, inout [UInt8]) -> Void) {
    out.append(UInt8(ascii: "["))
    for (i, item) in items.enumerated() {
      if i > 0 { out.append(UInt8(ascii: ",")) }
      write(item, &out)
    }
    out.append(UInt8(ascii: "]"))
  }
}

extension TableCommit {
  fileprivate func write(into out: inout [UInt8], format: Int64) {
    let columns = format > 1 ? files.first { !$0.stats.columns.isEmpty }?.stats.columns ?? [] : []
    var members: [JSONValue.Member] = [.init("table", .string(table))]
    if !columns.isEmpty { members.append(.init("columns", .array(columns.map(\.json)))) }
    JSONValue.object(members).write(into: &out)
    out.removeLast()
    out += ",\"files\":".utf8
    JSONValue.write(files, into: &out) { $0.json(format: format, columns: columns).write(into: &$1) }
    out.append(UInt8(ascii: "}"))
  }

  init(json: JSONValue, format: Int64) throws(WeirError) {
    table = try json.requiredString("table")
    var columns: [StatsColumn] = []
    if format > 1, json["columns"] != nil { for item in try json.requiredArray("columns") { columns.append(try StatsColumn(json: item)) } }
    files = []
    for item in try json.requiredArray("files") { files.append(try DataFile(json: item, format: format, columns: columns)) }
  }
}

extension DataFile {
  func json(format: Int64, columns: [StatsColumn]) -> JSONValue {
    let values = partition.map { JSONValue.Member($0.name, $0.value.map { .string($0) } ?? .null) }
    return .members([
      "path": .string(path), "rows": .int(rows), "bytes": .int(bytes), "hash": .string(hash),
      "partition": .object(values), "stats": stats.json(format: format, columns: columns),
    ])
  }

  init(json: JSONValue, format: Int64, columns: [StatsColumn]) throws(WeirError) {
    path = try json.requiredString("path")
    rows = try json.requiredCount("rows")
    bytes = try json.requiredCount("bytes")
    hash = try json.requiredString("hash")
    stats = try FileStats(json: json.required("stats"), format: format, columns: columns)
    partition = []
    for member in try json.requiredMembers("partition") {
      guard member.value.isNull || member.value.string != nil else {
        throw WeirError.corruptLedger("the partition value \"\(member.name)\" is neither string nor null")
      }
      partition.append(PartitionValue(member.name, member.value.string))
    }
  }
}

extension BlobRef {
  var json: JSONValue {
    .members(["path": .string(path), "offset": .int(offset), "length": .int(length), "hash": .string(hash)])
  }

  init(json: JSONValue) throws(WeirError) {
    path = try json.requiredString("path")
    offset = try json.requiredCount("offset")
    length = try json.requiredCount("length")
    hash = try json.requiredString("hash")
  }
}

extension StateRef {
  var json: JSONValue {
    .members(["base": base.json, "deltas": .array(deltas.map(\.json))])
  }

  init(json: JSONValue) throws(WeirError) {
    base = try BlobRef(json: json.required("base"))
    deltas = []
    for item in try json.requiredArray("deltas") { deltas.append(try BlobRef(json: item)) }
  }
}
