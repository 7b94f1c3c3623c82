import WeirCore

/// What becomes of the keys of a shard that ended: a shard that takes over some of them.
public struct ChildShard: Sendable, Hashable {
  public var lane: LaneID
  /// All of them, whichever of them says so.
  public var parents: [LaneID]
  /// Hashes of the keys that are the child's; nil: the source has no ranges.
  public var range: HashRange?

  public init(lane: LaneID, parents: [LaneID], range: HashRange?) {
    (self.lane, self.parents, self.range) = (lane, parents, range)
  }
}

/// Where the state of a lane comes from whose shard has parents (DESIGN section 4, "Reshard").
public struct LaneOrigin: Sendable, Hashable {
  public struct Parent: Sendable, Hashable {
    public var lane: LaneID
    /// nil: the source has no ranges.
    public var range: HashRange?
    /// What the parent judged its last record by: the larger of its watermark and its floor; nil: it is not closed yet.
    public var reached: Int64?
  }

  /// nil: all keys of the parents.
  public var range: HashRange?
  public var parents: [Parent]

  init(_ child: ChildShard) {
    range = child.range
    parents = child.parents.sorted().map { Parent(lane: $0, range: nil, reached: nil) }
  }

  /// All parents are closed: the lane may begin.
  public var isReady: Bool { parents.allSatisfy { $0.reached != nil } }
}

extension LedgerFold {
  /// The shard of a lane ended for good, and these take over its keys. They count for the merged watermark from here on; a child begins when
  /// all its parents are closed, above the least of their watermarks, one generation above all of theirs.
  mutating func close(_ id: LaneID, range: HashRange?, children: [ChildShard]) {
    guard let parent = lanes[id] else { return }
    lanes[id]?.isShardClosed = true
    for child in children where lanes[child.lane]?.epoch ?? 0 == 0 {
      var lane = lanes[child.lane] ?? LaneFold(generation: 0, floor: Watermark.minimum)
      var origin = lane.origin ?? LaneOrigin(child)
      guard let place = origin.parents.firstIndex(where: { $0.lane == id }) else { continue }
      origin.parents[place].range = range
      origin.parents[place].reached = max(parent.watermark, parent.floor)
      lane.origin = origin
      lane.generation = max(lane.generation, parent.generation + 1)
      let known = origin.parents.compactMap(\.reached)
      // An idle parent did not hold back the merged watermark: like a lane that wakes, the child is not below it.
      lane.floor = max(known.min() ?? Watermark.minimum, mergedWatermark)
      lane.watermark = origin.parents.compactMap { $0.reached == nil ? nil : lanes[$0.lane]?.watermark }.min() ?? Watermark.minimum
      // It takes over windows that its parents have not finished.
      lane.dueAt = [lane.dueAt, parent.dueAt].compactMap(\.self).min()
      lanes[child.lane] = lane
      lanes[id]?.dueAt = nil
    }
  }

  /// A lane has state of its own: parents whose children all have one need theirs no more.
  mutating func releaseParents(of id: LaneID) {
    guard let origin = lanes[id]?.origin, lanes[id]?.state != nil else { return }
    for parent in origin.parents where lanes[parent.lane]?.state != nil && !isAwaited(parent.lane) { lanes[parent.lane]?.state = nil }
  }

  /// A shard that had keys of a lane's shard before it, and ended.
  public struct Ancestor: Sendable, Hashable {
    public var lane: LaneID
    /// nil: the source has no ranges.
    public var range: HashRange?
    /// What it judged its last record by: the larger of its watermark and its floor.
    public var reached: Int64
    /// Of its own records.
    public var watermark: Int64
    public var parents: [LaneID]
  }

  /// The parents of a lane's shard, their parents, and so on, each once. A lane may end before its own watermark has passed what its parents had
  /// reached, so they all count: of a key, those whose range has it.
  public func ancestors(of id: LaneID) -> [Ancestor] {
    var found: [Ancestor] = []
    var known: Set<LaneID> = []
    var left = [id]
    while let next = left.popLast() {
      for parent in lanes[next]?.origin?.parents ?? [] {
        guard let reached = parent.reached, let lane = lanes[parent.lane], known.insert(parent.lane).inserted else { continue }
        found.append(
          Ancestor(
            lane: parent.lane, range: parent.range, reached: reached, watermark: lane.watermark,
            parents: lane.origin?.parents.map(\.lane) ?? []))
        left.append(parent.lane)
      }
    }
    return found
  }

  /// The greatest that a shard before the lane's reached. Ids are forgotten by no less than this: so none is forgotten earlier than it would
  /// have been there.
  public func dedupFloor(of id: LaneID) -> Int64 { ancestors(of: id).map(\.reached).max() ?? Watermark.minimum }

  private func isAwaited(_ parent: LaneID) -> Bool {
    lanes.values.contains { lane in lane.state == nil && lane.origin?.parents.contains { $0.lane == parent } == true }
  }

  /// The lanes of shards that have the keys now, in order: a parent until its children may begin, then these.
  public var lanesWithKeys: [LaneID] {
    var handedOn: Set<LaneID> = []
    for lane in lanes.values where lane.origin?.isReady == true { handedOn.formUnion(lane.origin?.parents.map(\.lane) ?? []) }
    return lanes.keys.filter { $0 != .merge && isReady($0) && !handedOn.contains($0) }.sorted()
  }

  /// A shard may be read: it is not a child, or all its parents are closed.
  public func isReady(_ lane: LaneID) -> Bool { lanes[lane]?.origin?.isReady ?? true }
}

// MARK: - Form in files

extension ChildShard {
  var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("lane", .string(lane.text)), .init("parents", .array(parents.map { .string($0.text) })),
    ]
    if let range { members.append(.init("range", .string(range.text))) }
    return .object(members)
  }

  init(json: JSONValue) throws(WeirError) {
    var parents: [LaneID] = []
    for item in try json.requiredArray("parents") { parents.append(try LaneID(json: item)) }
    self.init(lane: try LaneID(json: json.required("lane")), parents: parents, range: try json.optionalRange())
  }
}

extension LaneOrigin {
  var json: JSONValue {
    let parents = parents.map { parent in
      var members: [JSONValue.Member] = [.init("lane", .string(parent.lane.text))]
      if let range = parent.range { members.append(.init("range", .string(range.text))) }
      if let reached = parent.reached { members.append(.init("reached", .watermark(reached))) }
      return JSONValue.object(members)
    }
    var members: [JSONValue.Member] = [.init("parents", .array(parents))]
    if let range { members.append(.init("range", .string(range.text))) }
    return .object(members)
  }

  init(json: JSONValue) throws(WeirError) {
    range = try json.optionalRange()
    parents = []
    for item in try json.requiredArray("parents") {
      parents.append(
        Parent(
          lane: try LaneID(json: item.required("lane")), range: try item.optionalRange(),
          reached: item["reached"] == nil ? nil : try item.requiredWatermark("reached")))
    }
  }
}

extension JSONValue {
  /// The member `range`, left out where there is none.
  func optionalRange() throws(WeirError) -> HashRange? {
    guard let value = self["range"] else { return nil }
    guard let range = value.string.flatMap(HashRange.init(text:)) else {
      throw WeirError.corruptLedger("\(value.text) is not a range of hashes")
    }
    return range
  }
}
