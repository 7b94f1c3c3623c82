import WeirCore

/// A stream got more shards than it had, and the user accepts that the keys move (a decision).
///
/// The lanes have kept their tables by key to themselves until here. From this entry on the merge lane finishes these tables: the entry has its
/// state with everything that the lanes had, and each lane without. Nothing follows the lanes' state of before, because the entry names them all.
public struct AddedPartitions: Sendable, Hashable {
  public var stream: String
  /// The producers' rule for keys among the shards that there were; nil: there was one.
  public var rule: Partitioner?
  /// The shards that there were, by their number.
  public var before: [LaneID]
  /// Those that were added, by their number. They count from here on.
  public var added: [LaneID]
  /// The ids that all lanes had seen; nil: the plan has no dedup.
  public var ids: BlobRef?

  public init(stream: String, rule: Partitioner?, before: [LaneID], added: [LaneID], ids: BlobRef?) {
    (self.stream, self.rule, self.before, self.added, self.ids) = (stream, rule, before, added, ids)
  }
}

/// What the ledger keeps of ``AddedPartitions``.
public struct PartitionGrowth: Sendable, Hashable {
  public var decision: AddedPartitions
  /// What each shard of before had judged its last record by, by its number: windows up to there were written out for its keys.
  public var reached: [Int64]
  /// The entry with the decision.
  public var entry: Int64

  /// Ids are forgotten by no less than this.
  public var dedupFloor: Int64 { reached.max() ?? Watermark.minimum }

  func concerns(_ lane: LaneID) -> Bool { decision.before.contains(lane) || decision.added.contains(lane) }
}

extension LedgerFold {
  mutating func grow(_ decision: AddedPartitions) {
    let reached = decision.before.map { id in lanes[id].map { max($0.watermark, $0.floor) } ?? Watermark.minimum }
    for lane in decision.added where lanes[lane] == nil { lanes[lane] = LaneFold(generation: 0, floor: mergedWatermark) }
    growths[decision.stream] = PartitionGrowth(decision: decision, reached: reached, entry: number)
  }

  /// What a lane goes by since its stream got more shards; nil: it did not.
  public func growth(of lane: LaneID) -> PartitionGrowth? { growths.values.first { $0.concerns(lane) } }

  /// The ids that a lane has to begin with: until its first cut after the decision, its own state has none.
  public func idsAwaited(by lane: LaneID) -> BlobRef? {
    guard let ids = growth(of: lane)?.decision.ids, let fold = lanes[lane] else { return nil }
    guard let state = fold.state else { return ids }
    return state.base.path == ids.path && state.deltas.isEmpty ? ids : nil
  }

  /// Files that lanes still need because of growths.
  var namedByGrowths: [String] {
    growths.values.compactMap { growth in
      guard let ids = growth.decision.ids else { return nil }
      let lanes = growth.decision.before + growth.decision.added
      return lanes.contains { idsAwaited(by: $0) != nil } ? ids.path : nil
    }
  }
}

// MARK: - Form in files

extension AddedPartitions {
  var members: [JSONValue.Member] {
    var members: [JSONValue.Member] = [.init("stream", .string(stream))]
    if let rule { members.append(.init("rule", .string(rule.rawValue))) }
    members.append(.init("before", .array(before.map { .string($0.text) })))
    members.append(.init("added", .array(added.map { .string($0.text) })))
    if let ids { members.append(.init("ids", ids.json)) }
    return members
  }

  init(json: JSONValue) throws(WeirError) {
    func lanes(_ name: String) throws(WeirError) -> [LaneID] {
      var lanes: [LaneID] = []
      for item in try json.requiredArray(name) { lanes.append(try LaneID(json: item)) }
      return lanes
    }
    var rule: Partitioner?
    if let text = json["rule"] {
      guard let known = text.string.flatMap(Partitioner.init) else {
        throw WeirError(
          .ledgerDecision, "the ledger has a partitioner that this version does not support",
          advice: "It was written by a newer Weir: use that version, or a newer one.")
      }
      rule = known
    }
    self.init(
      stream: try json.requiredString("stream"), rule: rule, before: try lanes("before"), added: try lanes("added"),
      ids: try json["ids"].map { v throws(WeirError) in try BlobRef(json: v) })
    guard rule != nil || before.count < 2 else { throw WeirError.corruptLedger("added partitions without a rule for the keys of before") }
  }
}

extension PartitionGrowth {
  var json: JSONValue {
    .object(
      decision.members + [.init("reached", .array(reached.map { JSONValue.watermark($0) })), .init("entry", .int(entry))])
  }

  init(json: JSONValue) throws(WeirError) {
    decision = try AddedPartitions(json: json)
    reached = []
    for item in try json.requiredArray("reached") {
      reached.append(try JSONValue.object([.init("reached", item)]).requiredWatermark("reached"))
    }
    entry = try json.requiredCount("entry")
    guard reached.count == decision.before.count else {
      throw WeirError.corruptLedger("added partitions have \(reached.count) watermarks for \(decision.before.count) earlier shards")
    }
  }
}
